/* A full queue stops reading: the sender is held up by TCP, and when the host drains again nothing is lost, doubled or out of order. */
#include "client.h"

#include <fcntl.h>

/* More than the kernel's buffers of one connection take, so that a server that does not read holds the sender up. */
#define MESSAGE_BYTES 65536
#define MESSAGES 400

struct flow {
    struct server server;
    int fd, sent, stalled;
    size_t offset; /* of the message that is being sent */
    int received, wrong, hold;
};

static char frame[MESSAGE_BYTES + 64];

static size_t frame_of(int number)
{
    char payload[64];
    unsigned char *head = (unsigned char *)frame;
    size_t at = 14;
    head[0] = 0x81;
    head[1] = 0x80 | 127;
    for (int i = 0; i < 8; i++)
        head[2 + i] = (unsigned char)((uint64_t)MESSAGE_BYTES >> (56 - 8 * i));
    memset(head + 10, 0, 4);
    memset(frame + at, 'x', MESSAGE_BYTES);
    int n = snprintf(payload, sizeof payload, "42[\"n\",%d,\"", number);
    memcpy(frame + at, payload, (size_t)n);
    memcpy(frame + at + MESSAGE_BYTES - 2, "\"]", 2);
    return at + MESSAGE_BYTES;
}

/* Sends until all is sent, or until nothing more went out for `patience_ms`. */
static void send_some(struct flow *flow, int patience_ms)
{
    int64_t last = now_ms();
    while (flow->sent < MESSAGES && now_ms() - last < patience_ms) {
        size_t len = frame_of(flow->sent);
        ssize_t n = send(flow->fd, frame + flow->offset, len - flow->offset, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) {
            sleep_ms(5);
            continue;
        }
        last = now_ms();
        flow->offset += (size_t)n;
        if (flow->offset == len) {
            flow->offset = 0;
            flow->sent++;
        }
    }
}

static void take(struct flow *flow, const sockeye_event *event)
{
    char wanted[32];
    if (event->kind != SOCKEYE_EVENT_MESSAGE)
        return;
    int n = snprintf(wanted, sizeof wanted, "[%d,\"", flow->received);
    if (event->data_len < (size_t)n || memcmp(event->data, wanted, (size_t)n) != 0)
        flow->wrong++;
    __atomic_add_fetch(&flow->received, 1, __ATOMIC_SEQ_CST);
}

static void on_events(void *user, const sockeye_event *events, size_t count)
{
    struct flow *flow = (struct flow *)user;
    for (size_t i = 0; i < count; i++) {
        while (events[i].kind == SOCKEYE_EVENT_MESSAGE && __atomic_load_n(&flow->hold, __ATOMIC_SEQ_CST))
            sleep_ms(2);
        take(flow, &events[i]);
    }
}

static void drain(struct flow *flow)
{
    sockeye_event events[16];
    int64_t count = sockeye_queue_poll(flow->server.queue, events, sizeof events[0], 16, 5);
    NEED(count >= 0);
    for (int64_t i = 0; i < count; i++)
        take(flow, &events[i]);
}

static void flow_run(uint32_t mode, uint64_t events_max, uint64_t bytes_max, const char *what)
{
    struct flow flow;
    sockeye_options options = default_options();
    char name[96];
    memset(&flow, 0, sizeof flow);
    options.queue_events_max = events_max;
    options.queue_bytes_max = bytes_max;
    flow.server = server_new(&options);
    flow.hold = 1;
    if (mode == SOCKEYE_DELIVER_THREAD)
        NEED(sockeye_queue_deliver(flow.server.queue, mode, on_events, &flow, NULL) == SOCKEYE_OK);
    server_listen(&flow.server);
    flow.fd = sio_open(flow.server.port);
    send_some(&flow, 400);
    snprintf(name, sizeof name, "%s: the sender is held up", what);
    CHECK(name, flow.sent < MESSAGES);
    __atomic_store_n(&flow.hold, 0, __ATOMIC_SEQ_CST);
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (int before = 0, now; (now = __atomic_load_n(&flow.received, __ATOMIC_SEQ_CST)) < MESSAGES && now_ms() < deadline; before = now) {
        if (now > before)
            deadline = now_ms() + PATIENCE_MS;
        if (mode == SOCKEYE_DELIVER_POLL)
            drain(&flow);
        send_some(&flow, 10);
    }
    snprintf(name, sizeof name, "%s: everything arrives", what);
    GIVES(name, MESSAGES, flow.received);
    snprintf(name, sizeof name, "%s: in order", what);
    GIVES(name, 0, flow.wrong);
    close(flow.fd);
    if (mode == SOCKEYE_DELIVER_POLL)
        server_end(&flow.server);
    else
        NEED(sockeye_engine_free(flow.server.engine) == SOCKEYE_OK);
}

/* ---- long-polling ------------------------------------------------------------------------------------------------------------------ */

#define POSTS 40
#define EVENTS_PER_POST 20

/* One POST with `EVENTS_PER_POST` numbered events; the connection, on which the answer is still to come. */
static int post_begin(uint16_t port, const char *sid, int post)
{
    char request[4096], body[2048];
    size_t len = 0;
    int tcp = tcp_open(port);
    NEED(tcp >= 0);
    for (int i = 0; i < EVENTS_PER_POST; i++)
        len += (size_t)snprintf(body + len, sizeof body - len, "%s42[\"n\",%d,\"\"]", i ? "\x1e" : "", post * EVENTS_PER_POST + i);
    int n = snprintf(request, sizeof request,
                     "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", sid, len, body);
    NEED(send_all(tcp, request, (size_t)n) == 0);
    return tcp;
}

/* Whether the answer of a POST comes within `patience_ms`; then it is read. */
static int post_answered(int tcp, int patience_ms)
{
    char head[2048];
    struct pollfd p;
    p.fd = tcp;
    p.events = POLLIN;
    p.revents = 0;
    return poll(&p, 1, patience_ms) == 1 && http_head(tcp, head, sizeof head) == 200;
}

static void polling_run(void)
{
    struct flow flow;
    sockeye_options options = default_options();
    char body[1024], target[128], sid[21] = "";
    int post = 0, held_up = 0, tcp = -1;
    memset(&flow, 0, sizeof flow);
    options.queue_events_max = 50;
    flow.server = server_new(&options);
    server_listen(&flow.server);
    NEED(http_request(flow.server.port, "GET", "/socket.io/?EIO=4&transport=polling", NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    NEED(http_request(flow.server.port, "POST", target, "40", body, sizeof body) == 200);
    while (post < POSTS && !held_up) {
        tcp = post_begin(flow.server.port, sid, post++);
        held_up = !post_answered(tcp, 400);
        if (!held_up)
            close(tcp);
    }
    CHECK("long-polling: the sender is held up", held_up && post < POSTS);
    while (flow.received < POSTS * EVENTS_PER_POST) {
        int before = flow.received;
        drain(&flow);
        if (held_up && post_answered(tcp, 50)) {
            close(tcp);
            held_up = 0;
        }
        if (!held_up && post < POSTS) {
            tcp = post_begin(flow.server.port, sid, post++);
            held_up = 1;
        }
        NEED(flow.received > before || held_up || post < POSTS);
    }
    GIVES("long-polling: everything arrives", POSTS * EVENTS_PER_POST, flow.received);
    GIVES("long-polling: in order", 0, flow.wrong);
    if (held_up)
        close(tcp);
    server_end(&flow.server);
}

int main(void)
{
    flow_run(SOCKEYE_DELIVER_POLL, 4, 64 << 20, "POLL, four events");
    flow_run(SOCKEYE_DELIVER_POLL, 65536, 200000, "POLL, 200 kB");
    flow_run(SOCKEYE_DELIVER_THREAD, 4, 64 << 20, "THREAD, four events");
    polling_run();
    return contract_report();
}
