//! The numbers of the events that the server makes. They are those of the C ABI; `ffi` tests that they are the same.

pub const EVENT_HTTP_REQUEST: u32 = 1;
pub const EVENT_NAMESPACE_REQUEST: u32 = 2;
pub const EVENT_AUTHORIZE: u32 = 3;
pub const EVENT_CONNECT: u32 = 4;
pub const EVENT_MESSAGE: u32 = 5;
pub const EVENT_ACK: u32 = 6;
pub const EVENT_DISCONNECTING: u32 = 7;
pub const EVENT_DISCONNECT: u32 = 8;
pub const EVENT_UPGRADE: u32 = 9;
pub const EVENT_SERVER_MESSAGE: u32 = 10;
pub const EVENT_SERVER_ACK: u32 = 11;
pub const EVENT_SOCKETS: u32 = 12;
pub const EVENT_ROOM: u32 = 13;
pub const EVENT_LOG: u32 = 14;
pub const EVENT_FAULT: u32 = 15;
pub const EVENT_LISTEN_ERROR: u32 = 16;
pub const EVENT_CLOSED: u32 = 17;
pub const EVENT_CONNECTION_ERROR: u32 = 18;
pub const EVENT_NAMESPACE: u32 = 19;
pub const EVENT_OUTBOUND_HIGH: u32 = 20;
pub const EVENT_OUTBOUND_LOW: u32 = 21;
pub const EVENT_HTTP: u32 = 22;
pub const EVENT_CLOSING: u32 = 23;
pub const EVENT_ADAPTER_DOWN: u32 = 24;
pub const EVENT_ADAPTER_UP: u32 = 25;
pub const EVENT_NAMESPACE_GONE: u32 = 26;
pub const EVENT_WITHDRAWN: u32 = 27;

/// One reply of several.
pub const FLAG_PARTIAL: u32 = 1;
/// A binary message of a bare Engine.IO session.
pub const FLAG_BINARY: u32 = 2;

pub const STATUS_OK: i32 = 0;
pub const STATUS_GONE: i32 = -3;
pub const STATUS_CLOSED: i32 = -4;
pub const STATUS_TIMEOUT: i32 = -7;
