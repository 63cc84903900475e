/* A thousand engines, one after the other and several at once: when they are freed, threads, descriptors and memory are as before. */
#include "client.h"
#include "process.h"

#include <malloc.h>

#define ENGINES 1000
#define ENGINES_SLOW 60
#define AT_ONCE 20
/* What an allocator may keep of a thousand engines; one engine that leaked would be ten times that. */
#define KEPT_KIB 6144
#define KEPT_BYTES 65536

static void ignore(void *user, const sockeye_event *events, size_t count)
{
    (void)user, (void)events, (void)count;
}

static void drop(void *user)
{
    ++*(int *)user;
}

/* Nothing but threads. */
static void bare(void)
{
    sockeye_engine *engine = NULL;
    NEED(sockeye_engine_new_json("{}", 2, &engine) == SOCKEYE_OK && sockeye_engine_free(engine) == SOCKEYE_OK);
}

/* With all that an engine can hold: shards, a THREAD queue, listeners, clients that are left connected, rooms, an open decision, atoms, a
 * descriptor and events that nobody polls. */
static void full(int close_first)
{
    sockeye_options options = default_options();
    options.shards = 3;
    struct server server = server_new(&options);
    sockeye_queue *other = NULL;
    sockeye_nsp_options ask = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL);
    sockeye_bytes rooms[2];
    sockeye_atom atom;
    ptrdiff_t descriptor;
    char body[1024];
    int dropped = 0, fds[3];
    rooms[0] = bytes_of("one");
    rooms[1] = bytes_of("two");
    NEED(sockeye_queue_new(server.engine, NULL, &other) == SOCKEYE_OK);
    NEED(sockeye_queue_deliver(other, SOCKEYE_DELIVER_THREAD, ignore, &dropped, drop) == SOCKEYE_OK);
    NEED(sockeye_queue_fd(server.queue, &descriptor) == SOCKEYE_OK);
    NEED(sockeye_namespace(server.engine, "/door", 5, &ask, NULL) == SOCKEYE_OK);
    NEED(sockeye_atom_of(server.engine, "name", 4, &atom) == SOCKEYE_OK);
    server_listen(&server);
    server_listen(&server);
    for (int i = 0; i < 3; i++) {
        fds[i] = sio_open(server.port);
        sockeye_socket peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
        NEED(sockeye_socket_join(server.engine, peer, rooms, 2) == SOCKEYE_OK);
        ws_send(fds[i], "40/door,");
        ws_send(fds[i], "420[\"unpolled\",{\"and\":\"not acknowledged\"}]");
    }
    NEED(http_request(server.port, "GET", "/socket.io/?EIO=4&transport=polling", NULL, body, sizeof body) == 200);
    if (close_first)
        NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
    NEED(dropped == 1);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void at_once(void)
{
    sockeye_engine *engines[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        NEED(sockeye_engine_new_json("{\"shards\":2}", 12, &engines[i]) == SOCKEYE_OK);
    for (int i = 0; i < AT_ONCE; i++)
        NEED(sockeye_engine_free(engines[(i * 7) % AT_ONCE]) == SOCKEYE_OK);
}

static void some(int engines)
{
    for (int i = 0; i < engines; i++) {
        if (i % 10 == 0)
            full(i % 20 == 0);
        else
            bare();
        if (i % 100 == 0)
            at_once();
    }
}

int main(void)
{
    /* mallinfo2 tells of the first arena only. */
    mallopt(M_ARENA_MAX, 1);
    int engines = is_slow() ? ENGINES_SLOW : ENGINES;
    some(engines / 10);
    int threads = threads_now(), descriptors = descriptors_now();
    malloc_trim(0);
    long kib = resident_kib();
    size_t bytes = is_slow() ? 0 : mallinfo2().uordblks;
    some(engines);
    GIVES("threads are as before", threads, threads_now());
    GIVES("descriptors are as before", descriptors, descriptors_now());
    if (!is_slow()) {
        size_t now = mallinfo2().uordblks;
        /* What is free but not given back depends on where the last of the threads' blocks lies. */
        malloc_trim(0);
        printf("  resident %ld -> %ld KiB, allocated %zu -> %zu bytes\n", kib, resident_kib(), bytes, now);
        CHECK("no memory is left allocated", now <= bytes + KEPT_BYTES);
        CHECK("resident memory is as before", resident_kib() <= kib + KEPT_KIB);
    }
    return contract_report();
}
