//! The numbers of the ABI. Literals only: cbindgen drops constants that it would have to evaluate. Numbers are appended, never
//! changed; 0 always means "none", "default" or "success".

/// ABI of this header. Pass it to `sockeye_options_init`; a library of another ABI refuses.
pub const SOCKEYE_ABI: u32 = 1;

// ---- results ------------------------------------------------------------------------------------------------------

/// Success.
pub const SOCKEYE_OK: i32 = 0;
/// An argument is NULL, out of range, or an id of another kind; `sockeye_last_error` names it.
pub const SOCKEYE_ERR_INVALID: i32 = -1;
/// The socket or token is gone: its peer left, or the token was answered or expired.
pub const SOCKEYE_ERR_STALE: i32 = -2;
/// The socket disconnected before the operation could complete.
pub const SOCKEYE_ERR_GONE: i32 = -3;
/// The engine is closing or closed.
pub const SOCKEYE_ERR_CLOSED: i32 = -4;
/// A bounded resource is full.
pub const SOCKEYE_ERR_FULL: i32 = -5;
/// A value is longer than its bound, or the caller's buffer is too small.
pub const SOCKEYE_ERR_TOO_BIG: i32 = -6;
/// No answer came in time.
pub const SOCKEYE_ERR_TIMEOUT: i32 = -7;
/// Text that must be JSON is not, or is not of the shape that the function asks for.
pub const SOCKEYE_ERR_BAD_JSON: i32 = -8;
/// Text is not UTF-8.
pub const SOCKEYE_ERR_BAD_UTF8: i32 = -9;
/// An address cannot be parsed, or cannot be bound (the message has the system's reason).
pub const SOCKEYE_ERR_ADDR: i32 = -10;
/// The operating system refused.
pub const SOCKEYE_ERR_IO: i32 = -11;
/// Reserved for TLS.
pub const SOCKEYE_ERR_TLS: i32 = -12;
/// This build, platform or engine mode does not have it.
pub const SOCKEYE_ERR_UNSUPPORTED: i32 = -13;
/// Header and library do not fit: another ABI, or a struct with an unknown tail.
pub const SOCKEYE_ERR_VERSION: i32 = -14;
/// The call would wait for the thread that makes it.
pub const SOCKEYE_ERR_DEADLOCK: i32 = -15;
/// The engine was made in the parent of this process.
pub const SOCKEYE_ERR_FORKED: i32 = -16;
/// A bug of the library: a panic was caught at the boundary. The engine stays usable.
pub const SOCKEYE_ERR_PANIC: i32 = -17;
/// A bug of the library.
pub const SOCKEYE_ERR_INTERNAL: i32 = -18;

// ---- event kinds --------------------------------------------------------------------------------------------------

/// `SOCKEYE_OPT_ALLOW_REQUEST`: may this handshake become a session? `name` is the URL, `data` the handshake as JSON object;
/// answer `token` with `sockeye_accept` or `sockeye_reject`.
pub const SOCKEYE_EVENT_HTTP_REQUEST: u32 = 1;
/// `SOCKEYE_NSP_ASK`: may this namespace exist? `name` is its name, `nsp` the asking pattern, `data` the client's auth; answer `token`.
pub const SOCKEYE_EVENT_NAMESPACE_REQUEST: u32 = 2;
/// `SOCKEYE_NSP_AUTHORIZE`: may this socket join the namespace? `data` is its auth; answer `token`. What is emitted to it meanwhile is kept.
pub const SOCKEYE_EVENT_AUTHORIZE: u32 = 3;
/// A socket joined a namespace; `data` is its auth (`{}` if it sent none).
pub const SOCKEYE_EVENT_CONNECT: u32 = 4;
/// An event from a client: `name`, `data` (JSON array of the arguments), attachments; `token` is not 0 if it wants an acknowledgement.
pub const SOCKEYE_EVENT_MESSAGE: u32 = 5;
/// An acknowledgement that an emission with `SOCKEYE_EXPECT_ACK` asked for; `token` is that emission's. `status` 0: `data` has the
/// arguments; TIMEOUT, GONE or CLOSED: none came. A broadcast gives one with `SOCKEYE_EVENT_PARTIAL` for each reply, then one
/// without it (`socket` 0), with `status` 0 or TIMEOUT and `data` `{"expected":n,"received":m}`; in a cluster also `"servers":{"expected":n,
/// "received":m}`, the other servers and those that have said who their receivers are. Replies from other servers have `socket` 0.
pub const SOCKEYE_EVENT_ACK: u32 = 6;
/// A socket is about to leave; `name` is the reason, `data` has the rooms it was in (see `SOCKEYE_EVENT_DISCONNECT`).
pub const SOCKEYE_EVENT_DISCONNECTING: u32 = 7;
/// A socket left: its last event. `name` is the official reason, `status` the `SOCKEYE_REASON_*`, `data` an object with `reason` and,
/// where known, `description`, `limit`, `value`, and (DISCONNECTING only) `rooms`.
pub const SOCKEYE_EVENT_DISCONNECT: u32 = 8;
/// The connection of a socket changed its transport; `name` is the new one.
pub const SOCKEYE_EVENT_UPGRADE: u32 = 9;
/// An event from another server of the cluster; a `token` wants `sockeye_ack`.
pub const SOCKEYE_EVENT_SERVER_MESSAGE: u32 = 10;
/// Replies of the other servers to `sockeye_server_emit`; partial and final as in `SOCKEYE_EVENT_ACK`.
pub const SOCKEYE_EVENT_SERVER_ACK: u32 = 11;
/// Completion of `sockeye_sockets_fetch`: `data` is a JSON array of `{"id","handshake","rooms","data"}`. With `status` TIMEOUT or CLOSED it has
/// those that came, and `name` is `{"expected":n,"received":m}`: the other servers, and those that have answered.
pub const SOCKEYE_EVENT_SOCKETS: u32 = 12;
/// `SOCKEYE_NSP_ROOM_EVENTS`: `name` is the room, `status` a `SOCKEYE_ROOM_*`, `socket` who joined or left.
pub const SOCKEYE_EVENT_ROOM: u32 = 13;
/// A line of the log, after `sockeye_engine_set_log` without a function: `status` is its level (`SOCKEYE_LOG_*`), `name` its target, `data`
/// an object with `message` and the line's fields.
pub const SOCKEYE_EVENT_LOG: u32 = 14;
/// A bug of the library was contained: a connection was closed after a panic; `name` is the message.
pub const SOCKEYE_EVENT_FAULT: u32 = 15;
/// Accepting connections failed (out of file descriptors, say) and is tried again; `name` is the system's reason.
pub const SOCKEYE_EVENT_LISTEN_ERROR: u32 = 16;
/// Last event of a queue.
pub const SOCKEYE_EVENT_CLOSED: u32 = 17;
/// `SOCKEYE_OPT_CONNECTION_ERRORS`: a handshake or request was refused; `status` is the Engine.IO code 0..5, `name` its message, `data` the context.
pub const SOCKEYE_EVENT_CONNECTION_ERROR: u32 = 18;
/// A namespace came to be by a pattern; `name` is its name, `status` the pattern's id. Where there are several I/O threads, events of its
/// sockets on another one may be told before: `sockeye_namespace_name` knows it then.
pub const SOCKEYE_EVENT_NAMESPACE: u32 = 19;
/// `limits.outbound_high_bytes` or more wait to be written to the socket's connection; `data` is `{"bytes":n,"packets":m}`. Once, until:
pub const SOCKEYE_EVENT_OUTBOUND_HIGH: u32 = 20;
/// After OUTBOUND_HIGH what waits has fallen to `limits.outbound_low_bytes`; `data` as there.
pub const SOCKEYE_EVENT_OUTBOUND_LOW: u32 = 21;
/// `sockeye_engine_drain` makes progress; in the default queue, at its start and end, and between about each second or tenth of the
/// sessions. `status` is the sessions that are left, `data` `{"sessions":n,"total":m}` with those at the start.
pub const SOCKEYE_EVENT_CLOSING: u32 = 23;

/// The broker of the cluster is lost, or was not reached; it is tried again, and meanwhile this server works alone. In the default queue;
/// `name` is the adapter's kind, `data` `{"reason":…}`.
pub const SOCKEYE_EVENT_ADAPTER_DOWN: u32 = 24;
/// The broker of the cluster is reached: what other servers say from now on is heard. `name` is the adapter's kind.
pub const SOCKEYE_EVENT_ADAPTER_UP: u32 = 25;
/// `SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN`: the last socket of a namespace that a client's CONNECT made by a pattern has left, and the namespace
/// is no more. `nsp` is its id, which means nothing from now on, `name` its name, `status` the pattern's id. If a client makes it anew it
/// gets another id, and NAMESPACE may be told before this.
pub const SOCKEYE_EVENT_NAMESPACE_GONE: u32 = 26;
/// What HTTP_REQUEST, NAMESPACE_REQUEST, AUTHORIZE or HTTP asked with this `token` needs no answer any more; one that comes yet is STALE.
/// `status` GONE or CLOSED: the client left, for the reason `name` (AUTHORIZE: `socket` leaves without CONNECT and DISCONNECT); TIMEOUT:
/// the host took longer than `connectTimeout`.
pub const SOCKEYE_EVENT_WITHDRAWN: u32 = 27;

/// `SOCKEYE_OPT_HTTP_EVENTS`: a request that is the host's to answer, by `token` with `sockeye_http_respond`. `name` is the target, `data`
/// `{"method","headers","address","secure"}` with the headers as Node shows them, the body (if any) the one attachment. It is answered
/// with 504 if the host does not within `connectTimeout`, and with 503 without an event while the default queue is full.
pub const SOCKEYE_EVENT_HTTP: u32 = 22;

/// Event flag: one reply of several; the final event of this token is still to come.
pub const SOCKEYE_EVENT_PARTIAL: u32 = 1;
/// Event flag of an engine-only MESSAGE: it was binary, and its bytes are the one attachment (else `data` is its text).
pub const SOCKEYE_EVENT_BINARY: u32 = 2;

// ---- reasons of a disconnect (DISCONNECT.status) ----------------------------------------------------------------------

/// `transport error`
pub const SOCKEYE_REASON_TRANSPORT_ERROR: i32 = 1;
/// `transport close`
pub const SOCKEYE_REASON_TRANSPORT_CLOSE: i32 = 2;
/// `ping timeout`
pub const SOCKEYE_REASON_PING_TIMEOUT: i32 = 3;
/// `parse error`
pub const SOCKEYE_REASON_PARSE_ERROR: i32 = 4;
/// `forced close`
pub const SOCKEYE_REASON_FORCED_CLOSE: i32 = 5;
/// `forced server close`
pub const SOCKEYE_REASON_FORCED_SERVER_CLOSE: i32 = 6;
/// `server shutting down`
pub const SOCKEYE_REASON_SERVER_SHUTTING_DOWN: i32 = 7;
/// `client namespace disconnect`
pub const SOCKEYE_REASON_CLIENT_NAMESPACE_DISCONNECT: i32 = 8;
/// `server namespace disconnect`
pub const SOCKEYE_REASON_SERVER_NAMESPACE_DISCONNECT: i32 = 9;

/// ROOM.status: the room came to be.
pub const SOCKEYE_ROOM_CREATE: i32 = 1;
/// ROOM.status: `socket` joined.
pub const SOCKEYE_ROOM_JOIN: i32 = 2;
/// ROOM.status: `socket` left.
pub const SOCKEYE_ROOM_LEAVE: i32 = 3;
/// ROOM.status: the last socket left.
pub const SOCKEYE_ROOM_DELETE: i32 = 4;

// ---- the log ------------------------------------------------------------------------------------------------------

/// No lines.
pub const SOCKEYE_LOG_OFF: i32 = 0;
/// A bug of the library was contained, or accepting connections fails.
pub const SOCKEYE_LOG_ERROR: i32 = 1;
/// A limit was passed, or something is slow.
pub const SOCKEYE_LOG_WARN: i32 = 2;
/// The engine's own life: it listens, drains, closes.
pub const SOCKEYE_LOG_INFO: i32 = 3;
/// Sessions and sockets come and go; requests are refused.
pub const SOCKEYE_LOG_DEBUG: i32 = 4;
/// Packets from clients, without their content.
pub const SOCKEYE_LOG_TRACE: i32 = 5;

// ---- delivery -----------------------------------------------------------------------------------------------------

/// The host drains the queue with `sockeye_queue_poll`. The default.
pub const SOCKEYE_DELIVER_POLL: u32 = 0;
/// A thread of the engine, one for each queue, calls the host.
pub const SOCKEYE_DELIVER_THREAD: u32 = 1;
/// The I/O thread that read the packets calls the host, which must not block.
pub const SOCKEYE_DELIVER_INLINE: u32 = 2;

// ---- flags --------------------------------------------------------------------------------------------------------

/// `sockeye_options.transports`: HTTP long-polling.
pub const SOCKEYE_TRANSPORT_POLLING: u32 = 1;
/// `sockeye_options.transports`: WebSocket.
pub const SOCKEYE_TRANSPORT_WEBSOCKET: u32 = 2;

/// Engine flag `allowUpgrades: false`: advertise no upgrades in the handshake (as in the official server, an attempt still succeeds).
pub const SOCKEYE_OPT_NO_UPGRADES: u32 = 1;
/// Engine flag `allowRequest`: ask the host about each handshake (HTTP_REQUEST).
pub const SOCKEYE_OPT_ALLOW_REQUEST: u32 = 2;
/// Engine flag `addTrailingSlash: false`.
pub const SOCKEYE_OPT_NO_TRAILING_SLASH: u32 = 4;
/// Engine flag `httpCompression: false`.
pub const SOCKEYE_OPT_NO_HTTP_COMPRESSION: u32 = 8;
/// Engine flag: bare Engine.IO. Each session is one socket; see `sockeye_send`.
pub const SOCKEYE_OPT_ENGINE_ONLY: u32 = 16;
/// Engine flag: deliver CONNECTION_ERROR events.
pub const SOCKEYE_OPT_CONNECTION_ERRORS: u32 = 32;
/// Engine flag `checkOrigin`: requests from browsers' pages whose `Origin` the option `cors` does not allow are refused with 403 and code 4,
/// WebSockets too (which CORS does not cover). Without `cors`, pages of the server's own host alone are allowed. Who sends no `Origin`, as
/// programs do, is not affected.
pub const SOCKEYE_OPT_CHECK_ORIGIN: u32 = 64;
/// Engine flag: requests that are neither on the engine's path nor a mounted folder's are delivered as HTTP events, instead of 404.
pub const SOCKEYE_OPT_HTTP_EVENTS: u32 = 256;
/// Engine flag `cleanupEmptyChildNamespaces`: a namespace that a client's CONNECT made by a pattern ends when its last socket leaves
/// (NAMESPACE_GONE). One that `sockeye_namespace` made, or was called for since, stays.
pub const SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN: u32 = 512;

/// Flag of a connection or request that the host received: the host speaks TLS with its peer (`handshake.secure`).
pub const SOCKEYE_CONNECTION_SECURE: u32 = 1;

/// A limit of `sockeye_limits` that is switched off.
pub const SOCKEYE_NO_LIMIT: u64 = 18446744073709551615;

/// `sockeye_limits.outbound_policy`: the client is disconnected. The default.
pub const SOCKEYE_OUTBOUND_DISCONNECT: u32 = 0;
/// The new packet is dropped.
pub const SOCKEYE_OUTBOUND_DROP_NEWEST: u32 = 1;
/// Packets that wait are dropped, the oldest first.
pub const SOCKEYE_OUTBOUND_DROP_OLDEST: u32 = 2;
/// Packets that wait are dropped if a later one carries the same key; when that makes no room the client is disconnected.
pub const SOCKEYE_OUTBOUND_CONFLATE: u32 = 3;

/// `sockeye_limits.rate_policy`: the connection is read later. The default.
pub const SOCKEYE_RATE_DELAY: u32 = 0;
/// The client is disconnected.
pub const SOCKEYE_RATE_DISCONNECT: u32 = 1;

/// Namespace flag: each CONNECT waits for the host (AUTHORIZE).
pub const SOCKEYE_NSP_AUTHORIZE: u32 = 1;
/// Namespace flag: deliver ROOM events.
pub const SOCKEYE_NSP_ROOM_EVENTS: u32 = 2;
/// Pattern flag: a name that matches still waits for the host (NAMESPACE_REQUEST).
pub const SOCKEYE_NSP_ASK: u32 = 4;

/// Emission flag: drop it for each receiver that cannot be written to at once.
pub const SOCKEYE_VOLATILE: u32 = 1;
/// Emission flag `compress(false)`: do not compress the polling answer for this packet.
pub const SOCKEYE_COMPRESS_OFF: u32 = 2;
/// Emission flag: only the sockets of this server, not the cluster's.
pub const SOCKEYE_LOCAL: u32 = 4;
/// Emission flag: ask the receivers for an acknowledgement; the call returns a token.
pub const SOCKEYE_EXPECT_ACK: u32 = 8;
/// Emission flag: the host vouches that `data` is a JSON array in UTF-8; it is not checked, and anything else is undefined behaviour.
pub const SOCKEYE_TRUST_JSON: u32 = 16;
/// Emission flag: the packet (at most 1024 bytes, no attachments) passes ordinary events that wait, for those who read slowly.
pub const SOCKEYE_PRIORITY: u32 = 64;
/// `sockeye_send` flag: a binary message.
pub const SOCKEYE_BINARY: u32 = 32;

/// Disconnect flag: close the whole connection, not only this namespace (`disconnect(true)`).
pub const SOCKEYE_CLOSE_TRANSPORT: u32 = 1;
/// Disconnect flag: close the transport without a DISCONNECT packet (`conn.close()`).
pub const SOCKEYE_CLOSE_SILENT: u32 = 2;

/// Operations of `sockeye_submit`.
pub const SOCKEYE_OP_EMIT: u32 = 1;
/// See `SOCKEYE_OP_EMIT`.
pub const SOCKEYE_OP_BROADCAST: u32 = 2;
/// See `SOCKEYE_OP_EMIT`.
pub const SOCKEYE_OP_ACK: u32 = 3;
/// See `SOCKEYE_OP_EMIT`.
pub const SOCKEYE_OP_JOIN: u32 = 4;
/// See `SOCKEYE_OP_EMIT`.
pub const SOCKEYE_OP_LEAVE: u32 = 5;
/// See `SOCKEYE_OP_EMIT`.
pub const SOCKEYE_OP_DISCONNECT: u32 = 6;
/// See `SOCKEYE_OP_EMIT`; of a bare Engine.IO session, as `sockeye_send`.
pub const SOCKEYE_OP_SEND: u32 = 7;

/// `sockeye_queue_poll_packed` flag: also give all argument arrays joined as one JSON array.
pub const SOCKEYE_PACK_JOINED: u32 = 1;

/// `sockeye_struct_size` of `sockeye_event`.
pub const SOCKEYE_STRUCT_EVENT: u32 = 1;
/// `sockeye_struct_size` of `sockeye_options`.
pub const SOCKEYE_STRUCT_OPTIONS: u32 = 2;
/// `sockeye_struct_size` of `sockeye_emission`.
pub const SOCKEYE_STRUCT_EMISSION: u32 = 3;
/// `sockeye_struct_size` of `sockeye_target`.
pub const SOCKEYE_STRUCT_TARGET: u32 = 4;
/// `sockeye_struct_size` of `sockeye_op`.
pub const SOCKEYE_STRUCT_OP: u32 = 5;
/// `sockeye_struct_size` of `sockeye_socket_info`.
pub const SOCKEYE_STRUCT_SOCKET_INFO: u32 = 6;
/// `sockeye_struct_size` of `sockeye_queue_options`.
pub const SOCKEYE_STRUCT_QUEUE_OPTIONS: u32 = 7;
/// `sockeye_struct_size` of `sockeye_nsp_options`.
pub const SOCKEYE_STRUCT_NSP_OPTIONS: u32 = 8;
/// `sockeye_struct_size` of one record of `sockeye_queue_poll_packed`.
pub const SOCKEYE_STRUCT_PACKED: u32 = 9;
/// `sockeye_struct_size` of `sockeye_limits`.
pub const SOCKEYE_STRUCT_LIMITS: u32 = 10;
/// `sockeye_struct_size` of `sockeye_metrics`.
pub const SOCKEYE_STRUCT_METRICS: u32 = 11;
/// `sockeye_struct_size` of `sockeye_queue_metrics`.
pub const SOCKEYE_STRUCT_QUEUE_METRICS: u32 = 12;
/// `sockeye_struct_size` of `sockeye_drain_options`.
pub const SOCKEYE_STRUCT_DRAIN_OPTIONS: u32 = 14;
/// `sockeye_struct_size` of `sockeye_connection`.
pub const SOCKEYE_STRUCT_CONNECTION: u32 = 16;
/// `sockeye_struct_size` of `sockeye_header`.
pub const SOCKEYE_STRUCT_HEADER: u32 = 17;
/// `sockeye_struct_size` of `sockeye_http_request`.
pub const SOCKEYE_STRUCT_HTTP_REQUEST: u32 = 18;
/// `sockeye_struct_size` of `sockeye_http_answer`.
pub const SOCKEYE_STRUCT_HTTP_ANSWER: u32 = 19;
/// `sockeye_struct_size` of `sockeye_emitter_target`.
pub const SOCKEYE_STRUCT_EMITTER_TARGET: u32 = 20;
/// `sockeye_struct_size` of `sockeye_emitter_state`.
pub const SOCKEYE_STRUCT_EMITTER_STATE: u32 = 21;
/// `sockeye_struct_size` of `sockeye_broker`.
pub const SOCKEYE_STRUCT_BROKER: u32 = 22;
