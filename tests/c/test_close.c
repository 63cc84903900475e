/* Closing: from the main thread and from a callback, in each delivery mode; what comes last, what completes, what `drop` and `free` do. */
#include "client.h"

#define RECORDED_MAX 64

/* What a run saw; written on the delivering thread. */
struct run {
    struct server server;
    uint32_t mode;
    int close_in_callback;
    uint32_t kinds[RECORDED_MAX];
    size_t count;
    sockeye_result close_result, free_in_callback;
    int connected, shutting_down;
    int closed;  /* set last */
    int dropped; /* calls of drop */
};

static void on_drop(void *user)
{
    struct run *run = (struct run *)user;
    __atomic_add_fetch(&run->dropped, 1, __ATOMIC_SEQ_CST);
}

static void on_events(void *user, const sockeye_event *events, size_t count)
{
    struct run *run = (struct run *)user;
    for (size_t i = 0; i < count; i++) {
        const sockeye_event *event = &events[i];
        if (run->count < RECORDED_MAX)
            run->kinds[run->count++] = event->kind;
        if (event->kind == SOCKEYE_EVENT_MESSAGE) {
            if (run->mode != SOCKEYE_DELIVER_POLL)
                run->free_in_callback = sockeye_engine_free(run->server.engine);
            if (run->close_in_callback)
                run->close_result = sockeye_engine_close(run->server.engine, 0);
        }
        if (event->kind == SOCKEYE_EVENT_CONNECT)
            __atomic_store_n(&run->connected, 1, __ATOMIC_SEQ_CST);
        if (event->kind == SOCKEYE_EVENT_DISCONNECT)
            run->shutting_down = event->status == SOCKEYE_REASON_SERVER_SHUTTING_DOWN && is_text(event->name_ptr, event->name_len, "server shutting down");
        if (event->kind == SOCKEYE_EVENT_CLOSED)
            __atomic_store_n(&run->closed, 1, __ATOMIC_SEQ_CST);
    }
}

/* Until `*flag`; POLL drains meanwhile. */
static void wait_for(struct run *run, const int *flag)
{
    sockeye_event events[8];
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST)) {
        NEED(now_ms() < deadline);
        if (run->mode != SOCKEYE_DELIVER_POLL) {
            sleep_ms(2);
            continue;
        }
        int64_t count = sockeye_queue_poll(run->server.queue, events, sizeof events[0], 8, 20);
        NEED(count >= 0);
        on_events(run, events, (size_t)count);
    }
}

static void check_order(const struct run *run, const char *what)
{
    char name[96];
    size_t closed = 0;
    for (size_t i = 0; i < run->count; i++)
        closed += run->kinds[i] == SOCKEYE_EVENT_CLOSED;
    snprintf(name, sizeof name, "%s: the first event is CONNECT", what);
    CHECK(name, run->count && run->kinds[0] == SOCKEYE_EVENT_CONNECT);
    snprintf(name, sizeof name, "%s: CLOSED comes once, and last", what);
    CHECK(name, closed == 1 && run->kinds[run->count - 1] == SOCKEYE_EVENT_CLOSED);
    snprintf(name, sizeof name, "%s: the socket left with the official reason", what);
    CHECK(name, run->shutting_down);
}

static void a_closed_engine_says_so(struct run *run, const char *what)
{
    sockeye_emission e = emission_of("x", "[]");
    sockeye_target t = target_of(1);
    sockeye_event event;
    char name[96];
    snprintf(name, sizeof name, "%s: broadcast says CLOSED", what);
    GIVES(name, SOCKEYE_ERR_CLOSED, sockeye_broadcast(run->server.engine, &t, &e, NULL));
    snprintf(name, sizeof name, "%s: listen says CLOSED", what);
    GIVES(name, SOCKEYE_ERR_CLOSED, sockeye_engine_listen(run->server.engine, "127.0.0.1:0", 11, NULL));
    snprintf(name, sizeof name, "%s: poll after the last event", what);
    GIVES(name, run->mode == SOCKEYE_DELIVER_POLL ? SOCKEYE_ERR_CLOSED : SOCKEYE_ERR_INVALID,
          sockeye_queue_poll(run->server.queue, &event, sizeof event, 1, -1));
}

static void close_run(uint32_t mode, int in_callback, const char *what)
{
    struct run run;
    sockeye_options options = default_options();
    char name[96], answer[256];
    memset(&run, 0, sizeof run);
    run.mode = mode;
    run.close_in_callback = in_callback;
    run.close_result = run.free_in_callback = 1;
    run.server = server_new(&options);
    if (mode != SOCKEYE_DELIVER_POLL)
        NEED(sockeye_queue_deliver(run.server.queue, mode, on_events, &run, on_drop) == SOCKEYE_OK);
    server_listen(&run.server);
    int fd = sio_open(run.server.port);
    if (in_callback) {
        ws_send(fd, "42[\"close\"]");
    } else {
        wait_for(&run, &run.connected);
        run.close_result = sockeye_engine_close(run.server.engine, 0);
    }
    wait_for(&run, &run.closed);
    snprintf(name, sizeof name, "%s: close", what);
    GIVES(name, SOCKEYE_OK, run.close_result);
    if (in_callback && mode != SOCKEYE_DELIVER_POLL) {
        snprintf(name, sizeof name, "%s: free from a callback", what);
        GIVES(name, SOCKEYE_ERR_DEADLOCK, run.free_in_callback);
    }
    check_order(&run, what);
    snprintf(name, sizeof name, "%s: the client was told, or cut off", what);
    CHECK(name, ws_recv(fd, answer, sizeof answer) < 0 || strcmp(answer, "41") == 0);
    a_closed_engine_says_so(&run, what);
    snprintf(name, sizeof name, "%s: free", what);
    GIVES(name, SOCKEYE_OK, sockeye_engine_free(run.server.engine));
    snprintf(name, sizeof name, "%s: drop ran once", what);
    GIVES(name, mode == SOCKEYE_DELIVER_POLL ? 0 : 1, run.dropped);
    close(fd);
}

/* Every token has one final completion before CLOSED. */
static void tokens_complete_on_close(void)
{
    struct server server = server_start();
    sockeye_emission e = emission_of("never-answered", "[]");
    sockeye_target all = target_of(1);
    sockeye_token tokens[3];
    sockeye_nsp_options ask = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL);
    sockeye_nsp nsp = 0;
    int finals[3] = {0, 0, 0}, good = 1;
    NEED(sockeye_namespace(server.engine, "/door", 5, &ask, &nsp) == SOCKEYE_OK);
    int fd = sio_open(server.port);
    sockeye_socket peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    ws_send(fd, "40/door,");
    sockeye_token door = server_next(&server, SOCKEYE_EVENT_AUTHORIZE).token;
    e.flags = SOCKEYE_EXPECT_ACK;
    NEED(sockeye_emit(server.engine, peer, &e, &tokens[0]) == SOCKEYE_OK);
    e.timeout_ms = 3600000;
    NEED(sockeye_emit(server.engine, peer, &e, &tokens[1]) == SOCKEYE_OK);
    NEED(sockeye_broadcast(server.engine, &all, &e, &tokens[2]) == SOCKEYE_OK);
    GIVES("close with tokens under way", SOCKEYE_OK, sockeye_engine_close(server.engine, 0));
    for (;;) {
        sockeye_event event;
        int64_t count = sockeye_queue_poll(server.queue, &event, sizeof event, 1, PATIENCE_MS);
        NEED(count == 1);
        if (event.kind == SOCKEYE_EVENT_CLOSED)
            break;
        if (event.kind != SOCKEYE_EVENT_ACK || event.flags & SOCKEYE_EVENT_PARTIAL)
            continue;
        for (int i = 0; i < 3; i++)
            finals[i] += event.token == tokens[i];
        good = good && (event.status == SOCKEYE_ERR_CLOSED || event.status == SOCKEYE_ERR_GONE);
    }
    CHECK("each token completed once", finals[0] == 1 && finals[1] == 1 && finals[2] == 1);
    CHECK("with CLOSED or GONE", good);
    sockeye_result late = sockeye_accept(server.engine, door, 0, NULL, 0);
    CHECK("a decision that comes too late", late == SOCKEYE_ERR_CLOSED || late == SOCKEYE_ERR_STALE);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
    close(fd);
}

static void free_without_close(void)
{
    struct server server = server_start();
    int fd = sio_open(server.port), other;
    char byte;
    sockeye_emission e = emission_of("x", "[]");
    sockeye_message *message = NULL;
    NEED(sockeye_message_new(server.engine, 1, &e, &message) == SOCKEYE_OK);
    GIVES("free closes by itself", SOCKEYE_OK, sockeye_engine_free(server.engine));
    while (recv(fd, &byte, 1, 0) > 0)
        continue;
    CHECK("the connection is gone", 1);
    other = tcp_open(server.port);
    CHECK("and so is the listener", other < 0);
    sockeye_message_free(message);
    CHECK("a message may be freed after its engine", 1);
    close(fd);
}

static void close_twice_and_before_listening(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    GIVES("close before listening", SOCKEYE_OK, sockeye_engine_close(server.engine, 0));
    GIVES("close again", SOCKEYE_ERR_CLOSED, sockeye_engine_close(server.engine, 1000));
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    GIVES("close after the end", SOCKEYE_ERR_CLOSED, sockeye_engine_close(server.engine, 0));
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
}

int main(void)
{
    close_run(SOCKEYE_DELIVER_POLL, 0, "POLL, from main");
    close_run(SOCKEYE_DELIVER_POLL, 1, "POLL, while draining");
    close_run(SOCKEYE_DELIVER_THREAD, 0, "THREAD, from main");
    close_run(SOCKEYE_DELIVER_THREAD, 1, "THREAD, from a callback");
    close_run(SOCKEYE_DELIVER_INLINE, 0, "INLINE, from main");
    close_run(SOCKEYE_DELIVER_INLINE, 1, "INLINE, from a callback");
    tokens_complete_on_close();
    free_without_close();
    close_twice_and_before_listening();
    return contract_report();
}
