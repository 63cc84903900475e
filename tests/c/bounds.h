/* What the tests of bounds on connections and requests share: servers with limits, clients from addresses of their own, and what is refused. */
#ifndef BOUNDS_H
#define BOUNDS_H

#include "client.h"

#define POLLING "/socket.io/?EIO=4&transport=polling"
#define WEBSOCKET "/socket.io/?EIO=4&transport=websocket"
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static char answer[65536];
/* Everything is tried with one I/O thread and with two, between which connections move. */
static uint32_t shards;

static inline sockeye_options own_options(void)
{
    sockeye_options options = default_options();
    options.shards = shards;
    return options;
}

static inline sockeye_limits no_limits(void)
{
    sockeye_limits limits;
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    return limits;
}

static inline struct server bounded(const sockeye_limits *limits, uint32_t flags)
{
    sockeye_options options = own_options();
    options.limits = limits;
    options.flags = flags;
    struct server server = server_new(&options);
    server_listen(&server);
    return server;
}

/* A connection from 127.0.0.`last`. */
static inline int tcp_open_from(uint16_t port, int last)
{
    struct sockaddr_in address;
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t)last);
    NEED(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    NEED(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* Everything until the end of the connection, zero-terminated in `answer`; the status, 0 if nothing came. */
static inline int rest_of(int fd)
{
    size_t len = 0;
    while (len + 1 < sizeof answer) {
        ssize_t n = recv(fd, answer + len, sizeof answer - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    answer[len] = 0;
    close(fd);
    return len > 12 ? atoi(answer + 9) : 0;
}

/* One request with more header lines, on a connection that ends with it. */
static inline int ask_on(int fd, const char *target, const char *lines)
{
    char head[16384];
    int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h.example\r\n%s%s\r\n", target, strstr(lines, "Connection:") ? "" : "Connection: close\r\n", lines);
    NEED(send_all(fd, head, (size_t)n) == 0);
    return rest_of(fd);
}

static inline int ask(uint16_t port, const char *target, const char *lines)
{
    return ask_on(tcp_open(port), target, lines);
}

/* Whether the server closes it within `ms`, with or without an answer before. */
static inline int ends_within(int fd, int ms)
{
    char byte[4096];
    int64_t deadline = now_ms() + ms;
    struct pollfd p;
    p.fd = fd;
    p.events = POLLIN;
    while (now_ms() < deadline) {
        p.revents = 0;
        if (poll(&p, 1, (int)(deadline - now_ms())) == 1 && recv(fd, byte, sizeof byte, MSG_DONTWAIT) <= 0)
            return 1;
    }
    return 0;
}

/* Whether a client comes in, from 127.0.0.`last`, and its event reaches the host. */
static inline int is_served_from(const struct server *server, int last)
{
    char head[1024], packet[1024];
    int fd = tcp_open_from(server->port, last);
    int n = snprintf(head, sizeof head, "GET " WEBSOCKET " HTTP/1.1\r\nHost: h\r\n" UPGRADE "\r\n");
    int served = send_all(fd, head, (size_t)n) == 0 && http_head(fd, head, sizeof head) == 101 && ws_recv(fd, packet, sizeof packet) > 0 &&
                 ws_send(fd, "40") == 0 && ws_recv(fd, packet, sizeof packet) > 0 && ws_send(fd, "42[\"served\"]") == 0;
    if (served)
        server_next(server, SOCKEYE_EVENT_MESSAGE);
    close(fd);
    if (served)
        server_next(server, SOCKEYE_EVENT_DISCONNECT);
    return served;
}

static inline int is_served(const struct server *server)
{
    return is_served_from(server, 1);
}

/* What the engine has counted. */
static inline sockeye_metrics counts(const struct server *server)
{
    sockeye_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server->engine, &metrics) == SOCKEYE_OK);
    return metrics;
}

/* Whether the server has so many connections before long: that one has closed takes it a moment to notice. */
static inline int connections_become(const struct server *server, uint64_t wanted)
{
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (counts(server).connections != wanted && now_ms() < deadline)
        sleep_ms(5);
    return counts(server).connections == wanted;
}

/* A session on polling; its id. */
static inline void polling_open(uint16_t port, char sid[21])
{
    char body[1024];
    NEED(http_request(port, "GET", POLLING, NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
}

/* Whether the host is told this address for a request with these lines. */
static inline int is_told(const struct server *server, const char *lines, const char *address)
{
    char head[4096], wanted[64];
    int fd = tcp_open(server->port);
    int n = snprintf(head, sizeof head, "GET " POLLING " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n", lines);
    NEED(send_all(fd, head, (size_t)n) == 0);
    sockeye_event event = server_next(server, SOCKEYE_EVENT_HTTP_REQUEST);
    snprintf(wanted, sizeof wanted, "\"address\":\"%s\"", address);
    int told = contains(event.data, event.data_len, wanted);
    NEED(sockeye_accept(server->engine, event.token, 0, NULL, 0) == SOCKEYE_OK);
    rest_of(fd);
    return told;
}

/* Runs a test once with each number of I/O threads. */
static inline int with_shards(void (*everything)(void))
{
    for (shards = 1; shards <= 2; shards++)
        everything();
    return contract_report();
}

#endif
