/* Connections that the host accepted: descriptors of every kind, what was read from them before, and who is told to be at their other end. */
#include "takeover.h"

static int serves_a_stranger(const struct server *server)
{
    int fd = sio_open(server->port);
    close(fd);
    return 1;
}

/* ---- descriptors ----------------------------------------------------------------------------------------------------------------------- */

static void refused_descriptors(struct server *server)
{
    int ends[2], datagram = socket(AF_INET, SOCK_DGRAM, 0), listener = socket(AF_INET, SOCK_STREAM, 0), pipes[2];
    sockeye_connection connection = connection_of(-1);
    NEED(listen(listener, 1) == 0 && pipe(pipes) == 0);
    GIVES("descriptor -1", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    connection.fd = datagram;
    GIVES("a datagram socket", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    connection.fd = pipes[0];
    GIVES("a pipe", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    connection.fd = (ptrdiff_t)1 << 40;
    GIVES("a number too large", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    connection.fd = listener;
    GIVES("a listening socket has no peer", SOCKEYE_ERR_GONE, sockeye_engine_adopt(server->engine, &connection, NULL));
    tcp_pair(ends);
    connection = connection_of(ends[1]);
    connection.flags = 2;
    GIVES("unknown flags", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    connection = connection_of(ends[1]);
    connection.remote = "nowhere";
    connection.remote_len = 7;
    GIVES("a remote that is no address", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    connection = connection_of(ends[1]);
    connection.head_len = 5;
    GIVES("a head of NULL", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    connection.head = get_polling;
    connection.head_len = (size_t)1 << 30;
    GIVES("a head that nobody can have read", SOCKEYE_ERR_TOO_BIG, sockeye_engine_adopt(server->engine, &connection, NULL));
    GIVES("NULL engine", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(NULL, &connection, NULL));
    GIVES("NULL connection", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, NULL, NULL));
    CHECK("a refused descriptor stays open", is_open(ends[1]) && is_open(datagram) && is_open(listener) && is_open(pipes[0]));
    CHECK("and as it was", (fcntl(ends[1], F_GETFL) & O_NONBLOCK) == 0);
    close(ends[0]), close(ends[1]), close(datagram), close(listener), close(pipes[0]), close(pipes[1]);
}

/* A whole Socket.IO conversation on a connection of which the host read the first `read_before` bytes. */
static void talk(struct server *server, const char *name, int ends[2], const char *request, size_t read_before)
{
    char text[1024], title[128];
    sockeye_stream out = 7;
    sockeye_connection connection = connection_of(ends[1]);
    connection.head = request;
    connection.head_len = read_before;
    snprintf(title, sizeof title, "%s: adopted", name);
    GIVES(title, SOCKEYE_OK, sockeye_engine_adopt(server->engine, &connection, &out));
    snprintf(title, sizeof title, "%s: a descriptor is no stream", name);
    CHECK(title, out == 0);
    send_all(ends[0], request + read_before, strlen(request) - read_before);
    snprintf(title, sizeof title, "%s: joined", name);
    CHECK(title, http_head(ends[0], text, sizeof text) == 101 && ws_recv(ends[0], text, sizeof text) > 0 && text[0] == '0' &&
                     ws_send(ends[0], "40") == 0 && ws_recv(ends[0], text, sizeof text) > 0 && strncmp(text, "40{", 3) == 0);
    sockeye_event event = server_next(server, SOCKEYE_EVENT_CONNECT);
    sockeye_socket peer = event.socket;
    ws_send(ends[0], "42[\"hi\",1]");
    event = server_next(server, SOCKEYE_EVENT_MESSAGE);
    snprintf(title, sizeof title, "%s: heard", name);
    CHECK(title, event.socket == peer && is_text(event.name_ptr, event.name_len, "hi") && is_text(event.data, event.data_len, "[1]"));
    sockeye_emission emission = emission_of("yo", "[2]");
    sockeye_emit(server->engine, peer, &emission, NULL);
    snprintf(title, sizeof title, "%s: answered", name);
    CHECK(title, ws_recv(ends[0], text, sizeof text) > 0 && strcmp(text, "42[\"yo\",2]") == 0);
    close(ends[0]);
    server_next(server, SOCKEYE_EVENT_DISCONNECT);
    for (int i = 0; i < PATIENCE_MS / 10 && is_open(ends[1]); i++)
        sleep_ms(10);
    snprintf(title, sizeof title, "%s: the engine closes the descriptor", name);
    CHECK(title, !is_open(ends[1]));
}

static void adopted_descriptors(struct server *server)
{
    int ends[2];
    tcp_pair(ends);
    talk(server, "nothing read yet", ends, open_websocket, 0);
    tcp_pair(ends);
    talk(server, "half a head read", ends, open_websocket, 40);
    tcp_pair(ends);
    talk(server, "the whole request read", ends, open_websocket, sizeof open_websocket - 1);
    unix_pair(ends);
    talk(server, "a Unix socket", ends, open_websocket, 11);
}

static void pipelined_requests(struct server *server)
{
    char both[2 * sizeof get_polling], answer[8192];
    int ends[2];
    sockeye_connection connection;
    tcp_pair(ends);
    int n = snprintf(both, sizeof both, "GET /none HTTP/1.1\r\nHost: test\r\n\r\n%s", get_polling);
    connection = connection_of(ends[1]);
    connection.head = both;
    connection.head_len = (size_t)n;
    NEED(sockeye_engine_adopt(server->engine, &connection, NULL) == SOCKEYE_OK);
    size_t len = read_to_end(ends[0], answer, sizeof answer);
    CHECK("pipelined requests are answered in order",
          strncmp(answer, "HTTP/1.1 404", 12) == 0 && contains(answer, len, "HTTP/1.1 200 OK") && contains(answer, len, "0{\"sid\":"));
    close(ends[0]);
    tcp_pair(ends);
    connection = connection_of(ends[1]);
    connection.head = "NONSENSE\r\n\r\n";
    connection.head_len = 12;
    NEED(sockeye_engine_adopt(server->engine, &connection, NULL) == SOCKEYE_OK);
    read_to_end(ends[0], answer, sizeof answer);
    CHECK("what is no HTTP is answered so", strncmp(answer, "HTTP/1.1 400", 12) == 0);
    close(ends[0]);
}

static void a_peer_that_is_gone(struct server *server)
{
    struct linger at_once = {1, 0};
    int ends[2];
    sockeye_connection connection;
    tcp_pair(ends);
    setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(ends[0]);
    sleep_ms(20);
    connection = connection_of(ends[1]);
    GIVES("a connection that was reset", SOCKEYE_ERR_GONE, sockeye_engine_adopt(server->engine, &connection, NULL));
    CHECK("its descriptor is still the host's", is_open(ends[1]) && close(ends[1]) == 0);
    tcp_pair(ends);
    close(ends[0]);
    connection = connection_of(ends[1]);
    GIVES("a connection that ended", SOCKEYE_OK, sockeye_engine_adopt(server->engine, &connection, NULL));
    for (int i = 0; i < PATIENCE_MS / 10 && is_open(ends[1]); i++)
        sleep_ms(10);
    CHECK("is closed", !is_open(ends[1]));
}

/* The handshake as the host is told of it. */
static void addresses(void)
{
    static const struct {
        const char *remote, *shown;
        uint32_t flags;
    } cases[] = {{"203.0.113.7", "\"address\":\"203.0.113.7\",\"secure\":false", 0},
                 {"203.0.113.7:4711", "\"address\":\"203.0.113.7\",\"secure\":true", SOCKEYE_CONNECTION_SECURE},
                 {"[2001:db8::1]:4711", "\"address\":\"2001:db8::1\",\"secure\":false", 0},
                 {"", "\"address\":\"\",\"secure\":false", 0}};
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_ALLOW_REQUEST;
    struct server server = server_new(&options);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int ends[2];
        char answer[1024];
        unix_pair(ends);
        sockeye_connection connection = connection_of(ends[1]);
        connection.flags = cases[i].flags;
        connection.head = get_polling;
        connection.head_len = sizeof get_polling - 1;
        connection.remote = cases[i].remote;
        connection.remote_len = strlen(cases[i].remote);
        NEED(sockeye_engine_adopt(server.engine, &connection, NULL) == SOCKEYE_OK);
        sockeye_event event = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
        CHECK(cases[i].shown, contains(event.data, event.data_len, cases[i].shown));
        NEED(sockeye_accept(server.engine, event.token, 0, NULL, 0) == SOCKEYE_OK);
        read_to_end(ends[0], answer, sizeof answer);
        close(ends[0]);
    }
    server_end(&server);
}

int main(void)
{
    struct server server = server_start();
    refused_descriptors(&server);
    adopted_descriptors(&server);
    pipelined_requests(&server);
    a_peer_that_is_gone(&server);
    CHECK("a client on the listener is served as before", serves_a_stranger(&server));
    server_end(&server);
    addresses();
    return contract_report();
}
