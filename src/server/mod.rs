//! Namespaces, sockets, rooms, broadcast, acknowledgements and decisions: the state that all threads share.
//!
//! A `Connection` is driven by the shard that owns the session; a `Server` is called by any thread. Locks are taken in the order
//! members of a namespace, socket, outbound queue, mailbox; none is held while host code runs. No I/O and no clock: time comes in
//! as microseconds since the engine was made.

mod acks;
pub mod adapter;
mod ask;
mod atoms;
mod backlog;
mod budget;
mod client;
mod clustered;
mod command;
pub mod config;
mod connection;
mod deadlines;
mod drain;
mod early;
mod emission;
mod encoded;
mod error;
pub mod event;
pub mod exposition;
mod frames;
mod handshake;
mod joined;
mod ledger;
pub mod limits;
mod local;
pub mod log;
mod mailbox;
pub mod meter;
mod metrics;
mod namespace;
mod namespaces;
mod operations;
mod outbound;
mod pool;
mod reason;
mod request;
mod root;
mod sid;
mod slots;
mod socket;

pub use acks::BroadcastAck;
pub use ask::write_remotes;
pub use atoms::AtomCache;
pub use budget::{Level, Notice};
pub use client::{Client, Transport};
pub use command::Command;
pub use config::Config;
pub use connection::{Connection, Context, NEVER, decided_too_late};
pub use drain::{Drain, Draining};
pub use emission::{Emission, Payload, Prepared, Wish};
pub use encoded::Encoded;
pub use error::{Code, Error};
pub use handshake::{Handshake, civil, write_address};
pub use limits::{Limits, OutboundPolicy, RatePolicy};
pub use mailbox::{Mailbox, cork};
#[cfg(test)]
pub use metrics::COUNTS;
pub use metrics::{Count, Snapshot};
pub use namespace::{Flags, Namespace, RoomChange, RoomChanges, Target};
pub use outbound::Run;
pub use pool::{give as give_buffer, kept as kept_buffers};
pub use reason::{Cause, Reason};
pub use request::{Decision, Request};
pub use root::Server;
pub use sid::Sid;
pub use slots::{Kind, Slots};
pub use socket::{Socket, State};

use crate::proto::json;
use crate::queue::{Event, Outbox};

/// Appends a JSON array of strings.
pub fn write_strings<'a>(strings: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, text) in strings.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::write_string(text, out);
    }
    out.push(b']');
}

/// Tells the adapter what joining or leaving changed, and the host, if its namespace wants to know.
fn push_room_changes(server: &Server, socket: &Socket, changes: &RoomChanges, out: &mut Outbox, time_us: u64) {
    if let Some(adapter) = server.adapter() {
        adapter.rooms_changed(server, &socket.nsp, changes);
    }
    if !socket.nsp.flags.room_events {
        return;
    }
    for (change, room) in changes {
        let status = *change as i32;
        let event = Event { name: room, status, ..connection::event_of(event::EVENT_ROOM, socket, time_us) };
        out.push(&socket.nsp.queue, &event);
    }
}

#[cfg(test)]
pub mod testing {
    //! For tests: an engine without threads, and clients whose shard is the test.

    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::client::{Client, Transport};
    use super::command::Command;
    use super::config::Config;
    use super::connection::{Connection, Context};
    use super::event::EVENT_CLOSED;
    use super::handshake::Handshake;
    use super::reason::Cause;
    use super::root::Server;
    use super::sid::Sid;
    use super::socket::Socket;
    use super::{AtomCache, Flags};
    use crate::queue::{Batch, Chunk, Outbox, Queue, Record};

    /// An engine of one shard, which nobody runs, and in which clients may make namespaces that end with their last socket.
    pub fn server(queue_events_max: usize) -> Arc<Server> {
        let server = Server::new(Config { queue_events_max, queue_bytes_max: 1 << 20, ..Config::of_a_test() });
        let queue = server.queue().clone();
        server.define_pattern(None, Flags::default(), queue).unwrap();
        Arc::new(server)
    }

    /// A session on WebSocket, driven by hand.
    pub struct Peer {
        pub server: Arc<Server>,
        pub connection: Connection,
        pub out: Outbox,
        atoms: AtomCache,
    }

    impl Peer {
        /// A session that has just opened.
        pub fn new(server: &Arc<Server>) -> Peer {
            let handshake = Handshake::new(b"", |_, _| {}, Ipv4Addr::LOCALHOST.into(), false);
            let (shard, budget) = ((0, server.mailboxes()[0].clone()), server.budget.clone());
            let client = server.sessions.insert(|id| {
                let sid = Sid::new(id as u32).unwrap();
                Arc::new(Client::new(id, sid, shard, Transport::WebSocket, false, budget, handshake))
            });
            let (mut out, mut atoms) = (Outbox::default(), AtomCache::default());
            let mut cx = Context { server, out: &mut out, atoms: &mut atoms, now_us: 0 };
            let connection = Connection::new(&mut cx, client.unwrap());
            Peer { server: server.clone(), connection, out, atoms }
        }

        /// Runs `run` with what a turn has.
        pub fn turn<T>(&mut self, run: impl FnOnce(&mut Connection, &mut Context<'_>) -> T) -> T {
            let (out, atoms) = (&mut self.out, &mut self.atoms);
            run(&mut self.connection, &mut Context { server: &self.server, out, atoms, now_us: 0 })
        }

        /// The client sends a packet.
        pub fn says(&mut self, packet: &str) -> Result<(), Cause> {
            self.turn(|connection, cx| connection.text(cx, packet))
        }

        /// Its socket in a namespace.
        pub fn socket(&self, nsp: &str) -> Arc<Socket> {
            self.connection.socket_in(nsp).unwrap().clone()
        }

        /// Carries out the commands that wait, which concern this peer.
        pub fn carry_out_commands(&mut self) {
            loop {
                let mut commands = Vec::new();
                self.server.mailboxes()[0].take_commands(&mut commands);
                if commands.is_empty() {
                    return;
                }
                for command in commands {
                    match command {
                        Command::Leave(socket) => self.turn(|connection, cx| connection.leave_by_host(cx, &socket)),
                        Command::Vacate(namespace) => self.server.vacate(&namespace, &mut self.out, 0),
                        _ => {}
                    }
                }
            }
        }

        /// The kinds of events that the host got since this was asked last.
        pub fn events(&mut self) -> Vec<u32> {
            self.out.deliver(false);
            kinds(self.server.queue())
        }
    }

    struct Kinds(Vec<u32>);

    impl Batch for Kinds {
        fn take(&mut self, _: &Arc<Chunk>, record: &Record) -> bool {
            self.0.push(record.kind);
            true
        }
    }

    fn kinds(queue: &Queue) -> Vec<u32> {
        let mut kinds = Kinds(Vec::new());
        queue.poll(&mut kinds, Some(Duration::ZERO), EVENT_CLOSED).unwrap();
        kinds.0
    }
}
