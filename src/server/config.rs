//! What the server is configured with; the transports have their own.

use super::limits::Limits;

/// Options of the Socket.IO layer, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// I/O threads.
    pub shards: usize,
    /// Bare Engine.IO: sessions are sockets, messages are raw.
    pub engine_only: bool,
    /// From the start of a session to its first namespace; also the patience for the host's decisions.
    pub connect_timeout_ms: u32,
    /// Namespaces that clients made by a pattern end with their last socket.
    pub cleanup_empty_children: bool,
    /// Bounds of a queue; see `queue::Limits`.
    pub queue_events_max: usize,
    pub queue_bytes_max: usize,
    pub limits: Limits,
}

#[cfg(test)]
impl Config {
    /// One shard and small queues.
    pub fn of_a_test() -> Config {
        Config {
            shards: 1,
            engine_only: false,
            connect_timeout_ms: 1000,
            cleanup_empty_children: true,
            queue_events_max: 1,
            queue_bytes_max: 1,
            limits: Limits::default(),
        }
    }
}
