//! A complete Socket.IO server engine behind a stable C ABI.
//!
//! Modules in reading order, each depending only on those before it:
//!
//! - [`proto`]: the wire, without I/O: Engine.IO and Socket.IO packets, WebSocket frames, the state of a session;
//! - `sys`: the system calls that the standard library lacks;
//! - `queue`: what the host drains: event records in chunks, and how they reach the host;
//! - `server`: namespaces, sockets, rooms, broadcast, acknowledgements, decisions: the state that threads share;
//! - `cluster`: the other servers of a cluster, behind a seam of `server`;
//! - [`net`]: sockets: shards, HTTP, polling, WebSocket, timers;
//! - `options`: what a host may configure;
//! - [`ffi`]: the C ABI, which is the library's only public interface.

#![deny(unsafe_code)]
// Without an adapter nobody needs the half of the seam that is theirs.
#![cfg_attr(not(all(feature = "postgres", feature = "redis")), allow(dead_code, unused_imports))]

#[cfg(panic = "abort")]
compile_error!("panics must unwind: the C boundary catches them");

mod cluster;
pub mod ffi;
mod net;
mod options;
pub mod proto;
mod queue;
mod server;
#[allow(unsafe_code)]
mod sys;

/// What the fuzzing targets reach besides the protocol core: `cargo` passes this `cfg` only when it builds those.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::net::{http, jsonp, proxies};
    pub use crate::options::Options;
}
