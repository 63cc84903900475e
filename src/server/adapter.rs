//! The seam behind which clusters are: every operation on a target passes through `operations`, which does its local part first and then
//! hands the rest to the engine's adapter, if it has one. An adapter never blocks and never runs host code in these calls.

use std::sync::Arc;

use super::acks::BroadcastAck;
use super::emission::Emission;
use super::namespace::{Namespace, RoomChanges, Target};
use super::root::Server;

/// An operation that the other servers of a cluster have to carry out too, and that nobody waits for.
pub enum Operation<'a> {
    Broadcast(&'a Emission<'a>),
    Join(&'a [&'a str]),
    Leave(&'a [&'a str]),
    Disconnect { close: bool },
}

/// What the host asks of all servers, and is told in an event with this token.
pub enum Question<'a> {
    /// Their sockets; `sockets` are this server's, a JSON array. A SOCKETS event.
    Fetch { target: &'a Target<'a>, sockets: Vec<u8> },
    /// Replies of the others to an event. SERVER_ACK events.
    Emit { emission: &'a Emission<'a> },
    /// How many there are. A SERVER_ACK event.
    Count,
}

/// Reaches the other servers.
pub trait Adapter: Send + Sync {
    /// There is a namespace of this name, whose messages are to be heard from now on. May be told again.
    fn open(&self, server: &Server, name: &str);

    /// There is no namespace of this name any more, and none comes to be while this runs.
    fn shut(&self, server: &Server, name: &str);

    /// Sockets have joined rooms or left them.
    fn rooms_changed(&self, server: &Server, nsp: &Namespace, changes: &RoomChanges);

    /// Tells the others.
    fn publish(&self, server: &Server, nsp: &Namespace, target: &Target<'_>, operation: &Operation<'_>);

    /// Asks the receivers on the other servers for acknowledgements, which `broadcast` gathers with those from here.
    fn ask_receivers(
        &self,
        server: &Server,
        target: &Target<'_>,
        emission: &Emission<'_>,
        broadcast: &Arc<BroadcastAck>,
        timeout_ms: u32,
    );

    /// Asks the other servers; the event comes in any case, when the time is over or the engine closes too.
    fn ask(&self, server: &Server, nsp: &Arc<Namespace>, question: Question<'_>, token: u64);

    /// Emits to the other servers, for no reply.
    fn emit(&self, server: &Server, nsp: &Namespace, emission: &Emission<'_>);

    /// The host's own broker gives a message; false if the adapter has a broker of its own.
    fn hand_in(&self, server: &Arc<Server>, channel: &str, bytes: &[u8]) -> bool;

    /// The engine closes: what is open completes, and when this returns no event comes any more.
    fn close(&self, server: &Server);
}

/// Another server that waits for answers from here.
pub trait Asker: Send + Sync {
    /// One answer: a JSON array of arguments with their attachments.
    fn answer(&self, args: &str, attachments: &[&[u8]]);
}
