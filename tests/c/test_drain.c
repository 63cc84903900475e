/* Draining, for deploys: clients are told, sessions end one by one, what is queued arrives, the next process accepts on. */
#include "client.h"
#include "process.h"

#define CLIENTS 20

static sockeye_drain_options drain_of(uint32_t spread_ms, uint32_t grace_ms)
{
    sockeye_drain_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.spread_ms = spread_ms;
    options.grace_ms = grace_ms;
    return options;
}

/* One request on a connection that stays; `head` gets the answer's head, `out` its body. Returns the status. */
static int http_on(int fd, const char *target, char *head, size_t head_cap, char *out, size_t cap)
{
    char request[1024];
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", target);
    NEED(send_all(fd, request, (size_t)n) == 0);
    int status = http_head(fd, head, head_cap);
    const char *length = strcasestr(head, "content-length:");
    size_t len = length ? (size_t)atoi(length + 15) : 0;
    NEED(len < cap && recv_all(fd, out, len) == 0);
    out[len] = 0;
    return status;
}

/* What a drained engine tells its host, up to CLOSED. */
struct report {
    int first, last, descending, count;
    int disconnects, shutting_down;
    uint64_t first_us, last_us, begun_us, closed_us;
};

static struct report drained(const struct server *server)
{
    struct report report;
    sockeye_event event;
    memset(&report, 0, sizeof report);
    report.first = -1;
    report.descending = 1;
    for (;;) {
        NEED(sockeye_queue_poll(server->queue, &event, sizeof event, 1, PATIENCE_MS) == 1);
        if (event.kind == SOCKEYE_EVENT_CLOSING) {
            char data[64];
            report.descending = report.descending && (report.first < 0 || event.status <= report.last);
            report.first = report.first < 0 ? event.status : report.first;
            report.begun_us = report.count ? report.begun_us : event.time_us;
            report.last = event.status;
            report.count++;
            snprintf(data, sizeof data, "{\"sessions\":%d,", (int)event.status);
            if (!contains(event.data, event.data_len, data))
                CHECK("a report's data has what its status says", 0);
        }
        if (event.kind == SOCKEYE_EVENT_DISCONNECT) {
            report.first_us = report.disconnects ? report.first_us : event.time_us;
            report.last_us = event.time_us;
            report.disconnects++;
            report.shutting_down += event.status == SOCKEYE_REASON_SERVER_SHUTTING_DOWN;
        }
        if (event.kind == SOCKEYE_EVENT_CLOSED) {
            report.closed_us = event.time_us;
            return report;
        }
    }
}

static void sessions_end_one_by_one(uint32_t shards)
{
    sockeye_options options = default_options();
    options.shards = shards;
    struct server server = server_new(&options);
    server_listen(&server);
    sockeye_emission tell = emission_of("server:closing", "[{\"in\":1}]"), e = emission_of("still", "[]");
    /* A checker that watches slows everything down but the time itself. */
    uint32_t times = is_slow() ? 5 : 2;
    sockeye_drain_options drain = drain_of(1000 * times, 200);
    sockeye_target all = target_of(1);
    int fds[CLIENTS], told = 0, closed = 0;
    char text[1024];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = sio_open(server.port);
        server_next(&server, SOCKEYE_EVENT_CONNECT);
    }
    drain.tell = &tell;
    GIVES("drain", SOCKEYE_OK, sockeye_engine_drain(server.engine, &drain));
    GIVES("drain again", SOCKEYE_ERR_CLOSED, sockeye_engine_drain(server.engine, &drain));
    GIVES("a draining engine emits", SOCKEYE_OK, sockeye_broadcast(server.engine, &all, &e, NULL));
    GIVES("but listens no more", SOCKEYE_ERR_CLOSED, sockeye_engine_listen(server.engine, "127.0.0.1:0", 11, NULL));
    struct report report = drained(&server);
    CHECK("the first report has all sessions, the last none", report.first == CLIENTS && report.last == 0);
    CHECK("between them they only get fewer", report.descending && report.count >= 8 && report.count <= CLIENTS + 8);
    CHECK("every socket left with the official reason", report.disconnects == CLIENTS && report.shutting_down == CLIENTS);
    CHECK("over the time that was said", report.last_us - report.first_us >= 700000 * times && report.last_us - report.begun_us < 4000000 * times);
    CHECK("and then the engine closed by itself", report.closed_us >= report.last_us && report.closed_us - report.begun_us < 4500000 * times);
    for (int i = 0; i < CLIENTS; i++) {
        told += ws_recv(fds[i], text, sizeof text) > 0 && strcmp(text, "42[\"server:closing\",{\"in\":1}]") == 0;
        ws_recv(fds[i], text, sizeof text);
        closed += ws_recv(fds[i], text, sizeof text) == -1;
        close(fds[i]);
    }
    GIVES("every client was told first", CLIENTS, told);
    GIVES("none got a DISCONNECT packet, after which it would stay away", CLIENTS, closed);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
}

static int refused_soon(uint16_t port)
{
    int64_t deadline = now_ms() + PATIENCE_MS;
    int fd;
    while ((fd = tcp_open(port)) >= 0 && now_ms() < deadline) {
        close(fd);
        sleep_ms(5);
    }
    return fd < 0;
}

static void requests_while_draining(void)
{
    struct server server = server_start();
    /* Long enough for all that follows, wherever in it the one session's end falls; closing cuts it short. */
    sockeye_drain_options drain = drain_of(3600000, 0);
    char head[4096], body[4096], sid[21], target[256];
    int poller = tcp_open(server.port), idle = tcp_open(server.port), newcomer = tcp_open(server.port), other = tcp_open(server.port);
    NEED(http_on(poller, "/socket.io/?EIO=4&transport=polling", head, sizeof head, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    /* Each of them is with its shard before draining begins. */
    NEED(http_on(idle, "/nothing", head, sizeof head, body, sizeof body) == 404 && strstr(head, "keep-alive"));
    NEED(http_on(newcomer, "/nothing", head, sizeof head, body, sizeof body) == 404);
    NEED(http_on(other, "/nothing", head, sizeof head, body, sizeof body) == 404);
    NEED(sockeye_engine_drain(server.engine, &drain) == SOCKEYE_OK);
    CHECK("the listener is closed", refused_soon(server.port));
    GIVES("a new session is refused", 503, http_on(newcomer, "/socket.io/?EIO=4&transport=polling", head, sizeof head, body, sizeof body));
    CHECK("and its connection closed", strstr(head, "Connection: close") != NULL && recv(newcomer, body, 1, 0) == 0);
    GIVES("other requests are answered", 404, http_on(other, "/nothing", head, sizeof head, body, sizeof body));
    CHECK("once", strstr(head, "Connection: close") != NULL && recv(other, body, 1, 0) == 0);
    NEED(http_request(server.port, "GET", target, NULL, body, sizeof body) == -1);
    int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n40", target);
    NEED(send_all(poller, head, (size_t)n) == 0);
    GIVES("a session that is there goes on", 200, http_head(poller, head, sizeof head));
    CHECK("on the connection that it has", strstr(head, "keep-alive") != NULL && recv_all(poller, body, 2) == 0);
    GIVES("its polls are served", 200, http_on(poller, target, head, sizeof head, body, sizeof body));
    CHECK("with its packets", strncmp(body, "40{\"sid\":", 9) == 0);
    n = snprintf(head, sizeof head,
                 "GET /socket.io/?EIO=4&transport=websocket&sid=%s HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 sid);
    NEED(send_all(idle, head, (size_t)n) == 0);
    GIVES("it can upgrade", 101, http_head(idle, head, sizeof head));
    CHECK("the probe is answered", ws_send(idle, "2probe") == 0 && ws_recv(idle, body, sizeof body) == 6 && strcmp(body, "3probe") == 0);
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    struct report report = drained(&server);
    CHECK("and leaves in the end", report.disconnects == 1 && report.shutting_down == 1);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
    close(poller), close(idle), close(newcomer), close(other);
}

static uint64_t bytes_in(const struct server *server)
{
    sockeye_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server->engine, &metrics) == SOCKEYE_OK);
    return metrics.bytes_in;
}

/* Whether the server has read so many bytes before long. */
static int is_read(const struct server *server, uint64_t wanted)
{
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (bytes_in(server) < wanted && now_ms() < deadline)
        sleep_ms(5);
    return bytes_in(server) >= wanted;
}

static void a_waiting_poll_is_told(void)
{
    struct server server = server_start();
    sockeye_drain_options drain = drain_of(0, 20000);
    char head[4096], body[4096], sid[21], target[256];
    int fd = tcp_open(server.port);
    NEED(http_on(fd, "/socket.io/?EIO=4&transport=polling", head, sizeof head, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    int n = snprintf(target, sizeof target, "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: test\r\n\r\n", sid);
    uint64_t before = bytes_in(&server);
    NEED(send_all(fd, target, (size_t)n) == 0);
    NEED(is_read(&server, before + (uint64_t)n));
    NEED(sockeye_engine_drain(server.engine, &drain) == SOCKEYE_OK);
    GIVES("a poll that waits is answered", 200, http_head(fd, head, sizeof head));
    CHECK("with a close packet, on a connection that closes", recv_all(fd, body, 1) == 0 && body[0] == '1' && strstr(head, "Connection: close"));
    close(fd);
    struct report report = drained(&server);
    CHECK("nothing is left to wait for", report.closed_us - report.begun_us < 15000000);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
}

/* Two engines stand for two processes: the descriptor is the supervisor's. */
static void the_next_process_accepts_on(void)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    sockeye_options options = default_options();
    sockeye_drain_options drain = drain_of(300, 1000);
    struct server old = server_new(&options), next = server_new(&options);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), refused = 0;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    NEED(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 128) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    uint16_t port = ntohs(address.sin_port);
    NEED(sockeye_engine_listen_fd(old.engine, listener) == SOCKEYE_OK);
    int before = sio_open(port);
    server_next(&old, SOCKEYE_EVENT_CONNECT);
    NEED(sockeye_engine_drain(old.engine, &drain) == SOCKEYE_OK);
    server_next(&old, SOCKEYE_EVENT_CLOSING);
    /* The next one is not there yet: its clients wait in the backlog. */
    int waiting = tcp_open(port);
    CHECK("nobody is refused between two processes", waiting >= 0);
    NEED(sockeye_engine_listen_fd(next.engine, listener) == SOCKEYE_OK);
    for (int i = 0; i < 10; i++) {
        int fd = sio_open(port);
        refused += fd < 0;
        server_next(&next, SOCKEYE_EVENT_CONNECT);
        close(fd);
    }
    GIVES("and the next one serves them", 0, refused);
    struct report report = drained(&old);
    CHECK("while the old one ends", report.disconnects == 1);
    NEED(sockeye_engine_free(old.engine) == SOCKEYE_OK);
    int after = sio_open(port);
    CHECK("the listener outlives it", after >= 0);
    close(before), close(waiting), close(after);
    server_end(&next);
    close(listener);
}

#define QUEUED 300
#define QUEUED_BYTES 60000

static void what_is_queued_arrives(int drains)
{
    static char data[QUEUED_BYTES + 16], text[QUEUED_BYTES + 64];
    struct server server = server_start();
    sockeye_drain_options drain = drain_of(0, PATIENCE_MS);
    int fd = sio_open(server.port), got = 0;
    sockeye_socket peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    snprintf(data, sizeof data, "[\"%0*d\"]", QUEUED_BYTES, 7);
    sockeye_emission e = emission_of("x", data);
    /* More than the kernel takes while nobody reads, and less than the budget of a connection. */
    for (int i = 0; i < QUEUED / 2; i++)
        NEED(sockeye_emit(server.engine, peer, &e, NULL) == SOCKEYE_OK);
    sleep_ms(50);
    for (int i = 0; i < QUEUED / 2 - 40; i++)
        NEED(sockeye_emit(server.engine, peer, &e, NULL) == SOCKEYE_OK);
    if (drains)
        NEED(sockeye_engine_drain(server.engine, &drain) == SOCKEYE_OK);
    else
        NEED(sockeye_engine_close(server.engine, PATIENCE_MS) == SOCKEYE_OK);
    sleep_ms(50);
    while (ws_recv(fd, text, sizeof text) > 0)
        got++;
    GIVES(drains ? "draining sends what is queued" : "closing sends what is queued", QUEUED - 40, got);
    close(fd);
    struct report report = drained(&server);
    CHECK("and then ends", report.disconnects == 1 && report.shutting_down == 1);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
}

static void who_does_not_read_is_cut_off(void)
{
    static char data[1000000];
    struct server server = server_start();
    sockeye_drain_options drain = drain_of(100, 400);
    int fd = sio_open(server.port);
    sockeye_socket peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    memset(data, '1', sizeof data);
    data[0] = '[', data[sizeof data - 2] = ']', data[sizeof data - 1] = 0;
    sockeye_emission e = emission_of("x", data);
    for (int i = 0; i < 14; i++)
        NEED(sockeye_emit(server.engine, peer, &e, NULL) == SOCKEYE_OK);
    NEED(sockeye_engine_drain(server.engine, &drain) == SOCKEYE_OK);
    struct report report = drained(&server);
    CHECK("after spread and grace, and not before", report.closed_us - report.begun_us >= 490000 && report.closed_us - report.begun_us < 15000000);
    CHECK("its socket has left like the others", report.disconnects == 1 && report.shutting_down == 1);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
    close(fd);
}

static void close_and_free_shorten_it(void)
{
    sockeye_drain_options drain = drain_of(3600000, 3600000);
    for (int frees = 0; frees < 2; frees++) {
        struct server server = server_start();
        int fd = sio_open(server.port);
        server_next(&server, SOCKEYE_EVENT_CONNECT);
        NEED(sockeye_engine_drain(server.engine, &drain) == SOCKEYE_OK);
        server_next(&server, SOCKEYE_EVENT_CLOSING);
        int64_t start = now_ms();
        if (!frees) {
            GIVES("close while draining", SOCKEYE_OK, sockeye_engine_close(server.engine, 0));
            GIVES("drain after close", SOCKEYE_ERR_CLOSED, sockeye_engine_drain(server.engine, &drain));
            struct report report = drained(&server);
            CHECK("ends what is left", report.disconnects == 1 && report.shutting_down == 1);
        }
        GIVES("free while draining", SOCKEYE_OK, sockeye_engine_free(server.engine));
        CHECK("does not wait for the spread", now_ms() - start < PATIENCE_MS);
        close(fd);
    }
}

static void without_sessions_and_options(void)
{
    struct server server = server_start();
    sockeye_drain_options drain = drain_of(3600000, 3600000);
    sockeye_emission tell = emission_of("x", "[]");
    drain.tell = &tell;
    tell.flags = SOCKEYE_EXPECT_ACK;
    GIVES("nobody can be asked", SOCKEYE_ERR_INVALID, sockeye_engine_drain(server.engine, &drain));
    tell = emission_of("connect", "[]");
    GIVES("a reserved name", SOCKEYE_ERR_INVALID, sockeye_engine_drain(server.engine, &drain));
    GIVES("what failed changed nothing", SOCKEYE_OK, sockeye_engine_listen(server.engine, "127.0.0.1:0", 11, NULL));
    tell = emission_of("x", "[]");
    GIVES("an engine without sessions", SOCKEYE_OK, sockeye_engine_drain(server.engine, &drain));
    struct report report = drained(&server);
    CHECK("closes at once", report.first == 0 && report.last == 0);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
    server = server_start();
    int fd = sio_open(server.port);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    GIVES("no options", SOCKEYE_OK, sockeye_engine_drain(server.engine, NULL));
    report = drained(&server);
    CHECK("end all at once", report.disconnects == 1);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
    close(fd);
}

int main(void)
{
    sessions_end_one_by_one(1);
    sessions_end_one_by_one(3);
    requests_while_draining();
    a_waiting_poll_is_told();
    the_next_process_accepts_on();
    what_is_queued_arrives(1);
    what_is_queued_arrives(0);
    who_does_not_read_is_cut_off();
    close_and_free_shorten_it();
    without_sessions_and_options();
    return contract_report();
}
