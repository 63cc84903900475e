/* Bounds of requests: how large they are, how slowly they come and their answers are taken, and what nobody will look at. Each refusal is
 * followed by another client that is served. */
#include "bounds.h"

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

/* A checker that watches slows everything down but the time itself. */
static int times(void)
{
    return getenv("SLOW") ? 4 : 1;
}

#define REQUEST_MS (1000 * times())

/* Sends `text` a byte at a time, for longer than a request may take; whether the server answers before that, and not sooner than it may after
 * `start`. */
static int ends_a_trickle(int fd, const char *text, int64_t start)
{
    struct pollfd p;
    p.fd = fd;
    p.events = POLLIN;
    p.revents = 0;
    for (; *text && now_ms() < start + PATIENCE_MS; text++)
        if (send(fd, text, 1, MSG_NOSIGNAL) != 1 || poll(&p, 1, 40) == 1)
            return now_ms() - start >= REQUEST_MS - 100;
    return 0;
}

static void slow_senders(void)
{
    sockeye_limits limits = no_limits();
    char sid[21], head[512], body[256], wanted[64];
    limits.request_time_ms = (uint64_t)REQUEST_MS;
    limits.keep_alive_ms = PATIENCE_MS;
    struct server server = bounded(&limits, 0);
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = 0;
    int64_t start = now_ms();
    int fd = tcp_open(server.port);
    send_all(fd, "GET /", 5);
    CHECK("a head that trickles is not waited for", ends_a_trickle(fd, body, start));
    GIVES("but answered", 408, rest_of(fd));
    fd = tcp_open(server.port);
    CHECK("who says nothing is closed without an answer", ends_within(fd, PATIENCE_MS));
    close(fd);
    fd = tcp_open(server.port);
    NEED(send_all(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28) == 0 && http_head(fd, head, sizeof head) == 404);
    sleep_ms(2 * REQUEST_MS);
    NEED(send_all(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28) == 0);
    GIVES("between requests it may take longer", 404, http_head(fd, head, sizeof head));
    start = now_ms();
    CHECK("but not for the next one once it has begun", ends_a_trickle(fd, body, start));
    GIVES("which is answered too", 408, rest_of(fd));
    polling_open(server.port, sid);
    snprintf(head, sizeof head, POLLING "&sid=%s", sid);
    NEED(http_request(server.port, "POST", head, "40", body, sizeof body) == 200);
    memset(body, 'x', sizeof body - 1);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    int n = snprintf(head, sizeof head, "POST " POLLING "&sid=%s HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n", sid);
    start = now_ms();
    fd = tcp_open(server.port);
    NEED(send_all(fd, head, (size_t)n) == 0);
    CHECK("a body that trickles is not waited for", ends_a_trickle(fd, body, start));
    GIVES("but answered", 408, rest_of(fd));
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    snprintf(wanted, sizeof wanted, "\"limit\":\"requestTimeMs\",\"value\":%d", REQUEST_MS);
    CHECK("and its session ends with the cause", event.status == SOCKEYE_REASON_TRANSPORT_ERROR && contains(event.data, event.data_len, wanted));
    GIVES("all three are counted", 3, (int64_t)counts(&server).request_timeouts);
    CHECK("another is served", is_served(&server));
    server_end(&server);
}

static void idle_connections(void)
{
    sockeye_limits limits = no_limits();
    char sid[21], head[512];
    limits.keep_alive_ms = (uint64_t)REQUEST_MS;
    limits.request_time_ms = (uint64_t)REQUEST_MS;
    struct server server = bounded(&limits, 0);
    int client = sio_open(server.port), idle = tcp_open(server.port);
    int64_t start = now_ms();
    NEED(send_all(idle, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28) == 0 && http_head(idle, head, sizeof head) == 404);
    polling_open(server.port, sid);
    int n = snprintf(head, sizeof head, "GET " POLLING "&sid=%s HTTP/1.1\r\nHost: h\r\n\r\n", sid), polling = tcp_open(server.port);
    NEED(send_all(polling, head, (size_t)n) == 0);
    CHECK("an idle connection is closed", ends_within(idle, PATIENCE_MS) && now_ms() - start >= REQUEST_MS - 100);
    CHECK("a poll that waits is not idle", !ends_within(polling, 2 * REQUEST_MS));
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
    limits.request_time_ms = (uint64_t)(2 * REQUEST_MS);
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
        sleep_ms(40 * times());
    CHECK("who reads slowly gets all", taken >= FILE_BYTES && now_ms() - start > 2 * REQUEST_MS + 500);
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

static void everything(void)
{
    head_sizes();
    slow_senders();
    idle_connections();
    slow_readers();
    hoarded_bodies();
}

int main(void)
{
    return with_shards(everything);
}
