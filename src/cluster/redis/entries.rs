//! Entries of Redis streams: where they are in answers, and what the official adapter's fields are in them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};

use crate::cluster::broker::{Entry, Heard, Member};
use crate::cluster::outgoing::Publication;

/// An entry with a namespace; what else is in a stream is somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    pub id: &'a str,
    pub uid: &'a str,
    nsp: &'a str,
    kind: &'a str,
    /// Heartbeats of version 0.2 have none.
    data: Option<&'a [u8]>,
}

/// Adds the command that adds an entry, to a stream that keeps so many, roughly.
pub fn add(pipe: &mut Pipeline, publication: &Publication, max_len: u64) {
    let Some(message) = &publication.message else { return };
    let (local, command) = (&publication.local, pipe.cmd("XADD").arg(&message.channel));
    command.arg("MAXLEN").arg("~").arg(max_len).arg("*").arg("uid").arg(&local.uid);
    command.arg("nsp").arg(&*local.nsp).arg("type").arg(message.kind).arg("data").arg(&message.payload);
}

/// The id of a stream's last entry.
pub async fn last_id(connection: &mut MultiplexedConnection, stream: &str) -> RedisResult<String> {
    let mut command = redis::cmd("XREVRANGE");
    let answer: Value = command.arg(stream).arg("+").arg("-").arg("COUNT").arg(1).query_async(connection).await?;
    let last = list(&answer).first().map(found);
    Ok(last.filter(|last| !last.id.is_empty()).map_or("0-0", |last| last.id).to_owned())
}

/// Up to `count` entries after one.
pub async fn after(connection: &mut MultiplexedConnection, stream: &str, id: &str, count: usize) -> RedisResult<Value> {
    let mut command = redis::cmd("XRANGE");
    command.arg(stream).arg(next_id(id)).arg("+").arg("COUNT").arg(count).query_async(connection).await
}

/// Whether an id comes before another.
pub fn is_before(id: &str, other: &str) -> bool {
    parts(id) < parts(other)
}

fn parts(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap_or((id, "0"));
    (ms.parse().unwrap_or(0), seq.parse().unwrap_or(0))
}

/// The id after one. Redis before 6.2 knows no ranges without their ends.
fn next_id(id: &str) -> String {
    let (ms, seq) = parts(id);
    match seq.checked_add(1) {
        Some(seq) => format!("{ms}-{seq}"),
        None => format!("{}-0", ms.saturating_add(1)),
    }
}

/// The entries of the answer to XREAD of one stream.
pub fn of_read(answer: &Value) -> Vec<Found<'_>> {
    let entries = match answer {
        Value::Map(streams) => streams.first().map(|(_, entries)| entries),
        Value::Array(streams) => streams.first().and_then(|stream| list(stream).get(1)),
        _ => None,
    };
    entries.map(of_range).unwrap_or_default()
}

/// The entries of the answer to XRANGE.
pub fn of_range(answer: &Value) -> Vec<Found<'_>> {
    list(answer).iter().map(found).collect()
}

fn list(value: &Value) -> &[Value] {
    if let Value::Array(list) = value { list } else { &[] }
}

fn bytes(value: &Value) -> &[u8] {
    if let Value::BulkString(bytes) = value { bytes } else { &[] }
}

fn text(value: &Value) -> &str {
    std::str::from_utf8(bytes(value)).unwrap_or_default()
}

fn found(entry: &Value) -> Found<'_> {
    let [id, fields] = list(entry) else { return Found::default() };
    let mut found = Found { id: text(id), ..Found::default() };
    for pair in list(fields).chunks_exact(2) {
        let [name, value] = pair else { continue };
        match bytes(name) {
            b"uid" => found.uid = text(value),
            b"nsp" => found.nsp = text(value),
            b"type" => found.kind = text(value),
            b"data" => found.data = Some(bytes(value)),
            _ => {}
        }
    }
    found
}

/// Gives an entry to a member, if it is a message.
pub fn give(member: &dyn Member, stream: &str, found: &Found<'_>) {
    let (Some(data), Ok(kind)) = (found.data, found.kind.parse()) else { return };
    if found.nsp.is_empty() {
        return;
    }
    let data = match data.first() {
        Some(b'{') => Cow::Borrowed(data),
        // What is no base64 is no message either, and told as that.
        _ => STANDARD.decode(data).map_or(Cow::Borrowed(data), Cow::Owned),
    };
    let entry = Entry { uid: found.uid, nsp: found.nsp, kind };
    member.received(&Heard { subscribed: stream, channel: stream, bytes: &data, entry: Some(entry) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str, fields: &[&str]) -> Value {
        Value::Array(vec![bulk(id), Value::Array(fields.iter().map(|field| bulk(field)).collect())])
    }

    #[test]
    fn entries_are_found_in_the_answers_of_both_protocols() {
        let entries = Value::Array(vec![
            entry("1-0", &["uid", "u", "nsp", "/", "type", "3", "data", "{}"]),
            entry("1-1", &["nsp", "/", "odd"]),
        ]);
        let second = Value::Map(vec![(bulk("s"), entries.clone())]);
        let third = Value::Array(vec![Value::Array(vec![bulk("s"), entries.clone()])]);
        for answer in [second, third] {
            let found = of_read(&answer);
            assert_eq!(found[0], Found { id: "1-0", uid: "u", nsp: "/", kind: "3", data: Some(b"{}") });
            assert_eq!(found[1], Found { id: "1-1", nsp: "/", ..Found::default() });
        }
        assert_eq!(of_range(&entries).len(), 2);
        assert!(of_read(&Value::Nil).is_empty() && of_range(&Value::Array(vec![Value::Nil]))[0].id.is_empty());
    }

    #[test]
    fn ids_are_followed_by_the_next() {
        assert!(is_before("5-7", "5-10") && is_before("9-1", "10-0") && !is_before("5-7", "5-7"));
        assert_eq!(next_id("5-7"), "5-8");
        assert_eq!(next_id("0-0"), "0-1");
        assert_eq!(next_id(&format!("5-{}", u64::MAX)), "6-0");
    }
}
