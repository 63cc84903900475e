//! The structs of the ABI, as C sees them. Each that the host fills starts with its `size`, so that it can grow: fields that the
//! host's header did not know yet are defaults; a tail that this library does not know must be zero.

use core::ffi::c_void;

/// 0 or positive: success; negative: `SOCKEYE_ERR_*`.
pub type sockeye_result = i32;
/// A socket: slot (low 32 bits), generation and kind. 0 is none. Stale ids are refused, never misread.
pub type sockeye_socket = u64;
/// A one-shot id: of a decision or acknowledgement that the host owes, or of an answer that it waits for. 0 is none.
pub type sockeye_token = u64;
/// A namespace. 0 is none; `/` is always 1.
pub type sockeye_nsp = u32;
/// A name that the host interned with `sockeye_atom_of`. 0 is none.
pub type sockeye_atom = u32;
/// Called exactly once when the engine needs `user` no more. It cannot free an engine (DEADLOCK); in `sockeye_engine_free` every call on that
/// engine is CLOSED.
pub type sockeye_drop_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;
/// Called when a queue turns from empty to not empty; from an engine thread or a submitting one. It should only post to your
/// loop: of all functions it may call `sockeye_engine_close`.
pub type sockeye_wake_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;
/// Called with a batch of events, which are valid until it returns.
pub type sockeye_events_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, events: *const sockeye_event, count: usize)>;

/// Called with a line of the log: its level (`SOCKEYE_LOG_*`), target, message, and fields as a JSON object. The texts are valid until it
/// returns, and not zero-terminated.
pub type sockeye_log_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        level: i32,
        target: *const core::ffi::c_char,
        target_len: usize,
        message: *const core::ffi::c_char,
        message_len: usize,
        fields: *const core::ffi::c_char,
        fields_len: usize,
    ),
>;

/// Bytes in an array of them: a room, an attachment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_bytes {
    pub ptr: *const c_void,
    pub len: usize,
}

/// Bounds of what peers can make an engine hold or do: `sockeye_options.limits`. 0 is the default, `SOCKEYE_NO_LIMIT` none where there may
/// be none; the defaults are such that no conforming client notices them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_limits {
    pub size: u32,
    /// `SOCKEYE_OUTBOUND_*`: what happens when `outbound_bytes_max` or `outbound_packets_max` is used up.
    pub outbound_policy: u32,
    /// `SOCKEYE_RATE_*`: what happens to a client that sends more than its rate.
    pub rate_policy: u32,
    pub reserved: u32,
    /// Connections in all, long-polling's HTTP connections included; more are reset as they come. Sessions too; more are answered with 503. Default 1000000.
    pub connections_max: u64,
    /// The same from one address. None by default: many clients share the address of a proxy or a NAT. Default none.
    pub connections_per_address_max: u64,
    /// Leading bits of an IPv6 address that count as one address. Default 64.
    pub ipv6_prefix: u64,
    /// Connections that have sent no whole request yet, each I/O thread taking an equal share; with one more, the oldest is reset. Default 16384.
    pub handshakes_pending_max: u64,
    /// New sessions in a second from one address, on average; more are answered with status 429. Default none.
    pub handshakes_per_second: u64,
    /// How many of them may come at once. Default 100.
    pub handshakes_burst: u64,
    /// Bytes of a request's line and headers. Default 16384.
    pub head_bytes_max: u64,
    /// Headers of a request, 128 at most. Default 64.
    pub headers_max: u64,
    /// From a request's first byte, or the connection's start, to its last; and for an answer, or 64 KiB of it, to be taken. Default 60000.
    pub request_time_ms: u64,
    /// How long an HTTP connection may idle between requests. Default 60000.
    pub keep_alive_ms: u64,
    /// Engine.IO messages (a WebSocket's frames, the packets of a request) in a second from one session, on average; see `rate_policy`. Default none.
    pub messages_per_second: u64,
    /// How many of them may come at once. Default 100.
    pub messages_burst: u64,
    /// Bytes of messages in a second from one session, on average; see `rate_policy`. Default none.
    pub bytes_per_second: u64,
    /// How many of them may come at once; a larger message is paid for by the time after it. Default 1000000.
    pub bytes_burst: u64,
    /// Namespaces that a session is in or waits for; one more is refused with a CONNECT_ERROR. Default 1024.
    pub namespaces_max: u64,
    /// Namespaces among them whose CONNECT the host has not decided; one more is refused likewise. Default 256.
    pub namespaces_pending_max: u64,
    /// Rooms that a socket is in, its own not counted; more are FULL for the host. Default 65536.
    pub rooms_max: u64,
    /// Bytes of an event's name, as UTF-8 after decoding. A longer one ends the connection, as what follows does. Default 4096.
    pub event_name_bytes_max: u64,
    /// Depth of nested arrays and objects in a packet, the array of its arguments included. Default 1024.
    pub json_depth_max: u64,
    /// Attachments of a packet (the official limit); together they may have so many times `max_http_buffer_size` bytes. Not to be
    /// switched off. Default 10.
    pub attachments_max: u64,
    /// From a packet to the last of its attachments. Default 60000.
    pub attachments_time_ms: u64,
    /// Acknowledgements that a socket waits for and the host has not given. Default 65536.
    pub acks_owed_max: u64,
    /// Acknowledgements that the host waits for from one socket; more are FULL for the host. Default 65536.
    pub acks_awaited_max: u64,
    /// Bytes that wait to be written to a session; see `outbound_policy`. One packet may always wait, however large. Default 16 MiB.
    pub outbound_bytes_max: u64,
    /// Packets that wait to be written to a session; see `outbound_policy`. Default 65536.
    pub outbound_packets_max: u64,
    /// From so many waiting bytes on OUTBOUND_HIGH is delivered. Default none.
    pub outbound_high_bytes: u64,
    /// And at so many OUTBOUND_LOW; below `outbound_high_bytes`. Default 0.
    pub outbound_low_bytes: u64,
}

/// What an engine is made with; fill it with `sockeye_options_init`, then change what you want. Text fields may be NULL.
/// `sockeye_engine_new_json` takes the same by the official option names.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_options {
    pub size: u32,
    /// `SOCKEYE_ABI`
    pub abi: u32,
    /// `SOCKEYE_OPT_*`
    pub flags: u32,
    /// I/O threads, 1..=256; default 1.
    pub shards: u32,
    /// `SOCKEYE_TRANSPORT_*`; default polling and WebSocket.
    pub transports: u32,
    /// `pingInterval`; default 25000.
    pub ping_interval_ms: u32,
    /// `pingTimeout`; default 20000.
    pub ping_timeout_ms: u32,
    /// `upgradeTimeout`; default 10000.
    pub upgrade_timeout_ms: u32,
    /// `connectTimeout`; default 45000.
    pub connect_timeout_ms: u32,
    /// Polling answers from this size on are compressed; default 1024 bytes.
    pub http_compression_threshold: u32,
    /// `maxHttpBufferSize`: the largest message or request body, bytes; default 1000000.
    pub max_http_buffer_size: u64,
    /// Events that wait in a queue before reading from sockets stops; default 65536.
    pub queue_events_max: u64,
    /// Payload bytes that wait in a queue before reading from sockets stops; default 64 MiB.
    pub queue_bytes_max: u64,
    /// `path`; default `/socket.io` (engine-only: `/engine.io`).
    pub path: *const core::ffi::c_char,
    pub path_len: usize,
    /// `cors` as JSON: `{"origin": ..., "methods": ..., "credentials": ...}`; default none.
    pub cors: *const core::ffi::c_char,
    pub cors_len: usize,
    /// `cookie` as JSON: `true` or `{"name": ..., "httpOnly": ...}`; default none.
    pub cookie: *const core::ffi::c_char,
    pub cookie_len: usize,
    /// Headers that each answer carries, as a JSON object of strings; default none.
    pub headers: *const core::ffi::c_char,
    pub headers_len: usize,
    /// Folder of an npm `socket.io-client`; its bundles are served under `path`. Default none.
    pub client_dir: *const core::ffi::c_char,
    pub client_dir_len: usize,
    /// NULL: all defaults.
    pub limits: *const sockeye_limits,
    /// `trustedProxies` as a JSON array of addresses and networks, `["10.0.0.0/8", "::1"]`: whose `Forwarded` or `X-Forwarded-For` is
    /// believed when they tell the client's address; default none.
    pub trusted_proxies: *const core::ffi::c_char,
    pub trusted_proxies_len: usize,
    /// `metricsPath`: a GET of exactly this path is answered with the metrics as Prometheus text, to whoever can reach a listener.
    /// Default none.
    pub metrics_path: *const core::ffi::c_char,
    pub metrics_path_len: usize,
}

/// How `sockeye_engine_drain` ends an engine's sessions.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_drain_options {
    pub size: u32,
    /// Milliseconds over which the ends of the sessions are spread; 0 is at once.
    pub spread_ms: u32,
    /// Milliseconds after that in which clients can still take what is queued for them.
    pub grace_ms: u32,
    pub reserved: u32,
    /// Emitted to every socket first; NULL is nothing.
    pub tell: *const sockeye_emission,
}

/// What a queue is made with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_queue_options {
    pub size: u32,
    pub reserved: u32,
    /// As in `sockeye_options`; 0 is the engine's.
    pub events_max: u64,
    /// As in `sockeye_options`; 0 is the engine's.
    pub bytes_max: u64,
}

/// What a namespace, or a pattern for namespaces, is made with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_nsp_options {
    pub size: u32,
    /// `SOCKEYE_NSP_*`
    pub flags: u32,
    /// Where its events go; NULL is the engine's default queue.
    pub queue: *mut super::sockeye_queue,
}

/// One event. Pointers are valid until the batch that it came in is released; `sockeye_event_retain` keeps them longer.
/// Text is UTF-8 and not zero-terminated. Ignore kinds that you do not know.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_event {
    /// `SOCKEYE_EVENT_*`
    pub kind: u32,
    /// `SOCKEYE_EVENT_PARTIAL` and the like
    pub flags: u32,
    pub nsp: sockeye_nsp,
    /// The event's name if the host interned it, else 0.
    pub name: sockeye_atom,
    pub socket: sockeye_socket,
    /// The socket's user value when the event was made.
    pub user: u64,
    pub token: sockeye_token,
    /// Result, reason or room change, as the kind says.
    pub status: sockeye_result,
    pub attachment_count: u32,
    pub name_ptr: *const core::ffi::c_char,
    pub name_len: usize,
    /// JSON text, as the kind says.
    pub data: *const core::ffi::c_char,
    pub data_len: usize,
    pub attachments: *const sockeye_bytes,
    /// Microseconds since the engine was made.
    pub time_us: u64,
    /// For `sockeye_event_retain`.
    pub batch: *const c_void,
}

/// What is emitted: name and arguments, or a prepared message.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_emission {
    pub size: u32,
    /// `SOCKEYE_VOLATILE` and the like
    pub flags: u32,
    /// The event's name, interned; or 0 and `name_ptr`.
    pub name: sockeye_atom,
    /// With `SOCKEYE_EXPECT_ACK`: give up after this time; 0 is never for one socket, at once for a broadcast (as the official server does).
    pub timeout_ms: u32,
    pub name_ptr: *const core::ffi::c_char,
    pub name_len: usize,
    /// JSON array of the arguments; NULL is none. An attachment stands in it as `{"_placeholder":true,"num":N}`.
    pub data: *const core::ffi::c_char,
    pub data_len: usize,
    pub attachments: *const sockeye_bytes,
    pub attachment_count: usize,
    /// Instead of name, data and attachments.
    pub prepared: *const super::sockeye_message,
    /// Not to be written after this time if it has to wait; an acknowledgement that it asks for has its own time. 0 is without end.
    pub ttl_ms: u32,
    pub reserved: u32,
    /// What it is about, up to 256 bytes of any kind: under `SOCKEYE_OUTBOUND_CONFLATE` a later packet of the same namespace with the same
    /// key may take the place of this one. NULL is none.
    pub key: *const core::ffi::c_char,
    pub key_len: usize,
}

/// Whom it concerns: the sockets of a namespace (or of all the namespaces of a pattern) in any of `rooms`, none of `except`, and not `from`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_target {
    pub size: u32,
    /// `SOCKEYE_LOCAL`
    pub flags: u32,
    pub nsp: sockeye_nsp,
    pub reserved: u32,
    /// Left out, as `socket.broadcast` does; 0 is none. With it, `nsp` may be 0: the socket's.
    pub from: sockeye_socket,
    /// None is the whole namespace.
    pub rooms: *const sockeye_bytes,
    pub room_count: usize,
    pub except: *const sockeye_bytes,
    pub except_count: usize,
}

/// One operation of `sockeye_submit`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_op {
    pub size: u32,
    /// `SOCKEYE_OP_*`
    pub kind: u32,
    /// EMIT, SEND, JOIN, LEAVE, DISCONNECT: of which socket.
    pub socket: sockeye_socket,
    /// ACK: which; EMIT, BROADCAST with `SOCKEYE_EXPECT_ACK`: written by the call.
    pub token: sockeye_token,
    /// EMIT, BROADCAST: what; ACK: its `data` and `attachments`; SEND: text as `data`, or binary as the one attachment.
    pub emission: *const sockeye_emission,
    /// BROADCAST: to whom.
    pub target: *const sockeye_target,
    /// JOIN, LEAVE: which rooms.
    pub rooms: *const sockeye_bytes,
    pub room_count: usize,
    /// DISCONNECT: `SOCKEYE_CLOSE_*`.
    pub flags: u32,
    pub reserved: u32,
}

/// A socket as it is now.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_socket_info {
    pub size: u32,
    pub nsp: sockeye_nsp,
    /// `SOCKEYE_TRANSPORT_*`
    pub transport: u32,
    /// Engine.IO revision: 4.
    pub protocol: u32,
    /// 1 while connected, 0 while it waits for admission or leaves.
    pub connected: u32,
    /// Rooms it is in, its own included.
    pub room_count: u32,
    pub user: u64,
    /// Bytes that wait to be written to its connection, all of its namespaces' together.
    pub buffered_bytes: u64,
    /// Its public id, zero-terminated, 20 characters.
    pub id: [core::ffi::c_char; 24],
    /// Packets that wait to be written to its connection.
    pub buffered_packets: u64,
}

/// What an engine holds now, and has counted since it was made; see `sockeye_engine_metrics`. Histograms count how many took at most 100,
/// 200, 500 microseconds, 1, 2, 5, 10, 20, 50, 100, 200, 500 milliseconds, 1, 2, 5 seconds, and more; each one is in one bucket.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct sockeye_metrics {
    pub size: u32,
    pub reserved: u32,
    /// Microseconds since the engine was made, as `sockeye_event.time_us`.
    pub time_us: u64,
    /// Now: open connections, those of long-polling included.
    pub connections: u64,
    /// Now: Engine.IO sessions on long-polling.
    pub sessions_polling: u64,
    /// Now: Engine.IO sessions on WebSocket.
    pub sessions_websocket: u64,
    /// Now: sockets, waiting for admission or connected.
    pub sockets: u64,
    /// Now: namespaces, patterns not counted.
    pub namespaces: u64,
    /// Now: rooms with members, those of sockets' own ids not counted.
    pub rooms: u64,
    /// Now: acknowledgements that the host waits for.
    pub acks_awaited: u64,
    /// Now: acknowledgements that the host owes.
    pub acks_owed: u64,
    /// Now: events that wait in all queues.
    pub queue_events: u64,
    /// Now: bytes of these.
    pub queue_bytes: u64,
    /// A second ago at most: bytes that wait to be written to clients.
    pub outbound_bytes: u64,
    /// A second ago at most: bytes that were read and are not whole yet, or wait.
    pub input_bytes: u64,
    /// When the two were last looked at: bytes of buffers that are kept for reuse.
    pub spare_bytes: u64,
    /// Connections that came.
    pub connections_opened: u64,
    /// Handshakes that became a session on long-polling.
    pub handshakes_polling: u64,
    /// Handshakes that became a session on WebSocket.
    pub handshakes_websocket: u64,
    /// Sessions that moved from long-polling to WebSocket.
    pub upgrades: u64,
    /// CONNECT packets that were accepted.
    pub connects_accepted: u64,
    /// CONNECT packets that were refused.
    pub connects_refused: u64,
    /// Engine.IO packets from clients.
    pub packets_in: u64,
    /// Engine.IO packets to clients.
    pub packets_out: u64,
    /// Bytes from connections, HTTP and WebSocket headers included.
    pub bytes_in: u64,
    /// Bytes to connections.
    pub bytes_out: u64,
    /// Acknowledgements that clients did not give in time.
    pub acks_timed_out: u64,
    /// Times that reading from sockets stopped because a queue was full.
    pub queue_stalls: u64,
    /// Refused handshakes and requests, by Engine.IO code.
    pub errors: [u64; 6],
    /// HTTP answers by the first digit of their status; the first of these is none.
    pub http_answers: [u64; 6],
    /// Sockets that left, by `SOCKEYE_REASON_*`; the first of these is none.
    pub disconnects: [u64; 10],
    /// Histogram: from the heartbeat's ping to its pong.
    pub round_trips: [u64; 16],
    /// All of these together, microseconds.
    pub round_trips_us: u64,
    /// Histogram: how late timers of the I/O threads were; they tick in milliseconds.
    pub loop_lag: [u64; 16],
    /// All of these together, microseconds.
    pub loop_lag_us: u64,
    /// Histogram: how long turns of the I/O threads took, INLINE callbacks included.
    pub loop_turns: [u64; 16],
    /// All of these together, microseconds: how long the threads were busy.
    pub loop_turns_us: u64,
    /// The longest turn, microseconds.
    pub loop_turn_max_us: u64,
    /// Packets that `SOCKEYE_OUTBOUND_DROP_NEWEST` dropped.
    pub dropped_newest: u64,
    /// Packets that `SOCKEYE_OUTBOUND_DROP_OLDEST` dropped.
    pub dropped_oldest: u64,
    /// Packets that a later one of their key superseded.
    pub dropped_conflated: u64,
    /// Packets whose time-to-live was over.
    pub dropped_expired: u64,
    /// `SOCKEYE_VOLATILE` packets for clients that could not be written to.
    pub dropped_volatile: u64,
    /// Clients disconnected because their outbound budget was used up.
    pub outbound_overflows: u64,
    /// Connections closed as they came: `connections_max`.
    pub connections_refused: u64,
    /// Connections closed as they came: `connections_per_address_max`.
    pub connections_refused_by_address: u64,
    /// Connections closed before their first request was whole: `handshakes_pending_max`.
    pub handshakes_evicted: u64,
    /// Handshakes refused: `handshakes_per_second`.
    pub handshakes_throttled: u64,
    /// Handshakes that `handshakes_per_second` did not count, because too many addresses are counted.
    pub handshakes_uncounted: u64,
    /// Requests refused: `SOCKEYE_OPT_CHECK_ORIGIN`.
    pub origins_refused: u64,
    /// WebSockets refused for a session that has one, or is about to have one.
    pub upgrades_refused: u64,
    /// Refusals without a CONNECTION_ERROR event, because the queue was half full.
    pub connection_errors_untold: u64,
    /// Times that a client's rate delayed its reading.
    pub rate_delays: u64,
    /// Clients disconnected for their rate.
    pub rate_disconnects: u64,
    /// CONNECT packets refused: `namespaces_max`, `namespaces_pending_max`.
    pub namespaces_refused: u64,
    /// Receivers that a broadcast with acknowledgements left out: `acks_awaited_max`.
    pub ack_requests_skipped: u64,
    /// Requests that took longer than `request_time_ms`.
    pub request_timeouts: u64,
    /// Lines of the log that were left out because their target had too many in a second.
    pub log_lines_left_out: u64,
    /// LOG events that were dropped because the queue was half full.
    pub log_lines_dropped: u64,
    /// Messages for the cluster's other servers that were not published: no room in the queue, or not to be written.
    pub adapter_unsent: u64,
    /// Messages for the other servers that may be lost: the broker did not confirm them before its connection broke.
    pub adapter_unconfirmed: u64,
    /// Messages of other servers that could not be read.
    pub adapter_malformed: u64,
    /// Answers of other servers that nobody waits for, or not any more.
    pub adapter_stray: u64,
    /// Requests that not all servers answered in time.
    pub adapter_timeouts: u64,
    /// Times that the broker was lost.
    pub adapter_downs: u64,
}

/// What waits in a queue; see `sockeye_queue_get_metrics`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_queue_metrics {
    pub size: u32,
    pub reserved: u32,
    /// Events that wait.
    pub events: u64,
    /// Bytes of their names, data and attachments.
    pub bytes: u64,
    /// Times that reading from sockets stopped because the queue was full.
    pub stalls: u64,
}

/// One record of `sockeye_queue_poll_packed`, 64 bytes, little-endian; offsets count from the start of the buffer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_packed {
    pub kind: u16,
    pub flags: u16,
    pub nsp: u32,
    pub name: u32,
    pub status: i32,
    pub socket: u64,
    pub user: u64,
    pub token: u64,
    /// Offset of the name's bytes.
    pub name_at: u32,
    pub name_len: u32,
    /// Offset of the data's bytes. The attachments follow each other from `attachments_at`: for each a `uint32_t` length, then its bytes.
    pub data_at: u32,
    pub data_len: u32,
    pub attachments_at: u32,
    pub attachment_count: u32,
}
