//! Everything that touches a socket: shards, accept, HTTP, polling, WebSocket, timers.
//!
//! A [`Shard`](shard::Shard) is a thread with a current-thread tokio runtime and owns its connections and sessions outright. It works
//! in turns: read what is readable, carry out commands and timers, deliver events, then write each connection that has something to
//! write, once. The files here are one story each about the same shard:
//!
//! - `engine`: the threads and their listeners; `shard`: a turn; `ready`, `table` and `wheel`: what a shard
//!   looks at, where it keeps things, and their times;
//! - `accept`: connections come, to a `listener`; `adopt`: the host hands them over; `admission`, `handshake_rate` and
//!   `proxies`: who may;
//! - `connection`: a connection, its bytes in and out; `stream`: what they come through; `fed`: a stream that the host feeds;
//!   `host_request`: requests that the host hands over; `fallback`: requests that it answers; `measure`: what buffers hold; `tell`: what is logged;
//! - `http`: HTTP without I/O; `request` and `refusal`: requests in, whom they concern, and why not; `ending`: how connections end;
//! - `handshake`: sessions begin; `polling` and `websocket`: packets in; `session`: packets out, heartbeat, close;
//!   `drain`: the ends of many sessions, spread over a time; `rate`: how fast they may send.

mod accept;
mod admission;
mod adopt;
mod alarm;
mod config;
mod connection;
mod drain;
mod ending;
mod engine;
mod fallback;
mod fed;
mod handshake;
mod handshake_rate;
mod host_request;
pub mod http;
pub mod jsonp;
mod listener;
mod measure;
mod polling;
pub mod proxies;
mod rate;
mod ready;
mod refusal;
mod request;
mod session;
mod shard;
mod stream;
mod table;
mod tell;
mod websocket;
mod wheel;

pub use adopt::Handover;
pub use config::Config;
pub use engine::Engine;
pub use fed::Host;
pub use host_request::{Answer, HostRequest, OnAnswer};
pub use proxies::TrustedProxies;
