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
