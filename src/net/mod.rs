//! Everything that touches a socket: shards, accept, HTTP, polling, WebSocket, timers.
//!
//! A [`Shard`](shard::Shard) is a thread with a current-thread tokio runtime and owns its connections and sessions outright. It works
//! in turns: read what is readable, carry out commands and timers, deliver events, then write each connection that has something to
//! write, once. The files here are one story each about the same shard:
//!
//! - `engine`: the threads and their listeners; `shard`: a turn; `ready`, `table` and `wheel`: what a shard
//!   looks at, where it keeps things, and their times;
//! - `connection`: a connection, its bytes in and out; `stream`: what they come through; `fed`: a stream that the host feeds;
//!   `adopt`: how the host hands connections over; `host_request`: and requests; `fallback`:
//!   requests that the host answers;
//! - `http`: HTTP without I/O; `request`: requests in and whom they concern;
//! - `handshake`: sessions begin; `polling` and `websocket`: packets in; `session`: packets out, heartbeat, close;
//!   `drain`: the ends of many sessions, spread over a time; `rate`: how fast they may send.

mod adopt;
mod config;
mod connection;
mod drain;
mod engine;
mod fallback;
mod fed;
mod handshake;
mod host_request;
pub mod http;
pub mod jsonp;
mod polling;
mod rate;
mod ready;
mod request;
mod session;
mod shard;
mod stream;
mod table;
mod websocket;
mod wheel;

pub use adopt::Handover;
pub use config::Config;
pub use engine::Engine;
pub use fed::Host;
pub use host_request::{Answer, HostRequest, OnAnswer};
