/* What the contract tests of the ABI share: checks that count, and an engine in POLL mode to try things on. Everything compiles as C99 and
 * as C++17. A test is one program: it prints `ok <name>` or `FAILED <name>` for each check, and at the end `N passed, N failed`. */
#ifndef CONTRACT_H
#define CONTRACT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sockeye.h"

/* Long enough for a loaded machine under valgrind; a passing test never waits for it. */
#define PATIENCE_MS 20000

static int contract_passed, contract_failed;

static inline int contract_check(int good, const char *name, const char *file, int line)
{
    if (good) {
        contract_passed++;
        printf("ok %s\n", name);
    } else {
        contract_failed++;
        printf("FAILED %s (%s:%d), last error: %s\n", name, file, line, sockeye_last_error());
    }
    fflush(stdout);
    return good;
}

static inline void contract_result(int64_t got, int64_t wanted, const char *name, const char *file, int line)
{
    if (!contract_check(got == wanted, name, file, line))
        printf("  got %lld, wanted %lld\n", (long long)got, (long long)wanted);
}

/* A check with a name of its own. */
#define CHECK(name, condition) contract_check((condition) ? 1 : 0, name, __FILE__, __LINE__)
/* A call that must give `wanted`. */
#define GIVES(name, wanted, call) contract_result((call), (wanted), name, __FILE__, __LINE__)
/* A step without which the test makes no sense. */
#define NEED(condition)                                                                                     \
    do {                                                                                                    \
        if (!(condition)) {                                                                                 \
            printf("FAILED setup (%s:%d): %s, last error: %s\n", __FILE__, __LINE__, #condition, sockeye_last_error()); \
            exit(1);                                                                                        \
        }                                                                                                   \
    } while (0)

static inline int contract_report(void)
{
    printf("%d passed, %d failed\n", contract_passed, contract_failed);
    return contract_failed != 0;
}

static inline int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void sleep_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* Whether `text` of `len` bytes contains `part`. */
static inline int contains(const void *text, size_t len, const char *part)
{
    return text && memmem(text, len, part, strlen(part)) != NULL;
}

static inline int error_mentions(const char *part)
{
    return strstr(sockeye_last_error(), part) != NULL;
}

static inline int is_text(const void *ptr, size_t len, const char *wanted)
{
    return ptr && len == strlen(wanted) && memcmp(ptr, wanted, len) == 0;
}

/* ---- an engine in POLL mode -------------------------------------------------------------------------------------------------------- */

struct server {
    sockeye_engine *engine;
    sockeye_queue *queue;
    uint16_t port;
};

static inline sockeye_options default_options(void)
{
    sockeye_options options;
    memset(&options, 0, sizeof options);
    NEED(sockeye_options_init(&options, sizeof options, SOCKEYE_ABI) == SOCKEYE_OK);
    return options;
}

static inline void server_listen(struct server *server)
{
    static const char any_port[] = "127.0.0.1:0";
    NEED(sockeye_engine_listen(server->engine, any_port, sizeof any_port - 1, &server->port) == SOCKEYE_OK);
    NEED(server->port != 0);
}

/* An engine that does not listen yet. */
static inline struct server server_new(const sockeye_options *options)
{
    struct server server = {NULL, NULL, 0};
    NEED(sockeye_engine_new(options, &server.engine) == SOCKEYE_OK);
    server.queue = sockeye_engine_queue(server.engine);
    NEED(server.queue != NULL);
    return server;
}

static inline struct server server_start(void)
{
    sockeye_options options = default_options();
    /* The clients answer no pings, and on a loaded machine under valgrind some tests take longer than a heartbeat. */
    options.ping_interval_ms = 600000;
    struct server server = server_new(&options);
    server_listen(&server);
    return server;
}

/* The next event of `kind`, the others being passed over; its pointers are good until the next poll. */
static inline sockeye_event queue_next(sockeye_queue *queue, uint32_t kind)
{
    sockeye_event event;
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (;;) {
        int64_t count = sockeye_queue_poll(queue, &event, sizeof event, 1, 100);
        if (count == 1 && event.kind == kind)
            return event;
        if (count < 0 || now_ms() > deadline) {
            printf("FAILED setup: no event of kind %u (%lld), last error: %s\n", kind, (long long)count, sockeye_last_error());
            exit(1);
        }
    }
}

static inline sockeye_event server_next(const struct server *server, uint32_t kind)
{
    return queue_next(server->queue, kind);
}

/* Closes, drains to the last event and frees. */
static inline void server_end(struct server *server)
{
    NEED(sockeye_engine_close(server->engine, 0) == SOCKEYE_OK);
    server_next(server, SOCKEYE_EVENT_CLOSED);
    NEED(sockeye_engine_free(server->engine) == SOCKEYE_OK);
    server->engine = NULL;
}

/* ---- what C++ has no literals for ------------------------------------------------------------------------------------------------------ */

static inline sockeye_emission emission_of(const char *name, const char *data)
{
    sockeye_emission emission;
    memset(&emission, 0, sizeof emission);
    emission.size = sizeof emission;
    emission.name_ptr = name;
    emission.name_len = name ? strlen(name) : 0;
    emission.data = data;
    emission.data_len = data ? strlen(data) : 0;
    return emission;
}

static inline sockeye_target target_of(sockeye_nsp nsp)
{
    sockeye_target target;
    memset(&target, 0, sizeof target);
    target.size = sizeof target;
    target.nsp = nsp;
    return target;
}

static inline sockeye_bytes bytes_of(const char *text)
{
    sockeye_bytes bytes;
    bytes.ptr = text;
    bytes.len = strlen(text);
    return bytes;
}

static inline sockeye_op op_of(uint32_t kind)
{
    sockeye_op op;
    memset(&op, 0, sizeof op);
    op.size = sizeof op;
    op.kind = kind;
    return op;
}

static inline sockeye_nsp_options nsp_options_of(uint32_t flags, sockeye_queue *queue)
{
    sockeye_nsp_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.flags = flags;
    options.queue = queue;
    return options;
}

#endif
