// sockeye: a Socket.IO server engine. This header is the whole interface and its manual.
//
// Results are int32_t: 0 or positive is success, negative is SOCKEYE_ERR_*, and sockeye_last_error() tells what was wrong.
// Text is UTF-8 with a length, not zero-terminated. Input is borrowed for the call; events are valid until their batch is
// released; buffers and messages are yours to free. Every function but sockeye_engine_free may be called from any thread and
// from callbacks. Structs that you fill start with their size: { .size = sizeof(struct) } and the rest 0 means defaults.
//
// Generated from src/ffi; do not edit.

#ifndef SOCKEYE_H
#define SOCKEYE_H

#include <stddef.h>
#include <stdint.h>

// ABI of this header. Pass it to `sockeye_options_init`; a library of another ABI refuses.
#define SOCKEYE_ABI 1

// Success.
#define SOCKEYE_OK 0

// An argument is NULL, out of range, or an id of another kind; `sockeye_last_error` names it.
#define SOCKEYE_ERR_INVALID -1

// The socket or token is gone: its peer left, or the token was answered or expired.
#define SOCKEYE_ERR_STALE -2

// The socket disconnected before the operation could complete.
#define SOCKEYE_ERR_GONE -3

// The engine is closing or closed.
#define SOCKEYE_ERR_CLOSED -4

// A bounded resource is full.
#define SOCKEYE_ERR_FULL -5

// A value is longer than its bound, or the caller's buffer is too small.
#define SOCKEYE_ERR_TOO_BIG -6

// No answer came in time.
#define SOCKEYE_ERR_TIMEOUT -7

// Text that must be JSON is not, or is not of the shape that the function asks for.
#define SOCKEYE_ERR_BAD_JSON -8

// Text is not UTF-8.
#define SOCKEYE_ERR_BAD_UTF8 -9

// An address cannot be parsed, or cannot be bound (the message has the system's reason).
#define SOCKEYE_ERR_ADDR -10

// The operating system refused.
#define SOCKEYE_ERR_IO -11

// Reserved for TLS.
#define SOCKEYE_ERR_TLS -12

// This build, platform or engine mode does not have it.
#define SOCKEYE_ERR_UNSUPPORTED -13

// Header and library do not fit: another ABI, or a struct with an unknown tail.
#define SOCKEYE_ERR_VERSION -14

// The call would wait for the thread that makes it.
#define SOCKEYE_ERR_DEADLOCK -15

// The engine was made in the parent of this process.
#define SOCKEYE_ERR_FORKED -16

// A bug of the library: a panic was caught at the boundary. The engine stays usable.
#define SOCKEYE_ERR_PANIC -17

// A bug of the library.
#define SOCKEYE_ERR_INTERNAL -18

// `SOCKEYE_OPT_ALLOW_REQUEST`: may this handshake become a session? `name` is the URL, `data` the handshake as JSON object;
// answer `token` with `sockeye_accept` or `sockeye_reject`.
#define SOCKEYE_EVENT_HTTP_REQUEST 1

// `SOCKEYE_NSP_ASK`: may this namespace exist? `name` is its name, `nsp` the asking pattern, `data` the client's auth; answer `token`.
#define SOCKEYE_EVENT_NAMESPACE_REQUEST 2

// `SOCKEYE_NSP_AUTHORIZE`: may this socket join the namespace? `data` is its auth; answer `token`. What is emitted to it meanwhile is kept.
#define SOCKEYE_EVENT_AUTHORIZE 3

// A socket joined a namespace; `data` is its auth (`{}` if it sent none).
#define SOCKEYE_EVENT_CONNECT 4

// An event from a client: `name`, `data` (JSON array of the arguments), attachments; `token` is not 0 if it wants an acknowledgement.
#define SOCKEYE_EVENT_MESSAGE 5

// An acknowledgement that an emission with `SOCKEYE_EXPECT_ACK` asked for; `token` is that emission's. `status` 0: `data` has the
// arguments; TIMEOUT, GONE or CLOSED: none came. A broadcast gives one with `SOCKEYE_EVENT_PARTIAL` for each reply, then one
// without it (`socket` 0), with `status` 0 or TIMEOUT and `data` `{"expected":n,"received":m}`; in a cluster also `"servers":{"expected":n,
// "received":m}`, the other servers and those that have said who their receivers are. Replies from other servers have `socket` 0.
#define SOCKEYE_EVENT_ACK 6

// A socket is about to leave; `name` is the reason, `data` has the rooms it was in (see `SOCKEYE_EVENT_DISCONNECT`).
#define SOCKEYE_EVENT_DISCONNECTING 7

// A socket left: its last event. `name` is the official reason, `status` the `SOCKEYE_REASON_*`, `data` an object with `reason` and,
// where known, `description`, `limit`, `value`, and (DISCONNECTING only) `rooms`.
#define SOCKEYE_EVENT_DISCONNECT 8

// The connection of a socket changed its transport; `name` is the new one.
#define SOCKEYE_EVENT_UPGRADE 9

// An event from another server of the cluster; a `token` wants `sockeye_ack`.
#define SOCKEYE_EVENT_SERVER_MESSAGE 10

// Replies of the other servers to `sockeye_server_emit`; partial and final as in `SOCKEYE_EVENT_ACK`.
#define SOCKEYE_EVENT_SERVER_ACK 11

// Completion of `sockeye_sockets_fetch`: `data` is a JSON array of `{"id","handshake","rooms","data"}`. With `status` TIMEOUT or CLOSED it has
// those that came, and `name` is `{"expected":n,"received":m}`: the other servers, and those that have answered.
#define SOCKEYE_EVENT_SOCKETS 12

// `SOCKEYE_NSP_ROOM_EVENTS`: `name` is the room, `status` a `SOCKEYE_ROOM_*`, `socket` who joined or left.
#define SOCKEYE_EVENT_ROOM 13

// A line of the log, after `sockeye_engine_set_log` without a function: `status` is its level (`SOCKEYE_LOG_*`), `name` its target, `data`
// an object with `message` and the line's fields.
#define SOCKEYE_EVENT_LOG 14

// A bug of the library was contained: a connection was closed after a panic; `name` is the message.
#define SOCKEYE_EVENT_FAULT 15

// Accepting connections failed (out of file descriptors, say) and is tried again; `name` is the system's reason.
#define SOCKEYE_EVENT_LISTEN_ERROR 16

// Last event of a queue.
#define SOCKEYE_EVENT_CLOSED 17

// `SOCKEYE_OPT_CONNECTION_ERRORS`: a handshake or request was refused; `status` is the Engine.IO code 0..5, `name` its message, `data` the context.
#define SOCKEYE_EVENT_CONNECTION_ERROR 18

// A namespace came to be by a pattern; `name` is its name, `status` the pattern's id. Where there are several I/O threads, events of its
// sockets on another one may be told before: `sockeye_namespace_name` knows it then.
#define SOCKEYE_EVENT_NAMESPACE 19

// `limits.outbound_high_bytes` or more wait to be written to the socket's connection; `data` is `{"bytes":n,"packets":m}`. Once, until:
#define SOCKEYE_EVENT_OUTBOUND_HIGH 20

// After OUTBOUND_HIGH what waits has fallen to `limits.outbound_low_bytes`; `data` as there.
#define SOCKEYE_EVENT_OUTBOUND_LOW 21

// `sockeye_engine_drain` makes progress; in the default queue, at its start and end, and between about each second or tenth of the
// sessions. `status` is the sessions that are left, `data` `{"sessions":n,"total":m}` with those at the start.
#define SOCKEYE_EVENT_CLOSING 23

// The broker of the cluster is lost, or was not reached; it is tried again, and meanwhile this server works alone. In the default queue;
// `name` is the adapter's kind, `data` `{"reason":…}`.
#define SOCKEYE_EVENT_ADAPTER_DOWN 24

// The broker of the cluster is reached: what other servers say from now on is heard. `name` is the adapter's kind.
#define SOCKEYE_EVENT_ADAPTER_UP 25

// `SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN`: the last socket of a namespace that a client's CONNECT made by a pattern has left, and the namespace
// is no more. `nsp` is its id, which means nothing from now on, `name` its name, `status` the pattern's id. If a client makes it anew it
// gets another id, and NAMESPACE may be told before this.
#define SOCKEYE_EVENT_NAMESPACE_GONE 26

// What HTTP_REQUEST, NAMESPACE_REQUEST, AUTHORIZE or HTTP asked with this `token` needs no answer any more; one that comes yet is STALE.
// `status` GONE or CLOSED: the client left, for the reason `name` (AUTHORIZE: `socket` leaves without CONNECT and DISCONNECT); TIMEOUT:
// the host took longer than `connectTimeout`.
#define SOCKEYE_EVENT_WITHDRAWN 27

// `SOCKEYE_OPT_HTTP_EVENTS`: a request that is the host's to answer, by `token` with `sockeye_http_respond`. `name` is the target, `data`
// `{"method","headers","address","secure"}` with the headers as Node shows them, the body (if any) the one attachment. It is answered
// with 504 if the host does not within `connectTimeout`, and with 503 without an event while the default queue is full.
#define SOCKEYE_EVENT_HTTP 22

// Event flag: one reply of several; the final event of this token is still to come.
#define SOCKEYE_EVENT_PARTIAL 1

// Event flag of an engine-only MESSAGE: it was binary, and its bytes are the one attachment (else `data` is its text).
#define SOCKEYE_EVENT_BINARY 2

// `transport error`
#define SOCKEYE_REASON_TRANSPORT_ERROR 1

// `transport close`
#define SOCKEYE_REASON_TRANSPORT_CLOSE 2

// `ping timeout`
#define SOCKEYE_REASON_PING_TIMEOUT 3

// `parse error`
#define SOCKEYE_REASON_PARSE_ERROR 4

// `forced close`
#define SOCKEYE_REASON_FORCED_CLOSE 5

// `forced server close`
#define SOCKEYE_REASON_FORCED_SERVER_CLOSE 6

// `server shutting down`
#define SOCKEYE_REASON_SERVER_SHUTTING_DOWN 7

// `client namespace disconnect`
#define SOCKEYE_REASON_CLIENT_NAMESPACE_DISCONNECT 8

// `server namespace disconnect`
#define SOCKEYE_REASON_SERVER_NAMESPACE_DISCONNECT 9

// ROOM.status: the room came to be.
#define SOCKEYE_ROOM_CREATE 1

// ROOM.status: `socket` joined.
#define SOCKEYE_ROOM_JOIN 2

// ROOM.status: `socket` left.
#define SOCKEYE_ROOM_LEAVE 3

// ROOM.status: the last socket left.
#define SOCKEYE_ROOM_DELETE 4

// No lines.
#define SOCKEYE_LOG_OFF 0

// A bug of the library was contained, or accepting connections fails.
#define SOCKEYE_LOG_ERROR 1

// A limit was passed, or something is slow.
#define SOCKEYE_LOG_WARN 2

// The engine's own life: it listens, drains, closes.
#define SOCKEYE_LOG_INFO 3

// Sessions and sockets come and go; requests are refused.
#define SOCKEYE_LOG_DEBUG 4

// Packets from clients, without their content.
#define SOCKEYE_LOG_TRACE 5

// The host drains the queue with `sockeye_queue_poll`. The default.
#define SOCKEYE_DELIVER_POLL 0

// A thread of the engine, one for each queue, calls the host.
#define SOCKEYE_DELIVER_THREAD 1

// The I/O thread that read the packets calls the host, which must not block.
#define SOCKEYE_DELIVER_INLINE 2

// `sockeye_options.transports`: HTTP long-polling.
#define SOCKEYE_TRANSPORT_POLLING 1

// `sockeye_options.transports`: WebSocket.
#define SOCKEYE_TRANSPORT_WEBSOCKET 2

// Engine flag `allowUpgrades: false`: advertise no upgrades in the handshake (as in the official server, an attempt still succeeds).
#define SOCKEYE_OPT_NO_UPGRADES 1

// Engine flag `allowRequest`: ask the host about each handshake (HTTP_REQUEST).
#define SOCKEYE_OPT_ALLOW_REQUEST 2

// Engine flag `addTrailingSlash: false`.
#define SOCKEYE_OPT_NO_TRAILING_SLASH 4

// Engine flag `httpCompression: false`.
#define SOCKEYE_OPT_NO_HTTP_COMPRESSION 8

// Engine flag: bare Engine.IO. Each session is one socket; see `sockeye_send`.
#define SOCKEYE_OPT_ENGINE_ONLY 16

// Engine flag: deliver CONNECTION_ERROR events.
#define SOCKEYE_OPT_CONNECTION_ERRORS 32

// Engine flag `checkOrigin`: requests from browsers' pages whose `Origin` the option `cors` does not allow are refused with 403 and code 4,
// WebSockets too (which CORS does not cover). Without `cors`, pages of the server's own host alone are allowed. Who sends no `Origin`, as
// programs do, is not affected.
#define SOCKEYE_OPT_CHECK_ORIGIN 64

// Engine flag: requests that are neither on the engine's path nor a mounted folder's are delivered as HTTP events, instead of 404.
#define SOCKEYE_OPT_HTTP_EVENTS 256

// Engine flag `cleanupEmptyChildNamespaces`: a namespace that a client's CONNECT made by a pattern ends when its last socket leaves
// (NAMESPACE_GONE). One that `sockeye_namespace` made, or was called for since, stays.
#define SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN 512

// Flag of a connection or request that the host received: the host speaks TLS with its peer (`handshake.secure`).
#define SOCKEYE_CONNECTION_SECURE 1

// A limit of `sockeye_limits` that is switched off.
#define SOCKEYE_NO_LIMIT 18446744073709551615ull

// `sockeye_limits.outbound_policy`: the client is disconnected. The default.
#define SOCKEYE_OUTBOUND_DISCONNECT 0

// The new packet is dropped.
#define SOCKEYE_OUTBOUND_DROP_NEWEST 1

// Packets that wait are dropped, the oldest first.
#define SOCKEYE_OUTBOUND_DROP_OLDEST 2

// Packets that wait are dropped if a later one carries the same key; when that makes no room the client is disconnected.
#define SOCKEYE_OUTBOUND_CONFLATE 3

// `sockeye_limits.rate_policy`: the connection is read later. The default.
#define SOCKEYE_RATE_DELAY 0

// The client is disconnected.
#define SOCKEYE_RATE_DISCONNECT 1

// Namespace flag: each CONNECT waits for the host (AUTHORIZE).
#define SOCKEYE_NSP_AUTHORIZE 1

// Namespace flag: deliver ROOM events.
#define SOCKEYE_NSP_ROOM_EVENTS 2

// Pattern flag: a name that matches still waits for the host (NAMESPACE_REQUEST).
#define SOCKEYE_NSP_ASK 4

// Emission flag: drop it for each receiver that cannot be written to at once.
#define SOCKEYE_VOLATILE 1

// Emission flag `compress(false)`: do not compress the polling answer for this packet.
#define SOCKEYE_COMPRESS_OFF 2

// Emission flag: only the sockets of this server, not the cluster's.
#define SOCKEYE_LOCAL 4

// Emission flag: ask the receivers for an acknowledgement; the call returns a token.
#define SOCKEYE_EXPECT_ACK 8

// Emission flag: the host vouches that `data` is a JSON array in UTF-8; it is not checked, and anything else is undefined behaviour.
#define SOCKEYE_TRUST_JSON 16

// Emission flag: the packet (at most 1024 bytes, no attachments) passes ordinary events that wait, for those who read slowly.
#define SOCKEYE_PRIORITY 64

// `sockeye_send` flag: a binary message.
#define SOCKEYE_BINARY 32

// Disconnect flag: close the whole connection, not only this namespace (`disconnect(true)`).
#define SOCKEYE_CLOSE_TRANSPORT 1

// Disconnect flag: close the transport without a DISCONNECT packet (`conn.close()`).
#define SOCKEYE_CLOSE_SILENT 2

// Operations of `sockeye_submit`.
#define SOCKEYE_OP_EMIT 1

// See `SOCKEYE_OP_EMIT`.
#define SOCKEYE_OP_BROADCAST 2

// See `SOCKEYE_OP_EMIT`.
#define SOCKEYE_OP_ACK 3

// See `SOCKEYE_OP_EMIT`.
#define SOCKEYE_OP_JOIN 4

// See `SOCKEYE_OP_EMIT`.
#define SOCKEYE_OP_LEAVE 5

// See `SOCKEYE_OP_EMIT`.
#define SOCKEYE_OP_DISCONNECT 6

// See `SOCKEYE_OP_EMIT`; of a bare Engine.IO session, as `sockeye_send`.
#define SOCKEYE_OP_SEND 7

// `sockeye_queue_poll_packed` flag: also give all argument arrays joined as one JSON array.
#define SOCKEYE_PACK_JOINED 1

// `sockeye_struct_size` of `sockeye_event`.
#define SOCKEYE_STRUCT_EVENT 1

// `sockeye_struct_size` of `sockeye_options`.
#define SOCKEYE_STRUCT_OPTIONS 2

// `sockeye_struct_size` of `sockeye_emission`.
#define SOCKEYE_STRUCT_EMISSION 3

// `sockeye_struct_size` of `sockeye_target`.
#define SOCKEYE_STRUCT_TARGET 4

// `sockeye_struct_size` of `sockeye_op`.
#define SOCKEYE_STRUCT_OP 5

// `sockeye_struct_size` of `sockeye_socket_info`.
#define SOCKEYE_STRUCT_SOCKET_INFO 6

// `sockeye_struct_size` of `sockeye_queue_options`.
#define SOCKEYE_STRUCT_QUEUE_OPTIONS 7

// `sockeye_struct_size` of `sockeye_nsp_options`.
#define SOCKEYE_STRUCT_NSP_OPTIONS 8

// `sockeye_struct_size` of one record of `sockeye_queue_poll_packed`.
#define SOCKEYE_STRUCT_PACKED 9

// `sockeye_struct_size` of `sockeye_limits`.
#define SOCKEYE_STRUCT_LIMITS 10

// `sockeye_struct_size` of `sockeye_metrics`.
#define SOCKEYE_STRUCT_METRICS 11

// `sockeye_struct_size` of `sockeye_queue_metrics`.
#define SOCKEYE_STRUCT_QUEUE_METRICS 12

// `sockeye_struct_size` of `sockeye_drain_options`.
#define SOCKEYE_STRUCT_DRAIN_OPTIONS 14

// `sockeye_struct_size` of `sockeye_connection`.
#define SOCKEYE_STRUCT_CONNECTION 16

// `sockeye_struct_size` of `sockeye_header`.
#define SOCKEYE_STRUCT_HEADER 17

// `sockeye_struct_size` of `sockeye_http_request`.
#define SOCKEYE_STRUCT_HTTP_REQUEST 18

// `sockeye_struct_size` of `sockeye_http_answer`.
#define SOCKEYE_STRUCT_HTTP_ANSWER 19

// `sockeye_struct_size` of `sockeye_emitter_target`.
#define SOCKEYE_STRUCT_EMITTER_TARGET 20

// `sockeye_struct_size` of `sockeye_emitter_state`.
#define SOCKEYE_STRUCT_EMITTER_STATE 21

// `sockeye_struct_size` of `sockeye_broker`.
#define SOCKEYE_STRUCT_BROKER 22

// Bytes that belong to the host until `sockeye_buffer_free`.
typedef struct sockeye_buffer sockeye_buffer;

// A connection to the broker of a cluster, and a queue of what is to be said.
typedef struct sockeye_emitter sockeye_emitter;

// An engine: a Socket.IO server with threads of its own. Several can live in one process.
typedef struct sockeye_engine sockeye_engine;

// A message that was encoded once, for any number of emissions in one namespace. It belongs to the host and to no engine's life.
typedef struct sockeye_message sockeye_message;

// A queue of events with one consumer. It belongs to its engine.
typedef struct sockeye_queue sockeye_queue;

// 0 or positive: success; negative: `SOCKEYE_ERR_*`.
typedef int32_t sockeye_result;

// Bounds of what peers can make an engine hold or do: `sockeye_options.limits`. 0 is the default, `SOCKEYE_NO_LIMIT` none where there may
// be none; the defaults are such that no conforming client notices them.
typedef struct sockeye_limits {
  uint32_t size;
  // `SOCKEYE_OUTBOUND_*`: what happens when `outbound_bytes_max` or `outbound_packets_max` is used up.
  uint32_t outbound_policy;
  // `SOCKEYE_RATE_*`: what happens to a client that sends more than its rate.
  uint32_t rate_policy;
  uint32_t reserved;
  // Connections in all, long-polling's HTTP connections included; more are reset as they come. Sessions too; more are answered with 503. Default 1000000.
  uint64_t connections_max;
  // The same from one address. None by default: many clients share the address of a proxy or a NAT. Default none.
  uint64_t connections_per_address_max;
  // Leading bits of an IPv6 address that count as one address. Default 64.
  uint64_t ipv6_prefix;
  // Connections that have sent no whole request yet, each I/O thread taking an equal share; with one more, the oldest is reset. Default 16384.
  uint64_t handshakes_pending_max;
  // New sessions in a second from one address, on average; more are answered with status 429. Default none.
  uint64_t handshakes_per_second;
  // How many of them may come at once. Default 100.
  uint64_t handshakes_burst;
  // Bytes of a request's line and headers. Default 16384.
  uint64_t head_bytes_max;
  // Headers of a request, 128 at most. Default 64.
  uint64_t headers_max;
  // From a request's first byte, or the connection's start, to its last; and for an answer, or 64 KiB of it, to be taken. Default 60000.
  uint64_t request_time_ms;
  // How long an HTTP connection may idle between requests. Default 60000.
  uint64_t keep_alive_ms;
  // Engine.IO messages (a WebSocket's frames, the packets of a request) in a second from one session, on average; see `rate_policy`. Default none.
  uint64_t messages_per_second;
  // How many of them may come at once. Default 100.
  uint64_t messages_burst;
  // Bytes of messages in a second from one session, on average; see `rate_policy`. Default none.
  uint64_t bytes_per_second;
  // How many of them may come at once; a larger message is paid for by the time after it. Default 1000000.
  uint64_t bytes_burst;
  // Namespaces that a session is in or waits for; one more is refused with a CONNECT_ERROR. Default 1024.
  uint64_t namespaces_max;
  // Namespaces among them whose CONNECT the host has not decided; one more is refused likewise. Default 256.
  uint64_t namespaces_pending_max;
  // Rooms that a socket is in, its own not counted; more are FULL for the host. Default 65536.
  uint64_t rooms_max;
  // Bytes of an event's name, as UTF-8 after decoding. A longer one ends the connection, as what follows does. Default 4096.
  uint64_t event_name_bytes_max;
  // Depth of nested arrays and objects in a packet, the array of its arguments included. Default 1024.
  uint64_t json_depth_max;
  // Attachments of a packet (the official limit); together they may have so many times `max_http_buffer_size` bytes. Not to be
  // switched off. Default 10.
  uint64_t attachments_max;
  // From a packet to the last of its attachments. Default 60000.
  uint64_t attachments_time_ms;
  // Acknowledgements that a socket waits for and the host has not given. Default 65536.
  uint64_t acks_owed_max;
  // Acknowledgements that the host waits for from one socket; more are FULL for the host. Default 65536.
  uint64_t acks_awaited_max;
  // Bytes that wait to be written to a session; see `outbound_policy`. One packet may always wait, however large. Default 16 MiB.
  uint64_t outbound_bytes_max;
  // Packets that wait to be written to a session; see `outbound_policy`. Default 65536.
  uint64_t outbound_packets_max;
  // From so many waiting bytes on OUTBOUND_HIGH is delivered. Default none.
  uint64_t outbound_high_bytes;
  // And at so many OUTBOUND_LOW; below `outbound_high_bytes`. Default 0.
  uint64_t outbound_low_bytes;
} sockeye_limits;

// What an engine is made with; fill it with `sockeye_options_init`, then change what you want. Text fields may be NULL.
// `sockeye_engine_new_json` takes the same by the official option names.
typedef struct sockeye_options {
  uint32_t size;
  // `SOCKEYE_ABI`
  uint32_t abi;
  // `SOCKEYE_OPT_*`
  uint32_t flags;
  // I/O threads, 1..=256; default 1.
  uint32_t shards;
  // `SOCKEYE_TRANSPORT_*`; default polling and WebSocket.
  uint32_t transports;
  // `pingInterval`; default 25000.
  uint32_t ping_interval_ms;
  // `pingTimeout`; default 20000.
  uint32_t ping_timeout_ms;
  // `upgradeTimeout`; default 10000.
  uint32_t upgrade_timeout_ms;
  // `connectTimeout`; default 45000.
  uint32_t connect_timeout_ms;
  // Polling answers from this size on are compressed; default 1024 bytes.
  uint32_t http_compression_threshold;
  // `maxHttpBufferSize`: the largest message or request body, bytes; default 1000000.
  uint64_t max_http_buffer_size;
  // Events that wait in a queue before reading from sockets stops; default 65536.
  uint64_t queue_events_max;
  // Payload bytes that wait in a queue before reading from sockets stops; default 64 MiB.
  uint64_t queue_bytes_max;
  // `path`; default `/socket.io` (engine-only: `/engine.io`).
  const char *path;
  size_t path_len;
  // `cors` as JSON: `{"origin": ..., "methods": ..., "credentials": ...}`; default none.
  const char *cors;
  size_t cors_len;
  // `cookie` as JSON: `true` or `{"name": ..., "httpOnly": ...}`; default none.
  const char *cookie;
  size_t cookie_len;
  // Headers that each answer carries, as a JSON object of strings; default none.
  const char *headers;
  size_t headers_len;
  // Folder of an npm `socket.io-client`; its bundles are served under `path`. Default none.
  const char *client_dir;
  size_t client_dir_len;
  // NULL: all defaults.
  const struct sockeye_limits *limits;
  // `trustedProxies` as a JSON array of addresses and networks, `["10.0.0.0/8", "::1"]`: whose `Forwarded` or `X-Forwarded-For` is
  // believed when they tell the client's address; default none.
  const char *trusted_proxies;
  size_t trusted_proxies_len;
  // `metricsPath`: a GET of exactly this path is answered with the metrics as Prometheus text, to whoever can reach a listener.
  // Default none.
  const char *metrics_path;
  size_t metrics_path_len;
} sockeye_options;

// What a queue is made with.
typedef struct sockeye_queue_options {
  uint32_t size;
  uint32_t reserved;
  // As in `sockeye_options`; 0 is the engine's.
  uint64_t events_max;
  // As in `sockeye_options`; 0 is the engine's.
  uint64_t bytes_max;
} sockeye_queue_options;

// A name that the host interned with `sockeye_atom_of`. 0 is none.
typedef uint32_t sockeye_atom;

// Bytes in an array of them: a room, an attachment.
typedef struct sockeye_bytes {
  const void *ptr;
  size_t len;
} sockeye_bytes;

// What is emitted: name and arguments, or a prepared message.
typedef struct sockeye_emission {
  uint32_t size;
  // `SOCKEYE_VOLATILE` and the like
  uint32_t flags;
  // The event's name, interned; or 0 and `name_ptr`.
  sockeye_atom name;
  // With `SOCKEYE_EXPECT_ACK`: give up after this time; 0 is never for one socket, at once for a broadcast (as the official server does).
  uint32_t timeout_ms;
  const char *name_ptr;
  size_t name_len;
  // JSON array of the arguments; NULL is none. An attachment stands in it as `{"_placeholder":true,"num":N}`.
  const char *data;
  size_t data_len;
  const struct sockeye_bytes *attachments;
  size_t attachment_count;
  // Instead of name, data and attachments.
  const struct sockeye_message *prepared;
  // Not to be written after this time if it has to wait; an acknowledgement that it asks for has its own time. 0 is without end.
  uint32_t ttl_ms;
  uint32_t reserved;
  // What it is about, up to 256 bytes of any kind: under `SOCKEYE_OUTBOUND_CONFLATE` a later packet of the same namespace with the same
  // key may take the place of this one. NULL is none.
  const char *key;
  size_t key_len;
} sockeye_emission;

// How `sockeye_engine_drain` ends an engine's sessions.
typedef struct sockeye_drain_options {
  uint32_t size;
  // Milliseconds over which the ends of the sessions are spread; 0 is at once.
  uint32_t spread_ms;
  // Milliseconds after that in which clients can still take what is queued for them.
  uint32_t grace_ms;
  uint32_t reserved;
  // Emitted to every socket first; NULL is nothing.
  const struct sockeye_emission *tell;
} sockeye_drain_options;

// Takes bytes that are to be sent to the peer: copies as many as it wants and returns how many; the rest is offered again after
// `sockeye_stream_writable`. Called on a thread of the engine, never two at once for a stream; it must not block, and may call the
// engine.
typedef size_t (*sockeye_send_fn)(void *user, const void *data, size_t len);

// Tells something about a stream, under the rules of `sockeye_send_fn`.
typedef void (*sockeye_stream_fn)(void *user);

// Called exactly once when the engine needs `user` no more. It cannot free an engine (DEADLOCK); in `sockeye_engine_free` every call on that
// engine is CLOSED.
typedef void (*sockeye_drop_fn)(void *user);

// A connection that the host accepted: a descriptor, or (with `send`) a stream of its own, such as TLS.
typedef struct sockeye_connection {
  uint32_t size;
  // `SOCKEYE_CONNECTION_SECURE`
  uint32_t flags;
  // A connected stream socket: TCP, or a Unix one. Not looked at if there is `send`.
  ptrdiff_t fd;
  // Bytes that were read from the connection already: part of a request, one, or several. Copied.
  const void *head;
  size_t head_len;
  // The peer's IP address, `handshake.address`; a port after it is ignored. NULL: the descriptor's peer, or none.
  const char *remote;
  size_t remote_len;
  // The host's stream: what came is given by `sockeye_stream_input`, what is to be sent comes here. NULL with a descriptor.
  sockeye_send_fn send;
  // Input that was refused may be given again. Needed with `send`.
  sockeye_stream_fn room;
  // Nothing more will be sent: send what was taken, then close. Called once. Needed with `send`.
  sockeye_stream_fn close;
  // For the three functions, and freed by `drop`.
  void *user;
  sockeye_drop_fn drop;
} sockeye_connection;

// A connection, or a request, that the host feeds. 0 is none. Stale ids are refused, never misread.
typedef uint64_t sockeye_stream;

// A header of a request or an answer.
typedef struct sockeye_header {
  const char *name;
  size_t name_len;
  const char *value;
  size_t value_len;
} sockeye_header;

// A request that the host received.
typedef struct sockeye_http_request {
  uint32_t size;
  // `SOCKEYE_CONNECTION_SECURE`
  uint32_t flags;
  const char *method;
  size_t method_len;
  // Path and query, as they were sent.
  const char *target;
  size_t target_len;
  const struct sockeye_header *headers;
  size_t header_count;
  // Without any transfer coding.
  const void *body;
  size_t body_len;
  // The peer's IP address; a port after it is ignored. NULL: none.
  const char *remote;
  size_t remote_len;
} sockeye_http_request;

// The answer to a request.
typedef struct sockeye_http_answer {
  uint32_t size;
  // The HTTP status.
  uint32_t status;
  // In their order; `Date` and `Content-Length` are among them, `Connection` is not.
  const struct sockeye_header *headers;
  size_t header_count;
  const void *body;
  size_t body_len;
} sockeye_http_answer;

// Called with the answer, which is valid until it returns; on a thread of the engine. It must not block, and may call the engine.
typedef void (*sockeye_answer_fn)(void *user, const struct sockeye_http_answer *answer);

// A one-shot id: of a decision or acknowledgement that the host owes, or of an answer that it waits for. 0 is none.
typedef uint64_t sockeye_token;

// A namespace. 0 is none; `/` is always 1.
typedef uint32_t sockeye_nsp;

// A socket: slot (low 32 bits), generation and kind. 0 is none. Stale ids are refused, never misread.
typedef uint64_t sockeye_socket;

// One event. Pointers are valid until the batch that it came in is released; `sockeye_event_retain` keeps them longer.
// Text is UTF-8 and not zero-terminated. Ignore kinds that you do not know.
typedef struct sockeye_event {
  // `SOCKEYE_EVENT_*`
  uint32_t kind;
  // `SOCKEYE_EVENT_PARTIAL` and the like
  uint32_t flags;
  sockeye_nsp nsp;
  // The event's name if the host interned it, else 0.
  sockeye_atom name;
  sockeye_socket socket;
  // The socket's user value when the event was made.
  uint64_t user;
  sockeye_token token;
  // Result, reason or room change, as the kind says.
  sockeye_result status;
  uint32_t attachment_count;
  const char *name_ptr;
  size_t name_len;
  // JSON text, as the kind says.
  const char *data;
  size_t data_len;
  const struct sockeye_bytes *attachments;
  // Microseconds since the engine was made.
  uint64_t time_us;
  // For `sockeye_event_retain`.
  const void *batch;
} sockeye_event;

// Called with a batch of events, which are valid until it returns.
typedef void (*sockeye_events_fn)(void *user, const struct sockeye_event *events, size_t count);

// Called when a queue turns from empty to not empty; from an engine thread or a submitting one. It should only post to your
// loop: of all functions it may call `sockeye_engine_close`.
typedef void (*sockeye_wake_fn)(void *user);

// What a namespace, or a pattern for namespaces, is made with.
typedef struct sockeye_nsp_options {
  uint32_t size;
  // `SOCKEYE_NSP_*`
  uint32_t flags;
  // Where its events go; NULL is the engine's default queue.
  struct sockeye_queue *queue;
} sockeye_nsp_options;

// A socket as it is now.
typedef struct sockeye_socket_info {
  uint32_t size;
  sockeye_nsp nsp;
  // `SOCKEYE_TRANSPORT_*`
  uint32_t transport;
  // Engine.IO revision: 4.
  uint32_t protocol;
  // 1 while connected, 0 while it waits for admission or leaves.
  uint32_t connected;
  // Rooms it is in, its own included.
  uint32_t room_count;
  uint64_t user;
  // Bytes that wait to be written to its connection, all of its namespaces' together.
  uint64_t buffered_bytes;
  // Its public id, zero-terminated, 20 characters.
  char id[24];
  // Packets that wait to be written to its connection.
  uint64_t buffered_packets;
} sockeye_socket_info;

// Whom it concerns: the sockets of a namespace (or of all the namespaces of a pattern) in any of `rooms`, none of `except`, and not `from`.
typedef struct sockeye_target {
  uint32_t size;
  // `SOCKEYE_LOCAL`
  uint32_t flags;
  sockeye_nsp nsp;
  uint32_t reserved;
  // Left out, as `socket.broadcast` does; 0 is none. With it, `nsp` may be 0: the socket's.
  sockeye_socket from;
  // None is the whole namespace.
  const struct sockeye_bytes *rooms;
  size_t room_count;
  const struct sockeye_bytes *except;
  size_t except_count;
} sockeye_target;

// One operation of `sockeye_submit`.
typedef struct sockeye_op {
  uint32_t size;
  // `SOCKEYE_OP_*`
  uint32_t kind;
  // EMIT, SEND, JOIN, LEAVE, DISCONNECT: of which socket.
  sockeye_socket socket;
  // ACK: which; EMIT, BROADCAST with `SOCKEYE_EXPECT_ACK`: written by the call.
  sockeye_token token;
  // EMIT, BROADCAST: what; ACK: its `data` and `attachments`; SEND: text as `data`, or binary as the one attachment.
  const struct sockeye_emission *emission;
  // BROADCAST: to whom.
  const struct sockeye_target *target;
  // JOIN, LEAVE: which rooms.
  const struct sockeye_bytes *rooms;
  size_t room_count;
  // DISCONNECT: `SOCKEYE_CLOSE_*`.
  uint32_t flags;
  uint32_t reserved;
} sockeye_op;

// Whom an emitter means: the sockets of a namespace, on all servers, in any of `rooms` and none of `except`.
typedef struct sockeye_emitter_target {
  uint32_t size;
  // None yet.
  uint32_t flags;
  // The namespace's name; NULL is `/`.
  const char *nsp;
  size_t nsp_len;
  // None is the whole namespace.
  const struct sockeye_bytes *rooms;
  size_t room_count;
  const struct sockeye_bytes *except;
  size_t except_count;
} sockeye_emitter_target;

// What has become of an emitter's messages; see `sockeye_emitter_get_state`.
typedef struct sockeye_emitter_state {
  uint32_t size;
  // 1 while the broker is reached.
  uint32_t up;
  // Messages that wait for the broker.
  uint64_t waiting;
  // Bytes of these.
  uint64_t waiting_bytes;
  // Messages that the broker has taken.
  uint64_t published;
  // Messages that may be lost: they were on their way when the connection broke.
  uint64_t unconfirmed;
  // Messages that are lost: they were FULL, the broker refused them, or the emitter ended before they were sent.
  uint64_t dropped;
  // Times that the broker was lost, or not reached.
  uint64_t downs;
} sockeye_emitter_state;

// Publishes `len` bytes on a channel: whoever subscribes to it gets them, in any process, whole and in the order of these calls. Both are valid
// until it returns.
typedef sockeye_result (*sockeye_publish_fn)(void *user,
                                             const char *channel,
                                             size_t channel_len,
                                             const void *bytes,
                                             size_t len);

// Subscribes to a channel, or ends that; the name is valid until it returns.
typedef sockeye_result (*sockeye_channel_fn)(void *user, const char *channel, size_t channel_len);

// How many engines subscribe to a channel, this one included; negative if that cannot be told.
typedef int64_t (*sockeye_count_fn)(void *user, const char *channel, size_t channel_len);

// A broker of the host's own: what carries the messages of servers that act as one. See `sockeye_engine_set_broker`.
typedef struct sockeye_broker {
  uint32_t size;
  // 0
  uint32_t flags;
  // Needed.
  sockeye_publish_fn publish;
  // Both NULL: everything comes anyway.
  sockeye_channel_fn subscribe;
  sockeye_channel_fn unsubscribe;
  // NULL: servers know each other by heartbeats.
  sockeye_count_fn count;
  // For all functions, and freed by `drop`.
  void *user;
  sockeye_drop_fn drop;
} sockeye_broker;

// What an engine holds now, and has counted since it was made; see `sockeye_engine_metrics`. Histograms count how many took at most 100,
// 200, 500 microseconds, 1, 2, 5, 10, 20, 50, 100, 200, 500 milliseconds, 1, 2, 5 seconds, and more; each one is in one bucket.
typedef struct sockeye_metrics {
  uint32_t size;
  uint32_t reserved;
  // Microseconds since the engine was made, as `sockeye_event.time_us`.
  uint64_t time_us;
  // Now: open connections, those of long-polling included.
  uint64_t connections;
  // Now: Engine.IO sessions on long-polling.
  uint64_t sessions_polling;
  // Now: Engine.IO sessions on WebSocket.
  uint64_t sessions_websocket;
  // Now: sockets, waiting for admission or connected.
  uint64_t sockets;
  // Now: namespaces, patterns not counted.
  uint64_t namespaces;
  // Now: rooms with members, those of sockets' own ids not counted.
  uint64_t rooms;
  // Now: acknowledgements that the host waits for.
  uint64_t acks_awaited;
  // Now: acknowledgements that the host owes.
  uint64_t acks_owed;
  // Now: events that wait in all queues.
  uint64_t queue_events;
  // Now: bytes of these.
  uint64_t queue_bytes;
  // A second ago at most: bytes that wait to be written to clients.
  uint64_t outbound_bytes;
  // A second ago at most: bytes that were read and are not whole yet, or wait.
  uint64_t input_bytes;
  // When the two were last looked at: bytes of buffers that are kept for reuse.
  uint64_t spare_bytes;
  // Connections that came.
  uint64_t connections_opened;
  // Handshakes that became a session on long-polling.
  uint64_t handshakes_polling;
  // Handshakes that became a session on WebSocket.
  uint64_t handshakes_websocket;
  // Sessions that moved from long-polling to WebSocket.
  uint64_t upgrades;
  // CONNECT packets that were accepted.
  uint64_t connects_accepted;
  // CONNECT packets that were refused.
  uint64_t connects_refused;
  // Engine.IO packets from clients.
  uint64_t packets_in;
  // Engine.IO packets to clients.
  uint64_t packets_out;
  // Bytes from connections, HTTP and WebSocket headers included.
  uint64_t bytes_in;
  // Bytes to connections.
  uint64_t bytes_out;
  // Acknowledgements that clients did not give in time.
  uint64_t acks_timed_out;
  // Times that reading from sockets stopped because a queue was full.
  uint64_t queue_stalls;
  // Refused handshakes and requests, by Engine.IO code.
  uint64_t errors[6];
  // HTTP answers by the first digit of their status; the first of these is none.
  uint64_t http_answers[6];
  // Sockets that left, by `SOCKEYE_REASON_*`; the first of these is none.
  uint64_t disconnects[10];
  // Histogram: from the heartbeat's ping to its pong.
  uint64_t round_trips[16];
  // All of these together, microseconds.
  uint64_t round_trips_us;
  // Histogram: how late timers of the I/O threads were; they tick in milliseconds.
  uint64_t loop_lag[16];
  // All of these together, microseconds.
  uint64_t loop_lag_us;
  // Histogram: how long turns of the I/O threads took, INLINE callbacks included.
  uint64_t loop_turns[16];
  // All of these together, microseconds: how long the threads were busy.
  uint64_t loop_turns_us;
  // The longest turn, microseconds.
  uint64_t loop_turn_max_us;
  // Packets that `SOCKEYE_OUTBOUND_DROP_NEWEST` dropped.
  uint64_t dropped_newest;
  // Packets that `SOCKEYE_OUTBOUND_DROP_OLDEST` dropped.
  uint64_t dropped_oldest;
  // Packets that a later one of their key superseded.
  uint64_t dropped_conflated;
  // Packets whose time-to-live was over.
  uint64_t dropped_expired;
  // `SOCKEYE_VOLATILE` packets for clients that could not be written to.
  uint64_t dropped_volatile;
  // Clients disconnected because their outbound budget was used up.
  uint64_t outbound_overflows;
  // Connections closed as they came: `connections_max`.
  uint64_t connections_refused;
  // Connections closed as they came: `connections_per_address_max`.
  uint64_t connections_refused_by_address;
  // Connections closed before their first request was whole: `handshakes_pending_max`.
  uint64_t handshakes_evicted;
  // Handshakes refused: `handshakes_per_second`.
  uint64_t handshakes_throttled;
  // Handshakes that `handshakes_per_second` did not count, because too many addresses are counted.
  uint64_t handshakes_uncounted;
  // Requests refused: `SOCKEYE_OPT_CHECK_ORIGIN`.
  uint64_t origins_refused;
  // WebSockets refused for a session that has one, or is about to have one.
  uint64_t upgrades_refused;
  // Refusals without a CONNECTION_ERROR event, because the queue was half full.
  uint64_t connection_errors_untold;
  // Times that a client's rate delayed its reading.
  uint64_t rate_delays;
  // Clients disconnected for their rate.
  uint64_t rate_disconnects;
  // CONNECT packets refused: `namespaces_max`, `namespaces_pending_max`.
  uint64_t namespaces_refused;
  // Receivers that a broadcast with acknowledgements left out: `acks_awaited_max`.
  uint64_t ack_requests_skipped;
  // Requests that took longer than `request_time_ms`.
  uint64_t request_timeouts;
  // Lines of the log that were left out because their target had too many in a second.
  uint64_t log_lines_left_out;
  // LOG events that were dropped because the queue was half full.
  uint64_t log_lines_dropped;
  // Messages for the cluster's other servers that were not published: no room in the queue, or not to be written.
  uint64_t adapter_unsent;
  // Messages for the other servers that may be lost: the broker did not confirm them before its connection broke.
  uint64_t adapter_unconfirmed;
  // Messages of other servers that could not be read.
  uint64_t adapter_malformed;
  // Answers of other servers that nobody waits for, or not any more.
  uint64_t adapter_stray;
  // Requests that not all servers answered in time.
  uint64_t adapter_timeouts;
  // Times that the broker was lost.
  uint64_t adapter_downs;
} sockeye_metrics;

// What waits in a queue; see `sockeye_queue_get_metrics`.
typedef struct sockeye_queue_metrics {
  uint32_t size;
  uint32_t reserved;
  // Events that wait.
  uint64_t events;
  // Bytes of their names, data and attachments.
  uint64_t bytes;
  // Times that reading from sockets stopped because the queue was full.
  uint64_t stalls;
} sockeye_queue_metrics;

// Called with a line of the log: its level (`SOCKEYE_LOG_*`), target, message, and fields as a JSON object. The texts are valid until it
// returns, and not zero-terminated.
typedef void (*sockeye_log_fn)(void *user,
                               int32_t level,
                               const char *target,
                               size_t target_len,
                               const char *message,
                               size_t message_len,
                               const char *fields,
                               size_t fields_len);

// One record of `sockeye_queue_poll_packed`, 64 bytes, little-endian; offsets count from the start of the buffer.
typedef struct sockeye_packed {
  uint16_t kind;
  uint16_t flags;
  uint32_t nsp;
  uint32_t name;
  int32_t status;
  uint64_t socket;
  uint64_t user;
  uint64_t token;
  // Offset of the name's bytes.
  uint32_t name_at;
  uint32_t name_len;
  // Offset of the data's bytes. The attachments follow each other from `attachments_at`: for each a `uint32_t` length, then its bytes.
  uint32_t data_at;
  uint32_t data_len;
  uint32_t attachments_at;
  uint32_t attachment_count;
} sockeye_packed;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the running library: 0xMMmmpp.
uint32_t sockeye_version(void);

// `SOCKEYE_ABI` of the running library.
uint32_t sockeye_abi(void);

// Size in bytes of a struct (`SOCKEYE_STRUCT_*`) in the running library, for bindings that mirror it; 0 if unknown.
size_t sockeye_struct_size(uint32_t which);

// Name of a result code, such as "SOCKEYE_ERR_STALE"; static.
const char *sockeye_error_name(sockeye_result code);

// Why this thread's last failed call failed: what was wrong, where, and the limit if one was passed. Valid until its next failure.
const char *sockeye_last_error(void);

// Fills `options` with defaults. `size` is `sizeof(sockeye_options)`, `abi` is `SOCKEYE_ABI`. VERSION if this library has another ABI.
sockeye_result sockeye_options_init(struct sockeye_options *options,
                                    uint32_t size,
                                    uint32_t abi);

// Makes an engine and starts its threads; it listens to nothing yet. On success `*out` is to be freed with `sockeye_engine_free`.
// INVALID names the option that is wrong; IO: threads or descriptors could not be had.
sockeye_result sockeye_engine_new(const struct sockeye_options *options,
                                  struct sockeye_engine **out);

// As `sockeye_engine_new`, with the options by their official names as a JSON object. Unknown keys are INVALID and named.
sockeye_result sockeye_engine_new_json(const char *json,
                                       size_t len,
                                       struct sockeye_engine **out);

// Serves the files of a folder under a path prefix (`/` for all), for small sites of pages. The longest prefix wins; the engine's own
// path comes before all.
sockeye_result sockeye_engine_mount(struct sockeye_engine *engine,
                                    const char *prefix,
                                    size_t prefix_len,
                                    const char *dir,
                                    size_t dir_len);

// Listens on `host:port` (`127.0.0.1:3000`, `[::]:3000`, `localhost:0`); several addresses by several calls. The port, which the
// system chooses for 0, goes to `*port_out` unless that is NULL. ADDR tells why the address cannot be had.
sockeye_result sockeye_engine_listen(struct sockeye_engine *engine,
                                     const char *addr,
                                     size_t addr_len,
                                     uint16_t *port_out);

// Listens on a socket that the host, or its supervisor, bound and put into the listening state: of TCP, or a Unix one, whose peers have no
// address. The engine uses a duplicate; the host's descriptor stays the host's to close.
sockeye_result sockeye_engine_listen_fd(struct sockeye_engine *engine,
                                        ptrdiff_t fd);

// The engine's default queue; lives as long as the engine. NULL if `engine` is, or was made in the parent of this process.
struct sockeye_queue *sockeye_engine_queue(struct sockeye_engine *engine);

// Makes another queue, for namespaces that are bound to it. It lives as long as the engine. CLOSED if the engine is closing.
sockeye_result sockeye_queue_new(struct sockeye_engine *engine,
                                 const struct sockeye_queue_options *options,
                                 struct sockeye_queue **out);

// Closes gently, for a deploy: the engine's listening sockets are closed at once (a process that has inherited one, see
// `sockeye_engine_listen_fd`, accepts on), new sessions are refused with status 503, and the sessions that there are go on, each until
// a time of its own: these are random and spread evenly over `spread_ms`, so that the clients do not all come back at once. A session
// ends as in `sockeye_engine_close`: its sockets leave with `server shutting down`, the client is sent what is queued, then its transport is
// closed, upon which the official clients connect again. CLOSING events tell how many sessions are left. When none is, or `spread_ms`
// and `grace_ms` are over, the engine closes by itself: tokens complete, and CLOSED is the last event of each queue.
//
// `options` may be NULL: no spread, no grace, nothing told. Returns at once; from any thread and callback. CLOSED if the engine is draining
// or closing already. INVALID: `tell` is prepared or asks for acknowledgements; UNSUPPORTED: there is a `tell`, and the engine is bare.
sockeye_result sockeye_engine_drain(struct sockeye_engine *engine,
                                    const struct sockeye_drain_options *options);

// Starts closing: no more connections, every socket gets DISCONNECT (`server shutting down`), open tokens complete with CLOSED,
// what is queued on WebSockets is sent for at most `grace_ms`, and the last event of each queue is CLOSED. Returns at once; from any thread and
// callback. CLOSED if it was called before. After `sockeye_engine_drain` it ends at once what that had left.
sockeye_result sockeye_engine_close(struct sockeye_engine *engine,
                                    uint32_t grace_ms);

// Closes if `sockeye_engine_close` was not called, or draining has not ended, joins the engine's threads, and frees it with its queues. After it returns no
// callback runs, and each `drop` has run once. Events that were not polled are lost. DEADLOCK, and nothing done, on a thread of
// the engine and in a wake, log or drop callback. NULL is allowed. In a child of the process that made it: FORKED, and nothing is freed.
sockeye_result sockeye_engine_free(struct sockeye_engine *engine);

// Takes over a connection that the host accepted, as if it had come in on a listener of the engine's. It may carry any request, not
// only those on the engine's path.
//
// A descriptor is the engine's from success on: it makes it non-blocking and closes it; on failure it stays the host's, as it was. An
// event loop that holds on to its descriptors hands over a duplicate (`dup`), and closes its own.
//
// A host's stream (`send` is set) is fed by `sockeye_stream_input` and `sockeye_stream_end`, and asks to be written to again by
// `sockeye_stream_writable`; `*out` is its id, written before anything is sent. After `close` the connection waits 5 s at most for the
// end of its peer, then `drop` is called, the last of the functions and once. On failure none is called.
//
// `out` may be NULL for a descriptor, and is then set to 0 otherwise. INVALID: not a connected stream socket;
// GONE: its peer is gone; FULL: `connections_max` or `connections_per_address_max` is reached.
sockeye_result sockeye_engine_adopt(struct sockeye_engine *engine,
                                    const struct sockeye_connection *connection,
                                    sockeye_stream *out);

// Answers a request that the host received on its own listener, as a listener of the engine's would: on the engine's path, a mounted
// folder, or 404. `answer` is called once, at once or (a poll) when there is something to tell; status 503 if the engine closes
// before. If the client goes away, say so with `sockeye_stream_end` and the id in `*out`, which is written before anything is called;
// then `answer` may not be called. `drop` is called once, as the last. On failure none is called. `out` may be NULL.
//
// `Connection`, transfer coding and `Expect` are the host's; the engine does not look at them. Give `:authority` of HTTP/2 as
// `host`. A request to open a WebSocket is UNSUPPORTED: hand over its connection with `sockeye_engine_adopt`, the request being the `head`.
// FULL: `connections_max` or `connections_per_address_max`; a request that waits for its answer counts as a connection.
sockeye_result sockeye_engine_http(struct sockeye_engine *engine,
                                   const struct sockeye_http_request *request,
                                   sockeye_answer_fn answer,
                                   void *user,
                                   sockeye_drop_fn drop,
                                   sockeye_stream *out);

// Answers the request of an HTTP event, from any thread: `status` 200..=599, the host's headers, and the body, which 204 and 304 do not
// have. `Content-Length`, `Date` and `Connection` are the engine's, and those that its options add to every answer come too. STALE: it
// was answered, has expired, or its client left.
sockeye_result sockeye_http_respond(struct sockeye_engine *engine,
                                    sockeye_token token,
                                    uint32_t status,
                                    const struct sockeye_header *headers,
                                    size_t header_count,
                                    const void *body,
                                    size_t body_len);

// Gives bytes that came on a host's stream. The number of bytes that were taken (copied): fewer than `len`, 0 included, when the engine
// has not read what it was given before (it holds 256 KiB at most); stop reading then, and give the rest when `room` is called. STALE
// if the stream is closed; INVALID after `sockeye_stream_end`, and for a request.
int64_t sockeye_stream_input(struct sockeye_engine *engine,
                             sockeye_stream stream,
                             const void *data,
                             size_t len);

// Says that the peer of a host's stream, or of a request, sends no more or is gone. What was given before is still read. STALE if the
// stream is closed, or the request answered.
sockeye_result sockeye_stream_end(struct sockeye_engine *engine,
                                  sockeye_stream stream);

// Says that a host's stream takes more after `send` took less than it was offered; what waits is offered again. STALE if the stream is
// closed.
sockeye_result sockeye_stream_writable(struct sockeye_engine *engine,
                                       sockeye_stream stream);

// Decides how a queue is delivered (`SOCKEYE_DELIVER_*`), once and before events come: before listening. THREAD and INLINE call
// `events_fn` with each batch, never two at once. `drop` is called with `user` when the engine is freed, and never if this fails. CLOSED if
// the engine is closing.
sockeye_result sockeye_queue_deliver(struct sockeye_queue *queue,
                                     uint32_t mode,
                                     sockeye_events_fn events_fn,
                                     void *user,
                                     sockeye_drop_fn drop);

// Releases the last batch and gives the next: up to `capacity` events of `event_size` (`sizeof(sockeye_event)`) bytes each. Waits for
// the first one at most `timeout_ms`; 0 does not wait, -1 waits without limit. The number of events; 0 if none came; CLOSED after the
// last event; INVALID if another thread polls, or the queue is not delivered by POLL.
int64_t sockeye_queue_poll(struct sockeye_queue *queue,
                           struct sockeye_event *events,
                           size_t event_size,
                           size_t capacity,
                           int32_t timeout_ms);

// As `sockeye_queue_poll`, into one buffer: `uint32_t` count, total, joined_at, joined_len, then `count` records (`sockeye_packed`),
// then the bytes that they point to; all little-endian, offsets from the start of `buf`. With `SOCKEYE_PACK_JOINED` the data of all
// events is there once more, as one JSON array (`null` for none) at `joined_at`. `*used` is the bytes used. TOO_BIG if not even the
// next event fits: it waits, and `*used` is what it needs.
int64_t sockeye_queue_poll_packed(struct sockeye_queue *queue,
                                  void *buf,
                                  size_t cap,
                                  size_t *used,
                                  uint32_t flags,
                                  int32_t timeout_ms);

// Releases the current batch before the next poll: its memory may be used again.
sockeye_result sockeye_queue_release(struct sockeye_queue *queue);

// A descriptor that is readable while events wait, for `poll`, `epoll` or `select`. It belongs to the queue: wait on it, do not read
// or close it.
sockeye_result sockeye_queue_fd(struct sockeye_queue *queue,
                                ptrdiff_t *fd_out);

// Sets (or with NULL removes) a function that is called when the queue turns from empty to not empty, on whatever thread made it so;
// of all functions it may call `sockeye_engine_close`. `drop` is called with `user` when the function was replaced, or the engine freed.
sockeye_result sockeye_queue_set_wake(struct sockeye_queue *queue,
                                      sockeye_wake_fn wake,
                                      void *user,
                                      sockeye_drop_fn drop);

// Keeps an event of the current batch: the bytes that its `name_ptr`, `data` and each attachment's `ptr` point to stay valid until
// `*out` is freed, without a copy (the array `attachments` itself does not). The buffer's data is the event's.
sockeye_result sockeye_event_retain(const struct sockeye_event *event,
                                    struct sockeye_buffer **out);

// The bytes of a buffer, and their number if `len_out` is not NULL. NULL for NULL.
const char *sockeye_buffer_data(const struct sockeye_buffer *buffer, size_t *len_out);

// Gives a buffer back. NULL is allowed.
void sockeye_buffer_free(struct sockeye_buffer *buffer);

// Interns a name: events then carry its number, which a host can switch on, and emissions by it cost less. The same name always
// has the same number. FULL beyond 65536 names.
sockeye_result sockeye_atom_of(struct sockeye_engine *engine,
                               const char *name,
                               size_t len,
                               sockeye_atom *out);

// The name of an atom, and its length if `len_out` is not NULL; lives as long as the engine. NULL if there is none.
const char *sockeye_atom_text(struct sockeye_engine *engine,
                              sockeye_atom atom,
                              size_t *len_out);

// Makes a namespace (a missing first `/` is added), or changes one that has no sockets yet; `/` is there from the start. `options` and
// `out` may be NULL. Clients of names that were not made, and match no pattern, are told `Invalid namespace`.
sockeye_result sockeye_namespace(struct sockeye_engine *engine,
                                 const char *name,
                                 size_t len,
                                 const struct sockeye_nsp_options *options,
                                 sockeye_nsp *out);

// Makes a pattern: a client's CONNECT to a name that it matches makes that namespace (NAMESPACE event), with these options; with
// `SOCKEYE_NSP_ASK` only if the host agrees. Patterns are tried in the order in which they were made. The expression matches anywhere
// in the name unless it is anchored; NULL matches every name. A target with the pattern's id means all of its namespaces. They stay, unless
// `SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN` has them end with their last socket.
sockeye_result sockeye_namespace_pattern(struct sockeye_engine *engine,
                                         const char *regex,
                                         size_t len,
                                         const struct sockeye_nsp_options *options,
                                         sockeye_nsp *out);

// The name of a namespace; empty for a pattern. `*out` is to be freed with `sockeye_buffer_free`.
sockeye_result sockeye_namespace_name(struct sockeye_engine *engine,
                                      sockeye_nsp nsp,
                                      struct sockeye_buffer **out);

// The rooms of a namespace that have members on this server, the sockets' own included, as a JSON array. `*out` is to be freed with
// `sockeye_buffer_free`.
sockeye_result sockeye_namespace_rooms(struct sockeye_engine *engine,
                                       sockeye_nsp nsp,
                                       struct sockeye_buffer **out);

// Accepts what an HTTP_REQUEST, NAMESPACE_REQUEST or AUTHORIZE event asked. AUTHORIZE: `user` becomes the socket's value.
// HTTP_REQUEST: `data` may be `{"headers":{"name":"value"}}`, for the first answer of the session. STALE: answered, expired, or left.
sockeye_result sockeye_accept(struct sockeye_engine *engine,
                              sockeye_token token,
                              uint64_t user,
                              const char *data,
                              size_t data_len);

// Refuses what such an event asked. The client gets `message`, and for AUTHORIZE `data` (JSON), as `connect_error`; NULL leaves either
// out. A namespace is refused as `Invalid namespace`, a handshake with 403 and `message` (`Forbidden` if NULL).
sockeye_result sockeye_reject(struct sockeye_engine *engine,
                              sockeye_token token,
                              const char *message,
                              size_t message_len,
                              const char *data,
                              size_t data_len);

// What a socket is now. `size` is `sizeof(sockeye_socket_info)`.
sockeye_result sockeye_socket_get_info(struct sockeye_engine *engine,
                                       sockeye_socket socket,
                                       struct sockeye_socket_info *out,
                                       uint32_t size);

// The handshake as JSON: headers, url, query, xdomain, time, address, secure, issued, auth. `*out` is to be freed with
// `sockeye_buffer_free`.
sockeye_result sockeye_socket_handshake(struct sockeye_engine *engine,
                                        sockeye_socket socket,
                                        struct sockeye_buffer **out);

// Sets the value that comes with each event of the socket from now on.
sockeye_result sockeye_socket_set_user(struct sockeye_engine *engine, sockeye_socket socket, uint64_t user);

// Sets the socket's `data`, any JSON: what other servers see of it when they fetch.
sockeye_result sockeye_socket_set_data(struct sockeye_engine *engine,
                                       sockeye_socket socket,
                                       const char *json,
                                       size_t len);

// The socket's `data` as JSON; `{}` if none was set. `*out` is to be freed with `sockeye_buffer_free`.
sockeye_result sockeye_socket_data(struct sockeye_engine *engine,
                                   sockeye_socket socket,
                                   struct sockeye_buffer **out);

// Puts a socket into rooms; when the call returns, emissions to them reach it. FULL: it would be in more than `limits.rooms_max` then,
// and has joined none.
sockeye_result sockeye_socket_join(struct sockeye_engine *engine,
                                   sockeye_socket socket,
                                   const struct sockeye_bytes *rooms,
                                   size_t count);

// Takes a socket out of rooms. Rooms that it is not in are ignored.
sockeye_result sockeye_socket_leave(struct sockeye_engine *engine,
                                    sockeye_socket socket,
                                    const struct sockeye_bytes *rooms,
                                    size_t count);

// The rooms that a socket is in, its own first, as a JSON array. `*out` is to be freed with `sockeye_buffer_free`.
sockeye_result sockeye_socket_rooms(struct sockeye_engine *engine,
                                    sockeye_socket socket,
                                    struct sockeye_buffer **out);

// Disconnects a socket from its namespace; with `SOCKEYE_CLOSE_TRANSPORT` all of its connection's; with `SOCKEYE_CLOSE_SILENT` the
// connection is closed without a DISCONNECT packet. Its DISCONNECT event follows. A socket that waits for admission is rejected by
// its token instead.
sockeye_result sockeye_socket_disconnect(struct sockeye_engine *engine,
                                         sockeye_socket socket,
                                         uint32_t flags);

// Emits to one socket. With `SOCKEYE_EXPECT_ACK`, `*ack_out` is the token of the ACK event that will come, exactly once.
// STALE: the socket has left; GONE: it is being disconnected; BAD_JSON: `data` is no JSON array; TOO_BIG: the key, or what
// `SOCKEYE_PRIORITY` is for; FULL: the socket owes as many acknowledgements as `limits.acks_awaited_max` allows, or its budget is used up and
// the policy is `SOCKEYE_OUTBOUND_DROP_NEWEST`. After an error no ACK event comes.
sockeye_result sockeye_emit(struct sockeye_engine *engine,
                            sockeye_socket socket,
                            const struct sockeye_emission *emission,
                            sockeye_token *ack_out);

// Emits to all that the target means; under `SOCKEYE_OUTBOUND_DROP_NEWEST` those whose budget is used up are left out. With
// `SOCKEYE_EXPECT_ACK`, `*ack_out` is the token of the ACK events that will come; a socket that owes as many acknowledgements as
// `limits.acks_awaited_max` allows is then left out, and the engine counts that.
sockeye_result sockeye_broadcast(struct sockeye_engine *engine,
                                 const struct sockeye_target *target,
                                 const struct sockeye_emission *emission,
                                 sockeye_token *ack_out);

// Answers an acknowledgement that a client asked for: `data` is a JSON array (NULL for none) with placeholders for attachments.
// STALE: it was answered, or the client left.
sockeye_result sockeye_ack(struct sockeye_engine *engine,
                           sockeye_token token,
                           const char *data,
                           size_t data_len,
                           const struct sockeye_bytes *attachments,
                           size_t attachment_count);

// Sends a message on a bare Engine.IO session (`SOCKEYE_OPT_ENGINE_ONLY`): text, or with `SOCKEYE_BINARY` bytes.
sockeye_result sockeye_send(struct sockeye_engine *engine,
                            sockeye_socket socket,
                            const void *data,
                            size_t len,
                            uint32_t flags);

// Carries out many operations in order, with one wake for each I/O thread: a game's tick in one crossing. `op_size` is
// `sizeof(sockeye_op)`. What each gave goes to `results` unless that is NULL. The number of operations that failed, or, if nothing
// was done, a negative code.
sockeye_result sockeye_submit(struct sockeye_engine *engine,
                              struct sockeye_op *ops,
                              size_t op_size,
                              size_t count,
                              sockeye_result *results);

// Encodes an event once, for any number of emissions in the namespace `nsp`. `*out` is to be freed with `sockeye_message_free`.
sockeye_result sockeye_message_new(struct sockeye_engine *engine,
                                   sockeye_nsp nsp,
                                   const struct sockeye_emission *emission,
                                   struct sockeye_message **out);

// Gives a message back; emissions of it that are queued are not affected. NULL is allowed.
void sockeye_message_free(struct sockeye_message *message);

// Puts all that the target means into rooms. FULL: some would be in more than `limits.rooms_max` then, and have joined none; all others
// have joined.
sockeye_result sockeye_sockets_join(struct sockeye_engine *engine,
                                    const struct sockeye_target *target,
                                    const struct sockeye_bytes *rooms,
                                    size_t count);

// Takes all that the target means out of rooms.
sockeye_result sockeye_sockets_leave(struct sockeye_engine *engine,
                                     const struct sockeye_target *target,
                                     const struct sockeye_bytes *rooms,
                                     size_t count);

// Disconnects all that the target means, with `SOCKEYE_CLOSE_TRANSPORT` their connections.
sockeye_result sockeye_sockets_disconnect(struct sockeye_engine *engine,
                                          const struct sockeye_target *target,
                                          uint32_t flags);

// Lists all that the target means; `*token_out` is the token of the SOCKETS event that brings the list. UNSUPPORTED for a pattern.
sockeye_result sockeye_sockets_fetch(struct sockeye_engine *engine,
                                     const struct sockeye_target *target,
                                     sockeye_token *token_out);

// Emits to the other servers of the cluster; with `SOCKEYE_EXPECT_ACK`, `*ack_out` is the token of the SERVER_ACK events that bring
// their replies. A server alone has no others, and completes at once.
sockeye_result sockeye_server_emit(struct sockeye_engine *engine,
                                   sockeye_nsp nsp,
                                   const struct sockeye_emission *emission,
                                   sockeye_token *ack_out);

// Counts the servers of the cluster; `*token_out` is the token of the SERVER_ACK event whose data is `{"count":n}`.
sockeye_result sockeye_server_count(struct sockeye_engine *engine,
                                    sockeye_nsp nsp,
                                    sockeye_token *token_out);

// Joins the engine to a cluster, once, and before it listens, or is given a connection or a request. `kind` is `redis`, `sharded-redis`
// (Redis 7), `redis-streams` or `postgres`, `json` an object with its options, of which all kinds over Redis have:
//
// `url`: `redis://[user:password@]host:port[/database]` or `redis+unix:///path`, of Redis 6 or newer, or Valkey; over TLS `rediss://`;
// `sentinels`: URLs of sentinels; `url` then has the master's name in place of a host: `redis://user:password@mymaster`;
// `nodes`: URLs of some nodes of a Redis Cluster, in place of `url`;
// `tls`: an object with `caFile` (the authorities that are trusted; by default those of the system), `certFile` and `keyFile` (what is shown
// to the broker), paths of files in PEM, which are read now;
// `requestsTimeout` (5000): patience for the answers of other servers, milliseconds;
// `publishQueueBytes` (16 MiB): what may wait while the broker is not reached; what is published beyond that is dropped and counted.
//
// Others are those of the official adapter of the kind: `key`, `publishOnSpecificResponseChannel`; `channelPrefix`, `subscriptionMode`;
// `streamName`, `streamCount`, `channelPrefix`, `useShardedPubSub`, `maxLen`, `readCount`, `blockTimeInMs`, `onlyPlaintext`, and some without
// effect (docs/clusters.md).
//
// The kind `postgres` has `url` (`postgres://[user[:password]@]host[:port]/database[?sslmode=…]`), `tls`, `requestsTimeout` and `publishQueueBytes`
// too, and `channelPrefix`, `tableName`, `payloadThreshold`, `cleanupInterval`, `heartbeatInterval` and `heartbeatTimeout` as in the official adapter
// (docs/clusters-postgres.md).
//
// Official Node servers with `@socket.io/redis-adapter` 8, `@socket.io/redis-streams-adapter` 0.3 or `@socket.io/postgres-adapter` 0.5, and emitters,
// can be in the same cluster. Returns at once; ADAPTER_UP tells that the broker is reached. INVALID names the option that is wrong, and never shows the URL, or says
// that the engine listens already, or has an adapter; UNSUPPORTED: a kind that this build does not have, or a bare engine.
sockeye_result sockeye_engine_set_adapter(struct sockeye_engine *engine,
                                          const char *kind,
                                          size_t len,
                                          const char *json,
                                          size_t json_len);

// Makes an emitter: `kind` and the options in `json` are as for `sockeye_engine_set_adapter`, and the same as the servers' have; those about
// answers mean nothing here. Returns at once; the broker is reached later, and what is said meanwhile waits, up to `publishQueueBytes`.
// On success `*out` is to be freed with `sockeye_emitter_free`. Every function on it may be called from any thread, and none but `sockeye_emitter_flush`
// and `sockeye_emitter_free` waits. INVALID names the option that is wrong, and never shows the URL; UNSUPPORTED: a kind that this build does not have.
sockeye_result sockeye_emitter_open(const char *kind,
                                    size_t len,
                                    const char *json,
                                    size_t json_len,
                                    struct sockeye_emitter **out);

// Emits to all that the target means, on all servers. Of the emission's flags there are `SOCKEYE_VOLATILE`, `SOCKEYE_COMPRESS_OFF` and
// `SOCKEYE_TRUST_JSON`; its name is `name_ptr`; nobody acknowledges. FULL: too much waits for the broker, and this was dropped.
sockeye_result sockeye_emitter_emit(struct sockeye_emitter *emitter,
                                    const struct sockeye_emitter_target *target,
                                    const struct sockeye_emission *emission);

// Puts all that the target means into rooms. FULL as in `sockeye_emitter_emit`.
sockeye_result sockeye_emitter_join(struct sockeye_emitter *emitter,
                                    const struct sockeye_emitter_target *target,
                                    const struct sockeye_bytes *rooms,
                                    size_t count);

// Takes all that the target means out of rooms. FULL as in `sockeye_emitter_emit`.
sockeye_result sockeye_emitter_leave(struct sockeye_emitter *emitter,
                                     const struct sockeye_emitter_target *target,
                                     const struct sockeye_bytes *rooms,
                                     size_t count);

// Disconnects all that the target means, with `SOCKEYE_CLOSE_TRANSPORT` their connections. FULL as in `sockeye_emitter_emit`.
sockeye_result sockeye_emitter_disconnect(struct sockeye_emitter *emitter,
                                          const struct sockeye_emitter_target *target,
                                          uint32_t flags);

// Emits to the servers, each of which is told in a SERVER_MESSAGE (or `serverSideEmit`'s event); `nsp` NULL is `/`. FULL as in
// `sockeye_emitter_emit`.
sockeye_result sockeye_emitter_server_emit(struct sockeye_emitter *emitter,
                                           const char *nsp,
                                           size_t len,
                                           const struct sockeye_emission *emission);

// Waits until the broker has taken what was said before. TIMEOUT: not in so many milliseconds; it goes on. IO: some was on its way when
// the connection broke and may be lost, or was refused by the broker. CLOSED: the emitter ended before all was sent.
sockeye_result sockeye_emitter_flush(struct sockeye_emitter *emitter,
                                     uint32_t timeout_ms);

// Fills `state`, whose `size` says how much of it the host knows.
sockeye_result sockeye_emitter_get_state(struct sockeye_emitter *emitter,
                                         struct sockeye_emitter_state *state);

// Why the broker was last lost or could not be reached; empty if it always was. It shows no password. `*out` is to be freed with
// `sockeye_buffer_free`.
sockeye_result sockeye_emitter_error(struct sockeye_emitter *emitter,
                                     struct sockeye_buffer **out);

// Takes no more (CLOSED), and publishes what waits, for at most `grace_ms`. Returns at once. CLOSED if it was called before.
sockeye_result sockeye_emitter_close(struct sockeye_emitter *emitter,
                                     uint32_t grace_ms);

// Closes, with a grace of one second, unless `sockeye_emitter_close` did, waits for the emitter's thread, and frees it. NULL is allowed. In a child
// of the process that made it: FORKED, and nothing is freed.
sockeye_result sockeye_emitter_free(struct sockeye_emitter *emitter);

// Joins the engine to a cluster over a broker of the host's own, once, and before it listens, or is given a connection or a request: in place of
// `sockeye_engine_set_adapter`. The broker carries messages on channels between engines, in one process or in several; what they are is the
// engine's matter (JSON, or MessagePack where there are attachments, of the protocol that the official adapters share).
//
// The functions of `broker` are called on a thread of the engine's, never two at once, and with no lock held; `sockeye_broker_deliver` and most
// others may be called in them, `sockeye_engine_free` is DEADLOCK there. They may block: what is published meanwhile waits, up to
// `publishQueueBytes`, while local delivery goes on; but timeouts of requests to other servers, and the end of the engine, wait for them too. One
// that gives a negative number has lost the broker: ADAPTER_DOWN tells so (`name` is `broker`), what was being published and up to 511 messages behind
// it are lost and counted (`unconfirmed`), and after 0.1 to 5 seconds all channels are subscribed to anew, what waits is published, and ADAPTER_UP tells
// that. Messages may come before they are subscribed to, or to the server that published them: both are ignored.
//
// `json` is an object with options: `channelPrefix` (`socket.io`), which the names of all channels begin with; `requestsTimeout` (5000) and
// `publishQueueBytes` (16 MiB) as of other adapters; `heartbeatInterval` (5000) and `heartbeatTimeout` (10000), milliseconds, without `count`. With `count`,
// whoever subscribes to the channel `<prefix>#<namespace>#` is a server, and has to answer: it must tell neither too many nor too few.
//
// `drop` is called once, after the last of the functions, before CLOSED comes; never if this fails. INVALID: no `publish`, one of `subscribe`
// and `unsubscribe` without the other, a wrong option, an engine that listens already, or has an adapter.
sockeye_result sockeye_engine_set_broker(struct sockeye_engine *engine,
                                         const struct sockeye_broker *broker,
                                         const char *json,
                                         size_t json_len);

// Hands a message in that the broker has for this engine: on a channel that `subscribe` was called with, from any thread, also in a function of the
// broker's, and in the order in which it was published. It is carried out before this returns, and copied as far as needed: nothing waits,
// and no host code runs but that of INLINE queues. What is no message is counted (`malformed`) and ignored, as is one on another channel: no error.
//
// INVALID: the engine has no broker of the host's. CLOSED: it is closing.
sockeye_result sockeye_broker_deliver(struct sockeye_engine *engine,
                                      const char *channel,
                                      size_t channel_len,
                                      const void *data,
                                      size_t len);

// Writes the engine's metrics into `*out`, whose `size` the caller sets to `sizeof(sockeye_metrics)` before. Waits for no I/O thread;
// each number is right by itself, two of them may be some packets apart. Also after `sockeye_engine_close`.
sockeye_result sockeye_engine_metrics(struct sockeye_engine *engine,
                                      struct sockeye_metrics *out);

// The engine's metrics in the Prometheus text exposition format 0.0.4, for a host that serves them itself: see also the option
// `metricsPath`. `*out` is to be freed with `sockeye_buffer_free`.
sockeye_result sockeye_engine_metrics_text(struct sockeye_engine *engine,
                                           struct sockeye_buffer **out);

// Writes what waits in one queue into `*out`, whose `size` the caller sets to `sizeof(sockeye_queue_metrics)` before.
sockeye_result sockeye_queue_get_metrics(struct sockeye_queue *queue,
                                         struct sockeye_queue_metrics *out);

// Wants the log of an engine: lines of `level` (`SOCKEYE_LOG_*`) and of those that matter more, given to `log_fn`, or with NULL as LOG events
// of the default queue. May be called again at any time, from any thread, for another level or function; `SOCKEYE_LOG_OFF` ends it. By
// default there is no log, and asking whether there is one costs a load.
//
// `log_fn` is called on the engine's I/O threads, by several at once if there are several, with a target (`session`, `listen`, ...), a
// message, and its fields as a JSON object; the texts are valid until it returns, and not zero-terminated. It should not block, and may
// call `sockeye_engine_close` and no other function (`sockeye_engine_free` is DEADLOCK there). A call that is under way when the function is replaced ends as it began;
// `drop` is called with `user` once no call is left, also if `level` is off, and never if this fails. No line holds payloads, headers,
// queries or session ids, at any level. A target has 100 lines a second, and one that says how many were left out. LOG events that come
// while the queue is half full are dropped: they never stop the reading from sockets. Both are counted in the metrics.
sockeye_result sockeye_engine_set_log(struct sockeye_engine *engine,
                                      int32_t level,
                                      sockeye_log_fn log_fn,
                                      void *user,
                                      sockeye_drop_fn drop);

// The part of a JSON text that an RFC 6901 pointer names (`/0/name`), as a slice of that text: `*out` and `*out_len`. OK with NULL and
// 0 if it is not there. BAD_JSON if the text is no JSON, INVALID if the pointer is none.
sockeye_result sockeye_json_get(const char *json,
                                size_t len,
                                const char *pointer,
                                size_t pointer_len,
                                const char **out,
                                size_t *out_len);

// Decodes a JSON string into `buf`; its length in bytes. If that is more than `cap`, nothing was written. A zero follows if there is
// room for it.
int64_t sockeye_json_string(const char *json,
                            size_t len,
                            char *buf,
                            size_t cap);

// Encodes text as a JSON string, quotes included, into `buf`; its length in bytes, with the rules of `sockeye_json_string`.
int64_t sockeye_json_quote(const char *plain,
                           size_t len,
                           char *buf,
                           size_t cap);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SOCKEYE_H */
