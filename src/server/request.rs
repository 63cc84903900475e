//! Decisions that the host owes: whether a handshake, a namespace or a socket may be. One mechanism for the three: a token, answered
//! from any thread, once, before it expires.

use std::sync::Arc;

use super::adapter::Asker;
use super::client::Client;
use super::connection::{Context, event_of};
use super::event::EVENT_WITHDRAWN;
use super::namespace::Namespace;
use super::socket::Socket;
use crate::queue::Event;

/// What is to be decided.
#[derive(Clone)]
pub enum Request {
    /// A handshake: the waiting connection of a shard, by index and generation.
    Handshake { shard: usize, connection: u32, generation: u32 },
    /// The answer to a request that is nobody else's, likewise.
    Http { shard: usize, connection: u32, generation: u32 },
    /// A namespace that `parent`'s pattern allows if the host agrees, for the client that asked.
    Namespace { client: Arc<Client>, parent: Arc<Namespace>, name: Box<str>, auth: Option<Box<str>> },
    /// A socket that waits to join its namespace.
    Socket(Arc<Socket>),
    /// A reply to an event of another server, which is not decided but acknowledged.
    Reply(Arc<dyn Asker>),
}

/// How the host decided.
#[derive(Clone, Debug)]
pub enum Decision {
    /// `data`: a JSON object with what the kind of request takes.
    Accept { user: u64, data: Option<Box<str>> },
    /// `message` and `data` (JSON) go to the client. `None` leaves the field out.
    Reject { message: Option<Box<str>>, data: Option<Box<str>> },
    /// The answer to a request: complete header lines, and a body that is empty where the status allows none.
    Answer { status: u16, lines: Box<[u8]>, body: Box<[u8]> },
    /// The host did not answer in time.
    Expired,
}

/// A request as the table keeps it.
pub struct Pending {
    pub id: u64,
    pub request: Request,
}

impl Pending {
    /// Tells the host that it need not decide any more: the client left for `reason`, or the time is over.
    pub fn tell_withdrawn(&self, reason: &str, status: i32, cx: &mut Context<'_>) {
        let event = Event { kind: EVENT_WITHDRAWN, ..Event::default() };
        let (queue, event) = match &self.request {
            Request::Socket(socket) => (&socket.nsp.queue, event_of(EVENT_WITHDRAWN, socket, cx.now_us)),
            Request::Namespace { parent, .. } => (&parent.queue, Event { nsp: parent.id, ..event }),
            Request::Handshake { .. } | Request::Http { .. } => (cx.server.queue(), event),
            // That is another server's concern, which has a patience of its own.
            Request::Reply(_) => return,
        };
        cx.out.push(queue, &Event { token: self.id, name: reason, status, time_us: cx.now_us, ..event });
    }
}
