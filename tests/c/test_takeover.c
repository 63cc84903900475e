/* Connections that the host accepted: descriptors of every kind, what was read from them before, and streams that the host feeds. */
#include "client.h"

#include <fcntl.h>
#include <pthread.h>

#define POLL_TARGET "/socket.io/?EIO=4&transport=polling"
static const char get_polling[] = "GET " POLL_TARGET " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
static const char open_websocket[] =
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static sockeye_connection connection_of(int fd)
{
    sockeye_connection connection;
    memset(&connection, 0, sizeof connection);
    connection.size = sizeof connection;
    connection.fd = fd;
    return connection;
}

/* Two ends of a TCP connection. */
static void tcp_pair(int ends[2])
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    NEED(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    ends[0] = tcp_open(ntohs(address.sin_port));
    ends[1] = accept(listener, NULL, NULL);
    NEED(ends[0] >= 0 && ends[1] >= 0);
    close(listener);
}

static void unix_pair(int ends[2])
{
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Reads to the end of the connection; returns the length. */
static size_t read_to_end(int fd, char *out, size_t cap)
{
    size_t len = 0;
    ssize_t n;
    while (len + 1 < cap && (n = recv(fd, out + len, cap - 1 - len, 0)) > 0)
        len += (size_t)n;
    out[len] = 0;
    return len;
}

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

/* ---- streams of the host's ----------------------------------------------------------------------------------------------------------- */

/* A host's stream into memory: `takes` bytes are taken, then no more. */
struct stream {
    pthread_mutex_t lock;
    sockeye_engine *engine;
    sockeye_stream id;
    char sent[64 * 1024];
    size_t len, takes;
    int sends, rooms, closes, drops, late;
    /* What is done in `send`: to whom something is emitted, and how often. */
    sockeye_socket peer;
    int emits;
    /* In each function: results of `sockeye_engine_free`, which cannot be, and whether the engine is closed. */
    int frees_refused, closes_engine;
};

static void meddle(struct stream *stream)
{
    if (!stream->closes_engine)
        return;
    stream->frees_refused += sockeye_engine_free(stream->engine) == SOCKEYE_ERR_DEADLOCK;
    sockeye_engine_close(stream->engine, 0);
}

static size_t on_send(void *user, const void *data, size_t len)
{
    struct stream *stream = (struct stream *)user;
    pthread_mutex_lock(&stream->lock);
    stream->late += stream->closes || stream->drops;
    stream->sends++;
    size_t n = len < stream->takes ? len : stream->takes;
    if (n > sizeof stream->sent - stream->len)
        n = sizeof stream->sent - stream->len;
    memcpy(stream->sent + stream->len, data, n);
    stream->len += n;
    stream->takes -= n;
    pthread_mutex_unlock(&stream->lock);
    sockeye_stream_input(stream->engine, stream->id, "", 0);
    if (stream->peer && stream->emits > 0) {
        sockeye_emission emission = emission_of("more", "[]");
        stream->emits--;
        sockeye_emit(stream->engine, stream->peer, &emission, NULL);
    }
    meddle(stream);
    return n;
}

static void on_room(void *user)
{
    struct stream *stream = (struct stream *)user;
    __atomic_add_fetch(&stream->rooms, 1, __ATOMIC_SEQ_CST);
}

static void on_close(void *user)
{
    struct stream *stream = (struct stream *)user;
    meddle(stream);
    __atomic_add_fetch(&stream->closes, 1, __ATOMIC_SEQ_CST);
}

static void on_drop(void *user)
{
    struct stream *stream = (struct stream *)user;
    meddle(stream);
    __atomic_add_fetch(&stream->drops, 1, __ATOMIC_SEQ_CST);
}

static struct stream *stream_new(size_t takes)
{
    struct stream *stream = (struct stream *)calloc(1, sizeof *stream);
    NEED(stream && pthread_mutex_init(&stream->lock, NULL) == 0);
    stream->takes = takes;
    return stream;
}

static void stream_free(struct stream *stream)
{
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static sockeye_result adopt(struct server *server, struct stream *stream, const char *head)
{
    sockeye_connection connection = connection_of(-1);
    connection.head = head;
    connection.head_len = strlen(head);
    connection.send = on_send;
    connection.room = on_room;
    connection.close = on_close;
    connection.user = stream;
    connection.drop = on_drop;
    stream->engine = server->engine;
    return sockeye_engine_adopt(server->engine, &connection, &stream->id);
}

static int count_of(int *count)
{
    return __atomic_load_n(count, __ATOMIC_SEQ_CST);
}

static int comes_to(int *count, int wanted)
{
    for (int i = 0; i < PATIENCE_MS / 5 && count_of(count) < wanted; i++)
        sleep_ms(5);
    return count_of(count) == wanted;
}

/* Waits until what was sent contains `part`. */
static int sent(struct stream *stream, const char *part)
{
    int found = 0;
    for (int i = 0; i < PATIENCE_MS / 5 && !found; i++) {
        pthread_mutex_lock(&stream->lock);
        found = contains(stream->sent, stream->len, part);
        pthread_mutex_unlock(&stream->lock);
        if (!found)
            sleep_ms(5);
    }
    return found;
}

static void give(struct stream *stream, const void *data, size_t len)
{
    const char *at = (const char *)data;
    while (len) {
        int64_t n = sockeye_stream_input(stream->engine, stream->id, at, len);
        NEED(n >= 0);
        at += n;
        len -= (size_t)n;
        if (!n)
            sleep_ms(1);
    }
}

/* One masked text frame; the mask is 0. */
static void give_text(struct stream *stream, const char *text)
{
    unsigned char head[8] = {0x81, 0, 0, 0, 0, 0, 0, 0};
    size_t len = strlen(text), at = 2;
    head[1] = (unsigned char)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        head[at++] = (unsigned char)(len >> 8);
        head[at++] = (unsigned char)len;
    }
    give(stream, head, at + 4);
    give(stream, text, len);
}

static void refused_streams(struct server *server)
{
    struct stream *stream = stream_new(SIZE_MAX);
    sockeye_connection connection = connection_of(-1);
    sockeye_stream out = 7;
    connection.user = stream;
    connection.drop = on_drop;
    GIVES("drop without send", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, &out));
    connection.send = on_send;
    connection.close = on_close;
    GIVES("send without room", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, &out));
    connection.close = NULL;
    connection.room = on_room;
    GIVES("send without close", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, &out));
    connection.close = on_close;
    GIVES("send without out", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    CHECK("a refused stream gets no call, and out is untouched", stream->drops + stream->closes + stream->sends == 0 && out == 7);
    GIVES("input to no stream", SOCKEYE_ERR_STALE, sockeye_stream_input(server->engine, 0, "x", 1));
    GIVES("end of no stream", SOCKEYE_ERR_STALE, sockeye_stream_end(server->engine, 4711));
    GIVES("writable of no stream", SOCKEYE_ERR_STALE, sockeye_stream_writable(server->engine, UINT64_MAX));
    GIVES("input: NULL engine", SOCKEYE_ERR_INVALID, sockeye_stream_input(NULL, 1, "x", 1));
    GIVES("end: NULL engine", SOCKEYE_ERR_INVALID, sockeye_stream_end(NULL, 1));
    GIVES("writable: NULL engine", SOCKEYE_ERR_INVALID, sockeye_stream_writable(NULL, 1));
    stream_free(stream);
}

static void a_conversation(struct server *server)
{
    struct stream *stream = stream_new(SIZE_MAX);
    GIVES("a stream is adopted", SOCKEYE_OK, adopt(server, stream, ""));
    give(stream, open_websocket, 25);
    give(stream, open_websocket + 25, sizeof open_websocket - 1 - 25);
    CHECK("the upgrade is answered", sent(stream, "HTTP/1.1 101") && sent(stream, "0{\"sid\":"));
    give_text(stream, "40");
    CHECK("a namespace is joined", sent(stream, "40{\"sid\":"));
    sockeye_event event = server_next(server, SOCKEYE_EVENT_CONNECT);
    sockeye_socket peer = event.socket;
    give_text(stream, "42[\"hi\"]");
    server_next(server, SOCKEYE_EVENT_MESSAGE);
    stream->emits = 3;
    stream->peer = peer;
    sockeye_emission emission = emission_of("yo", "[]");
    sockeye_emit(server->engine, peer, &emission, NULL);
    CHECK("an event comes", sent(stream, "42[\"yo\"]"));
    CHECK("and those that `send` emits", sent(stream, "42[\"more\"]\x81\x0a" "42[\"more\"]\x81\x0a" "42[\"more\"]"));
    GIVES("NULL input", SOCKEYE_ERR_INVALID, sockeye_stream_input(server->engine, stream->id, NULL, 1));
    GIVES("the peer ends", SOCKEYE_OK, sockeye_stream_end(server->engine, stream->id));
    CHECK("no input after the end", sockeye_stream_input(server->engine, stream->id, "x", 1) < 0);
    event = server_next(server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("its socket leaves", event.socket == peer && is_text(event.name_ptr, event.name_len, "transport close"));
    CHECK("drop is called once", comes_to(&stream->drops, 1));
    CHECK("after close, once", stream->closes == 1 && stream->late == 0);
    GIVES("the stream is stale", SOCKEYE_ERR_STALE, sockeye_stream_input(server->engine, stream->id, "x", 1));
    stream_free(stream);
}

static void a_stream_that_the_engine_closes(struct server *server)
{
    struct stream *stream = stream_new(SIZE_MAX);
    NEED(adopt(server, stream, get_polling) == SOCKEYE_OK);
    CHECK("the request is answered", sent(stream, "0{\"sid\":"));
    CHECK("and the stream closed", comes_to(&stream->closes, 1));
    CHECK("it waits for the peer", count_of(&stream->drops) == 0);
    GIVES("the peer ends", SOCKEYE_OK, sockeye_stream_end(server->engine, stream->id));
    CHECK("then it is dropped", comes_to(&stream->drops, 1) && stream->late == 0);
    stream_free(stream);
}

static size_t taken(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    size_t len = stream->len;
    pthread_mutex_unlock(&stream->lock);
    return len;
}

static void backpressure_outwards(struct server *server)
{
    struct stream *stream = stream_new(100);
    NEED(adopt(server, stream, open_websocket) == SOCKEYE_OK);
    for (int i = 0; i < PATIENCE_MS / 5 && taken(stream) < 100; i++)
        sleep_ms(5);
    CHECK("no more is sent than taken", taken(stream) == 100);
    for (int i = 0; i < 1000 && !contains(stream->sent, taken(stream), "\"maxPayload\":1000000}"); i++) {
        pthread_mutex_lock(&stream->lock);
        stream->takes = 7;
        pthread_mutex_unlock(&stream->lock);
        NEED(sockeye_stream_writable(server->engine, stream->id) == SOCKEYE_OK);
        sleep_ms(1);
    }
    CHECK("the rest comes in pieces, whole", strncmp(stream->sent, "HTTP/1.1 101", 12) == 0);
    sockeye_stream_end(server->engine, stream->id);
    CHECK("and it ends", comes_to(&stream->drops, 1));
    stream_free(stream);
}

/* Input for a session whose queue is full is refused after 256 KiB, and taken again when the host drains. */
static void backpressure_inwards(void)
{
    sockeye_options options = default_options();
    options.queue_events_max = 4;
    struct server server = server_new(&options);
    struct stream *stream = stream_new(SIZE_MAX);
    char frame[8 + 1024];
    size_t given = 0, part = 0;
    int rooms;
    NEED(adopt(&server, stream, open_websocket) == SOCKEYE_OK);
    give_text(stream, "40");
    NEED(sent(stream, "40{\"sid\":"));
    memset(frame, 'x', sizeof frame);
    memcpy(frame, "\x81\xfe\x04\x00\0\0\0\0" "42[\"e\",\"", 16);
    memcpy(frame + sizeof frame - 2, "\"]", 2);
    for (int still = 0; still < 10 && given < ((size_t)1 << 30);) {
        int64_t n = sockeye_stream_input(server.engine, stream->id, frame + part, sizeof frame - part);
        NEED(n >= 0);
        given += (size_t)n;
        part = (part + (size_t)n) % sizeof frame;
        still = n ? 0 : still + 1;
        if (!n)
            sleep_ms(10);
    }
    CHECK("input is refused while nobody drains", given > 256 * 1024 && given < 4 * 1024 * 1024);
    rooms = count_of(&stream->rooms);
    for (size_t i = 0; i < given / sizeof frame; i++)
        server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("the host is told of room, and nothing is lost", count_of(&stream->rooms) > rooms);
    sockeye_stream_end(server.engine, stream->id);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("the stream is dropped", comes_to(&stream->drops, 1));
    stream_free(stream);
    server_end(&server);
}

/* The functions of a stream may close the engine, and are told that they cannot free it. */
static void functions_that_close_the_engine(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    struct stream *stream = stream_new(SIZE_MAX);
    stream->closes_engine = 1;
    NEED(adopt(&server, stream, open_websocket) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    CHECK("free is refused in each function", comes_to(&stream->drops, 1) && stream->frees_refused >= 3);
    GIVES("and works outside", SOCKEYE_OK, sockeye_engine_free(server.engine));
    stream_free(stream);
}

static void too_many_connections(void)
{
    sockeye_limits limits;
    sockeye_options options = default_options();
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    limits.connections_max = 1;
    options.limits = &limits;
    struct server server = server_new(&options);
    struct stream *stream = stream_new(SIZE_MAX), *refused = stream_new(SIZE_MAX);
    int ends[2];
    unix_pair(ends);
    NEED(adopt(&server, stream, "") == SOCKEYE_OK);
    GIVES("a stream too many", SOCKEYE_ERR_FULL, adopt(&server, refused, ""));
    CHECK("gets no call", refused->drops + refused->closes == 0);
    sockeye_connection connection = connection_of(ends[1]);
    GIVES("a descriptor too many", SOCKEYE_ERR_FULL, sockeye_engine_adopt(server.engine, &connection, NULL));
    CHECK("stays the host's", is_open(ends[1]) && (fcntl(ends[1], F_GETFL) & O_NONBLOCK) == 0);
    sockeye_stream_end(server.engine, stream->id);
    NEED(comes_to(&stream->drops, 1));
    GIVES("one that leaves makes room", SOCKEYE_OK, sockeye_engine_adopt(server.engine, &connection, NULL));
    close(ends[0]);
    server_end(&server);
    stream_free(stream);
    stream_free(refused);
}

static void the_engine_closes(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    struct stream *busy = stream_new(SIZE_MAX), *idle = stream_new(0);
    int ends[2];
    NEED(adopt(&server, busy, open_websocket) == SOCKEYE_OK && adopt(&server, idle, "") == SOCKEYE_OK);
    NEED(sent(busy, "0{\"sid\":"));
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    tcp_pair(ends);
    sockeye_connection connection = connection_of(ends[1]);
    GIVES("a closing engine adopts nothing", SOCKEYE_ERR_CLOSED, sockeye_engine_adopt(server.engine, &connection, NULL));
    CHECK("the descriptor stays the host's", is_open(ends[1]));
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
    CHECK("after free each stream is closed and dropped once",
          busy->closes == 1 && busy->drops == 1 && idle->closes == 1 && idle->drops == 1 && busy->late + idle->late == 0);
    close(ends[0]), close(ends[1]);
    stream_free(busy);
    stream_free(idle);
}

/* ---- many threads ------------------------------------------------------------------------------------------------------------------------ */

#define THREADS 4
#define ROUNDS 25

static void *adopt_and_talk(void *argument)
{
    struct server *server = (struct server *)argument;
    intptr_t good = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char text[1024];
        int ends[2];
        unix_pair(ends);
        sockeye_connection connection = connection_of(ends[1]);
        connection.head = get_polling;
        connection.head_len = i % 2 ? sizeof get_polling - 1 : 17;
        if (sockeye_engine_adopt(server->engine, &connection, NULL) != SOCKEYE_OK)
            close(ends[1]);
        send_all(ends[0], get_polling + connection.head_len, sizeof get_polling - 1 - connection.head_len);
        good += contains(text, read_to_end(ends[0], text, sizeof text), "0{\"sid\":");
        close(ends[0]);
        struct stream *stream = stream_new(SIZE_MAX);
        if (adopt(server, stream, "") == SOCKEYE_OK) {
            give(stream, get_polling, sizeof get_polling - 1);
            good += sent(stream, "0{\"sid\":");
            sockeye_stream_end(server->engine, stream->id);
            good += comes_to(&stream->drops, 1);
        }
        stream_free(stream);
    }
    return (void *)good;
}

static void many_threads(void)
{
    sockeye_options options = default_options();
    options.shards = 3;
    struct server server = server_new(&options);
    pthread_t threads[THREADS];
    intptr_t good = 0;
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, adopt_and_talk, &server) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        good += (intptr_t)result;
    }
    GIVES("many threads hand over at once", THREADS * ROUNDS * 3, good);
    server_end(&server);
}

int main(void)
{
    struct server server = server_start();
    refused_descriptors(&server);
    adopted_descriptors(&server);
    pipelined_requests(&server);
    a_peer_that_is_gone(&server);
    refused_streams(&server);
    a_conversation(&server);
    a_stream_that_the_engine_closes(&server);
    backpressure_outwards(&server);
    CHECK("a client on the listener is served as before", serves_a_stranger(&server));
    server_end(&server);
    addresses();
    backpressure_inwards();
    the_engine_closes();
    functions_that_close_the_engine();
    too_many_connections();
    many_threads();
    return contract_report();
}
