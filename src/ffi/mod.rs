//! The C ABI, and nothing else: convert, call, convert back.
//!
//! Rules that every function here keeps:
//! - pointers are checked for NULL, text for UTF-8, structs for their size; outputs are written only on success;
//! - a panic is caught and becomes `SOCKEYE_ERR_PANIC`; an engine of the parent process is refused with `SOCKEYE_ERR_FORKED`;
//! - input is borrowed for the call; what is given out belongs to the host (`*_free`) or lives as long as its batch.
//!
//! `boundary` has these rules as functions; `constants` and `types` are what C sees; each other file is a chapter of the header.

#![allow(unsafe_code)]
// The types carry the names that C gives them.
#![allow(non_camel_case_types)]

mod boundary;
mod broker;
mod close;
mod cluster;
mod constants;
mod convert;
mod emit;
mod emitter;
mod engine;
mod events;
mod json;
mod library;
mod limits;
mod log;
mod many;
mod metrics;
mod names;
mod sockets;
mod takeover;
mod types;

pub use broker::*;
pub use close::*;
pub use cluster::*;
pub use constants::*;
pub use emit::*;
pub use emitter::*;
pub use engine::*;
pub use events::*;
pub use json::*;
pub use library::*;
pub use log::*;
pub use many::*;
pub use metrics::*;
pub use names::*;
pub use sockets::*;
pub use takeover::*;
pub use types::*;
