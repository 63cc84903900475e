// Two processes that act as one server, with a broker of their own between them: a pair of connected Unix sockets. What one says to everybody, the
// clients of the other hear too. In place of the sockets may stand whatever a program has already: a message bus, shared memory, a queue.
//
//   -> say ...args
//   <- said process id, ...args     to everybody, at both processes
//
// Run: ./broker     (also: HOST, PORT of one process, OTHER_PORT of the other)
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockeye.h"

#define ROOT 1                    // the namespace "/"
#define MESSAGE_MAX (64u << 20)   // bytes; more than these servers send at once
#define GRACE_MS 500

static sockeye_engine *engine;
static int peer; // our end of the pair

static void must(sockeye_result result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "broker: %s: %s\n", what, sockeye_last_error());
        exit(EXIT_FAILURE);
    }
}

// A peer may leave before our answer reaches it.
static void expect(sockeye_result result, const char *what) {
    if (result < 0 && result != SOCKEYE_ERR_STALE && result != SOCKEYE_ERR_GONE && result != SOCKEYE_ERR_CLOSED)
        fprintf(stderr, "broker: %s: %s\n", what, sockeye_last_error());
}

// ---- the broker: a message is the lengths of a channel's name and of its bytes, then both -------------------------------------------

static int write_all(struct iovec *parts, int count) {
    while (count > 0) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(peer, &message, MSG_NOSIGNAL);
        if (sent < 0) return -1;
        for (; count > 0 && (size_t)sent >= parts->iov_len; parts++, count--) sent -= (ssize_t)parts->iov_len;
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

static int read_all(void *to, size_t len) {
    for (char *at = to; len > 0;) {
        ssize_t got = read(peer, at, len);
        if (got <= 0) return -1;
        at += got;
        len -= (size_t)got;
    }
    return 0;
}

// On a thread of the engine's, one call at a time: it may block, which holds up nothing but what else goes to the other process.
static sockeye_result publish(void *user, const char *channel, size_t channel_len, const void *bytes, size_t len) {
    uint32_t lengths[2] = {(uint32_t)channel_len, (uint32_t)len};
    struct iovec parts[3] = {{lengths, sizeof lengths}, {(void *)channel, channel_len}, {(void *)bytes, len}};
    (void)user;
    return write_all(parts, 3) == 0 ? SOCKEYE_OK : SOCKEYE_ERR_GONE;
}

static void *receive(void *unused) {
    uint32_t lengths[2];
    char *message = NULL;
    while (read_all(lengths, sizeof lengths) == 0) {
        size_t len = (size_t)lengths[0] + lengths[1];
        char *room = len <= MESSAGE_MAX ? realloc(message, len + 1) : NULL;
        if (!room || read_all(message = room, len) != 0) break;
        expect(sockeye_broker_deliver(engine, message, lengths[0], message + lengths[0], lengths[1]), "deliver");
    }
    free(message);
    kill(getpid(), SIGTERM); // no other process, no service
    return unused;
}

// ---- the server ------------------------------------------------------------------------------------------------------------------------

static void on_say(const sockeye_event *event) {
    char args[4096];
    // The arguments come as a JSON array; the process goes in front of them.
    int size = snprintf(args, sizeof args, "[%ld%s%.*s", (long)getpid(), event->data_len > 2 ? "," : "", (int)event->data_len - 1, event->data + 1);
    if (size < 0 || (size_t)size >= sizeof args) return;
    sockeye_target everybody = {.size = sizeof everybody, .nsp = ROOT};
    sockeye_emission said = {.size = sizeof said, .name_ptr = "said", .name_len = 4, .data = args, .data_len = (size_t)size,
                             .attachments = event->attachments, .attachment_count = event->attachment_count};
    expect(sockeye_broadcast(engine, &everybody, &said, NULL), "broadcast");
}

static void on_events(void *user, const sockeye_event *event, size_t count) {
    for (const sockeye_event *end = event + count; event < end; event++)
        if (event->kind == SOCKEYE_EVENT_MESSAGE) on_say(event);
    (void)user;
}

static const char *env(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

static void serve(const char *port_text) {
    char address[300];
    sockeye_options options;
    uint16_t port;
    pthread_t reader;
    sockeye_broker broker = {.size = sizeof broker, .publish = publish};
    must(sockeye_options_init(&options, sizeof options, SOCKEYE_ABI), "options");
    must(sockeye_engine_new(&options, &engine), "engine");
    must(sockeye_queue_deliver(sockeye_engine_queue(engine), SOCKEYE_DELIVER_THREAD, on_events, NULL, NULL), "queue");
    must(sockeye_engine_set_broker(engine, &broker, "{}", 2), "broker");
    if (pthread_create(&reader, NULL, receive, NULL) != 0) exit(EXIT_FAILURE);
    int len = snprintf(address, sizeof address, "%s:%s", env("HOST", "127.0.0.1"), port_text);
    must(sockeye_engine_listen(engine, address, (size_t)len, &port), "listen");
    printf("broker: http://%s:%u\n", env("HOST", "127.0.0.1"), port);
    fflush(stdout);

    int signal_number;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigwait(&signals, &signal_number);
    must(sockeye_engine_close(engine, GRACE_MS), "close");
    shutdown(peer, SHUT_RDWR); // ends the reader
    pthread_join(reader, NULL);
    must(sockeye_engine_free(engine), "free");
}

int main(void) {
    int ends[2], status = 0;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return EXIT_FAILURE;
    // Before there is an engine: a fork takes none along.
    pid_t child = fork();
    if (child < 0) return EXIT_FAILURE;
    peer = ends[child == 0];
    close(ends[child != 0]);
    serve(child == 0 ? env("OTHER_PORT", "0") : env("PORT", "3000"));
    if (child == 0) return EXIT_SUCCESS;
    kill(child, SIGTERM);
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
