/* Queues in the hands of hosts that do it wrong: two threads that poll one queue, and a queue that nobody drains. */
#include "client.h"
#include "process.h"

#include <pthread.h>

#define MESSAGES 3000
#define MESSAGES_SLOW 300

struct poller {
    sockeye_queue *queue;
    pthread_t thread;
    int packed, *stop;
    long events, busy, other;
};

/* Counts only: a batch is good until the next poll of the queue, and that may be the other thread's. */
static void *poll_on(void *user)
{
    struct poller *poller = (struct poller *)user;
    static const size_t cap = 1 << 16;
    sockeye_event *events = (sockeye_event *)malloc(64 * sizeof *events);
    char *buf = (char *)malloc(cap);
    size_t used;
    while (!__atomic_load_n(poller->stop, __ATOMIC_SEQ_CST)) {
        int64_t count = poller->packed ? sockeye_queue_poll_packed(poller->queue, buf, cap, &used, 0, 5)
                                       : sockeye_queue_poll(poller->queue, events, sizeof events[0], 64, 5);
        if (count >= 0)
            __atomic_add_fetch(&poller->events, count, __ATOMIC_SEQ_CST);
        else if (count == SOCKEYE_ERR_INVALID && error_mentions("another thread"))
            poller->busy++;
        else
            poller->other++;
        if (count < 0)
            sleep_ms(1);
        sockeye_result released = sockeye_queue_release(poller->queue);
        poller->other += released != SOCKEYE_OK && released != SOCKEYE_ERR_INVALID;
    }
    free(events);
    free(buf);
    return NULL;
}

static void two_threads_poll(void)
{
    struct server server = server_start();
    struct poller pollers[3];
    int stop = 0;
    long messages = is_slow() ? MESSAGES_SLOW : MESSAGES, seen = 0, busy = 0, other = 0;
    memset(pollers, 0, sizeof pollers);
    for (int i = 0; i < 3; i++) {
        pollers[i].queue = server.queue;
        pollers[i].packed = i == 2;
        pollers[i].stop = &stop;
        NEED(pthread_create(&pollers[i].thread, NULL, poll_on, &pollers[i]) == 0);
    }
    int fd = sio_open(server.port);
    for (long i = 0; i < messages; i++)
        ws_send(fd, "42[\"m\"]");
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (seen < messages + 1 && now_ms() < deadline) {
        seen = 0;
        for (int i = 0; i < 3; i++)
            seen += __atomic_load_n(&pollers[i].events, __ATOMIC_SEQ_CST);
        sleep_ms(2);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++) {
        pthread_join(pollers[i].thread, NULL);
        busy += pollers[i].busy;
        other += pollers[i].other;
    }
    GIVES("each event comes to one of them", messages + 1, seen);
    CHECK("the others are told", busy > 0);
    GIVES("and nothing else is said", 0, other);
    close(fd);
    server_end(&server);
}

/* ---- a queue that nobody drains -------------------------------------------------------------------------------------------------------- */

#define FLOOD_BYTES 1000
#define PING_INTERVAL_MS 100
#define PING_TIMEOUT_MS 2000
#define FLOOD_MS 5000
/* 500 events of a kilobyte, what a turn reads beyond them, and the allocator's slack. */
#define GROWTH_KIB 8192

/* Sends numbered messages while the socket takes them, and pongs among them, as a client does that is alive; how many went out whole. */
static int flood(int fd, int from, int for_ms)
{
    char text[FLOOD_BYTES + 64];
    static const unsigned char pong[] = {0x81, 0x81, 0, 0, 0, 0, '3'};
    unsigned char frame[sizeof text + 16 + sizeof pong];
    int64_t end = now_ms() + for_ms;
    int sent = from;
    size_t at = 0, len = 0;
    while (now_ms() < end || at < len) {
        if (at == len) {
            int n = snprintf(text, sizeof text, "42[\"n\",%d,\"%0*d\"]", sent, FLOOD_BYTES, 0);
            unsigned char head[8] = {0x81, 0x80 | 126, (unsigned char)(n >> 8), (unsigned char)n, 0, 0, 0, 0};
            memcpy(frame, head, sizeof head);
            memcpy(frame + sizeof head, text, (size_t)n);
            at = 0;
            memcpy(frame + sizeof head + n, pong, sizeof pong);
            len = sizeof head + (size_t)n + sizeof pong;
        }
        ssize_t n = send(fd, frame + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) {
            if (now_ms() >= end)
                break;
            sleep_ms(5);
            continue;
        }
        at += (size_t)n;
        sent += at == len;
    }
    return sent;
}

static void nobody_drains(void)
{
    sockeye_options options = default_options();
    options.queue_events_max = 500;
    options.ping_interval_ms = PING_INTERVAL_MS;
    options.ping_timeout_ms = PING_TIMEOUT_MS;
    struct server server = server_new(&options);
    sockeye_event event;
    int received = 0, wrong = 0, left = 0;
    server_listen(&server);
    int fd = sio_open(server.port);
    long kib = resident_kib();
    int sent = flood(fd, 0, FLOOD_MS);
    printf("  %d messages sent, resident %ld -> %ld KiB\n", sent, kib, resident_kib());
    CHECK("the sender is held up", sent < 100000 && sent >= 500);
    if (!is_slow())
        CHECK("what waits is bounded", resident_kib() <= kib + GROWTH_KIB);
    /* For more than twice the time of a heartbeat no pong was read, which is the host's doing. */
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (received < sent && now_ms() < deadline) {
        int64_t count = sockeye_queue_poll(server.queue, &event, sizeof event, 1, 50);
        NEED(count >= 0);
        if (count == 1 && event.kind == SOCKEYE_EVENT_DISCONNECT) {
            left = 1;
            break;
        }
        if (count == 1 && event.kind == SOCKEYE_EVENT_MESSAGE) {
            char wanted[32];
            int n = snprintf(wanted, sizeof wanted, "[%d,", received);
            wrong += event.data_len < (size_t)n || memcmp(event.data, wanted, (size_t)n) != 0;
            received++;
        }
    }
    GIVES("a client is not taken for dead meanwhile", 0, left);
    GIVES("everything arrives when somebody drains", sent, received);
    GIVES("in order", 0, wrong);
    close(fd);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    server_end(&server);
}

/* ---- clients that come and go -------------------------------------------------------------------------------------------------------- */

#define PAIRS 40000
#define PAIRS_SLOW 6000
/* Three events for each pair of frames, of eight bytes each, in what a turn reads of one client, 256 KiB; and the queue's own bound. */
#define EVENTS_MAX (3 * 4 * 65536 / 16 + 10)

static sockeye_queue_metrics metrics_of(const struct server *server)
{
    sockeye_queue_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_queue_get_metrics(server->queue, &metrics) == SOCKEYE_OK);
    return metrics;
}

/* A client that is in no namespace is held up too: else it could join and leave as long as it likes. */
static void who_joins_and_leaves_is_held_up(void)
{
    static const unsigned char pair[] = {0x81, 0x82, 0, 0, 0, 0, '4', '0', 0x81, 0x82, 0, 0, 0, 0, '4', '1'};
    sockeye_options options = default_options();
    options.queue_events_max = 10;
    struct server server = server_new(&options);
    char answer[1024];
    long pairs = is_slow() ? PAIRS_SLOW : PAIRS;
    server_listen(&server);
    int fd = ws_open(server.port, SIO_TARGET);
    NEED(fd >= 0 && ws_recv(fd, answer, sizeof answer) > 0);
    for (long i = 0; i < pairs; i++)
        NEED(send_all(fd, pair, sizeof pair) == 0);
    /* An engine that is not held up has read all of it by then; one that is slow passes. */
    for (int64_t until = now_ms() + 1000; metrics_of(&server).events <= EVENTS_MAX && now_ms() < until;)
        sleep_ms(20);
    printf("  %llu events wait\n", (unsigned long long)metrics_of(&server).events);
    CHECK("who joins and leaves all the time is held up", metrics_of(&server).events <= EVENTS_MAX);
    close(fd);
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
}

/* What any stranger can cause is left out before it holds up those who have something to say. */
static void refusals_hold_nobody_up(void)
{
    sockeye_options options = default_options();
    options.queue_events_max = 10;
    options.flags = SOCKEYE_OPT_CONNECTION_ERRORS;
    struct server server = server_new(&options);
    sockeye_metrics metrics;
    char body[256];
    server_listen(&server);
    for (int i = 0; i < 20; i++)
        NEED(http_request(server.port, "GET", "/socket.io/?EIO=4&transport=pigeon", NULL, body, sizeof body) == 400);
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server.engine, &metrics) == SOCKEYE_OK);
    GIVES("refusals fill half of a queue", 5, metrics.queue_events);
    GIVES("the others are counted", 15, metrics.connection_errors_untold);
    GIVES("and nobody is held up", 0, metrics.queue_stalls);
    server_end(&server);
}

/* Questions about handshakes wait for the host as well. */
static void handshakes_are_not_asked_about_without_end(void)
{
    sockeye_options options = default_options();
    options.queue_events_max = 4;
    options.flags = SOCKEYE_OPT_ALLOW_REQUEST;
    struct server server = server_new(&options);
    char head[512];
    int fds[5];
    static const char request[] = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: test\r\n\r\n";
    server_listen(&server);
    for (int i = 0; i < 4; i++) {
        fds[i] = tcp_open(server.port);
        NEED(fds[i] >= 0 && send_all(fds[i], request, sizeof request - 1) == 0);
        for (int64_t until = now_ms() + PATIENCE_MS; metrics_of(&server).events <= (uint64_t)i && now_ms() < until;)
            sleep_ms(1);
    }
    fds[4] = tcp_open(server.port);
    NEED(fds[4] >= 0 && send_all(fds[4], request, sizeof request - 1) == 0);
    GIVES("a handshake that the host cannot be asked about is refused", 503, http_head(fds[4], head, sizeof head));
    for (int i = 0; i < 4; i++) {
        sockeye_event event = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
        NEED(sockeye_accept(server.engine, event.token, 0, NULL, 0) == SOCKEYE_OK);
        GIVES("those before it are not", 200, http_head(fds[i], head, sizeof head));
    }
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    server_end(&server);
}

int main(void)
{
    two_threads_poll();
    nobody_drains();
    who_joins_and_leaves_is_held_up();
    refusals_hold_nobody_up();
    handshakes_are_not_asked_about_without_end();
    return contract_report();
}
