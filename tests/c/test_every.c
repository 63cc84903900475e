/* Every function of the header in every circumstance that a careless host can bring about: NULL, an engine of the parent process, sockets and
 * tokens that are gone, of the wrong kind or of another engine, an engine that has closed. tests/tidy.rs holds that no function is left out.
 *
 * A new function needs one ROW: the call, with all its arguments right if `a` is; what it takes; what it says on a closed engine. */
#include "client.h"

#include <sys/wait.h>

/* What a row takes from `struct args`; checks go by these. */
#define ENGINE 1
#define QUEUE 2
#define SOCKET 4
#define DECISION 8  /* a token that the host owes a decision for */
#define OWED 16     /* a token of an acknowledgement that a client wants */
#define NAMESPACE 32
#define NULL_IS_FINE 64 /* ENGINE may be NULL */
#define FINAL 128       /* not to be called on an engine that is still needed */
#define BARE 256        /* a socket, of a bare engine */
#define OTHERWISE 1024  /* when all is right is tested in a file of its own */
#define POINTER 512     /* returns a pointer, NULL for none, which `OR` makes INVALID */

/* On a closed engine: the result that must come. */
#define FINE 0
#define STALE SOCKEYE_ERR_STALE
#define CLOSED SOCKEYE_ERR_CLOSED

struct args {
    sockeye_engine *engine;
    sockeye_queue *queue;
    sockeye_socket socket;
    sockeye_token decision, owed;
    sockeye_nsp nsp;
    /* Places for results, and arguments that are always right. */
    sockeye_emission emission;
    sockeye_target target;
    sockeye_op op;
    sockeye_event event;
    sockeye_bytes room;
    sockeye_buffer *buffer;
    sockeye_message *message;
    sockeye_engine *made;
    sockeye_queue *made_queue;
    sockeye_options options;
    sockeye_socket_info info;
    sockeye_token token;
    sockeye_atom atom;
    sockeye_nsp nsp_out;
    uint16_t port;
    ptrdiff_t fd;
    size_t len;
    const char *text;
    char buf[4096];
    int listener;
    sockeye_http_request request;
    sockeye_stream stream;
    sockeye_emitter *emitter;
    sockeye_emitter_target address;
    sockeye_emitter_state state;
};

/* Gives a result on, and back what came with it. */
static int64_t gave(struct args *a, int64_t result)
{
    sockeye_buffer_free(a->buffer);
    sockeye_message_free(a->message);
    if (a->made)
        sockeye_engine_free(a->made);
    if (a->emitter) {
        sockeye_emitter_close(a->emitter, 0);
        sockeye_emitter_free(a->emitter);
    }
    a->buffer = NULL;
    a->message = NULL;
    a->made = NULL;
    a->emitter = NULL;
    return result;
}

/* An emitter that reaches nobody, until `gave` ends it. */
static sockeye_result emitter(struct args *a)
{
    static const char options[] = "{\"url\":\"redis://127.0.0.1:1\"}";
    memset(&a->address, 0, sizeof a->address);
    a->address.size = sizeof a->address;
    a->state.size = sizeof a->state;
    return sockeye_emitter_open("redis", 5, options, sizeof options - 1, &a->emitter);
}

/* A row on an emitter of its own. */
#define ON_EMITTER(call) (emitter(a) < 0 ? SOCKEYE_ERR_INTERNAL : gave(a, call))

static int64_t OR(const void *pointer)
{
    return pointer ? SOCKEYE_OK : SOCKEYE_ERR_INVALID;
}

static void on_events(void *user, const sockeye_event *events, size_t count)
{
    (void)user, (void)events, (void)count;
}

static void on_answer(void *user, const sockeye_http_answer *answer)
{
    (void)user, (void)answer;
}

/* One end of a pair, which the engine owns if it takes it. */
static int64_t adopt(struct args *a)
{
    sockeye_connection connection;
    int ends[2];
    memset(&connection, 0, sizeof connection);
    connection.size = sizeof connection;
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    connection.fd = ends[0];
    sockeye_result result = sockeye_engine_adopt(a->engine, &connection, NULL);
    close(ends[1]);
    if (result < 0)
        close(ends[0]);
    return result;
}

static sockeye_result on_publish(void *user, const char *channel, size_t channel_len, const void *bytes, size_t len)
{
    (void)user, (void)channel, (void)channel_len, (void)bytes, (void)len;
    return SOCKEYE_OK;
}

static int64_t set_broker(struct args *a)
{
    sockeye_broker broker;
    memset(&broker, 0, sizeof broker);
    broker.size = sizeof broker;
    broker.publish = on_publish;
    return sockeye_engine_set_broker(a->engine, &broker, "{}", 2);
}

static int64_t metrics(struct args *a)
{
    sockeye_metrics metrics;
    metrics.size = sizeof metrics;
    return sockeye_engine_metrics(a->engine, &metrics);
}

static int64_t queue_metrics(struct args *a)
{
    sockeye_queue_metrics metrics;
    metrics.size = sizeof metrics;
    return sockeye_queue_get_metrics(a->queue, &metrics);
}

#define ROWS                                                                                                                     \
    ROW(sockeye_version, 0, FINE, sockeye_version() > 0 ? 0 : -1)                                                                \
    ROW(sockeye_abi, 0, FINE, sockeye_abi() == SOCKEYE_ABI ? 0 : -1)                                                             \
    ROW(sockeye_struct_size, 0, FINE, sockeye_struct_size(SOCKEYE_STRUCT_EVENT) ? 0 : -1)                                        \
    ROW(sockeye_error_name, 0, FINE, OR(sockeye_error_name(0)))                                                                  \
    ROW(sockeye_last_error, 0, FINE, OR(sockeye_last_error()))                                                                   \
    ROW(sockeye_options_init, 0, FINE, sockeye_options_init(&a->options, sizeof a->options, SOCKEYE_ABI))                        \
    ROW(sockeye_engine_new, 0, FINE, gave(a, sockeye_engine_new(&a->options, &a->made)))                                         \
    ROW(sockeye_engine_new_json, 0, FINE, gave(a, sockeye_engine_new_json("{}", 2, &a->made)))                                   \
    ROW(sockeye_engine_mount, ENGINE, FINE, sockeye_engine_mount(a->engine, "/files", 6, "/", 1))                                \
    ROW(sockeye_engine_listen, ENGINE, CLOSED, sockeye_engine_listen(a->engine, "127.0.0.1:0", 11, &a->port))                    \
    ROW(sockeye_engine_listen_fd, ENGINE, CLOSED, sockeye_engine_listen_fd(a->engine, a->listener))                              \
    ROW(sockeye_engine_queue, ENGINE | POINTER, FINE, OR(sockeye_engine_queue(a->engine)))                                       \
    ROW(sockeye_queue_new, ENGINE, CLOSED, sockeye_queue_new(a->engine, NULL, &a->made_queue))                                   \
    ROW(sockeye_engine_drain, ENGINE | FINAL, CLOSED, sockeye_engine_drain(a->engine, NULL))                                     \
    ROW(sockeye_engine_close, ENGINE | FINAL, CLOSED, sockeye_engine_close(a->engine, 0))                                        \
    ROW(sockeye_engine_free, ENGINE | FINAL | NULL_IS_FINE, FINE, sockeye_engine_free(a->engine))                                \
    ROW(sockeye_engine_adopt, ENGINE, CLOSED, adopt(a))                                                                          \
    ROW(sockeye_engine_http, ENGINE, CLOSED, sockeye_engine_http(a->engine, &a->request, on_answer, NULL, NULL, &a->stream))     \
    ROW(sockeye_http_respond, ENGINE | OTHERWISE, CLOSED, sockeye_http_respond(a->engine, a->decision, 200, NULL, 0, NULL, 0))   \
    ROW(sockeye_stream_input, ENGINE | OTHERWISE, STALE, sockeye_stream_input(a->engine, a->stream, "x", 1))                     \
    ROW(sockeye_stream_end, ENGINE | OTHERWISE, STALE, sockeye_stream_end(a->engine, a->stream))                                 \
    ROW(sockeye_stream_writable, ENGINE | OTHERWISE, STALE, sockeye_stream_writable(a->engine, a->stream))                       \
    ROW(sockeye_queue_poll, QUEUE, CLOSED, sockeye_queue_poll(a->queue, &a->event, sizeof a->event, 1, 0))                       \
    ROW(sockeye_queue_poll_packed, QUEUE, CLOSED, sockeye_queue_poll_packed(a->queue, a->buf, sizeof a->buf, &a->len, 0, 0))     \
    ROW(sockeye_queue_release, QUEUE, FINE, sockeye_queue_release(a->queue))                                                     \
    ROW(sockeye_queue_fd, QUEUE, FINE, sockeye_queue_fd(a->queue, &a->fd))                                                       \
    ROW(sockeye_queue_set_wake, QUEUE, FINE, sockeye_queue_set_wake(a->queue, NULL, NULL, NULL))                                 \
    ROW(sockeye_queue_deliver, QUEUE, CLOSED, sockeye_queue_deliver(a->queue, SOCKEYE_DELIVER_POLL, on_events, NULL, NULL))             \
    ROW(sockeye_event_retain, 0, SOCKEYE_ERR_INVALID, sockeye_event_retain(&a->event, &a->buffer))                               \
    ROW(sockeye_buffer_data, 0, SOCKEYE_ERR_INVALID, OR(sockeye_buffer_data(a->buffer, &a->len)))                                \
    ROW(sockeye_buffer_free, 0, FINE, (sockeye_buffer_free(a->buffer), 0))                                                       \
    ROW(sockeye_atom_of, ENGINE, FINE, sockeye_atom_of(a->engine, "name", 4, &a->atom))                                          \
    ROW(sockeye_atom_text, ENGINE | POINTER, FINE, OR(sockeye_atom_text(a->engine, a->atom, &a->len)))                           \
    ROW(sockeye_namespace, ENGINE, FINE, sockeye_namespace(a->engine, "/every", 6, NULL, &a->nsp_out))                           \
    ROW(sockeye_namespace_pattern, ENGINE, FINE, sockeye_namespace_pattern(a->engine, "^/p", 3, NULL, &a->nsp_out))              \
    ROW(sockeye_namespace_name, ENGINE | NAMESPACE, FINE, gave(a, sockeye_namespace_name(a->engine, a->nsp, &a->buffer)))        \
    ROW(sockeye_namespace_rooms, ENGINE | NAMESPACE, FINE, gave(a, sockeye_namespace_rooms(a->engine, a->nsp, &a->buffer)))      \
    ROW(sockeye_accept, ENGINE | DECISION, CLOSED, sockeye_accept(a->engine, a->decision, 1, NULL, 0))                           \
    ROW(sockeye_reject, ENGINE | DECISION, CLOSED, sockeye_reject(a->engine, a->decision, "no", 2, NULL, 0))                     \
    ROW(sockeye_socket_get_info, ENGINE | SOCKET, STALE, sockeye_socket_get_info(a->engine, a->socket, &a->info, sizeof a->info)) \
    ROW(sockeye_socket_handshake, ENGINE | SOCKET, STALE, gave(a, sockeye_socket_handshake(a->engine, a->socket, &a->buffer)))   \
    ROW(sockeye_socket_set_user, ENGINE | SOCKET, STALE, sockeye_socket_set_user(a->engine, a->socket, 1))                       \
    ROW(sockeye_socket_set_data, ENGINE | SOCKET, STALE, sockeye_socket_set_data(a->engine, a->socket, "{}", 2))                 \
    ROW(sockeye_socket_data, ENGINE | SOCKET, STALE, gave(a, sockeye_socket_data(a->engine, a->socket, &a->buffer)))             \
    ROW(sockeye_socket_join, ENGINE | SOCKET, STALE, sockeye_socket_join(a->engine, a->socket, &a->room, 1))                     \
    ROW(sockeye_socket_leave, ENGINE | SOCKET, STALE, sockeye_socket_leave(a->engine, a->socket, &a->room, 1))                   \
    ROW(sockeye_socket_rooms, ENGINE | SOCKET, STALE, gave(a, sockeye_socket_rooms(a->engine, a->socket, &a->buffer)))           \
    ROW(sockeye_emit, ENGINE | SOCKET, STALE, sockeye_emit(a->engine, a->socket, &a->emission, NULL))                            \
    ROW(sockeye_broadcast, ENGINE, CLOSED, sockeye_broadcast(a->engine, &a->target, &a->emission, NULL))                         \
    ROW(sockeye_ack, ENGINE | OWED, STALE, sockeye_ack(a->engine, a->owed, "[]", 2, NULL, 0))                                    \
    ROW(sockeye_send, ENGINE | BARE, SOCKEYE_ERR_UNSUPPORTED, sockeye_send(a->engine, a->socket, "x", 1, 0))                                     \
    ROW(sockeye_submit, ENGINE, 1, sockeye_submit(a->engine, &a->op, sizeof a->op, 1, NULL))                                     \
    ROW(sockeye_message_new, ENGINE, FINE, gave(a, sockeye_message_new(a->engine, 1, &a->emission, &a->message)))                \
    ROW(sockeye_message_free, 0, FINE, (sockeye_message_free(a->message), 0))                                                    \
    ROW(sockeye_sockets_join, ENGINE, CLOSED, sockeye_sockets_join(a->engine, &a->target, &a->room, 1))                          \
    ROW(sockeye_sockets_leave, ENGINE, CLOSED, sockeye_sockets_leave(a->engine, &a->target, &a->room, 1))                        \
    ROW(sockeye_sockets_disconnect, ENGINE | FINAL, CLOSED, sockeye_sockets_disconnect(a->engine, &a->target, 0))                \
    ROW(sockeye_sockets_fetch, ENGINE, CLOSED, sockeye_sockets_fetch(a->engine, &a->target, &a->token))                          \
    ROW(sockeye_server_emit, ENGINE, CLOSED, sockeye_server_emit(a->engine, a->nsp, &a->emission, NULL))                         \
    ROW(sockeye_server_count, ENGINE, CLOSED, sockeye_server_count(a->engine, a->nsp, &a->token))                                \
    ROW(sockeye_engine_metrics, ENGINE, FINE, metrics(a))                                                                    \
    ROW(sockeye_engine_metrics_text, ENGINE, FINE, gave(a, sockeye_engine_metrics_text(a->engine, &a->buffer)))              \
    ROW(sockeye_queue_get_metrics, QUEUE, FINE, queue_metrics(a))                                                            \
    ROW(sockeye_engine_set_adapter, ENGINE | OTHERWISE, CLOSED, sockeye_engine_set_adapter(a->engine, "redis", 5, "{\"url\":\"redis://x\"}", 19)) \
    ROW(sockeye_emitter_open, 0, FINE, gave(a, emitter(a)))                                                                      \
    ROW(sockeye_emitter_emit, 0, FINE, ON_EMITTER(sockeye_emitter_emit(a->emitter, &a->address, &a->emission)))                  \
    ROW(sockeye_emitter_join, 0, FINE, ON_EMITTER(sockeye_emitter_join(a->emitter, &a->address, &a->room, 1)))                   \
    ROW(sockeye_emitter_leave, 0, FINE, ON_EMITTER(sockeye_emitter_leave(a->emitter, &a->address, &a->room, 1)))                 \
    ROW(sockeye_emitter_disconnect, 0, FINE, ON_EMITTER(sockeye_emitter_disconnect(a->emitter, &a->address, 0)))                 \
    ROW(sockeye_emitter_server_emit, 0, FINE, ON_EMITTER(sockeye_emitter_server_emit(a->emitter, "/", 1, &a->emission)))         \
    ROW(sockeye_emitter_flush, 0, FINE, ON_EMITTER(sockeye_emitter_flush(a->emitter, 0)))                                        \
    ROW(sockeye_emitter_get_state, 0, FINE, ON_EMITTER(sockeye_emitter_get_state(a->emitter, &a->state)))                        \
    ROW(sockeye_emitter_error, 0, FINE, ON_EMITTER(sockeye_emitter_error(a->emitter, &a->buffer)))                               \
    ROW(sockeye_emitter_close, 0, FINE, ON_EMITTER(sockeye_emitter_close(a->emitter, 0)))                                        \
    ROW(sockeye_emitter_free, 0, FINE, gave(a, sockeye_emitter_free(NULL)))                                                      \
    ROW(sockeye_engine_set_broker, ENGINE | OTHERWISE, CLOSED, set_broker(a))                                                \
    ROW(sockeye_broker_deliver, ENGINE | OTHERWISE, CLOSED, sockeye_broker_deliver(a->engine, "x", 1, "y", 1))               \
    ROW(sockeye_engine_set_log, ENGINE, FINE, sockeye_engine_set_log(a->engine, SOCKEYE_LOG_OFF, NULL, NULL, NULL))          \
    ROW(sockeye_json_get, 0, FINE, sockeye_json_get("{\"a\":1}", 7, "/a", 2, &a->text, &a->len))                                 \
    ROW(sockeye_json_string, 0, FINE, sockeye_json_string("\"a\"", 3, a->buf, sizeof a->buf) == 1 ? 0 : -1)                      \
    ROW(sockeye_json_quote, 0, FINE, sockeye_json_quote("a", 1, a->buf, sizeof a->buf) == 3 ? 0 : -1)                            \
    ROW(sockeye_socket_disconnect, ENGINE | SOCKET | FINAL, STALE, sockeye_socket_disconnect(a->engine, a->socket, 0))

#define ROW(function, takes, closed, call)                                                                                       \
    static int64_t call_##function(struct args *a)                                                                               \
    {                                                                                                                            \
        (void)a;                                                                                                                 \
        return (int64_t)(call);                                                                                                  \
    }
ROWS
#undef ROW

static const struct row {
    const char *name;
    int takes;
    int64_t closed;
    int64_t (*call)(struct args *a);
} rows[] = {
#define ROW(function, takes, closed, call) {#function, takes, closed, call_##function},
    ROWS
#undef ROW
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

static void gives(const struct row *row, const char *when, int64_t wanted, int64_t got)
{
    char name[128];
    snprintf(name, sizeof name, "%s, %s", row->name, when);
    GIVES(name, wanted, got);
}

static struct args args_of(const struct server *server)
{
    struct args a;
    memset(&a, 0, sizeof a);
    a.engine = server->engine;
    a.queue = server->queue;
    a.nsp = 1;
    a.emission = emission_of("x", "[]");
    a.target = target_of(1);
    a.options = default_options();
    a.room = bytes_of("room");
    a.op = op_of(SOCKEYE_OP_BROADCAST);
    a.listener = -1;
    a.request.size = sizeof a.request;
    a.request.method = "GET";
    a.request.method_len = 3;
    a.request.target = "/nothing";
    a.request.target_len = 8;
    return a;
}

/* Pointers into `a` itself, which a copy would leave behind. */
static void aim(struct args *a)
{
    a->op.emission = &a->emission;
    a->op.target = &a->target;
}

/* A peer in `/`, whose decision about `/door` and whose acknowledgement are open. */
static int visit(const struct server *server, struct args *a)
{
    int fd = sio_open(server->port);
    a->socket = server_next(server, SOCKEYE_EVENT_CONNECT).socket;
    ws_send(fd, "40/door,");
    a->decision = server_next(server, SOCKEYE_EVENT_AUTHORIZE).token;
    ws_send(fd, "427[\"want\"]");
    a->owed = server_next(server, SOCKEYE_EVENT_MESSAGE).token;
    return fd;
}

static struct server with_door(void)
{
    struct server server = server_start();
    sockeye_nsp_options ask = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL);
    NEED(sockeye_namespace(server.engine, "/door", 5, &ask, NULL) == SOCKEYE_OK);
    return server;
}

static void null_engines_and_queues(const struct args *right)
{
    struct args a = *right;
    aim(&a);
    a.engine = NULL;
    a.queue = NULL;
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].takes & (ENGINE | QUEUE))
            gives(&rows[i], "NULL", rows[i].takes & NULL_IS_FINE ? SOCKEYE_OK : SOCKEYE_ERR_INVALID, rows[i].call(&a));
}

static void in_a_child(const struct args *right)
{
    struct args a = *right;
    int64_t got[ROW_COUNT];
    int said[2], status = -1;
    aim(&a);
    NEED(pipe(said) == 0);
    fflush(stdout);
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        for (size_t i = 0; i < ROW_COUNT; i++)
            got[i] = rows[i].call(&a);
        _exit(write(said[1], got, sizeof got) != (ssize_t)sizeof got);
    }
    close(said[1]);
    NEED(read(said[0], got, sizeof got) == (ssize_t)sizeof got);
    close(said[0]);
    NEED(waitpid(child, &status, 0) == child);
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].takes & (ENGINE | QUEUE))
            gives(&rows[i], "in a forked child", rows[i].takes & POINTER ? SOCKEYE_ERR_INVALID : SOCKEYE_ERR_FORKED, got[i]);
}

/* All rows that take one of `kinds`, with that id replaced. */
static void with_id(const struct args *right, int kinds, uint64_t id, const char *when, int64_t wanted)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        struct args a = *right;
        aim(&a);
        if (!(rows[i].takes & kinds))
            continue;
        a.socket = rows[i].takes & (SOCKET | BARE) ? id : a.socket;
        a.decision = rows[i].takes & DECISION ? id : a.decision;
        a.owed = rows[i].takes & OWED ? id : a.owed;
        a.nsp = rows[i].takes & NAMESPACE ? (sockeye_nsp)id : a.nsp;
        gives(&rows[i], when, wanted, rows[i].call(&a));
    }
}

static void ids_that_mean_nothing(const struct args *right, const struct args *gone, const struct args *others)
{
    with_id(right, SOCKET | DECISION | OWED | NAMESPACE, 0, "id 0", SOCKEYE_ERR_INVALID);
    with_id(right, SOCKET | OWED, right->decision, "the token of a decision", SOCKEYE_ERR_INVALID);
    with_id(right, SOCKET | DECISION, right->owed, "the token of an acknowledgement", SOCKEYE_ERR_INVALID);
    with_id(right, DECISION | OWED, right->socket, "a socket for a token", SOCKEYE_ERR_INVALID);
    with_id(right, SOCKET | DECISION | OWED, UINT64_MAX, "an id of all ones", SOCKEYE_ERR_INVALID);
    with_id(right, NAMESPACE, 4711, "a namespace that is none", SOCKEYE_ERR_INVALID);
    with_id(right, SOCKET, gone->socket, "a socket that has left", SOCKEYE_ERR_STALE);
    with_id(right, DECISION, gone->decision, "a decision about one who has left", SOCKEYE_ERR_STALE);
    with_id(right, OWED, gone->owed, "an acknowledgement for one who has left", SOCKEYE_ERR_STALE);
    with_id(right, SOCKET, others->socket, "a socket of another engine", SOCKEYE_ERR_STALE);
    with_id(right, DECISION, others->decision, "a decision of another engine", SOCKEYE_ERR_STALE);
    with_id(right, OWED, others->owed, "an acknowledgement of another engine", SOCKEYE_ERR_STALE);
}

/* Without this the rest would prove little: with everything right, the calls succeed. */
static void with_everything_right(const struct args *right)
{
    struct args a = *right;
    aim(&a);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        int64_t got;
        if (rows[i].takes & (FINAL | OTHERWISE) || (rows[i].takes == 0 && rows[i].closed != FINE))
            continue;
        got = rows[i].call(&a);
        if (rows[i].takes & BARE)
            gives(&rows[i], "which is for bare engines", SOCKEYE_ERR_UNSUPPORTED, got);
        else if (strcmp(rows[i].name, "sockeye_reject") == 0)
            gives(&rows[i], "of what was accepted", SOCKEYE_ERR_STALE, got);
        else
            gives(&rows[i], "all right", SOCKEYE_OK, got < 0 ? got : SOCKEYE_OK);
    }
}

static void on_a_bare_engine(void)
{
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_ENGINE_ONLY;
    struct server server = server_new(&options);
    server_listen(&server);
    struct args right = args_of(&server), gone = right;
    int fd = ws_open(server.port, "/engine.io/?EIO=4&transport=websocket");
    gone.socket = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    close(fd);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    fd = ws_open(server.port, "/engine.io/?EIO=4&transport=websocket");
    right.socket = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    with_id(&right, BARE, right.socket, "all right", SOCKEYE_OK);
    with_id(&right, BARE, 0, "id 0", SOCKEYE_ERR_INVALID);
    with_id(&right, BARE, UINT64_MAX, "an id of all ones", SOCKEYE_ERR_INVALID);
    with_id(&right, BARE, gone.socket, "a socket that has left", SOCKEYE_ERR_STALE);
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    with_id(&right, BARE, right.socket, "closed", SOCKEYE_ERR_STALE);
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
    close(fd);
}

/* A queue of another engine is none of this one's. */
static void queues_of_others(const struct server *server, const struct server *other)
{
    sockeye_nsp_options options = nsp_options_of(0, other->queue);
    GIVES("a namespace with another engine's queue", SOCKEYE_ERR_INVALID, sockeye_namespace(server->engine, "/theirs", 7, &options, NULL));
    GIVES("a pattern with another engine's queue", SOCKEYE_ERR_INVALID, sockeye_namespace_pattern(server->engine, "^/t", 3, &options, NULL));
}

static void on_a_closed_engine(struct server *server, const struct args *right)
{
    struct args a = *right;
    aim(&a);
    NEED(sockeye_engine_close(server->engine, 0) == SOCKEYE_OK);
    server_next(server, SOCKEYE_EVENT_CLOSED);
    sockeye_queue_release(server->queue);
    memset(&a.event, 0, sizeof a.event);
    a.atom = 1;
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].call != call_sockeye_engine_free)
            gives(&rows[i], "closed", rows[i].closed, rows[i].call(&a));
    GIVES("sockeye_engine_free, closed", SOCKEYE_OK, sockeye_engine_free(a.engine));
}

int main(void)
{
    struct server server = with_door(), other = with_door();
    struct args right = args_of(&server), gone = args_of(&server), others = args_of(&other);
    int others_fd[3], gone_fd, fd;
    for (int i = 0; i < 3; i++)
        others_fd[i] = visit(&other, &others);
    gone_fd = visit(&server, &gone);
    close(gone_fd);
    while (server_next(&server, SOCKEYE_EVENT_DISCONNECT).socket != gone.socket)
        continue;
    fd = visit(&server, &right);
    right.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    NEED(right.listener >= 0 && listen(right.listener, 8) == 0);
    null_engines_and_queues(&right);
    in_a_child(&right);
    ids_that_mean_nothing(&right, &gone, &others);
    queues_of_others(&server, &other);
    with_everything_right(&right);
    on_a_closed_engine(&server, &right);
    close(fd);
    close(right.listener);
    for (int i = 0; i < 3; i++)
        close(others_fd[i]);
    server_end(&other);
    on_a_bare_engine();
    return contract_report();
}
