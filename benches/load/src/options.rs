//! The command line.

use std::str::FromStr;
use std::time::Duration;

use crate::failure::Failure;
use crate::proc::Server;
use crate::run::Plan;

/// Frames with 16-bit lengths are all that the generator speaks; this leaves room for the packet around a payload.
const PAYLOAD_BYTES_MAX: usize = 60_000;
/// Rooms of the scenario `rooms`; each needs a sender.
pub const ROOMS: usize = 100;

const USAGE: &str =
    "usage: load echo|binary|broadcast|rooms|polling|idle|cycles|hold|latency|relay|fetch --port PORT [--port PORT ...] --pid PID [--pid PID ...]
  [--clients N] [--in-flight N] [--payload BYTES] [--rate PER_SECOND] [--order kept|any] [--warmup SECONDS] [--seconds SECONDS]";

/// What to do to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Echo,
    Binary,
    Broadcast,
    Rooms,
    Polling,
    Idle,
    Cycles,
    Hold,
    Latency,
    Relay,
    Fetch,
}

impl Scenario {
    const ALL: [Self; 11] = [
        Self::Echo,
        Self::Binary,
        Self::Broadcast,
        Self::Rooms,
        Self::Polling,
        Self::Idle,
        Self::Cycles,
        Self::Hold,
        Self::Latency,
        Self::Relay,
        Self::Fetch,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Binary => "binary",
            Self::Broadcast => "broadcast",
            Self::Rooms => "rooms",
            Self::Polling => "polling",
            Self::Idle => "idle",
            Self::Cycles => "cycles",
            Self::Hold => "hold",
            Self::Latency => "latency",
            Self::Relay => "relay",
            Self::Fetch => "fetch",
        }
    }

    /// Clients, messages in flight (of a client, a sender or a room) and payload bytes of the published figures.
    fn defaults(self) -> (usize, u64, usize) {
        match self {
            Self::Echo => (100, 4, 64),
            Self::Binary => (100, 4, 1024),
            Self::Broadcast => (1000, 4, 64),
            Self::Rooms | Self::Latency => (1000, 1, 64),
            Self::Polling => (50, 1, 64),
            Self::Relay => (100, 1, 64),
            Self::Fetch => (10_000, 1, 0),
            Self::Idle | Self::Cycles | Self::Hold => (10_000, 0, 0),
        }
    }
}

/// A run as the command line asks for it.
pub struct Options {
    pub scenario: Scenario,
    /// Where the servers of a cluster listen; most scenarios have one server.
    pub ports: Vec<u16>,
    pub server: Server,
    pub clients: usize,
    pub in_flight: u64,
    pub payload: usize,
    /// Messages a second over all clients, for `latency` and `relay`.
    pub rate: u64,
    /// `broadcast`: what is outstanding may come in any order.
    pub any_order: bool,
    pub plan: Plan,
}

impl Options {
    /// Reads the arguments after the program's name.
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let name = args.next().unwrap_or_default();
        let scenario = Scenario::ALL.into_iter().find(|known| known.name() == name);
        let scenario = scenario.ok_or_else(|| Failure::Run(USAGE.to_owned()))?;
        let (clients, in_flight, payload) = scenario.defaults();
        let mut options = Self {
            scenario,
            ports: Vec::new(),
            server: Server { pids: Vec::new() },
            clients,
            in_flight,
            payload,
            rate: 20_000,
            any_order: false,
            plan: Plan { warmup: Duration::from_secs(1), seconds: Duration::from_secs(3) },
        };
        while let Some(option) = args.next() {
            let value = args.next().unwrap_or_default();
            options.set(&option, &value)?;
        }
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), Failure> {
        let clients_min = match self.scenario {
            Scenario::Rooms => ROOMS,
            Scenario::Relay => 2,
            _ => 1,
        };
        let sends = self.in_flight > 0 || self.scenario.defaults().1 == 0;
        let wrong = if self.ports.is_empty() || self.server.pids.is_empty() {
            USAGE.to_owned()
        } else if self.clients < clients_min {
            format!("--clients: at least {clients_min}")
        } else if self.payload > PAYLOAD_BYTES_MAX {
            format!("--payload: at most {PAYLOAD_BYTES_MAX}")
        } else if self.rate == 0 || !sends {
            "--rate and --in-flight: at least 1".to_owned()
        } else {
            return Ok(());
        };
        Err(Failure::Run(wrong))
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), Failure> {
        match option {
            "--port" => self.ports.push(number(option, value)?),
            "--pid" => self.server.pids.push(number(option, value)?),
            "--clients" => self.clients = number(option, value)?,
            "--in-flight" => self.in_flight = number(option, value)?,
            "--payload" => self.payload = number(option, value)?,
            "--rate" => self.rate = number(option, value)?,
            "--order" => {
                self.any_order = match value {
                    "kept" => false,
                    "any" => true,
                    _ => return Err(Failure::Run("--order: kept or any".to_owned())),
                }
            }
            "--warmup" => self.plan.warmup = seconds(option, value)?,
            "--seconds" => self.plan.seconds = seconds(option, value)?,
            _ => return Err(Failure::Run(USAGE.to_owned())),
        }
        Ok(())
    }
}

fn number<T: FromStr>(option: &str, value: &str) -> Result<T, Failure> {
    let wrong = |_| Failure::Run(format!("{option}: {value:?} is not a number it can take"));
    value.parse().map_err(wrong)
}

fn seconds(option: &str, value: &str) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(number(option, value)?).map_err(|error| Failure::Run(format!("{option}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Failure> {
        Options::from_args(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn a_scenario_brings_its_defaults() {
        let options = parse("broadcast --port 3000 --pid 1").unwrap();
        assert_eq!((options.clients, options.in_flight, options.payload), (1000, 4, 64));
    }

    #[test]
    fn options_replace_defaults() {
        let options = parse("echo --port 1 --pid 2 --pid 3 --clients 7 --seconds 0.5").unwrap();
        assert_eq!((options.server.pids, options.clients), (vec![2, 3], 7));
        assert_eq!(options.plan.seconds, Duration::from_millis(500));
    }

    #[test]
    fn every_room_needs_a_client() {
        assert!(parse("rooms --port 1 --pid 2 --clients 99").is_err());
    }

    #[test]
    fn servers_of_a_cluster_are_listed() {
        let options = parse("relay --port 3000 --port 3001 --pid 1 --pid 2").unwrap();
        assert_eq!((options.ports, options.server.pids), (vec![3000, 3001], vec![1, 2]));
    }

    #[test]
    fn a_server_is_required() {
        assert!(parse("echo --port 3000").is_err());
    }
}
