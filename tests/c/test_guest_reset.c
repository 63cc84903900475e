/* Peers reset their connections in the midst of broadcasts, with SIGPIPE at its default: the process lives, and the others miss nothing. */
#include "client.h"
#include "process.h"

#include <pthread.h>
#include <signal.h>

#define SURVIVORS 6
#define RESETTERS 24
#define BROADCASTS 600
#define PADDING 6000

static struct server server;
static int reset_now;

struct survivor {
    int fd, received, wrong;
    pthread_t thread;
};

static void *survive(void *user)
{
    struct survivor *survivor = (struct survivor *)user;
    static const size_t cap = PADDING + 64;
    char *text = (char *)malloc(cap), wanted[32];
    while (survivor->received < BROADCASTS && ws_recv(survivor->fd, text, cap) > 0) {
        snprintf(wanted, sizeof wanted, "42[\"n\",%d,", survivor->received);
        survivor->wrong += strncmp(text, wanted, strlen(wanted)) != 0;
        survivor->received++;
    }
    free(text);
    return NULL;
}

/* A reset instead of an orderly end, whatever is under way. */
static void reset(int fd)
{
    struct linger at_once = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

/* Takes the events, so that the queue stays empty, and resets peers while broadcasts go on. */
static void *reset_and_return(void *unused)
{
    int fds[RESETTERS];
    (void)unused;
    for (int i = 0; i < RESETTERS; i++)
        fds[i] = sio_open(server.port);
    for (int round = 0; __atomic_load_n(&reset_now, __ATOMIC_SEQ_CST) < BROADCASTS; round++) {
        int at = round % RESETTERS;
        reset(fds[at]);
        fds[at] = sio_open(server.port);
    }
    for (int i = 0; i < RESETTERS; i++)
        reset(fds[i]);
    return NULL;
}

static void drain(int *connected, int *left)
{
    sockeye_event events[64];
    int64_t count = sockeye_queue_poll(server.queue, events, sizeof events[0], 64, 2);
    NEED(count >= 0);
    for (int64_t i = 0; i < count; i++) {
        *connected += events[i].kind == SOCKEYE_EVENT_CONNECT;
        *left += events[i].kind == SOCKEYE_EVENT_DISCONNECT;
    }
}

int main(void)
{
    static char data[PADDING + 64];
    struct survivor survivors[SURVIVORS];
    pthread_t resetter;
    int connected = 0, left = 0, received = 0, wrong = 0;
    signal(SIGPIPE, SIG_DFL);
    server = server_start();
    sockeye_target all = target_of(1);
    int descriptors = descriptors_now();
    memset(survivors, 0, sizeof survivors);
    for (int i = 0; i < SURVIVORS; i++) {
        survivors[i].fd = sio_open(server.port);
        server_next(&server, SOCKEYE_EVENT_CONNECT);
        NEED(pthread_create(&survivors[i].thread, NULL, survive, &survivors[i]) == 0);
    }
    NEED(pthread_create(&resetter, NULL, reset_and_return, NULL) == 0);
    while (connected < RESETTERS)
        drain(&connected, &left);
    for (int i = 0; i < BROADCASTS; i++) {
        snprintf(data, sizeof data, "[%d,\"%0*d\"]", i, PADDING, 0);
        sockeye_emission e = emission_of("n", data);
        NEED(sockeye_broadcast(server.engine, &all, &e, NULL) == SOCKEYE_OK);
        __atomic_store_n(&reset_now, i + 1, __ATOMIC_SEQ_CST);
        drain(&connected, &left);
    }
    CHECK("this process was not ended by SIGPIPE", 1);
    pthread_join(resetter, NULL);
    for (int i = 0; i < SURVIVORS; i++) {
        pthread_join(survivors[i].thread, NULL);
        received += survivors[i].received;
        wrong += survivors[i].wrong;
        close(survivors[i].fd);
    }
    GIVES("those who stay receive every broadcast", SURVIVORS * BROADCASTS, received);
    GIVES("in order", 0, wrong);
    int64_t deadline = now_ms() + PATIENCE_MS;
    while ((left < connected + SURVIVORS || descriptors_now() > descriptors) && now_ms() < deadline)
        drain(&connected, &left);
    CHECK("many were reset", connected > RESETTERS);
    GIVES("each of them has left", connected + SURVIVORS, left);
    GIVES("and all descriptors are back", descriptors, descriptors_now());
    server_end(&server);
    return contract_report();
}
