/* Bounds of connections and of HTTP: how many there are, how often an address may come, how long a request may take, whose pages may talk to
 * the server. Each refusal is followed by another client that is served. */
#include "client.h"

#define POLLING "/socket.io/?EIO=4&transport=polling"
#define WEBSOCKET "/socket.io/?EIO=4&transport=websocket"
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static char answer[65536];
/* Everything is tried with one I/O thread and with two, between which connections move. */
static uint32_t shards;

static sockeye_options own_options(void)
{
    sockeye_options options = default_options();
    options.shards = shards;
    return options;
}

static sockeye_limits no_limits(void)
{
    sockeye_limits limits;
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    return limits;
}

static struct server bounded(const sockeye_limits *limits, uint32_t flags)
{
    sockeye_options options = own_options();
    options.limits = limits;
    options.flags = flags;
    struct server server = server_new(&options);
    server_listen(&server);
    return server;
}

/* A connection from 127.0.0.`last`. */
static int tcp_open_from(uint16_t port, int last)
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
static int rest_of(int fd)
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
static int ask_on(int fd, const char *target, const char *lines)
{
    char head[16384];
    int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h.example\r\n%s%s\r\n", target, strstr(lines, "Connection:") ? "" : "Connection: close\r\n", lines);
    NEED(send_all(fd, head, (size_t)n) == 0);
    return rest_of(fd);
}

static int ask(uint16_t port, const char *target, const char *lines)
{
    return ask_on(tcp_open(port), target, lines);
}

/* Whether the server closes it within `ms`, with or without an answer before. */
static int ends_within(int fd, int ms)
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
static int is_served_from(const struct server *server, int last)
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

static int is_served(const struct server *server)
{
    return is_served_from(server, 1);
}

/* What the engine has counted. */
static sockeye_metrics counts(const struct server *server)
{
    sockeye_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server->engine, &metrics) == SOCKEYE_OK);
    return metrics;
}

/* A session on polling; its id. */
static void polling_open(uint16_t port, char sid[21])
{
    char body[1024];
    NEED(http_request(port, "GET", POLLING, NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
}

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
    sleep_ms(50);
    CHECK("and when some have gone, others are served", is_served(&server) && is_served(&server) && is_served(&server));
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
    sleep_ms(50);
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

static void handshake_rate(void)
{
    sockeye_limits limits = no_limits();
    char sid[21], target[128];
    limits.handshakes_per_second = 1;
    limits.handshakes_burst = 2;
    struct server server = bounded(&limits, SOCKEYE_OPT_CONNECTION_ERRORS);
    polling_open(server.port, sid);
    GIVES("a burst is let in", 200, ask(server.port, POLLING, ""));
    GIVES("more is not", 429, ask(server.port, POLLING, ""));
    CHECK("and told when to come again", strstr(answer, "\r\nRetry-After: 1\r\n") != NULL);
    CHECK("in an official body", strstr(answer, "\r\n\r\n{\"code\":3,\"message\":\"Too many handshakes from this address\"}") != NULL);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_CONNECTION_ERROR);
    CHECK("the host is told which limit it was", event.status == 3 && contains(event.data, event.data_len, "\"address\":\"127.0.0.1\"") &&
                                                      contains(event.data, event.data_len, "\"limit\":\"handshakesPerSecond\",\"value\":1"));
    GIVES("WebSockets count as well", 429, ask(server.port, WEBSOCKET, UPGRADE));
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

/* Whether the host is told this address for a request with these lines. */
static int is_told(const struct server *server, const char *lines, const char *address)
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
    GIVES("the rate is that of the client behind it", 429, ask(server.port, POLLING, "X-Forwarded-For: 192.0.2.1\r\n"));
    CHECK("another client is served", is_told(&server, "X-Forwarded-For: 192.0.2.2\r\n", "192.0.2.2"));
    close(other);
    server_end(&server);
    options.trusted_proxies = "[\"10.0.0.0/33\"]";
    options.trusted_proxies_len = strlen(options.trusted_proxies);
    GIVES("a wrong network", SOCKEYE_ERR_INVALID, sockeye_engine_new(&options, &server.engine));
    CHECK("is named", error_mentions("trusted_proxies") && error_mentions("10.0.0.0/33"));
}

/* ---- requests: how large, how slow ------------------------------------------------------------------------------------------------------- */

static void head_sizes(void)
{
    sockeye_limits limits = no_limits();
    static char lines[16384];
    size_t len = 0;
    limits.head_bytes_max = 4096;
    limits.headers_max = 128;
    struct server server = bounded(&limits, SOCKEYE_OPT_ALLOW_REQUEST);
    for (int i = 0; i < 126; i++)
        len += (size_t)snprintf(lines + len, sizeof lines - len, "x-%d: v\r\n", i);
    CHECK("128 headers pass, and reach the host", is_told(&server, lines, "127.0.0.1"));
    snprintf(lines + len, sizeof lines - len, "y: v\r\n");
    GIVES("129 do not", 431, ask(server.port, POLLING, lines));
    memset(lines, 'a', 5000);
    memcpy(lines, "z: ", 3);
    memcpy(lines + 4998, "\r\n", 3);
    GIVES("nor do too many bytes", 431, ask(server.port, POLLING, lines));
    CHECK("and the connection ends", strstr(answer, "\r\nConnection: close\r\n") != NULL);
    CHECK("another is served", is_told(&server, "", "127.0.0.1"));
    server_end(&server);
}

/* Sends `text` a byte at a time until it ends or the server answers; how long that took. */
static int64_t trickle(int fd, const char *text)
{
    int64_t start = now_ms();
    struct pollfd p;
    p.fd = fd;
    p.events = POLLIN;
    p.revents = 0;
    for (; *text && now_ms() < start + PATIENCE_MS; text++)
        if (send(fd, text, 1, MSG_NOSIGNAL) != 1 || poll(&p, 1, 40) == 1)
            break;
    return now_ms() - start;
}

static void slow_senders(void)
{
    sockeye_limits limits = no_limits();
    char sid[21], head[512], body[256];
    limits.request_time_ms = 400;
    limits.keep_alive_ms = 5000;
    struct server server = bounded(&limits, 0);
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = 0;
    int fd = tcp_open(server.port);
    send_all(fd, "GET /", 5);
    int64_t took = trickle(fd, body);
    CHECK("a head that trickles is not waited for", took >= 300 && took < 3000);
    GIVES("but answered", 408, rest_of(fd));
    fd = tcp_open(server.port);
    CHECK("who says nothing is closed without an answer", ends_within(fd, PATIENCE_MS));
    close(fd);
    fd = tcp_open(server.port);
    NEED(send_all(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28) == 0 && http_head(fd, head, sizeof head) == 404);
    sleep_ms(800);
    NEED(send_all(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28) == 0);
    GIVES("between requests it may take longer", 404, http_head(fd, head, sizeof head));
    took = trickle(fd, body);
    CHECK("but not for the next one once it has begun", took >= 300 && took < 3000);
    GIVES("which is answered too", 408, rest_of(fd));
    polling_open(server.port, sid);
    fd = tcp_open(server.port);
    snprintf(head, sizeof head, POLLING "&sid=%s", sid);
    NEED(http_request(server.port, "POST", head, "40", body, sizeof body) == 200);
    memset(body, 'x', sizeof body - 1);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    int n = snprintf(head, sizeof head, "POST " POLLING "&sid=%s HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n", sid);
    NEED(send_all(fd, head, (size_t)n) == 0);
    took = trickle(fd, body);
    CHECK("a body that trickles is not waited for", took >= 300 && took < 3000);
    GIVES("but answered", 408, rest_of(fd));
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("and its session ends with the cause", event.status == SOCKEYE_REASON_TRANSPORT_ERROR && contains(event.data, event.data_len, "\"limit\":\"requestTimeMs\",\"value\":400"));
    GIVES("all three are counted", 3, (int64_t)counts(&server).request_timeouts);
    CHECK("another is served", is_served(&server));
    server_end(&server);
}

static void idle_connections(void)
{
    sockeye_limits limits = no_limits();
    char sid[21], head[512];
    limits.keep_alive_ms = 600;
    limits.request_time_ms = 600;
    struct server server = bounded(&limits, 0);
    int client = sio_open(server.port), idle = tcp_open(server.port);
    NEED(send_all(idle, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28) == 0 && http_head(idle, head, sizeof head) == 404);
    polling_open(server.port, sid);
    int n = snprintf(head, sizeof head, "GET " POLLING "&sid=%s HTTP/1.1\r\nHost: h\r\n\r\n", sid), polling = tcp_open(server.port);
    NEED(send_all(polling, head, (size_t)n) == 0);
    int64_t start = now_ms();
    CHECK("an idle connection is closed", ends_within(idle, PATIENCE_MS) && now_ms() - start >= 300);
    CHECK("a poll that waits is not idle", !ends_within(polling, 1300));
    CHECK("nor is a WebSocket", ws_send(client, "42[\"e\"]") == 0);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    snprintf(head, sizeof head, POLLING "&sid=%s", sid);
    NEED(http_request(server.port, "POST", head, "40", answer, sizeof answer) == 200);
    GIVES("the poll is answered", 200, http_head(polling, head, sizeof head));
    CHECK("another is served", is_served(&server));
    close(idle);
    close(polling);
    close(client);
    server_end(&server);
}

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    NEED(file && fscanf(file, "%ld %ld", &pages, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

#define FILE_BYTES (12 << 20)
#define GET_FILE "GET /large HTTP/1.1\r\nHost: h\r\n\r\n"

static void slow_readers(void)
{
    sockeye_limits limits = no_limits();
    char dir[] = P_tmpdir "/sockeye-bounds-XXXXXX", path[64], requests[100 * sizeof GET_FILE] = "";
    static char part[1 << 20];
    NEED(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/large", dir);
    FILE *file = fopen(path, "w");
    NEED(file != NULL);
    for (int i = 0; i < FILE_BYTES / (int)sizeof part; i++)
        NEED(fwrite(part, sizeof part, 1, file) == 1);
    fclose(file);
    limits.request_time_ms = 2000;
    limits.keep_alive_ms = 100;
    struct server server = bounded(&limits, 0);
    NEED(sockeye_engine_mount(server.engine, "/", 1, dir, strlen(dir)) == SOCKEYE_OK);
    for (int i = 0; i < 100; i++)
        memcpy(requests + (size_t)i * (sizeof GET_FILE - 1), GET_FILE, sizeof GET_FILE - 1);
    int greedy = tcp_open(server.port);
    long before = resident_kib();
    NEED(send_all(greedy, requests, 100 * (sizeof GET_FILE - 1)) == 0);
    CHECK("a hundred requests whose answers nobody reads hold few answers", (sleep_ms(100), resident_kib() - before < 6 * (FILE_BYTES / 1024)));
    CHECK("another is served meanwhile", is_served(&server));
    int slow = tcp_open(server.port);
    size_t taken = 0;
    int64_t start = now_ms();
    NEED(send_all(slow, GET_FILE, sizeof GET_FILE - 1) == 0);
    for (ssize_t n; taken < FILE_BYTES && (n = recv(slow, part, 150 << 10, 0)) > 0; taken += (size_t)n)
        sleep_ms(40);
    CHECK("who reads slowly gets all", taken >= FILE_BYTES && now_ms() - start > 2500);
    struct pollfd p;
    p.fd = greedy;
    p.events = POLLRDHUP;
    p.revents = 0;
    CHECK("who does not read is closed", poll(&p, 1, PATIENCE_MS) == 1);
    CHECK("another is served", is_served(&server));
    close(greedy);
    close(slow);
    server_end(&server);
    unlink(path);
    rmdir(dir);
}

#define HOARDERS 50

/* Bodies that nobody will look at are not kept while they come. */
static void hoarded_bodies(void)
{
    static const char head[] = "POST " POLLING "&sid=nobody HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";
    static char body[1000000];
    int fds[HOARDERS];
    struct server server = bounded(NULL, 0);
    is_served(&server);
    long before = resident_kib();
    for (int i = 0; i < HOARDERS; i++) {
        fds[i] = tcp_open(server.port);
        NEED(send_all(fds[i], head, sizeof head - 1) == 0 && send_all(fds[i], body, sizeof body - 1) == 0);
    }
    CHECK("another is served meanwhile", is_served(&server));
    CHECK("bodies without a session hold no memory", resident_kib() - before < HOARDERS * 1000 / 4);
    NEED(send_all(fds[0], body, 1) == 0);
    GIVES("and are refused when they have come", 400, http_head(fds[0], answer, sizeof answer));
    for (int i = 0; i < HOARDERS; i++)
        close(fds[i]);
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (counts(&server).connections > 0 && now_ms() < deadline)
        sleep_ms(10);
    GIVES("and nothing is left of them", 0, (int64_t)counts(&server).connections);
    server_end(&server);
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
    head_sizes();
    slow_senders();
    idle_connections();
    slow_readers();
    hoarded_bodies();
    origins();
    stolen_ids();
}

int main(void)
{
    for (shards = 1; shards <= 2; shards++)
        everything();
    return contract_report();
}
