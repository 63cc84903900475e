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
    GIVES("engine_free: NULL is allowed", SOCKEYE_OK, sockeye_engine_free(NULL));
    CHECK("engine_queue: NULL", sockeye_engine_queue(NULL) == NULL);
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
    invalid("send: NULL engine", sockeye_send(NULL, peer, "x", 1, 0));
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
    invalid("server_count: NULL engine", sockeye_server_count(NULL, 1, &token));
    invalid("server_count: NULL token", sockeye_server_count(server.engine, 1, NULL));
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
    queue_functions();
    name_functions();
    socket_functions();
    sending_functions();
    many_socket_functions();
    json_functions();
    close(fd);
    server_end(&server);
    return contract_report();
}
