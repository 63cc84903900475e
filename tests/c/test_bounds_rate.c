/* How fast one session may send: delayed or disconnected, on each transport, while others are served; and what a delay does to the
 * heartbeat. */
#include "client.h"

/* What is held back comes so late that a loaded machine does all else before. */
#define PER_SECOND 20
#define BURST 10
#define COUNT 40

static char answer[4096];

static struct server limited(const sockeye_limits *limits, uint32_t ping_interval_ms, uint32_t ping_timeout_ms)
{
    sockeye_options options = default_options();
    options.limits = limits;
    if (ping_interval_ms) {
        options.ping_interval_ms = ping_interval_ms;
        options.ping_timeout_ms = ping_timeout_ms;
    }
    struct server server = server_new(&options);
    server_listen(&server);
    return server;
}

static sockeye_limits limits_of(uint32_t policy)
{
    sockeye_limits limits;
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    limits.rate_policy = policy;
    return limits;
}

static int joined(const struct server *server, sockeye_socket *socket)
{
    int fd = sio_open(server->port);
    *socket = server_next(server, SOCKEYE_EVENT_CONNECT).socket;
    return fd;
}

static int is_served(const struct server *server, int fd, sockeye_socket socket)
{
    if (ws_send(fd, "42[\"ok\"]") != 0)
        return 0;
    for (;;)
        if (server_next(server, SOCKEYE_EVENT_MESSAGE).socket == socket)
            return 1;
}

/* Polls until `count` messages of a socket came; how many of them were out of order. `other` sends one message before, which must come
 * before the last. */
static int take_numbered(const struct server *server, int count, sockeye_socket other, int *other_was_first)
{
    int wrong = 0, other_seen = 0;
    for (int i = 0; i < count;) {
        char wanted[32];
        sockeye_event event = server_next(server, SOCKEYE_EVENT_MESSAGE);
        if (event.socket == other) {
            other_seen = 1;
            continue;
        }
        snprintf(wanted, sizeof wanted, "[%d]", i++);
        wrong += !is_text(event.data, event.data_len, wanted);
    }
    *other_was_first = other_seen;
    return wrong;
}

/* ---- delay ----------------------------------------------------------------------------------------------------------------------------- */

static void websocket_is_delayed(const char *name, const sockeye_limits *limits, int least_ms)
{
    char packet[64], check[128];
    sockeye_socket one, two;
    struct server server = limited(limits, 0, 0);
    int fd = joined(&server, &one), other_fd = joined(&server, &two), other_was_first = 0;
    int64_t start = now_ms();
    for (int i = 0; i < COUNT; i++) {
        snprintf(packet, sizeof packet, "42[\"n\",%d]", i);
        NEED(ws_send(fd, packet) == 0);
    }
    NEED(ws_send(other_fd, "42[\"ok\"]") == 0);
    int wrong = take_numbered(&server, COUNT, two, &other_was_first);
    int took_ms = (int)(now_ms() - start);
    snprintf(check, sizeof check, "%s: all comes, in order", name);
    GIVES(check, 0, wrong);
    snprintf(check, sizeof check, "%s: at its rate", name);
    if (!CHECK(check, took_ms >= least_ms && took_ms < 20 * least_ms))
        printf("  took %d ms\n", took_ms);
    snprintf(check, sizeof check, "%s: another client does not wait", name);
    CHECK(check, other_was_first);
    close(fd);
    GIVES("its end is noticed", (int64_t)one, (int64_t)server_next(&server, SOCKEYE_EVENT_DISCONNECT).socket);
    close(other_fd);
    server_end(&server);
}

static void post_begin(int tcp, const char *target, const char *body)
{
    char head[512];
    int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n", target, strlen(body));
    NEED(send_all(tcp, head, (size_t)n) == 0 && send_all(tcp, body, strlen(body)) == 0);
}

static void polling_open(const struct server *server, char *target, size_t cap)
{
    char sid[21] = "", body[1024];
    NEED(http_request(server->port, "GET", "/socket.io/?EIO=4&transport=polling", NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    snprintf(target, cap, "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    NEED(http_request(server->port, "POST", target, "40", body, sizeof body) == 200);
    server_next(server, SOCKEYE_EVENT_CONNECT);
}

static const char *numbered_body(int count)
{
    static char body[4096];
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += (size_t)snprintf(body + len, sizeof body - len, "%s42[\"n\",%d]", i ? "\x1e" : "", i);
    return body;
}

static void polling_is_delayed(void)
{
    char target[128];
    int ignored;
    sockeye_limits limits = limits_of(SOCKEYE_RATE_DELAY);
    limits.messages_per_second = PER_SECOND;
    limits.messages_burst = BURST;
    struct server server = limited(&limits, 0, 0);
    polling_open(&server, target, sizeof target);
    int64_t start = now_ms();
    int tcp = tcp_open(server.port);
    struct pollfd p;
    post_begin(tcp, target, numbered_body(COUNT));
    p.fd = tcp;
    p.events = POLLIN;
    GIVES("long-polling: the POST is not answered at once", 0, poll(&p, 1, 200));
    GIVES("long-polling: all comes, in order", 0, take_numbered(&server, COUNT, 0, &ignored));
    GIVES("long-polling: then it is answered", 200, http_head(tcp, answer, sizeof answer));
    CHECK("long-polling: at its rate", now_ms() - start >= (COUNT - BURST) * 1000 / PER_SECOND);
    close(tcp);
    tcp = tcp_open(server.port);
    post_begin(tcp, target, numbered_body(COUNT));
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    GIVES("long-polling: a second POST beside one that waits is refused", 400,
          http_request(server.port, "POST", target, "42[\"x\"]", answer, sizeof answer));
    CHECK("long-polling: and ends the session",
          is_text((server_next(&server, SOCKEYE_EVENT_DISCONNECT)).name_ptr, strlen("transport error"), "transport error"));
    GIVES("long-polling: and the wait of the first", 200, http_head(tcp, answer, sizeof answer));
    close(tcp);
    polling_open(&server, target, sizeof target);
    tcp = tcp_open(server.port);
    post_begin(tcp, target, numbered_body(COUNT));
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    close(tcp);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("long-polling: a POST that is given up while it waits ends the session",
          contains(event.data, event.data_len, "data request connection closed prematurely"));
    server_end(&server);
}

/* ---- disconnect ------------------------------------------------------------------------------------------------------------------------ */

static void ping(int fd)
{
    NEED(ws_send_bytes(fd, 9, "", 0) == 0);
}

static void pong_packet(int fd)
{
    NEED(ws_send(fd, "3") == 0);
}

static void event_packet(int fd)
{
    NEED(ws_send(fd, "42[\"n\",\"0123456789\"]") == 0);
}

/* A fragment of a message that never ends; the first one opens it. */
static void fragment(int fd)
{
    static int last_fd = -1;
    unsigned char frame[] = {0, 0x80, 0, 0, 0, 0};
    frame[0] = fd == last_fd ? 0 : 1;
    last_fd = fd;
    NEED(send_all(fd, frame, sizeof frame) == 0);
}

/* What `send_one` sends so often, in one write: no time passes between the first and the last. */
static void send_at_once(int fd, void (*send_one)(int fd), int count)
{
    char frames[4096];
    int ends[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    for (int i = 0; i < count; i++)
        send_one(ends[0]);
    ssize_t len = recv(ends[1], frames, sizeof frames, 0);
    NEED(len > 0 && (size_t)len < sizeof frames && send_all(fd, frames, (size_t)len) == 0);
    close(ends[0]);
    close(ends[1]);
}

static void websocket_is_disconnected(const char *what, void (*send_one)(int fd), int count, const sockeye_limits *limits, const char *cause)
{
    char check[128];
    sockeye_socket one, two;
    struct server server = limited(limits, 0, 0);
    int fd = joined(&server, &one), other_fd = joined(&server, &two);
    send_at_once(fd, send_one, count);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    snprintf(check, sizeof check, "too many %s: disconnected", what);
    CHECK(check, event.socket == one && is_text(event.name_ptr, event.name_len, "forced close"));
    snprintf(check, sizeof check, "too many %s: with limit and value", what);
    if (!CHECK(check, contains(event.data, event.data_len, cause)))
        printf("  %.*s\n", (int)event.data_len, event.data);
    snprintf(check, sizeof check, "too many %s: another client is served", what);
    CHECK(check, is_served(&server, other_fd, two));
    close(fd);
    close(other_fd);
    server_end(&server);
}

static void polling_is_disconnected(const sockeye_limits *limits)
{
    char target[128];
    struct server server = limited(limits, 0, 0);
    polling_open(&server, target, sizeof target);
    GIVES("long-polling: the POST is answered", 200, http_request(server.port, "POST", target, numbered_body(COUNT), answer, sizeof answer));
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("long-polling: and its session disconnected", contains(event.data, event.data_len, "\"limit\":\"messagesPerSecond\",\"value\":1}"));
    server_end(&server);
}

/* ---- heartbeat ------------------------------------------------------------------------------------------------------------------------- */

/* Sends `ahead` messages at once, and answers pings behind them until the session ends or `patience_ms` are over; the packet that ended it,
 * if any, is in `answer`. Returns how many pings were answered. */
static int answer_pings(int fd, int ahead, int patience_ms)
{
    int64_t until = now_ms() + patience_ms;
    int pings = 0;
    for (int i = 0; i < ahead; i++)
        event_packet(fd);
    while (now_ms() < until) {
        struct pollfd p;
        p.fd = fd;
        p.events = POLLIN;
        if (poll(&p, 1, 20) != 1)
            continue;
        if (ws_recv(fd, answer, sizeof answer) < 0)
            return -1;
        if (strcmp(answer, "2") == 0) {
            pong_packet(fd);
            pings++;
        }
    }
    return pings;
}

static void a_delay_is_no_timeout(void)
{
    sockeye_limits limits = limits_of(SOCKEYE_RATE_DELAY);
    sockeye_socket socket;
    limits.messages_per_second = 20;
    limits.messages_burst = 2;
    /* Three seconds' worth is ahead of the pong, which is due after two. */
    struct server server = limited(&limits, 100, 2000);
    int fd = joined(&server, &socket);
    CHECK("a pong behind what is delayed is waited for", answer_pings(fd, 60, 6000) > 1);
    close(fd);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("and the session ends with its client", is_text(event.name_ptr, event.name_len, "transport close"));
    server_end(&server);
}

static void a_delay_is_no_life_without_pongs(void)
{
    sockeye_limits limits = limits_of(SOCKEYE_RATE_DELAY);
    sockeye_socket socket;
    limits.messages_per_second = 2;
    limits.messages_burst = 2;
    struct server server = limited(&limits, 100, 100);
    /* Before the session begins: its clock runs from there. */
    int64_t start = now_ms();
    int fd = joined(&server, &socket);
    for (int i = 0; i < 1000; i++)
        event_packet(fd);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("who sends without end and answers no ping is gone", is_text(event.name_ptr, event.name_len, "ping timeout"));
    CHECK("but is given time", now_ms() - start >= 500);
    while (recv(fd, answer, sizeof answer, 0) > 0) {
    }
    close(fd);
    server_end(&server);
}

int main(void)
{
    sockeye_limits delay = limits_of(SOCKEYE_RATE_DELAY), disconnect = limits_of(SOCKEYE_RATE_DISCONNECT);
    delay.messages_per_second = PER_SECOND;
    delay.messages_burst = BURST;
    websocket_is_delayed("messages", &delay, (COUNT - BURST) * 1000 / PER_SECOND);
    delay = limits_of(SOCKEYE_RATE_DELAY);
    /* Each message has nine bytes or ten. */
    delay.bytes_per_second = 200;
    delay.bytes_burst = 100;
    websocket_is_delayed("bytes", &delay, (COUNT * 9 - 100) * 1000 / 200);
    polling_is_delayed();
    disconnect.messages_per_second = 1;
    disconnect.messages_burst = BURST;
    static const char by_messages[] = "\"limit\":\"messagesPerSecond\",\"value\":1}";
    websocket_is_disconnected("events", event_packet, BURST + 1, &disconnect, by_messages);
    websocket_is_disconnected("pongs", pong_packet, BURST + 1, &disconnect, by_messages);
    websocket_is_disconnected("pings", ping, BURST + 1, &disconnect, by_messages);
    websocket_is_disconnected("fragments", fragment, BURST + 1, &disconnect, by_messages);
    polling_is_disconnected(&disconnect);
    disconnect = limits_of(SOCKEYE_RATE_DISCONNECT);
    disconnect.bytes_per_second = 10;
    disconnect.bytes_burst = 100;
    websocket_is_disconnected("bytes", event_packet, 10, &disconnect, "\"limit\":\"bytesPerSecond\",\"value\":10}");
    a_delay_is_no_timeout();
    a_delay_is_no_life_without_pongs();
    return contract_report();
}
