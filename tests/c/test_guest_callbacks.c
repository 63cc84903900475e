/* `close` and `free` in the callbacks that test_close.c leaves out: wake and drop, on the host's threads and on the engine's. */
#include "client.h"

#include <pthread.h>

struct calls {
    sockeye_engine *engine;
    sockeye_queue *queue;
    int woken, dropped, done;
    sockeye_result closed, freed, again;
    pthread_t thread;
};


static void gives(int64_t wanted, int64_t got, const char *what, const char *which)
{
    char name[128];
    snprintf(name, sizeof name, "%s: %s", which, what);
    GIVES(name, wanted, got);
}

/* The first time only: the events that closing makes wake again. */
static void wake_closes(void *user)
{
    struct calls *calls = (struct calls *)user;
    if (__atomic_add_fetch(&calls->woken, 1, __ATOMIC_SEQ_CST) != 1)
        return;
    calls->thread = pthread_self();
    calls->freed = sockeye_engine_free(calls->engine);
    calls->closed = sockeye_engine_close(calls->engine, 0);
    __atomic_store_n(&calls->done, 1, __ATOMIC_SEQ_CST);
}

static void drop_counts(void *user)
{
    __atomic_add_fetch(&((struct calls *)user)->dropped, 1, __ATOMIC_SEQ_CST);
}

/* What a careless host might do when it is told that its value is needed no more. */
static void drop_calls(void *user)
{
    struct calls *calls = (struct calls *)user;
    sockeye_emission e = emission_of("x", "[]");
    sockeye_target t = target_of(1);
    calls->dropped++;
    calls->freed = sockeye_engine_free(calls->engine);
    calls->again = sockeye_broadcast(calls->engine, &t, &e, NULL);
    calls->closed = sockeye_engine_close(calls->engine, 0);
}

static void begin(struct calls *calls, struct server *server)
{
    memset(calls, 0, sizeof *calls);
    calls->closed = calls->freed = calls->again = 1;
    calls->engine = server->engine;
    calls->queue = server->queue;
}

static void wake_on_an_engine_thread(void)
{
    struct server server = server_start();
    struct calls calls;
    begin(&calls, &server);
    NEED(sockeye_queue_set_wake(server.queue, wake_closes, &calls, drop_counts) == SOCKEYE_OK);
    int fd = sio_open(server.port);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    while (!__atomic_load_n(&calls.done, __ATOMIC_SEQ_CST))
        sleep_ms(1);
    gives(0, pthread_equal(calls.thread, pthread_self()), "is not the host's thread", "wake on a shard");
    gives(SOCKEYE_ERR_DEADLOCK, calls.freed, "free", "wake on a shard");
    gives(SOCKEYE_OK, calls.closed, "close", "wake on a shard");
    gives(SOCKEYE_OK, sockeye_engine_free(server.engine), "free after it", "wake on a shard");
    gives(1, calls.dropped, "drop ran once", "wake on a shard");
    close(fd);
}

/* A call of the host's own that makes an event wakes on the thread of the call. */
static void wake_within_a_call(void)
{
    struct server server = server_start();
    struct calls calls;
    sockeye_target all = target_of(1);
    sockeye_token token = 0;
    begin(&calls, &server);
    NEED(sockeye_queue_set_wake(server.queue, wake_closes, &calls, drop_counts) == SOCKEYE_OK);
    NEED(sockeye_sockets_fetch(server.engine, &all, &token) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_SOCKETS);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    CHECK("wake within a call: it is the host's thread", pthread_equal(calls.thread, pthread_self()));
    gives(SOCKEYE_ERR_DEADLOCK, calls.freed, "free", "wake within a call");
    gives(SOCKEYE_OK, calls.closed, "close", "wake within a call");
    gives(SOCKEYE_OK, sockeye_engine_free(server.engine), "free after it", "wake within a call");
    gives(1, calls.dropped, "drop ran once", "wake within a call");
}

static void drop_of_a_callback_that_is_replaced(void)
{
    struct server server = server_start();
    struct calls calls;
    begin(&calls, &server);
    NEED(sockeye_queue_set_wake(server.queue, wake_closes, &calls, drop_calls) == SOCKEYE_OK);
    GIVES("replacing a wake callback", SOCKEYE_OK, sockeye_queue_set_wake(server.queue, NULL, NULL, NULL));
    gives(1, calls.dropped, "runs", "drop of what is replaced");
    gives(SOCKEYE_ERR_DEADLOCK, calls.freed, "free", "drop of what is replaced");
    gives(SOCKEYE_OK, calls.again, "other functions", "drop of what is replaced");
    gives(SOCKEYE_OK, calls.closed, "close", "drop of what is replaced");
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    gives(SOCKEYE_OK, sockeye_engine_free(server.engine), "free after it", "drop of what is replaced");
    gives(1, calls.dropped, "did not run again", "drop of what is replaced");
}

/* set_wake in a drop that set_wake runs: nothing is locked while the host's code runs. */
static void drop_sets_wake(void *user)
{
    struct calls *calls = (struct calls *)user;
    if (++calls->dropped == 1)
        calls->again = sockeye_queue_set_wake(calls->queue, wake_closes, calls, drop_counts);
}

static void a_drop_that_sets_another_wake(void)
{
    struct server server = server_start();
    struct calls calls;
    begin(&calls, &server);
    NEED(sockeye_queue_set_wake(server.queue, wake_closes, &calls, drop_sets_wake) == SOCKEYE_OK);
    GIVES("set_wake whose drop sets another", SOCKEYE_OK, sockeye_queue_set_wake(server.queue, NULL, NULL, NULL));
    GIVES("which succeeds", SOCKEYE_OK, calls.again);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(server.engine));
    GIVES("each drop ran once", 2, calls.dropped);
}

static void ignore_events(void *user, const sockeye_event *events, size_t count)
{
    (void)user, (void)events, (void)count;
}

static void drop_within_free(uint32_t mode, const char *which)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    struct calls calls, wake;
    begin(&calls, &server);
    begin(&wake, &server);
    if (mode != SOCKEYE_DELIVER_POLL)
        NEED(sockeye_queue_deliver(server.queue, mode, ignore_events, &calls, drop_calls) == SOCKEYE_OK);
    NEED(sockeye_queue_set_wake(server.queue, wake_closes, &wake, drop_calls) == SOCKEYE_OK);
    /* Else it closes when CLOSED wakes, long before anything is dropped. */
    wake.woken = 1;
    server_listen(&server);
    int fd = sio_open(server.port);
    gives(SOCKEYE_OK, sockeye_engine_free(server.engine), "free", which);
    gives(mode == SOCKEYE_DELIVER_POLL ? 0 : 1, calls.dropped, "drop of the events function", which);
    gives(1, wake.dropped, "drop of the wake callback", which);
    gives(SOCKEYE_ERR_DEADLOCK, wake.freed, "free in it", which);
    gives(SOCKEYE_ERR_CLOSED, wake.again, "other functions in it", which);
    gives(SOCKEYE_ERR_CLOSED, wake.closed, "close in it", which);
    if (mode != SOCKEYE_DELIVER_POLL)
        gives(SOCKEYE_ERR_DEADLOCK, calls.freed, "free in the other", which);
    close(fd);
}

struct second {
    struct server first, other;
    sockeye_result freed;
    int done;
};

static void frees_another(void *user, const sockeye_event *events, size_t count)
{
    struct second *second = (struct second *)user;
    for (size_t i = 0; i < count; i++) {
        if (events[i].kind != SOCKEYE_EVENT_CONNECT)
            continue;
        second->freed = sockeye_engine_free(second->other.engine);
        __atomic_store_n(&second->done, 1, __ATOMIC_SEQ_CST);
    }
}

static void one_engines_callback_frees_another(uint32_t mode, const char *which)
{
    sockeye_options options = default_options();
    struct second second;
    memset(&second, 0, sizeof second);
    second.freed = 1;
    second.first = server_new(&options);
    second.other = server_start();
    NEED(sockeye_queue_deliver(second.first.queue, mode, frees_another, &second, NULL) == SOCKEYE_OK);
    server_listen(&second.first);
    int there = sio_open(second.other.port), here = sio_open(second.first.port);
    while (!__atomic_load_n(&second.done, __ATOMIC_SEQ_CST))
        sleep_ms(1);
    gives(SOCKEYE_OK, second.freed, "free of another engine", which);
    close(there), close(here);
    GIVES("free", SOCKEYE_OK, sockeye_engine_free(second.first.engine));
}

int main(void)
{
    wake_on_an_engine_thread();
    wake_within_a_call();
    drop_of_a_callback_that_is_replaced();
    a_drop_that_sets_another_wake();
    drop_within_free(SOCKEYE_DELIVER_POLL, "drop within free, POLL");
    drop_within_free(SOCKEYE_DELIVER_THREAD, "drop within free, THREAD");
    drop_within_free(SOCKEYE_DELIVER_INLINE, "drop within free, INLINE");
    one_engines_callback_frees_another(SOCKEYE_DELIVER_THREAD, "a THREAD callback");
    one_engines_callback_frees_another(SOCKEYE_DELIVER_INLINE, "an INLINE callback");
    return contract_report();
}
