//! The masters of a Redis Cluster. A server keeps its subscriptions at one of them, and publishes there too, because the nodes pass messages on
//! to each other: so everything that a server says keeps its order. What each node knows only of itself is asked of all.

use std::time::Duration;

use hashbrown::HashMap;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, Value};
use tokio::task::JoinSet;

use super::place;
use super::{subscribers, text_of};

/// A node that does not answer for so long is passed over. Publishing waits for it while servers are counted.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// A master, as the nodes tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    pub id: String,
    pub host: String,
    pub port: u16,
}

/// The slots from the first to the last belong to a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub first: u16,
    pub last: u16,
    pub master: Master,
}

/// Nodes that can be asked for the masters: those that the host named, and those that these have told.
pub struct Seeds {
    given: Vec<ConnectionInfo>,
    told: Vec<ConnectionInfo>,
}

impl Seeds {
    /// Those that the host named.
    pub fn new(given: Vec<ConnectionInfo>) -> Seeds {
        Seeds { given, told: Vec::new() }
    }

    /// Which slots belong to which master, and how nodes are spoken to; asks one after the other until one tells.
    pub async fn ask(&mut self) -> Result<(ConnectionInfo, Vec<Range>), String> {
        let mut reason = "there are no nodes".to_owned();
        for seed in in_any_order(&self.told).into_iter().chain(in_any_order(&self.given)) {
            match told_by(&seed).await {
                Ok(ranges) => {
                    let infos = masters(&ranges).into_iter();
                    self.told = infos.map(|master| place::at(&seed, &master.host, master.port)).collect();
                    return Ok((seed, ranges));
                }
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }
}

/// The cluster as one of its masters sees it, to which there is a connection.
pub struct Nodes {
    /// How nodes are spoken to.
    info: ConnectionInfo,
    /// The node that is connected.
    id: String,
    /// Connections to other masters, by their ids, made when they are needed.
    others: HashMap<String, MultiplexedConnection>,
}

impl Nodes {
    /// Connects to a master with this configuration.
    pub async fn connect(
        seeds: &mut Seeds,
        config: &AsyncConnectionConfig,
    ) -> Result<(Nodes, MultiplexedConnection), String> {
        let (seed, ranges) = seeds.ask().await?;
        let mut reason = String::new();
        // Which of them is left to chance, so that servers spread over the masters.
        for master in in_any_order(&masters(&ranges)) {
            let info = place::at(&seed, &master.host, master.port);
            match open(&info, config).await {
                Ok(connection) => return Ok((Nodes { info, id: master.id, others: HashMap::new() }, connection)),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    /// Asks all other masters in `slots` how many subscribers these channels have there, and adds that to `counts`. A master that does not
    /// answer has none: whoever listens there is not reached. An error: the node that is connected is no master any more.
    pub async fn add_counts(&mut self, slots: &Value, channels: &[String], counts: &mut [usize]) -> Result<(), String> {
        let masters = masters(&ranges(slots, &self.info));
        if !masters.iter().any(|master| master.id == self.id) {
            return Err("the node is not a master any more".to_owned());
        }
        self.others.retain(|id, _| masters.iter().any(|master| master.id == *id));
        let mut asked = JoinSet::new();
        for master in masters.into_iter().filter(|master| master.id != self.id) {
            let connection = self.others.remove(&master.id);
            let info = place::at(&self.info, &master.host, master.port);
            asked.spawn(tokio::time::timeout(NODE_TIMEOUT, count(master.id, connection, info, channels.to_vec())));
        }
        while let Some(answer) = asked.join_next().await {
            let Ok(Ok(Ok((id, connection, answers)))) = answer else { continue };
            self.others.insert(id, connection);
            counts.iter_mut().zip(answers).for_each(|(count, more)| *count += more);
        }
        Ok(())
    }

    /// Whether the node that is connected is still a master.
    pub async fn check(&self, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let slots = redis::cmd("CLUSTER").arg("SLOTS").query_async(connection).await.map_err(text_of)?;
        let is_master = masters(&ranges(&slots, &self.info)).iter().any(|master| master.id == self.id);
        if is_master { Ok(()) } else { Err("the node is not a master any more".to_owned()) }
    }
}

type Counted = (String, MultiplexedConnection, Vec<usize>);

async fn count(
    id: String,
    connection: Option<MultiplexedConnection>,
    info: ConnectionInfo,
    channels: Vec<String>,
) -> Result<Counted, String> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => open(&info, &AsyncConnectionConfig::new()).await?,
    };
    let mut pipe = redis::pipe();
    for channel in &channels {
        pipe.cmd("PUBSUB").arg("NUMSUB").arg(channel);
    }
    let answers: Vec<Value> = pipe.query_async(&mut connection).await.map_err(text_of)?;
    Ok((id, connection, answers.iter().map(subscribers).collect()))
}

/// The slots as a node tells them.
pub async fn told_by(seed: &ConnectionInfo) -> Result<Vec<Range>, String> {
    let asked = async {
        let mut connection = open(seed, &AsyncConnectionConfig::new()).await?;
        redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await.map_err(text_of)
    };
    let slots: Value = tokio::time::timeout(NODE_TIMEOUT, asked).await.map_err(|_| "a node does not answer")??;
    let ranges = ranges(&slots, seed);
    if ranges.is_empty() { Err("the cluster has no masters".to_owned()) } else { Ok(ranges) }
}

/// Connects to a node.
pub async fn open(info: &ConnectionInfo, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, String> {
    let client = Client::open(info.clone()).map_err(text_of)?;
    client.get_multiplexed_async_connection_with_config(config).await.map_err(text_of)
}

/// All of them, beginning with any.
fn in_any_order<T: Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    if !list.is_empty() {
        let first = getrandom::u32().unwrap_or(0) as usize % list.len();
        list.rotate_left(first);
    }
    list
}

fn masters(ranges: &[Range]) -> Vec<Master> {
    let mut masters: Vec<Master> = Vec::new();
    for range in ranges {
        if !masters.contains(&range.master) {
            masters.push(range.master.clone());
        }
    }
    masters
}

/// The answer of CLUSTER SLOTS: ranges, each with its first and last slot, its master, and replicas. A node that does not know its own address
/// leaves it out: it is the one that was asked.
fn ranges(slots: &Value, asked: &ConnectionInfo) -> Vec<Range> {
    let (ConnectionAddr::Tcp(asked, _) | ConnectionAddr::TcpTls { host: asked, .. }) = asked.addr() else {
        return Vec::new();
    };
    let Value::Array(ranges) = slots else { return Vec::new() };
    ranges.iter().filter_map(|range| read_range(range, asked)).collect()
}

fn read_range(range: &Value, asked: &str) -> Option<Range> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(node), ..] = &range[..] else { return None };
    let [host, Value::Int(port), Value::BulkString(id), ..] = &node[..] else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() => String::from_utf8_lossy(host).into_owned(),
        _ => asked.to_owned(),
    };
    let number = |number: &i64| u16::try_from(*number).ok();
    let master = Master { id: String::from_utf8_lossy(id).into_owned(), host, port: number(port)? };
    Some(Range { first: number(first)?, last: number(last)?, master })
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    fn node(host: &str, port: i64, id: &str) -> Value {
        let text = |text: &str| Value::BulkString(text.into());
        Value::Array(vec![text(host), Value::Int(port), text(id), Value::Map(Vec::new())])
    }

    fn range(from: i64, to: i64, nodes: &[Value]) -> Value {
        let mut range = vec![Value::Int(from), Value::Int(to)];
        range.extend_from_slice(nodes);
        Value::Array(range)
    }

    #[test]
    fn each_master_is_found_once_and_replicas_are_not() {
        let replica = node("10.0.0.9", 6379, "r");
        let slots = Value::Array(vec![
            range(0, 99, &[node("10.0.0.1", 6379, "a"), replica.clone()]),
            range(100, 199, &[node("", 6380, "b")]),
            range(200, 16383, &[node("10.0.0.1", 6379, "a"), replica]),
        ]);
        let asked = "redis://asked:1".into_connection_info().unwrap();
        let found: Vec<_> = masters(&ranges(&slots, &asked)).into_iter().map(|m| (m.id, m.host, m.port)).collect();
        let of = |id: &str, host: &str, port| (id.to_owned(), host.to_owned(), port);
        assert_eq!(found, [of("a", "10.0.0.1", 6379), of("b", "asked", 6380)]);
    }

    #[test]
    fn an_answer_of_another_kind_has_no_masters() {
        let asked = "redis://asked:1".into_connection_info().unwrap();
        for answer in [Value::Nil, Value::Array(vec![Value::Int(1)]), Value::Array(vec![range(0, 1, &[])])] {
            assert!(ranges(&answer, &asked).is_empty());
        }
    }
}
