// An echo service that is given its listening socket, as systemd and other supervisors pass it: descriptor 3 and those after it,
// counted by LISTEN_FDS, for the process LISTEN_PID. Nobody is refused while one process takes over from another: the socket stays
// open, the old process stops accepting and ends its sessions over some seconds, and the clients come back to the new one.
//
//   -> echo ...args, ack?     comes back as ack(...args), binary too
//   <- process id             at the start: which process serves
//   <- closing                when it is about to end, so that a page can tell its user
//
// Run: systemd-socket-activate -l 3000 ./inherit          (also: SPREAD_MS, over which a process that gets SIGTERM ends its sessions)
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sockeye.h"

#define ROOT 1             // the namespace "/"
#define FIRST_FD 3         // what supervisors call SD_LISTEN_FDS_START
#define SPREAD_MS "5000"   // longer with more clients: they all connect again
#define GRACE_MS 2000      // for what is queued then

static sockeye_engine *engine;

static void must(sockeye_result result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "inherit: %s: %s\n", what, sockeye_last_error());
        exit(EXIT_FAILURE);
    }
}

// A peer may leave before our answer reaches it.
static void expect(sockeye_result result, const char *what) {
    if (result < 0 && result != SOCKEYE_ERR_STALE && result != SOCKEYE_ERR_GONE)
        fprintf(stderr, "inherit: %s: %s\n", what, sockeye_last_error());
}

static const char *env(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

static void on_events(void *user, const sockeye_event *event, size_t count) {
    for (const sockeye_event *end = event + count; event < end; event++) {
        if (event->kind == SOCKEYE_EVENT_CONNECT) {
            char args[32];
            int len = snprintf(args, sizeof args, "[%ld]", (long)getpid());
            sockeye_emission hello = {.size = sizeof hello, .name_ptr = "process", .name_len = 7, .data = args, .data_len = (size_t)len};
            expect(sockeye_emit(engine, event->socket, &hello, NULL), "hello");
        } else if (event->kind == SOCKEYE_EVENT_MESSAGE && event->token) {
            expect(sockeye_ack(engine, event->token, event->data, event->data_len, event->attachments, event->attachment_count), "ack");
        } else if (event->kind == SOCKEYE_EVENT_CLOSING) {
            fprintf(stderr, "inherit: %ld sessions left\n", (long)event->status);
        } else if (event->kind == SOCKEYE_EVENT_CLOSED) {
            kill(getpid(), SIGUSR1); // ends the second wait in main
        }
    }
    (void)user;
}

int main(void) {
    sockeye_options options;
    sigset_t signals;
    int signal_number;
    // Only if it is us for whom the sockets are meant: a parent may have left the variables behind.
    int fds = atol(env("LISTEN_PID", "0")) == (long)getpid() ? atoi(env("LISTEN_FDS", "0")) : 0;
    unsetenv("LISTEN_PID"), unsetenv("LISTEN_FDS"), unsetenv("LISTEN_FDNAMES");
    if (fds < 1) {
        fputs("inherit: no socket was passed; try: systemd-socket-activate -l 3000 ./inherit\n", stderr);
        return EXIT_FAILURE;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    must(sockeye_options_init(&options, sizeof options, SOCKEYE_ABI), "options");
    must(sockeye_engine_new(&options, &engine), "engine");
    must(sockeye_queue_deliver(sockeye_engine_queue(engine), SOCKEYE_DELIVER_THREAD, on_events, NULL, NULL), "queue");
    // The engine listens on duplicates; ours stay open, which does no harm.
    for (int fd = FIRST_FD; fd < FIRST_FD + fds; fd++) must(sockeye_engine_listen_fd(engine, fd), "listen");
    fprintf(stderr, "inherit: process %ld serves\n", (long)getpid());

    sigwait(&signals, &signal_number);
    sockeye_emission closing = {.size = sizeof closing, .name_ptr = "closing", .name_len = 7};
    sockeye_drain_options drain = {.size = sizeof drain, .spread_ms = (uint32_t)atoi(env("SPREAD_MS", SPREAD_MS)),
                                   .grace_ms = GRACE_MS, .tell = &closing};
    must(sockeye_engine_drain(engine, &drain), "drain");
    sigwait(&signals, &signal_number); // until all have left, or a second signal
    must(sockeye_engine_free(engine), "free");
    return EXIT_SUCCESS;
}
