// An echo and clock service in an event loop that is not ours: the engine is one more file descriptor in the program's epoll
// set, beside a timer and the signals. The same three lines serve any loop that watches descriptors (libuv, GLib, asio).
//
//   -> echo ...args, ack?     comes back as echo ...args, or as ack(...args); binary too
//   <- time iso               each second, to everybody
//
// Run: ./epoll        (also: HOST, PORT)
#define _GNU_SOURCE // epoll, timerfd, signalfd
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "sockeye.h"

#define ROOT 1       // the namespace "/"
#define MAX_EVENTS 64 // a batch; the descriptor stays readable while there is more

static sockeye_engine *engine;
static sockeye_atom echo, time_atom;

static const char *env(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

static void must(sockeye_result result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "epoll: %s: %s\n", what, sockeye_last_error());
        exit(EXIT_FAILURE);
    }
}

// The same for system calls.
static int must_sys(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(EXIT_FAILURE);
    }
    return result;
}

// A peer may leave before our answer reaches it.
static void expect(sockeye_result result, const char *what) {
    if (result < 0 && result != SOCKEYE_ERR_STALE && result != SOCKEYE_ERR_GONE)
        fprintf(stderr, "epoll: %s: %s\n", what, sockeye_last_error());
}

// What came in goes out as it is: the arguments' text and the attachments that it refers to.
static void on_echo(const sockeye_event *event) {
    if (event->token) {
        expect(sockeye_ack(engine, event->token, event->data, event->data_len, event->attachments, event->attachment_count),
               "ack");
        return;
    }
    sockeye_emission emission = {.size = sizeof emission, .name = echo, .data = event->data, .data_len = event->data_len,
                                 .attachments = event->attachments, .attachment_count = event->attachment_count};
    expect(sockeye_emit(engine, event->socket, &emission, NULL), "emit");
}

// Drains the queue. Returns 0 when the engine has closed.
static int on_engine_readable(sockeye_queue *queue) {
    sockeye_event events[MAX_EVENTS];
    int64_t count = sockeye_queue_poll(queue, events, sizeof events[0], MAX_EVENTS, 0);
    must(count < 0 ? (sockeye_result)count : SOCKEYE_OK, "poll");
    for (int64_t i = 0; i < count; i++) {
        if (events[i].kind == SOCKEYE_EVENT_MESSAGE && events[i].name == echo)
            on_echo(&events[i]);
        else if (events[i].kind == SOCKEYE_EVENT_CLOSED)
            return 0;
    }
    return 1;
}

static void on_timer(int timer) {
    uint64_t expirations;
    if (read(timer, &expirations, sizeof expirations) != sizeof expirations)
        return;
    char args[40];
    time_t now = time(NULL);
    struct tm utc;
    strftime(args, sizeof args, "[\"%Y-%m-%dT%H:%M:%SZ\"]", gmtime_r(&now, &utc));
    sockeye_target everybody = {.size = sizeof everybody, .nsp = ROOT};
    sockeye_emission emission = {.size = sizeof emission, .name = time_atom, .data = args, .data_len = strlen(args)};
    expect(sockeye_broadcast(engine, &everybody, &emission, NULL), "broadcast");
}

static int make_timer(void) {
    struct itimerspec each_second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
    int timer = must_sys(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd");
    must_sys(timerfd_settime(timer, 0, &each_second, NULL), "timerfd");
    return timer;
}

static int make_signals(void) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    must_sys(sigprocmask(SIG_BLOCK, &mask, NULL), "sigprocmask");
    return must_sys(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

static void watch(int loop, int fd) {
    struct epoll_event interest = {.events = EPOLLIN, .data.fd = fd};
    must_sys(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &interest), "epoll_ctl");
}

// Until the engine has closed, which the first signal asks it to.
static void run(int signals) {
    sockeye_queue *queue = sockeye_engine_queue(engine);
    ptrdiff_t queue_fd;
    must(sockeye_queue_fd(queue, &queue_fd), "queue fd");
    int loop = must_sys(epoll_create1(EPOLL_CLOEXEC), "epoll"), timer = make_timer();
    watch(loop, (int)queue_fd);
    watch(loop, timer);
    watch(loop, signals);
    for (int open = 1; open;) {
        struct epoll_event ready;
        if (epoll_wait(loop, &ready, 1, -1) < 1)
            continue;
        if (ready.data.fd == queue_fd) {
            open = on_engine_readable(queue);
        } else if (ready.data.fd == timer) {
            on_timer(timer);
        } else {
            must_sys(epoll_ctl(loop, EPOLL_CTL_DEL, timer, NULL), "epoll_ctl");
            must_sys(epoll_ctl(loop, EPOLL_CTL_DEL, signals, NULL), "epoll_ctl");
            must(sockeye_engine_close(engine, 1000), "close");
        }
    }
    close(timer);
    close(loop);
}

int main(void) {
    int signals = make_signals(); // before the engine starts threads
    sockeye_options options;
    must(sockeye_options_init(&options, sizeof options, SOCKEYE_ABI), "options");
    must(sockeye_engine_new(&options, &engine), "engine");
    must(sockeye_atom_of(engine, "echo", 4, &echo), "echo");
    must(sockeye_atom_of(engine, "time", 4, &time_atom), "time");

    const char *host = env("HOST", "127.0.0.1");
    char address[256];
    uint16_t port;
    int len = snprintf(address, sizeof address, "%s:%s", host, env("PORT", "3000"));
    must(sockeye_engine_listen(engine, address, (size_t)len, &port), "listen");
    printf("Echo and clock on http://%s:%u\n", host, (unsigned)port);
    fflush(stdout);

    run(signals);
    must(sockeye_engine_free(engine), "free");
    close(signals);
    return EXIT_SUCCESS;
}
