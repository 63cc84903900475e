/* The testbed: one server that client-driven tests and benchmarks run against, configured by the environment (testbed_env.c).
 *
 *   HOST=127.0.0.1 PORT=3000 DELIVERY=inline|thread|poll target/testbed
 *
 * Where to look: testbed_events.c says what happens for each event, testbed_cmd.c for each operation of `cmd`, testbed_pending.c for
 * answers that come later, testbed_json.c has the slices and buffers.
 *
 * Exit status: 0 after SIGTERM or SIGINT, 2 for a setting that is not known, 1 for anything else, with a line on stderr. */
#include "testbed.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Events of one poll: large enough that a busy loop crosses the boundary rarely, small enough that answers are not held back. */
#define BATCH_MAX 512

/* How long `close` lets the last packets go out. */
#define CLOSE_GRACE_MS 1000

static struct testbed bed;

static void die(const char *what, int status)
{
    fprintf(stderr, "testbed: %s: %s\n", what, sockeye_last_error());
    exit(status);
}

static void on_events(void *user, const sockeye_event *events, size_t count)
{
    events_handle(user, events, count);
}

/* POLL: drains the queue until it is closed. */
static void *drain(void *unused)
{
    static sockeye_event events[BATCH_MAX];
    sockeye_queue *queue = sockeye_engine_queue(bed.engine);
    int64_t count;
    (void)unused;
    while ((count = sockeye_queue_poll(queue, events, sizeof events[0], BATCH_MAX, -1)) >= 0)
        events_handle(&bed, events, (size_t)count);
    if (count != SOCKEYE_ERR_CLOSED)
        die("poll", 1);
    return NULL;
}

static void add_namespace(const char *name, uint32_t flags)
{
    sockeye_nsp_options options = {.size = sizeof options, .flags = flags};
    sockeye_nsp nsp;
    if (sockeye_namespace(bed.engine, name, strlen(name), &options, &nsp) != SOCKEYE_OK)
        die(name, 1);
    nsp_learn(&bed, (text){name, strlen(name)}, nsp);
}

static void add_namespaces(void)
{
    static const char dynamic[] = "^/dyn-[0-9]+$";
    sockeye_nsp_options options = {.size = sizeof options};
    sockeye_nsp nsp;
    add_namespace("/", 0);
    add_namespace("/custom", 0);
    add_namespace("/deny", SOCKEYE_NSP_AUTHORIZE);
    if (sockeye_namespace_pattern(bed.engine, dynamic, sizeof dynamic - 1, &options, &nsp) != SOCKEYE_OK)
        die(dynamic, 1);
}

static void start(pthread_t *drainer)
{
    uint32_t mode = bed.delivery == DELIVERY_INLINE ? SOCKEYE_DELIVER_INLINE : SOCKEYE_DELIVER_THREAD;
    if (sockeye_engine_new(&bed.options, &bed.engine) != SOCKEYE_OK)
        die("options", 2);
    if (!events_prepare(&bed))
        die("event names", 1);
    if (!bed.engine_only)
        add_namespaces();
    if (cluster_join(&bed) != 0)
        die("ADAPTER", 2);
    if (bed.delivery == DELIVERY_POLL) {
        if (pthread_create(drainer, NULL, drain, NULL) != 0)
            die("thread", 1);
    } else if (sockeye_queue_deliver(sockeye_engine_queue(bed.engine), mode, on_events, &bed, NULL) != SOCKEYE_OK) {
        die("delivery", 1);
    }
    cluster_wait(&bed);
    if (sockeye_engine_listen(bed.engine, bed.address, strlen(bed.address), NULL) != SOCKEYE_OK)
        die("listen", 1);
}

int main(void)
{
    pthread_t drainer;
    sigset_t ends;
    int received;
    /* Blocked in every thread, so that only the wait below sees them. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    sem_init(&bed.closed, 0, 0);
    env_read(&bed);
    start(&drainer);
    if (!late_start(&bed))
        die("thread", 1);

    sigwait(&ends, &received);
    if (sockeye_engine_close(bed.engine, CLOSE_GRACE_MS) != SOCKEYE_OK)
        die("close", 1);
    while (sem_wait(&bed.closed) != 0)
        continue;
    if (bed.delivery == DELIVERY_POLL)
        pthread_join(drainer, NULL);
    late_end();
    if (sockeye_engine_free(bed.engine) != SOCKEYE_OK)
        die("free", 1);
    pending_free_all(&bed);
    buf_free(&bed.cors);
    buf_free(&bed.adapter_json);
    cluster_forget(&bed);
    return 0;
}
