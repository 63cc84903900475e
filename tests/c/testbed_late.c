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

/* The next one when it is due, or NULL at the end. */
static struct late *next_due(void)
{
    struct late *late = NULL;
    pthread_mutex_lock(&lock);
    while (!ended) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (!first) {
            pthread_cond_wait(&changed, &lock);
        } else if (now.tv_sec > first->due.tv_sec || (now.tv_sec == first->due.tv_sec && now.tv_nsec >= first->due.tv_nsec)) {
            late = first;
            first = late->next;
            if (!first)
                last = &first;
            break;
        } else {
            struct timespec due = first->due;
            pthread_cond_timedwait(&changed, &lock, &due);
        }
    }
    pthread_mutex_unlock(&lock);
    return late;
}

static void *run(void *user)
{
    struct testbed *bed = user;
    struct late *late;
    while ((late = next_due()) != NULL) {
        sockeye_emission emission = {.size = sizeof emission, .name = bed->auth, .data = late->args.ptr, .data_len = late->args.len};
        /* The client may have left. */
        sockeye_emit(bed->engine, late->socket, &emission, NULL);
        buf_free(&late->args);
        free(late);
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
    *last = late;
    last = &late->next;
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
