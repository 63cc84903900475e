/* `auth` goes out a moment after the answer to CONNECT.
 *
 * A client that awaits one WebSocket message after the other, as the official protocol suite does, attaches its next listener only
 * when it has seen the first, and with a WebSocket library that emits all frames of a TCP segment at once it loses the second. So
 * the two must not travel together, whatever the delivery mode and however busy the machine is. */
#include "testbed.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define DELAY_MS 10
#define SLACK_MS 3
#define BATCH_MAX 256

struct late {
    struct late *next;
    struct timespec due;
    sockeye_socket socket;
    struct buf args;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct late *first, **last = &first;
static bool ended;
static pthread_t thread;

static struct timespec in_a_moment(void)
{
    struct timespec due;
    clock_gettime(CLOCK_REALTIME, &due);
    due.tv_nsec += DELAY_MS * 1000000L;
    due.tv_sec += due.tv_nsec / 1000000000L;
    due.tv_nsec %= 1000000000L;
    return due;
}

/* Whether it is due, or would be so shortly: those that came together go together, as one wake of the engine. */
static bool is_due(const struct late *late, long slack_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (late->due.tv_sec - now.tv_sec) * 1000L + (late->due.tv_nsec - now.tv_nsec) / 1000000L <= slack_ms;
}

/* Those whose time has come, at most `cap`; none at the end. */
static size_t take_due(struct late **batch, size_t cap)
{
    size_t count = 0;
    pthread_mutex_lock(&lock);
    while (!ended && (!first || !is_due(first, 0))) {
        if (first) {
            struct timespec due = first->due;
            pthread_cond_timedwait(&changed, &lock, &due);
        } else {
            pthread_cond_wait(&changed, &lock);
        }
    }
    while (!ended && count < cap && first && is_due(first, SLACK_MS)) {
        batch[count++] = first;
        first = first->next;
    }
    if (!first)
        last = &first;
    pthread_mutex_unlock(&lock);
    return count;
}

static void *run(void *user)
{
    struct testbed *bed = user;
    struct late *batch[BATCH_MAX];
    sockeye_emission emissions[BATCH_MAX];
    sockeye_op ops[BATCH_MAX];
    size_t count;
    while ((count = take_due(batch, BATCH_MAX)) > 0) {
        for (size_t i = 0; i < count; i++) {
            emissions[i] = (sockeye_emission){
                .size = sizeof *emissions, .name = bed->auth, .data = batch[i]->args.ptr, .data_len = batch[i]->args.len};
            ops[i] = (sockeye_op){.size = sizeof *ops, .kind = SOCKEYE_OP_EMIT, .socket = batch[i]->socket, .emission = &emissions[i]};
        }
        /* Clients may have left: their operations fail, and that is all. */
        sockeye_submit(bed->engine, ops, sizeof *ops, count, NULL);
        for (size_t i = 0; i < count; i++) {
            buf_free(&batch[i]->args);
            free(batch[i]);
        }
    }
    return NULL;
}

bool late_start(struct testbed *bed)
{
    return pthread_create(&thread, NULL, run, bed) == 0;
}

/* Takes over `args`. */
void late_auth(sockeye_socket socket, struct buf args)
{
    struct late *late = xrealloc(NULL, sizeof *late);
    *late = (struct late){.due = in_a_moment(), .socket = socket, .args = args};
    pthread_mutex_lock(&lock);
    bool was_empty = !first;
    *last = late;
    last = &late->next;
    /* Otherwise the thread waits for one that is due earlier. */
    if (was_empty)
        pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

void late_end(void)
{
    pthread_mutex_lock(&lock);
    ended = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    while (first) {
        struct late *late = first;
        first = late->next;
        buf_free(&late->args);
        free(late);
    }
}
