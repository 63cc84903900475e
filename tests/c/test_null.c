/* NULL for every pointer of every function: a code and a message, or the documented "none"; never a crash. */
#include "client.h"

static struct server server;
static sockeye_socket peer;

static void on_events(void *user, const sockeye_event *events, size_t count)
{
    (void)user, (void)events, (void)count;
}

/* INVALID, with a message. */
static void invalid(const char *name, int64_t got)
{
    GIVES(name, SOCKEYE_ERR_INVALID, got);
    if (sockeye_last_error()[0] == 0)
        CHECK("the refusal has a message", 0);
}

static void engine_functions(void)
{
    sockeye_options options = default_options();
    sockeye_engine *engine = NULL;
    uint16_t port = 0;
    invalid("options_init(NULL)", sockeye_options_init(NULL, sizeof options, SOCKEYE_ABI));
    invalid("engine_new: NULL out", sockeye_engine_new(&options, NULL));
    invalid("engine_new: NULL options", sockeye_engine_new(NULL, &engine));
    CHECK("engine_new leaves out untouched", engine == NULL);
    invalid("engine_new_json: NULL json with length", sockeye_engine_new_json(NULL, 2, &engine));
    invalid("engine_new_json: NULL out", sockeye_engine_new_json("{}", 2, NULL));
    invalid("engine_mount: NULL engine", sockeye_engine_mount(NULL, "/", 1, "/tmp", 4));
    invalid("engine_mount: NULL prefix", sockeye_engine_mount(server.engine, NULL, 1, "/tmp", 4));
    invalid("engine_mount: NULL dir", sockeye_engine_mount(server.engine, "/", 1, NULL, 4));
    invalid("engine_listen: NULL engine", sockeye_engine_listen(NULL, "127.0.0.1:0", 11, &port));
    invalid("engine_listen: NULL addr", sockeye_engine_listen(server.engine, NULL, 11, &port));
    GIVES("engine_listen: NULL port is allowed", SOCKEYE_OK, sockeye_engine_listen(server.engine, "127.0.0.1:0", 11, NULL));
    invalid("engine_listen_fd: NULL engine", sockeye_engine_listen_fd(NULL, 0));
    invalid("engine_listen_fd: negative fd", sockeye_engine_listen_fd(server.engine, -1));
    invalid("engine_close: NULL", sockeye_engine_close(NULL, 0));
    invalid("engine_drain: NULL engine", sockeye_engine_drain(NULL, NULL));
    invalid("engine_set_adapter: NULL engine", sockeye_engine_set_adapter(NULL, "redis", 5, "{}", 2));
    invalid("engine_set_adapter: NULL kind", sockeye_engine_set_adapter(server.engine, NULL, 5, "{}", 2));
    invalid("engine_set_adapter: NULL json", sockeye_engine_set_adapter(server.engine, "redis", 5, NULL, 2));
    sockeye_broker broker;
    memset(&broker, 0, sizeof broker);
    broker.size = sizeof broker;
    invalid("engine_set_broker: NULL engine", sockeye_engine_set_broker(NULL, &broker, "{}", 2));
    invalid("engine_set_broker: NULL broker", sockeye_engine_set_broker(server.engine, NULL, "{}", 2));
    invalid("engine_set_broker: NULL json", sockeye_engine_set_broker(server.engine, &broker, NULL, 2));
    invalid("broker_deliver: NULL engine", sockeye_broker_deliver(NULL, "x", 1, "y", 1));
    invalid("broker_deliver: NULL channel", sockeye_broker_deliver(server.engine, NULL, 1, "y", 1));
    invalid("broker_deliver: NULL bytes", sockeye_broker_deliver(server.engine, "x", 1, NULL, 1));
    invalid("engine_set_log: NULL engine", sockeye_engine_set_log(NULL, SOCKEYE_LOG_INFO, NULL, NULL, NULL));
    GIVES("engine_free: NULL is allowed", SOCKEYE_OK, sockeye_engine_free(NULL));
    CHECK("engine_queue: NULL", sockeye_engine_queue(NULL) == NULL);
}

static void metrics_functions(void)
{
    sockeye_metrics metrics;
    sockeye_queue_metrics queue_metrics;
    sockeye_buffer *buffer = NULL;
    memset(&metrics, 0, sizeof metrics);
    memset(&queue_metrics, 0, sizeof queue_metrics);
    metrics.size = sizeof metrics;
    queue_metrics.size = sizeof queue_metrics;
    invalid("engine_metrics: NULL engine", sockeye_engine_metrics(NULL, &metrics));
    invalid("engine_metrics: NULL out", sockeye_engine_metrics(server.engine, NULL));
    invalid("engine_metrics_text: NULL engine", sockeye_engine_metrics_text(NULL, &buffer));
    invalid("engine_metrics_text: NULL out", sockeye_engine_metrics_text(server.engine, NULL));
    invalid("queue_get_metrics: NULL queue", sockeye_queue_get_metrics(NULL, &queue_metrics));
    invalid("queue_get_metrics: NULL out", sockeye_queue_get_metrics(server.queue, NULL));
    CHECK("no metrics were written", buffer == NULL);
}

static void on_answer(void *user, const sockeye_http_answer *answer)
{
    (void)user, (void)answer;
}

static void takeover_functions(void)
{
    sockeye_connection connection;
    sockeye_http_request request;
    sockeye_stream stream = 0;
    memset(&connection, 0, sizeof connection);
    memset(&request, 0, sizeof request);
    connection.size = sizeof connection;
    request.size = sizeof request;
    request.method = "GET";
    request.method_len = 3;
    request.target = "/nothing";
    request.target_len = 8;
    connection.fd = -1;
    invalid("engine_adopt: NULL engine", sockeye_engine_adopt(NULL, &connection, &stream));
    invalid("engine_adopt: NULL connection", sockeye_engine_adopt(server.engine, NULL, &stream));
    invalid("engine_adopt: NULL out and no descriptor", sockeye_engine_adopt(server.engine, &connection, NULL));
    invalid("engine_http: NULL engine", sockeye_engine_http(NULL, &request, on_answer, NULL, NULL, &stream));
    invalid("engine_http: NULL request", sockeye_engine_http(server.engine, NULL, on_answer, NULL, NULL, &stream));
    invalid("engine_http: NULL answer", sockeye_engine_http(server.engine, &request, NULL, NULL, NULL, &stream));
    CHECK("no stream was written", stream == 0);
    GIVES("engine_http: NULL out is allowed", SOCKEYE_OK, sockeye_engine_http(server.engine, &request, on_answer, NULL, NULL, NULL));
    invalid("http_respond: NULL engine", sockeye_http_respond(NULL, 1, 200, NULL, 0, NULL, 0));
    invalid("http_respond: NULL headers with count", sockeye_http_respond(server.engine, 1, 200, NULL, 1, NULL, 0));
    invalid("http_respond: NULL body with length", sockeye_http_respond(server.engine, 1, 200, NULL, 0, NULL, 1));
    invalid("stream_input: NULL engine", sockeye_stream_input(NULL, 1, "x", 1));
    invalid("stream_input: NULL data with length", sockeye_stream_input(server.engine, 1, NULL, 1));
    invalid("stream_end: NULL engine", sockeye_stream_end(NULL, 1));
    invalid("stream_writable: NULL engine", sockeye_stream_writable(NULL, 1));
}

static void queue_functions(void)
{
    sockeye_queue *queue = NULL;
    sockeye_event event;
    sockeye_buffer *buffer = NULL;
    char packed[256];
    size_t used;
    ptrdiff_t fd;
    invalid("queue_new: NULL engine", sockeye_queue_new(NULL, NULL, &queue));
    invalid("queue_new: NULL out", sockeye_queue_new(server.engine, NULL, NULL));
    GIVES("queue_new: NULL options are the defaults", SOCKEYE_OK, sockeye_queue_new(server.engine, NULL, &queue));
    invalid("queue_deliver: NULL queue", sockeye_queue_deliver(NULL, SOCKEYE_DELIVER_THREAD, on_events, NULL, NULL));
    invalid("queue_deliver: THREAD without function", sockeye_queue_deliver(queue, SOCKEYE_DELIVER_THREAD, NULL, NULL, NULL));
    invalid("queue_deliver: INLINE without function", sockeye_queue_deliver(queue, SOCKEYE_DELIVER_INLINE, NULL, NULL, NULL));
    invalid("queue_deliver: unknown mode", sockeye_queue_deliver(queue, 7, on_events, NULL, NULL));
    invalid("queue_poll: NULL queue", sockeye_queue_poll(NULL, &event, sizeof event, 1, 0));
    invalid("queue_poll: NULL events", sockeye_queue_poll(queue, NULL, sizeof event, 1, 0));
    invalid("queue_poll_packed: NULL queue", sockeye_queue_poll_packed(NULL, packed, sizeof packed, &used, 0, 0));
    invalid("queue_poll_packed: NULL buf", sockeye_queue_poll_packed(queue, NULL, sizeof packed, &used, 0, 0));
    invalid("queue_poll_packed: NULL used", sockeye_queue_poll_packed(queue, packed, sizeof packed, NULL, 0, 0));
    invalid("queue_release: NULL", sockeye_queue_release(NULL));
    invalid("queue_fd: NULL queue", sockeye_queue_fd(NULL, &fd));
    invalid("queue_fd: NULL out", sockeye_queue_fd(queue, NULL));
    invalid("queue_set_wake: NULL queue", sockeye_queue_set_wake(NULL, NULL, NULL, NULL));
    GIVES("queue_set_wake: NULL function removes it", SOCKEYE_OK, sockeye_queue_set_wake(queue, NULL, NULL, NULL));
    invalid("event_retain: NULL event", sockeye_event_retain(NULL, &buffer));
    memset(&event, 0, sizeof event);
    invalid("event_retain: NULL out", sockeye_event_retain(&event, NULL));
    CHECK("event_retain: an event without batch", sockeye_event_retain(&event, &buffer) < 0 && buffer == NULL);
    used = 7;
    CHECK("buffer_data: NULL buffer", sockeye_buffer_data(NULL, &used) == NULL && used == 0);
    CHECK("buffer_data: NULL everything", sockeye_buffer_data(NULL, NULL) == NULL);
    sockeye_buffer_free(NULL);
    sockeye_message_free(NULL);
    CHECK("freeing NULL does nothing", 1);
}

static void name_functions(void)
{
    sockeye_atom atom = 0;
    sockeye_nsp nsp = 0;
    sockeye_buffer *buffer = NULL;
    size_t len;
    invalid("atom_of: NULL engine", sockeye_atom_of(NULL, "a", 1, &atom));
    invalid("atom_of: NULL text", sockeye_atom_of(server.engine, NULL, 1, &atom));
    invalid("atom_of: NULL out", sockeye_atom_of(server.engine, "a", 1, NULL));
    CHECK("atom_text: NULL engine", sockeye_atom_text(NULL, 1, &len) == NULL);
    CHECK("atom_text: an atom that is none", sockeye_atom_text(server.engine, 0, &len) == NULL && sockeye_atom_text(server.engine, 4711, NULL) == NULL);
    invalid("namespace: NULL engine", sockeye_namespace(NULL, "/a", 2, NULL, &nsp));
    invalid("namespace: NULL name", sockeye_namespace(server.engine, NULL, 2, NULL, &nsp));
    GIVES("namespace: NULL options are the defaults", SOCKEYE_OK, sockeye_namespace(server.engine, "/null", 5, NULL, &nsp));
    GIVES("namespace: NULL out is allowed", SOCKEYE_OK, sockeye_namespace(server.engine, "/null2", 6, NULL, NULL));
    invalid("namespace_pattern: NULL engine", sockeye_namespace_pattern(NULL, "x", 1, NULL, &nsp));
    invalid("namespace_pattern: NULL regex", sockeye_namespace_pattern(server.engine, NULL, 1, NULL, &nsp));
    GIVES("namespace_pattern: NULL out is allowed", SOCKEYE_OK, sockeye_namespace_pattern(server.engine, "x", 1, NULL, NULL));
    invalid("namespace_name: NULL engine", sockeye_namespace_name(NULL, 1, &buffer));
    invalid("namespace_name: NULL out", sockeye_namespace_name(server.engine, 1, NULL));
    invalid("namespace_rooms: NULL engine", sockeye_namespace_rooms(NULL, 1, &buffer));
    invalid("namespace_rooms: NULL out", sockeye_namespace_rooms(server.engine, 1, NULL));
    invalid("accept: NULL engine", sockeye_accept(NULL, 1, 0, NULL, 0));
    invalid("reject: NULL engine", sockeye_reject(NULL, 1, "no", 2, NULL, 0));
    invalid("reject: NULL message with length", sockeye_reject(server.engine, 1, NULL, 2, NULL, 0));
    CHECK("no buffer was written", buffer == NULL);
}

static void socket_functions(void)
{
    sockeye_socket_info info;
    sockeye_buffer *buffer = NULL;
    sockeye_bytes room = bytes_of("r"), hole = {NULL, 3};
    invalid("socket_get_info: NULL engine", sockeye_socket_get_info(NULL, peer, &info, sizeof info));
    invalid("socket_get_info: NULL out", sockeye_socket_get_info(server.engine, peer, NULL, sizeof info));
    invalid("socket_handshake: NULL engine", sockeye_socket_handshake(NULL, peer, &buffer));
    invalid("socket_handshake: NULL out", sockeye_socket_handshake(server.engine, peer, NULL));
    invalid("socket_set_user: NULL engine", sockeye_socket_set_user(NULL, peer, 1));
    invalid("socket_set_data: NULL engine", sockeye_socket_set_data(NULL, peer, "{}", 2));
    invalid("socket_set_data: NULL json", sockeye_socket_set_data(server.engine, peer, NULL, 2));
    invalid("socket_data: NULL engine", sockeye_socket_data(NULL, peer, &buffer));
    invalid("socket_data: NULL out", sockeye_socket_data(server.engine, peer, NULL));
    invalid("socket_join: NULL engine", sockeye_socket_join(NULL, peer, &room, 1));
    invalid("socket_join: NULL rooms", sockeye_socket_join(server.engine, peer, NULL, 1));
    invalid("socket_join: a room of NULL with length", sockeye_socket_join(server.engine, peer, &hole, 1));
    invalid("socket_leave: NULL engine", sockeye_socket_leave(NULL, peer, &room, 1));
    invalid("socket_leave: NULL rooms", sockeye_socket_leave(server.engine, peer, NULL, 1));
    invalid("socket_rooms: NULL engine", sockeye_socket_rooms(NULL, peer, &buffer));
    invalid("socket_rooms: NULL out", sockeye_socket_rooms(server.engine, peer, NULL));
    invalid("socket_disconnect: NULL engine", sockeye_socket_disconnect(NULL, peer, 0));
    CHECK("no buffer was written to", buffer == NULL);
}

static void sending_functions(void)
{
    sockeye_emission e = emission_of("x", "[]");
    sockeye_target t = target_of(1);
    sockeye_message *message = NULL;
    sockeye_token token = 0;
    sockeye_bytes hole = {NULL, 3};
    sockeye_op op = op_of(SOCKEYE_OP_EMIT);
    sockeye_result result = 0;
    invalid("emit: NULL engine", sockeye_emit(NULL, peer, &e, &token));
    invalid("emit: NULL emission", sockeye_emit(server.engine, peer, NULL, &token));
    invalid("broadcast: NULL engine", sockeye_broadcast(NULL, &t, &e, &token));
    invalid("broadcast: NULL target", sockeye_broadcast(server.engine, NULL, &e, &token));
    invalid("broadcast: NULL emission", sockeye_broadcast(server.engine, &t, NULL, &token));
    e.flags = SOCKEYE_EXPECT_ACK;
    invalid("emit: a token is asked for, NULL out", sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of(NULL, "[]");
    invalid("emit: no name", sockeye_emit(server.engine, peer, &e, NULL));
    e.name_len = 1;
    invalid("emit: a name of NULL with length", sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of("x", NULL);
    GIVES("emit: data of NULL is no arguments", SOCKEYE_OK, sockeye_emit(server.engine, peer, &e, NULL));
    e.data_len = 2;
    invalid("emit: data of NULL with length", sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of("x", "[{\"_placeholder\":true,\"num\":0}]");
    e.attachment_count = 1;
    invalid("emit: attachments of NULL with count", sockeye_emit(server.engine, peer, &e, NULL));
    e.attachments = &hole;
    invalid("emit: an attachment of NULL with length", sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of("x", "[]");
    t.room_count = 1;
    invalid("broadcast: rooms of NULL with count", sockeye_broadcast(server.engine, &t, &e, NULL));
    t = target_of(1);
    t.except_count = 1;
    invalid("broadcast: except of NULL with count", sockeye_broadcast(server.engine, &t, &e, NULL));
    invalid("ack: NULL engine", sockeye_ack(NULL, 1, "[]", 2, NULL, 0));
    invalid("ack: NULL data with length", sockeye_ack(server.engine, 1, NULL, 2, NULL, 0));
    invalid("send: NULL engine", sockeye_send(NULL, peer, "x", 1, 0));
    invalid("send: NULL data with length", sockeye_send(server.engine, peer, NULL, 1, 0));
    invalid("submit: NULL engine", sockeye_submit(NULL, &op, sizeof op, 1, &result));
    invalid("submit: NULL ops with count", sockeye_submit(server.engine, NULL, sizeof op, 1, &result));
    GIVES("submit: nothing is fine", SOCKEYE_OK, sockeye_submit(server.engine, NULL, sizeof op, 0, NULL));
    op.socket = peer;
    GIVES("submit: an op without emission fails alone", 1, sockeye_submit(server.engine, &op, sizeof op, 1, &result));
    GIVES("and says why", SOCKEYE_ERR_INVALID, result);
    op = op_of(SOCKEYE_OP_BROADCAST);
    op.emission = &e;
    GIVES("submit: a broadcast without target fails alone", 1, sockeye_submit(server.engine, &op, sizeof op, 1, NULL));
    invalid("message_new: NULL engine", sockeye_message_new(NULL, 1, &e, &message));
    invalid("message_new: NULL emission", sockeye_message_new(server.engine, 1, NULL, &message));
    invalid("message_new: NULL out", sockeye_message_new(server.engine, 1, &e, NULL));
    CHECK("no message was written", message == NULL);
}

static void many_socket_functions(void)
{
    sockeye_emission e = emission_of("x", "[]");
    sockeye_target t = target_of(1);
    sockeye_bytes room = bytes_of("r");
    sockeye_token token = 0;
    invalid("sockets_join: NULL engine", sockeye_sockets_join(NULL, &t, &room, 1));
    invalid("sockets_join: NULL target", sockeye_sockets_join(server.engine, NULL, &room, 1));
    invalid("sockets_join: NULL rooms", sockeye_sockets_join(server.engine, &t, NULL, 1));
    invalid("sockets_leave: NULL engine", sockeye_sockets_leave(NULL, &t, &room, 1));
    invalid("sockets_leave: NULL target", sockeye_sockets_leave(server.engine, NULL, &room, 1));
    invalid("sockets_leave: NULL rooms", sockeye_sockets_leave(server.engine, &t, NULL, 1));
    invalid("sockets_disconnect: NULL engine", sockeye_sockets_disconnect(NULL, &t, 0));
    invalid("sockets_disconnect: NULL target", sockeye_sockets_disconnect(server.engine, NULL, 0));
    invalid("sockets_fetch: NULL engine", sockeye_sockets_fetch(NULL, &t, &token));
    invalid("sockets_fetch: NULL target", sockeye_sockets_fetch(server.engine, NULL, &token));
    invalid("sockets_fetch: NULL token", sockeye_sockets_fetch(server.engine, &t, NULL));
    invalid("server_emit: NULL engine", sockeye_server_emit(NULL, 1, &e, &token));
    invalid("server_emit: NULL emission", sockeye_server_emit(server.engine, 1, NULL, &token));
    GIVES("server_emit: NULL token is allowed if none is asked for", SOCKEYE_OK, sockeye_server_emit(server.engine, 1, &e, NULL));
    invalid("server_count: NULL engine", sockeye_server_count(NULL, 1, &token));
    invalid("server_count: NULL token", sockeye_server_count(server.engine, 1, NULL));
}

static void emitter_functions(void)
{
    static const char options[] = "{\"url\":\"redis://127.0.0.1:1\"}";
    sockeye_emission e = emission_of("x", "[]");
    sockeye_emitter_target t;
    sockeye_emitter_state state;
    sockeye_bytes room = bytes_of("r");
    sockeye_emitter *emitter = NULL;
    sockeye_buffer *buffer = NULL;
    memset(&t, 0, sizeof t);
    memset(&state, 0, sizeof state);
    t.size = sizeof t;
    state.size = sizeof state;
    invalid("emitter_open: NULL kind", sockeye_emitter_open(NULL, 5, options, sizeof options - 1, &emitter));
    invalid("emitter_open: NULL json", sockeye_emitter_open("redis", 5, NULL, 2, &emitter));
    invalid("emitter_open: NULL out", sockeye_emitter_open("redis", 5, options, sizeof options - 1, NULL));
    NEED(emitter == NULL && sockeye_emitter_open("redis", 5, options, sizeof options - 1, &emitter) == SOCKEYE_OK);
    invalid("emitter_emit: NULL emitter", sockeye_emitter_emit(NULL, &t, &e));
    invalid("emitter_emit: NULL target", sockeye_emitter_emit(emitter, NULL, &e));
    invalid("emitter_emit: NULL emission", sockeye_emitter_emit(emitter, &t, NULL));
    invalid("emitter_join: NULL emitter", sockeye_emitter_join(NULL, &t, &room, 1));
    invalid("emitter_join: NULL target", sockeye_emitter_join(emitter, NULL, &room, 1));
    invalid("emitter_join: NULL rooms", sockeye_emitter_join(emitter, &t, NULL, 1));
    invalid("emitter_leave: NULL emitter", sockeye_emitter_leave(NULL, &t, &room, 1));
    invalid("emitter_leave: NULL target", sockeye_emitter_leave(emitter, NULL, &room, 1));
    invalid("emitter_leave: NULL rooms", sockeye_emitter_leave(emitter, &t, NULL, 1));
    invalid("emitter_disconnect: NULL emitter", sockeye_emitter_disconnect(NULL, &t, 0));
    invalid("emitter_disconnect: NULL target", sockeye_emitter_disconnect(emitter, NULL, 0));
    invalid("emitter_server_emit: NULL emitter", sockeye_emitter_server_emit(NULL, "/", 1, &e));
    invalid("emitter_server_emit: NULL nsp with length", sockeye_emitter_server_emit(emitter, NULL, 1, &e));
    invalid("emitter_server_emit: NULL emission", sockeye_emitter_server_emit(emitter, "/", 1, NULL));
    GIVES("emitter_server_emit: NULL is the namespace /", SOCKEYE_OK, sockeye_emitter_server_emit(emitter, NULL, 0, &e));
    invalid("emitter_flush: NULL emitter", sockeye_emitter_flush(NULL, 0));
    invalid("emitter_get_state: NULL emitter", sockeye_emitter_get_state(NULL, &state));
    invalid("emitter_get_state: NULL state", sockeye_emitter_get_state(emitter, NULL));
    invalid("emitter_error: NULL emitter", sockeye_emitter_error(NULL, &buffer));
    invalid("emitter_error: NULL out", sockeye_emitter_error(emitter, NULL));
    invalid("emitter_close: NULL emitter", sockeye_emitter_close(NULL, 0));
    GIVES("emitter_free: NULL is allowed", SOCKEYE_OK, sockeye_emitter_free(NULL));
    NEED(sockeye_emitter_close(emitter, 0) == SOCKEYE_OK && sockeye_emitter_free(emitter) == SOCKEYE_OK);
}

static void json_functions(void)
{
    const char *out = NULL;
    size_t len = 0;
    char buf[8];
    invalid("json_get: NULL json with length", sockeye_json_get(NULL, 2, "/a", 2, &out, &len));
    invalid("json_get: NULL pointer with length", sockeye_json_get("{}", 2, NULL, 2, &out, &len));
    invalid("json_get: NULL out", sockeye_json_get("{}", 2, "/a", 2, NULL, &len));
    invalid("json_get: NULL out_len", sockeye_json_get("{}", 2, "/a", 2, &out, NULL));
    invalid("json_string: NULL json with length", sockeye_json_string(NULL, 2, buf, sizeof buf));
    invalid("json_string: NULL buf with capacity", sockeye_json_string("\"a\"", 3, NULL, 8));
    GIVES("json_string: no buf asks for the length", 1, sockeye_json_string("\"a\"", 3, NULL, 0));
    invalid("json_quote: NULL text with length", sockeye_json_quote(NULL, 2, buf, sizeof buf));
    invalid("json_quote: NULL buf with capacity", sockeye_json_quote("a", 1, NULL, 8));
    GIVES("json_quote: no buf asks for the length", 3, sockeye_json_quote("a", 1, NULL, 0));
}

int main(void)
{
    server = server_start();
    int fd = sio_open(server.port);
    peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    engine_functions();
    metrics_functions();
    takeover_functions();
    queue_functions();
    name_functions();
    socket_functions();
    sending_functions();
    many_socket_functions();
    emitter_functions();
    json_functions();
    close(fd);
    server_end(&server);
    return contract_report();
}
