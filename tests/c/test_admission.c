/* Decisions that the host takes by token: handshakes, dynamic namespaces; and the events that a host asks for by flag: refused connections,
 * rooms; and bare Engine.IO. */
#include "client.h"

#define POLLING "/socket.io/?EIO=4&transport=polling"

static char body[4096];

/* A request that another thread's poll must answer first: sent now, its answer read later. */
static int http_begin(uint16_t port, const char *target)
{
    char head[512];
    int fd = tcp_open(port);
    NEED(fd >= 0);
    int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", target);
    NEED(send_all(fd, head, (size_t)n) == 0);
    return fd;
}

/* Everything until the end of the connection. */
static int http_end(int fd)
{
    size_t len = 0;
    while (len + 1 < sizeof body) {
        ssize_t n = recv(fd, body + len, sizeof body - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    body[len] = 0;
    close(fd);
    return len > 12 ? atoi(body + 9) : -1;
}

static void handshakes(void)
{
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_ALLOW_REQUEST;
    struct server server = server_new(&options);
    server_listen(&server);
    int fd = http_begin(server.port, POLLING "&key=1");
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    CHECK("HTTP_REQUEST has the URL", is_text(event.name_ptr, event.name_len, POLLING "&key=1"));
    CHECK("and the handshake", contains(event.data, event.data_len, "\"key\":\"1\""));
    GIVES("accept with headers", SOCKEYE_OK, sockeye_accept(server.engine, event.token, 0, "{\"headers\":{\"x-mine\":\"yes\"}}", 28));
    GIVES("accept again", SOCKEYE_ERR_STALE, sockeye_accept(server.engine, event.token, 0, NULL, 0));
    GIVES("the handshake goes through", 200, http_end(fd));
    CHECK("with the header", strcasestr(body, "x-mine: yes") != NULL);
    fd = http_begin(server.port, POLLING);
    event = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    GIVES("reject", SOCKEYE_OK, sockeye_reject(server.engine, event.token, "not you", 7, NULL, 0));
    GIVES("is 403", 403, http_end(fd));
    CHECK("with the message", strstr(body, "{\"code\":4,\"message\":\"not you\"}") != NULL);
    fd = http_begin(server.port, POLLING);
    event = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    close(fd);
    sleep_ms(50);
    sockeye_result late = sockeye_accept(server.engine, event.token, 0, NULL, 0);
    CHECK("a decision for a peer that went is OK or stale", late == SOCKEYE_OK || late == SOCKEYE_ERR_STALE);
    fd = http_begin(server.port, POLLING);
    server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    server_end(&server);
    CHECK("an undecided one ends with the engine", http_end(fd) != 200);
}

/* A client that does not wait for the answer to its handshake: what it has sent of a frame by then is more than is read ahead. */
static void frames_before_the_handshake_is_decided(void)
{
    enum { LEN = 300000, FIRST = 200000 };
    static const char upgrade[] = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static const unsigned char head[] = {0x81, 0xff, 0, 0, 0, 0, 0, LEN >> 16, LEN >> 8 & 255, LEN & 255, 0, 0, 0, 0};
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_ALLOW_REQUEST;
    struct server server = server_new(&options);
    char *packet = (char *)malloc(LEN);
    server_listen(&server);
    int fd = tcp_open(server.port);
    NEED(fd >= 0 && packet != NULL);
    memset(packet, 'x', LEN);
    memcpy(packet, "42[\"", 4);
    memcpy(packet + LEN - 2, "\"]", 2);
    memcpy(packet + 20, "\",\"", 3);
    NEED(send_all(fd, upgrade, sizeof upgrade - 1) == 0 && ws_send(fd, "40") == 0);
    NEED(send_all(fd, head, sizeof head) == 0 && send_all(fd, packet, FIRST) == 0);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    NEED(sockeye_accept(server.engine, event.token, 0, NULL, 0) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    NEED(send_all(fd, packet + FIRST, LEN - FIRST) == 0);
    CHECK("the rest of such a frame is read too", server_next(&server, SOCKEYE_EVENT_MESSAGE).data_len > LEN - 100);
    free(packet);
    close(fd);
    server_end(&server);
}

static void dynamic_namespaces(void)
{
    struct server server = server_start();
    sockeye_nsp_options ask = nsp_options_of(SOCKEYE_NSP_ASK, NULL);
    sockeye_nsp pattern = 0;
    char answer[256];
    NEED(sockeye_namespace_pattern(server.engine, "^/game-", 7, &ask, &pattern) == SOCKEYE_OK);
    int fd = sio_open(server.port);
    ws_send(fd, "40/elsewhere,");
    ws_recv(fd, answer, sizeof answer);
    CHECK("an unknown namespace is refused by the engine", strcmp(answer, "44/elsewhere,{\"message\":\"Invalid namespace\"}") == 0);
    ws_send(fd, "40/game-1,{\"k\":1}");
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_NAMESPACE_REQUEST);
    CHECK("NAMESPACE_REQUEST has name, pattern and auth",
          is_text(event.name_ptr, event.name_len, "/game-1") && event.nsp == pattern && is_text(event.data, event.data_len, "{\"k\":1}"));
    GIVES("reject", SOCKEYE_OK, sockeye_reject(server.engine, event.token, NULL, 0, NULL, 0));
    ws_recv(fd, answer, sizeof answer);
    CHECK("is an invalid namespace", strcmp(answer, "44/game-1,{\"message\":\"Invalid namespace\"}") == 0);
    ws_send(fd, "40/game-2,");
    event = server_next(&server, SOCKEYE_EVENT_NAMESPACE_REQUEST);
    GIVES("accept", SOCKEYE_OK, sockeye_accept(server.engine, event.token, 0, NULL, 0));
    event = server_next(&server, SOCKEYE_EVENT_NAMESPACE);
    CHECK("NAMESPACE tells the new one", is_text(event.name_ptr, event.name_len, "/game-2") && event.status == (sockeye_result)pattern);
    sockeye_nsp nsp = event.nsp;
    CHECK("and its socket joins it", server_next(&server, SOCKEYE_EVENT_CONNECT).nsp == nsp);
    ws_recv(fd, answer, sizeof answer);
    CHECK("the client is in", strncmp(answer, "40/game-2,{\"sid\":", 17) == 0);
    close(fd);
    server_end(&server);
}

static void refused_connections(void)
{
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_CONNECTION_ERRORS;
    struct server server = server_new(&options);
    server_listen(&server);
    GIVES("an unknown transport", 400, http_request(server.port, "GET", "/socket.io/?EIO=4&transport=pigeon", NULL, body, sizeof body));
    CHECK("has the official body", strcmp(body, "{\"code\":0,\"message\":\"Transport unknown\"}") == 0);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_CONNECTION_ERROR);
    CHECK("CONNECTION_ERROR has code and message", event.status == 0 && is_text(event.name_ptr, event.name_len, "Transport unknown"));
    CHECK("and the context", contains(event.data, event.data_len, "pigeon"));
    GIVES("an unknown session", 400, http_request(server.port, "GET", POLLING "&sid=nobody", NULL, body, sizeof body));
    event = server_next(&server, SOCKEYE_EVENT_CONNECTION_ERROR);
    CHECK("CONNECTION_ERROR 1",
          event.status == 1 && is_text(event.name_ptr, event.name_len, "Session ID unknown") && contains(event.data, event.data_len, "nobody"));
    GIVES("outside the path", 404, http_request(server.port, "GET", "/elsewhere", NULL, body, sizeof body));
    server_end(&server);
}

/* A client that leaves while the host decides: what was accepted ends with a DISCONNECT, or is refused as stale. */
static void accepted_but_gone(void)
{
    struct server server = server_start();
    sockeye_nsp_options ask = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL);
    sockeye_nsp nsp = 0;
    int accepted = 0, connected = 0, disconnected = 0, other = 0;
    NEED(sockeye_namespace(server.engine, "/", 1, &ask, &nsp) == SOCKEYE_OK);
    for (int i = 0; i < 200; i++) {
        char answer[256];
        int fd = ws_open(server.port, "/socket.io/?EIO=4&transport=websocket");
        NEED(fd >= 0 && ws_recv(fd, answer, sizeof answer) > 0 && ws_send(fd, "40") == 0);
        close(fd);
        sockeye_event event = server_next(&server, SOCKEYE_EVENT_AUTHORIZE);
        sockeye_result result = sockeye_accept(server.engine, event.token, 7, NULL, 0);
        accepted += result == SOCKEYE_OK;
        other += result != SOCKEYE_OK && result != SOCKEYE_ERR_STALE;
        while (result == SOCKEYE_OK && sockeye_queue_poll(server.queue, &event, sizeof event, 1, PATIENCE_MS) == 1) {
            connected += event.kind == SOCKEYE_EVENT_CONNECT;
            disconnected += event.kind == SOCKEYE_EVENT_DISCONNECT && event.user == 7;
            if (event.kind == SOCKEYE_EVENT_DISCONNECT)
                break;
        }
    }
    GIVES("accept is OK or stale", 0, other);
    GIVES("each accepted socket connects", accepted, connected);
    GIVES("and disconnects, with its user value", accepted, disconnected);
    server_end(&server);
}

static int is_room(const sockeye_event *event, sockeye_result status, const char *room, sockeye_socket socket)
{
    return event->status == status && is_text(event->name_ptr, event->name_len, room) && (!socket || event->socket == socket);
}

/* A client that leaves before the host decides, and a host that takes too long. */
static void withdrawn(void)
{
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_ALLOW_REQUEST;
    struct server server = server_new(&options);
    sockeye_nsp_options ask = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL), ask_first = nsp_options_of(SOCKEYE_NSP_ASK, NULL);
    sockeye_nsp nsp = 0, pattern = 0;
    server_listen(&server);
    close(http_begin(server.port, POLLING));
    sockeye_event asked = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    sockeye_token token = asked.token;
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_WITHDRAWN);
    CHECK("WITHDRAWN tells that a peer went before its handshake was decided", event.token == token && event.status == SOCKEYE_ERR_GONE);
    GIVES("deciding is stale then", SOCKEYE_ERR_STALE, sockeye_accept(server.engine, token, 0, NULL, 0));
    server_end(&server);

    options.connect_timeout_ms = 100;
    server = server_new(&options);
    server_listen(&server);
    int fd = http_begin(server.port, POLLING);
    token = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST).token;
    event = server_next(&server, SOCKEYE_EVENT_WITHDRAWN);
    CHECK("or that the time is over", event.token == token && event.status == SOCKEYE_ERR_TIMEOUT && event.name_len == 0);
    GIVES("which refuses it", 403, http_end(fd));
    server_end(&server);

    options = default_options();
    server = server_new(&options);
    NEED(sockeye_namespace(server.engine, "/", 1, &ask, &nsp) == SOCKEYE_OK);
    NEED(sockeye_namespace_pattern(server.engine, "^/game-", 7, &ask_first, &pattern) == SOCKEYE_OK);
    server_listen(&server);
    char answer[256];
    fd = ws_open(server.port, "/socket.io/?EIO=4&transport=websocket");
    NEED(fd >= 0 && ws_recv(fd, answer, sizeof answer) > 0 && ws_send(fd, "40") == 0 && ws_send(fd, "40/game-1,") == 0);
    asked = server_next(&server, SOCKEYE_EVENT_AUTHORIZE);
    sockeye_token join = asked.token, name = server_next(&server, SOCKEYE_EVENT_NAMESPACE_REQUEST).token;
    sockeye_socket socket = asked.socket;
    close(fd);
    event = server_next(&server, SOCKEYE_EVENT_WITHDRAWN);
    CHECK("AUTHORIZE is withdrawn with its socket and the reason",
          event.token == join && event.socket == socket && event.nsp == nsp && is_text(event.name_ptr, event.name_len, "transport close"));
    event = server_next(&server, SOCKEYE_EVENT_WITHDRAWN);
    CHECK("NAMESPACE_REQUEST with its pattern", event.token == name && event.nsp == pattern && event.status == SOCKEYE_ERR_GONE);
    GIVES("its socket is gone", SOCKEYE_ERR_STALE, sockeye_socket_set_user(server.engine, socket, 1));

    fd = ws_open(server.port, "/socket.io/?EIO=4&transport=websocket");
    NEED(fd >= 0 && ws_recv(fd, answer, sizeof answer) > 0 && ws_send(fd, "40") == 0);
    token = server_next(&server, SOCKEYE_EVENT_AUTHORIZE).token;
    sockeye_engine_close(server.engine, 0);
    event = server_next(&server, SOCKEYE_EVENT_WITHDRAWN);
    CHECK("and all of them when the engine closes", event.token == token && event.status == SOCKEYE_ERR_CLOSED);
    close(fd);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
}

static void room_events(void)
{
    struct server server = server_start();
    sockeye_nsp_options tell = nsp_options_of(SOCKEYE_NSP_ROOM_EVENTS, NULL);
    sockeye_bytes room = bytes_of("r");
    sockeye_nsp nsp = 0;
    char answer[256];
    NEED(sockeye_namespace(server.engine, "/rooms", 6, &tell, &nsp) == SOCKEYE_OK);
    int fd = sio_open_as(server.port, "40/rooms,", answer, sizeof answer);
    NEED(fd >= 0);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_ROOM);
    CHECK("the socket's own room comes to be first", event.status == SOCKEYE_ROOM_CREATE && event.name_len == 20);
    sockeye_socket peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    GIVES("join", SOCKEYE_OK, sockeye_socket_join(server.engine, peer, &room, 1));
    event = server_next(&server, SOCKEYE_EVENT_ROOM);
    CHECK("a room comes to be", is_room(&event, SOCKEYE_ROOM_CREATE, "r", 0));
    event = server_next(&server, SOCKEYE_EVENT_ROOM);
    CHECK("and is joined", is_room(&event, SOCKEYE_ROOM_JOIN, "r", peer));
    GIVES("leave", SOCKEYE_OK, sockeye_socket_leave(server.engine, peer, &room, 1));
    event = server_next(&server, SOCKEYE_EVENT_ROOM);
    CHECK("it is left", is_room(&event, SOCKEYE_ROOM_LEAVE, "r", peer));
    event = server_next(&server, SOCKEYE_EVENT_ROOM);
    CHECK("and is no more", is_room(&event, SOCKEYE_ROOM_DELETE, "r", 0));
    close(fd);
    event = server_next(&server, SOCKEYE_EVENT_DISCONNECTING);
    CHECK("DISCONNECTING still has the rooms", contains(event.data, event.data_len, "\"rooms\":["));
    server_end(&server);
}

static void bare_engine(void)
{
    sockeye_options options = default_options();
    sockeye_nsp nsp = 0;
    sockeye_emission e = emission_of("x", "[]");
    char answer[256];
    options.flags = SOCKEYE_OPT_ENGINE_ONLY;
    struct server server = server_new(&options);
    server_listen(&server);
    int fd = ws_open(server.port, "/engine.io/?EIO=4&transport=websocket");
    NEED(fd >= 0 && ws_recv(fd, answer, sizeof answer) > 0);
    sockeye_socket peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    ws_send(fd, "4hello");
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("a text message", event.socket == peer && !(event.flags & SOCKEYE_EVENT_BINARY) && is_text(event.data, event.data_len, "hello"));
    ws_send_bytes(fd, FRAME_BINARY, "\x01\x02", 2);
    event = server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("a binary message",
          event.flags & SOCKEYE_EVENT_BINARY && event.attachment_count == 1 && is_text(event.attachments[0].ptr, event.attachments[0].len, "\x01\x02"));
    GIVES("send text", SOCKEYE_OK, sockeye_send(server.engine, peer, "back", 4, 0));
    GIVES("send bytes", SOCKEYE_OK, sockeye_send(server.engine, peer, "\x03", 1, SOCKEYE_BINARY));
    GIVES("send text that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_send(server.engine, peer, "\xff", 1, 0));
    CHECK("they arrive", ws_recv(fd, answer, sizeof answer) > 0 && strcmp(answer, "4back") == 0 && ws_recv(fd, answer, sizeof answer) == 1 && answer[0] == 3);
    GIVES("events are of Socket.IO", SOCKEYE_ERR_UNSUPPORTED, sockeye_emit(server.engine, peer, &e, NULL));
    GIVES("namespaces too", SOCKEYE_ERR_UNSUPPORTED, sockeye_namespace(server.engine, "/x", 2, NULL, &nsp));
    close(fd);
    server_end(&server);
}

int main(void)
{
    handshakes();
    frames_before_the_handshake_is_decided();
    dynamic_namespaces();
    accepted_but_gone();
    withdrawn();
    refused_connections();
    room_events();
    bare_engine();
    return contract_report();
}
