/* Bounds of connections: how many there are, how often an address may come, whose pages and whose sessions. Each refusal is followed by another
 * client that is served. */
#include "bounds.h"

/* ---- how many -------------------------------------------------------------------------------------------------------------------------- */

static void connections_in_all(void)
{
    sockeye_limits limits = no_limits();
    limits.connections_max = 3;
    struct server server = bounded(&limits, 0);
    int first = sio_open(server.port), second = tcp_open(server.port), third = tcp_open(server.port);
    for (int i = 0; i < 20; i++) {
        int fd = tcp_open(server.port);
        NEED(fd >= 0);
        if (!ends_within(fd, PATIENCE_MS))
            CHECK("a connection too many is closed", 0);
        close(fd);
    }
    CHECK("connections too many are closed as they come", 1);
    GIVES("and counted", 20, (int64_t)counts(&server).connections_refused);
    CHECK("those that are there are not", !ends_within(second, 50) && !ends_within(third, 50) && ws_send(first, "42[\"e\"]") == 0);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    close(second);
    close(third);
    for (int i = 0; i < 3; i++) {
        NEED(connections_become(&server, 1));
        CHECK("and when some have gone, others are served", is_served(&server));
    }
    close(first);
    server_end(&server);
}

static void sessions_in_all(void)
{
    sockeye_limits limits = no_limits();
    char sid[21], target[128];
    limits.connections_max = 3;
    struct server server = bounded(&limits, SOCKEYE_OPT_CONNECTION_ERRORS);
    for (int i = 0; i < 3; i++)
        polling_open(server.port, sid);
    GIVES("a session more than there may be connections is refused", 503, ask(server.port, POLLING, ""));
    CHECK("in an official body", strstr(answer, "\r\n\r\n{\"code\":3,\"message\":\"Too many sessions\"}") != NULL);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_CONNECTION_ERROR);
    CHECK("and the host is told the limit", contains(event.data, event.data_len, "\"limit\":\"connectionsMax\",\"value\":3"));
    snprintf(target, sizeof target, POLLING "&sid=%s", sid);
    GIVES("those that are there go on", 200, http_request(server.port, "POST", target, "40", answer, sizeof answer));
    GIVES("and may leave", 200, http_request(server.port, "POST", target, "1", answer, sizeof answer));
    CHECK("which makes room for another", is_served(&server));
    server_end(&server);
}

static void connections_of_an_address(void)
{
    sockeye_limits limits = no_limits();
    limits.connections_per_address_max = 2;
    struct server server = bounded(&limits, 0);
    int first = tcp_open_from(server.port, 1), second = tcp_open_from(server.port, 1), third = tcp_open_from(server.port, 1);
    CHECK("a third connection of an address is closed", ends_within(third, PATIENCE_MS));
    GIVES("and counted", 1, (int64_t)counts(&server).connections_refused_by_address);
    CHECK("the others are not", !ends_within(first, 50) && !ends_within(second, 50));
    CHECK("another address is served", is_served_from(&server, 2));
    close(first);
    close(third);
    NEED(connections_become(&server, 1));
    CHECK("and the first again when it has room", is_served_from(&server, 1));
    close(second);
    server_end(&server);
}

static void half_open_sockets(void)
{
    sockeye_limits limits = no_limits();
    int fds[12];
    limits.handshakes_pending_max = 4;
    struct server server = bounded(&limits, 0);
    int client = sio_open(server.port), closed = 0;
    for (int i = 0; i < 12; i++) {
        fds[i] = tcp_open(server.port);
        if (i % 2)
            send_all(fds[i], "GET /socket.io/?", 16);
    }
    for (int i = 0; i < 8; i++)
        closed += ends_within(fds[i], PATIENCE_MS);
    GIVES("the oldest that sent no request make room", 8, closed);
    for (int i = 8; i < 12; i++)
        closed += ends_within(fds[i], 30);
    GIVES("and the newest do not", 8, closed);
    GIVES("and they are counted", 8, (int64_t)counts(&server).handshakes_evicted);
    CHECK("a client is served while they wait", is_served(&server));
    CHECK("and one from before is not touched", ws_send(client, "42[\"e\"]") == 0);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    for (int i = 0; i < 12; i++)
        close(fds[i]);
    close(client);
    server_end(&server);
}

/* Asks until the rate is used up, of which a slow machine makes use; whether no more was let in than it allows. */
static int is_throttled(uint16_t port, const char *target, const char *lines, int64_t start, int *let_in)
{
    int status;
    while ((status = ask(port, target, lines)) == 200 || status == 101)
        ++*let_in;
    return status == 429 && *let_in <= 2 + (now_ms() - start) / 1000;
}

static void handshake_rate(void)
{
    sockeye_limits limits = no_limits();
    char sid[21], target[128];
    limits.handshakes_per_second = 1;
    limits.handshakes_burst = 2;
    struct server server = bounded(&limits, SOCKEYE_OPT_CONNECTION_ERRORS);
    int64_t start = now_ms();
    int let_in = 2;
    polling_open(server.port, sid);
    GIVES("a burst is let in", 200, ask(server.port, POLLING, ""));
    CHECK("more is not", is_throttled(server.port, POLLING, "", start, &let_in));
    CHECK("and told when to come again", strstr(answer, "\r\nRetry-After: 1\r\n") != NULL);
    CHECK("in an official body", strstr(answer, "\r\n\r\n{\"code\":3,\"message\":\"Too many handshakes from this address\"}") != NULL);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_CONNECTION_ERROR);
    CHECK("the host is told which limit it was", event.status == 3 && contains(event.data, event.data_len, "\"address\":\"127.0.0.1\"") &&
                                                      contains(event.data, event.data_len, "\"limit\":\"handshakesPerSecond\",\"value\":1"));
    CHECK("WebSockets count as well", is_throttled(server.port, WEBSOCKET, UPGRADE, start, &let_in));
    CHECK("and are told as well", strstr(answer, "\r\nRetry-After: 1\r\n") && strstr(answer, "\r\nConnection: close\r\n"));
    GIVES("both are counted", 2, (int64_t)counts(&server).handshakes_throttled);
    snprintf(target, sizeof target, POLLING "&sid=%s", sid);
    GIVES("a session that is there goes on", 200, http_request(server.port, "POST", target, "40", answer, sizeof answer));
    CHECK("another address is served", is_served_from(&server, 2));
    sleep_ms(1100);
    CHECK("and the first one again after a while", is_served(&server));
    server_end(&server);
}

/* ---- whose address --------------------------------------------------------------------------------------------------------------------- */

/* Whether a client with these lines comes to be refused for its rate; before, the host lets it in, once in a second. */
static int is_throttled_soon(const struct server *server, const char *lines)
{
    char head[1024];
    int n = snprintf(head, sizeof head, "GET " POLLING " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n", lines);
    for (int64_t deadline = now_ms() + PATIENCE_MS; now_ms() < deadline;) {
        int fd = tcp_open(server->port);
        struct pollfd p = {fd, POLLIN, 0};
        NEED(send_all(fd, head, (size_t)n) == 0);
        while (poll(&p, 1, 5) == 0) {
            sockeye_event event;
            if (sockeye_queue_poll(server->queue, &event, sizeof event, 1, 0) == 1 && event.kind == SOCKEYE_EVENT_HTTP_REQUEST)
                NEED(sockeye_accept(server->engine, event.token, 0, NULL, 0) == SOCKEYE_OK);
        }
        if (rest_of(fd) == 429)
            return 1;
    }
    return 0;
}

static void proxies(void)
{
    sockeye_limits limits = no_limits();
    sockeye_options options = own_options();
    options.flags = SOCKEYE_OPT_ALLOW_REQUEST;
    struct server server = server_new(&options);
    server_listen(&server);
    CHECK("without the option no header is believed", is_told(&server, "X-Forwarded-For: 192.0.2.1\r\n", "127.0.0.1"));
    server_end(&server);
    limits.connections_per_address_max = 1;
    limits.handshakes_per_second = 1;
    limits.handshakes_burst = 1;
    options.limits = &limits;
    options.trusted_proxies = "[\"127.0.0.0/8\",\"10.0.0.1\"]";
    options.trusted_proxies_len = strlen(options.trusted_proxies);
    server = server_new(&options);
    server_listen(&server);
    int other = tcp_open(server.port);
    CHECK("X-Forwarded-For of a proxy is", is_told(&server, "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1\r\n", "192.0.2.1"));
    CHECK("and Forwarded", is_told(&server, "Forwarded: for=6.6.6.6, for=\"[2001:db8::1]:80\";proto=https\r\n", "2001:db8::1"));
    CHECK("the rate is that of the client behind it", is_throttled_soon(&server, "X-Forwarded-For: 192.0.2.1\r\n"));
    CHECK("another client is served", is_told(&server, "X-Forwarded-For: 192.0.2.2\r\n", "192.0.2.2"));
    close(other);
    server_end(&server);
    options.trusted_proxies = "[\"10.0.0.0/33\"]";
    options.trusted_proxies_len = strlen(options.trusted_proxies);
    GIVES("a wrong network", SOCKEYE_ERR_INVALID, sockeye_engine_new(&options, &server.engine));
    CHECK("is named", error_mentions("trusted_proxies") && error_mentions("10.0.0.0/33"));
}

/* ---- whose pages ------------------------------------------------------------------------------------------------------------------------- */

static void origins(void)
{
    sockeye_options options = own_options();
    options.flags = SOCKEYE_OPT_CHECK_ORIGIN | SOCKEYE_OPT_CONNECTION_ERRORS;
    struct server server = server_new(&options);
    server_listen(&server);
    GIVES("a page of the own host", 200, ask(server.port, POLLING, "Origin: http://h.example\r\n"));
    GIVES("a page of another host", 403, ask(server.port, POLLING, "Origin: http://evil.example\r\n"));
    CHECK("is refused in an official body", strstr(answer, "\r\n\r\n{\"code\":4,\"message\":\"Forbidden\"}") != NULL);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_CONNECTION_ERROR);
    CHECK("and the host is told", event.status == 4 && contains(event.data, event.data_len, "\"origin\":\"http://evil.example\""));
    GIVES("its WebSocket is refused as well", 403, ask(server.port, WEBSOCKET, UPGRADE "Origin: http://evil.example\r\n"));
    CHECK("in the same body", strstr(answer, "\r\n\r\n{\"code\":4,\"message\":\"Forbidden\"}") != NULL);
    GIVES("both are counted", 2, (int64_t)counts(&server).origins_refused);
    CHECK("programs, which send none, are served", is_served(&server));
    server_end(&server);
    options.cors = "{\"origin\":[\"http://a.example\"]}";
    options.cors_len = strlen(options.cors);
    server = server_new(&options);
    server_listen(&server);
    GIVES("a page that cors allows", 200, ask(server.port, POLLING, "Origin: http://a.example\r\n"));
    GIVES("one that it does not", 403, ask(server.port, POLLING, "Origin: http://b.example\r\n"));
    GIVES("the own host, if cors does not", 403, ask(server.port, POLLING, "Origin: http://h.example\r\n"));
    CHECK("others are served", is_served(&server));
    server_end(&server);
    options.flags = 0;
    server = server_new(&options);
    server_listen(&server);
    GIVES("without the flag every page is", 200, ask(server.port, POLLING, "Origin: http://b.example\r\n"));
    server_end(&server);
}

/* ---- whose session ----------------------------------------------------------------------------------------------------------------------- */

/* A WebSocket with a session's id, from an address of its own: closed with no more than the 101 and a close frame. */
static int is_closed_again(uint16_t port, const char *sid)
{
    char head[1024], packet[64];
    int fd = tcp_open_from(port, 3);
    int n = snprintf(head, sizeof head, "GET " WEBSOCKET "&sid=%s HTTP/1.1\r\nHost: h\r\n" UPGRADE "\r\n", sid);
    NEED(send_all(fd, head, (size_t)n) == 0 && http_head(fd, head, sizeof head) == 101);
    ws_send(fd, "2probe");
    ws_send(fd, "5");
    int64_t got = ws_recv(fd, packet, sizeof packet);
    close(fd);
    return got < 0;
}

static int is_mismatch(uint16_t port, const char *sid)
{
    char target[128];
    snprintf(target, sizeof target, POLLING "&sid=%s", sid);
    return ask_on(tcp_open_from(port, 3), target, "") == 400 && strstr(answer, "{\"code\":3,\"message\":\"Bad request\"}") != NULL;
}

static void stolen_ids(void)
{
    struct server server = bounded(NULL, 0);
    char sid[21], packet[1024], target[128];
    int fd = ws_open(server.port, WEBSOCKET);
    NEED(fd >= 0 && ws_recv(fd, packet, sizeof packet) > 0 && sscanf(packet, "0{\"sid\":\"%20[^\"]", sid) == 1);
    NEED(ws_send(fd, "40") == 0 && ws_recv(fd, packet, sizeof packet) > 0);
    CHECK("a session on WebSocket takes no second one", is_closed_again(server.port, sid));
    CHECK("and no poll", is_mismatch(server.port, sid));
    CHECK("and goes on", ws_send(fd, "42[\"mine\"]") == 0);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    close(fd);
    polling_open(server.port, sid);
    snprintf(target, sizeof target, WEBSOCKET "&sid=%s", sid);
    fd = ws_open(server.port, target);
    NEED(fd >= 0);
    CHECK("one that is about to be takes no second one", is_closed_again(server.port, sid));
    NEED(ws_send(fd, "2probe") == 0);
    CHECK("and goes on to be", ws_recv(fd, packet, sizeof packet) > 0 && strcmp(packet, "3probe") == 0);
    CHECK("nor while it probes", is_closed_again(server.port, sid));
    NEED(ws_send(fd, "5") == 0 && ws_send(fd, "40") == 0);
    CHECK("it is upgraded", ws_recv(fd, packet, sizeof packet) > 0 && strncmp(packet, "40{", 3) == 0);
    CHECK("and takes no second one then", is_closed_again(server.port, sid));
    GIVES("four were counted", 4, (int64_t)counts(&server).upgrades_refused);
    CHECK("and no poll", is_mismatch(server.port, sid));
    CHECK("and goes on", ws_send(fd, "42[\"mine\"]") == 0);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("another is served", is_served(&server));
    close(fd);
    server_end(&server);
}

static void everything(void)
{
    connections_in_all();
    sessions_in_all();
    connections_of_an_address();
    half_open_sockets();
    handshake_rate();
    proxies();
    origins();
    stolen_ids();
}

int main(void)
{
    return with_shards(everything);
}
