/* What ends in an unusual moment leaves nothing behind: sessions that end while the host decides, or twice, engines that could not start, and
 * what is made of an engine after its end. */
#include "client.h"
#include "process.h"

#include <sys/resource.h>

#define POLLING "/socket.io/?EIO=4&transport=polling"

static char body[4096];

static uint64_t held(const struct server *server, size_t field)
{
    sockeye_metrics metrics;
    uint64_t value;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server->engine, &metrics) == SOCKEYE_OK);
    memcpy(&value, (const char *)&metrics + field, sizeof value);
    return value;
}

#define HELD(server, field) held(server, offsetof(sockeye_metrics, field))

static sockeye_socket_info info_of(const struct server *server, sockeye_socket socket)
{
    sockeye_socket_info info;
    NEED(sockeye_socket_get_info(server->engine, socket, &info, sizeof info) == SOCKEYE_OK);
    return info;
}

static int becomes_0(const struct server *server, size_t field)
{
    for (int64_t until = now_ms() + PATIENCE_MS; held(server, field) != 0 && now_ms() < until;)
        sleep_ms(2);
    return held(server, field) == 0;
}

/* A session on long-polling. */
static void polling_begin(const struct server *server, char *target, size_t cap)
{
    char sid[21];
    NEED(http_request(server->port, "GET", POLLING, NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    snprintf(target, cap, POLLING "&sid=%s", sid);
}

/* ---- accepted in the turn in which the session ends ---------------------------------------------------------------------------------- */

struct host {
    sockeye_engine *engine;
    sockeye_socket root;
    uint32_t kind; /* of the question */
    int connects, disconnects;
    sockeye_result accepted;
    int asked; /* set last */
};

static void on_events(void *user, const sockeye_event *events, size_t count)
{
    struct host *host = (struct host *)user;
    for (size_t i = 0; i < count; i++) {
        const sockeye_event *event = &events[i];
        if (event->kind == SOCKEYE_EVENT_CONNECT && !host->root)
            host->root = event->socket;
        else if (event->kind == SOCKEYE_EVENT_CONNECT)
            __atomic_add_fetch(&host->connects, 1, __ATOMIC_SEQ_CST);
        if (event->kind == SOCKEYE_EVENT_DISCONNECT && event->socket != host->root)
            __atomic_add_fetch(&host->disconnects, 1, __ATOMIC_SEQ_CST);
        if (event->kind == host->kind) {
            NEED(sockeye_socket_disconnect(host->engine, host->root, SOCKEYE_CLOSE_TRANSPORT) == SOCKEYE_OK);
            host->accepted = sockeye_accept(host->engine, event->token, 7, NULL, 0);
            __atomic_store_n(&host->asked, 1, __ATOMIC_SEQ_CST);
        }
    }
}

/* The session waits for a last poll when it is told of the decision, and is over for all who are in it. */
static void accepted_while_the_session_ends(uint32_t kind, int connects, const char *name)
{
    struct host host;
    char target[128], label[128];
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    sockeye_nsp_options authorize = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL), ask = nsp_options_of(SOCKEYE_NSP_ASK, NULL);
    memset(&host, 0, sizeof host);
    host.engine = server.engine;
    host.kind = kind;
    NEED(sockeye_namespace(server.engine, "/door", 5, &authorize, NULL) == SOCKEYE_OK);
    NEED(sockeye_namespace_pattern(server.engine, "^/game-", 7, &ask, NULL) == SOCKEYE_OK);
    NEED(sockeye_queue_deliver(server.queue, SOCKEYE_DELIVER_INLINE, on_events, &host, NULL) == SOCKEYE_OK);
    server_listen(&server);
    polling_begin(&server, target, sizeof target);
    NEED(http_request(server.port, "POST", target, "40", body, sizeof body) == 200);
    NEED(http_request(server.port, "POST", target, kind == SOCKEYE_EVENT_AUTHORIZE ? "40/door," : "40/game-1,", body, sizeof body) == 200);
    for (int64_t until = now_ms() + PATIENCE_MS; !__atomic_load_n(&host.asked, __ATOMIC_SEQ_CST) && now_ms() < until;)
        sleep_ms(2);
    snprintf(label, sizeof label, "%s: accepted in the turn in which its session ends", name);
    GIVES(label, SOCKEYE_OK, host.accepted);
    /* The queue's packets, and then the end. */
    NEED(http_request(server.port, "GET", target, NULL, body, sizeof body) == 200);
    NEED(http_request(server.port, "GET", target, NULL, body, sizeof body) == 200 && strcmp(body, "6\x1e" "1") == 0);
    snprintf(label, sizeof label, "%s: no socket is left of it", name);
    CHECK(label, becomes_0(&server, offsetof(sockeye_metrics, sockets)));
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
    snprintf(label, sizeof label, "%s: each that connects", name);
    GIVES(label, connects, host.connects);
    snprintf(label, sizeof label, "%s: has left", name);
    GIVES(label, connects, host.disconnects);
}

/* ---- requests ------------------------------------------------------------------------------------------------------------------------ */

/* Begins a request and leaves its last byte out until the server has read the others, which its count of bytes tells. */
static int split_post(const struct server *server, const char *target, const char *data)
{
    char head[512];
    int fd = tcp_open(server->port), status;
    size_t len = strlen(data);
    uint64_t before = HELD(server, bytes_in);
    NEED(fd >= 0);
    int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n", target, len);
    NEED(send_all(fd, head, (size_t)n) == 0);
    for (int64_t until = now_ms() + PATIENCE_MS; HELD(server, bytes_in) < before + (size_t)n && now_ms() < until;)
        sleep_ms(1);
    NEED(send_all(fd, data, len) == 0);
    status = http_head(fd, head, sizeof head);
    /* It stays open: what its end would settle is not what this is about. */
    NEED(status > 0);
    return status == 200 ? -1 : fd;
}

static void a_refused_post_does_not_stand_in_the_way(void)
{
    char target[128], wrong[160];
    struct server server = server_start();
    polling_begin(&server, target, sizeof target);
    NEED(http_request(server.port, "POST", target, "40", body, sizeof body) == 200);
    snprintf(wrong, sizeof wrong, "%s&EIO=3", target);
    int fd = split_post(&server, wrong, "42[\"a\"]");
    CHECK("a POST of another revision is refused", fd >= 0);
    GIVES("and the next one is taken", 200, http_request(server.port, "POST", target, "42[\"b\"]", body, sizeof body));
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("with what it brings", is_text(event.name_ptr, event.name_len, "b"));
    close(fd);
    server_end(&server);
}

/* A request that waits for the host when the engine closes. */
static void closing_withdraws(uint32_t flags, const char *path, uint32_t kind, const char *name)
{
    char head[256];
    sockeye_options options = default_options();
    options.flags = flags;
    struct server server = server_new(&options);
    server_listen(&server);
    int fd = tcp_open(server.port), withdrawn = 0;
    int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    NEED(fd >= 0 && send_all(fd, head, (size_t)n) == 0);
    sockeye_token token = server_next(&server, kind).token;
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    sockeye_event event;
    do {
        NEED(sockeye_queue_poll(server.queue, &event, sizeof event, 1, PATIENCE_MS) == 1);
        withdrawn += event.kind == SOCKEYE_EVENT_WITHDRAWN && event.token == token && event.status == SOCKEYE_ERR_CLOSED;
    } while (event.kind != SOCKEYE_EVENT_CLOSED);
    GIVES(name, 1, withdrawn);
    close(fd);
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
}

/* ---- a WebSocket that is closed twice -------------------------------------------------------------------------------------------------- */

#define LARGE_BYTES 12000000

/* The server closes it and waits for the kernel to take what is queued; meanwhile its peer sends what is no packet. */
static void closed_and_then_wrong(void)
{
    char part[4096];
    sockeye_emission e;
    char *large = (char *)malloc(LARGE_BYTES + 1);
    sockeye_options options = default_options();
    sockeye_limits limits;
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    /* Both may wait, however late the first is begun with. */
    limits.outbound_bytes_max = 4 * LARGE_BYTES;
    options.limits = &limits;
    struct server server = server_new(&options);
    server_listen(&server);
    int fd = sio_open(server.port);
    sockeye_socket peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    NEED(large != NULL);
    memset(large, 'x', LARGE_BYTES);
    memcpy(large, "[\"", 2);
    memcpy(large + LARGE_BYTES - 2, "\"]", 3);
    e = emission_of("x", large);
    /* The second one waits while the kernel has not taken the first. */
    NEED(sockeye_emit(server.engine, peer, &e, NULL) == SOCKEYE_OK && sockeye_emit(server.engine, peer, &e, NULL) == SOCKEYE_OK);
    for (int64_t until = now_ms() + PATIENCE_MS; info_of(&server, peer).buffered_bytes >= 2 * LARGE_BYTES && now_ms() < until;)
        sleep_ms(1);
    NEED(ws_send(fd, "4no packet of Socket.IO") == 0);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    NEED(ws_send(fd, "none of Engine.IO") == 0);
    CHECK("its session ends", becomes_0(&server, offsetof(sockeye_metrics, sessions_websocket)));
    for (int64_t until = now_ms() + PATIENCE_MS; HELD(&server, connections) != 0 && now_ms() < until;)
        if (recv(fd, part, sizeof part, MSG_DONTWAIT) < 0)
            sleep_ms(2);
    GIVES("and so does its connection", 0, HELD(&server, connections));
    close(fd);
    free(large);
    server_end(&server);
}

/* ---- engines --------------------------------------------------------------------------------------------------------------------------- */

/* There are descriptors for some of its threads only. */
static void what_could_not_start(void)
{
    struct rlimit before, few;
    sockeye_engine *engine = NULL;
    static const char json[] = "{\"shards\":64}";
    NEED(getrlimit(RLIMIT_NOFILE, &before) == 0);
    int threads = threads_now(), descriptors = descriptors_now();
    few = before;
    few.rlim_cur = (rlim_t)descriptors + 12;
    NEED(setrlimit(RLIMIT_NOFILE, &few) == 0);
    GIVES("an engine without descriptors", SOCKEYE_ERR_IO, sockeye_engine_new_json(json, sizeof json - 1, &engine));
    NEED(setrlimit(RLIMIT_NOFILE, &before) == 0);
    GIVES("leaves no thread behind", threads, threads_now());
    GIVES("and no descriptor", descriptors, descriptors_now());
}

static void on_no_events(void *user, const sockeye_event *events, size_t count)
{
    (void)user, (void)events, (void)count;
}

static void queues_after_the_end(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    sockeye_queue *queue = NULL;
    sockeye_event event;
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    GIVES("a queue of an engine that closes", SOCKEYE_ERR_CLOSED, sockeye_queue_new(server.engine, NULL, &queue));
    CHECK("is none", queue == NULL);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    GIVES("nothing comes after the last event", SOCKEYE_ERR_CLOSED, sockeye_queue_poll(server.queue, &event, sizeof event, 1, -1));
    GIVES("for a thread neither", SOCKEYE_ERR_CLOSED, sockeye_queue_deliver(server.queue, SOCKEYE_DELIVER_THREAD, on_no_events, NULL, NULL));
    GIVES("and freeing waits for none", SOCKEYE_OK, sockeye_engine_free(server.engine));
}

int main(void)
{
    accepted_while_the_session_ends(SOCKEYE_EVENT_AUTHORIZE, 1, "AUTHORIZE");
    accepted_while_the_session_ends(SOCKEYE_EVENT_NAMESPACE_REQUEST, 0, "NAMESPACE_REQUEST");
    a_refused_post_does_not_stand_in_the_way();
    closing_withdraws(SOCKEYE_OPT_ALLOW_REQUEST, POLLING, SOCKEYE_EVENT_HTTP_REQUEST, "closing withdraws HTTP_REQUEST");
    closing_withdraws(SOCKEYE_OPT_HTTP_EVENTS, "/elsewhere", SOCKEYE_EVENT_HTTP, "closing withdraws HTTP");
    closed_and_then_wrong();
    what_could_not_start();
    queues_after_the_end();
    return contract_report();
}
