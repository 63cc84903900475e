//! What other threads ask a shard to do, because the shard alone may do it: to sessions that it owns, in the order of their events.

use std::sync::Arc;

use super::client::Client;
use super::drain::Drain;
use super::namespace::Namespace;
use super::request::{Decision, Request};
use super::socket::Socket;

/// One command.
pub enum Command {
    /// The host decided what a shard had asked.
    Decided { token: u64, request: Request, decision: Decision },
    /// The host disconnected a socket: its DISCONNECT packet is queued, its events are still to come.
    Leave(Arc<Socket>),
    /// A socket of this namespace has left, which may end with it once the host has the socket's events.
    Vacate(Arc<Namespace>),
    /// The host ends a connection: with a DISCONNECT packet to each of its namespaces, or without.
    Close { client: Arc<Client>, silent: bool },
    /// The host emptied a queue that had stopped reading, or an INLINE queue has events from another thread.
    Resume,
    /// End all sessions, spread over a time, and then close the engine.
    Drain(Drain),
    /// The engine closes: end all connections, and what is unsent after this many milliseconds is lost.
    Shutdown { grace_ms: u32 },
}
