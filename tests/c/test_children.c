/* Namespaces that clients make by a pattern and that end with their last socket (`cleanupEmptyChildNamespaces`). */
#include "client.h"

#include <pthread.h>

static const char name_1[] = "/game-1";

static struct server server_with(uint32_t flags, uint32_t shards, uint32_t nsp_flags, sockeye_nsp *pattern)
{
    sockeye_options options = default_options();
    sockeye_nsp_options authorize = nsp_options_of(nsp_flags, NULL);
    options.flags = flags;
    options.shards = shards;
    struct server server = server_new(&options);
    NEED(sockeye_namespace_pattern(server.engine, "^/game-", 7, &authorize, pattern) == SOCKEYE_OK);
    server_listen(&server);
    return server;
}

static int enter(const struct server *server, const char *name)
{
    char packet[64], answer[512];
    snprintf(packet, sizeof packet, "40%s,", name);
    int fd = sio_open_as(server->port, packet, answer, sizeof answer);
    NEED(fd >= 0 && strncmp(answer, packet, strlen(packet)) == 0);
    return fd;
}

/* Nothing of `kind` comes for a while. */
static int none_of(const struct server *server, uint32_t kind)
{
    sockeye_event event;
    for (int64_t until = now_ms() + 100; now_ms() < until;)
        if (sockeye_queue_poll(server->queue, &event, sizeof event, 1, 20) == 1 && event.kind == kind)
            return 0;
    return 1;
}

static sockeye_result name_of(const struct server *server, sockeye_nsp nsp)
{
    sockeye_buffer *buffer = NULL;
    sockeye_result result = sockeye_namespace_name(server->engine, nsp, &buffer);
    if (result == SOCKEYE_OK)
        sockeye_buffer_free(buffer);
    return result;
}

static void the_last_one_out(void)
{
    sockeye_nsp pattern;
    struct server server = server_with(SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN, 1, 0, &pattern);
    sockeye_emission e = emission_of("x", "[]");
    sockeye_target target;
    int first = enter(&server, name_1), second;
    sockeye_nsp nsp = server_next(&server, SOCKEYE_EVENT_NAMESPACE).nsp, again;
    second = enter(&server, name_1);
    for (int i = 0; i < 2; i++)
        CHECK("a client is in it", server_next(&server, SOCKEYE_EVENT_CONNECT).nsp == nsp);
    ws_send(first, "41/game-1,");
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("it is still there for the other", none_of(&server, SOCKEYE_EVENT_NAMESPACE_GONE) && name_of(&server, nsp) == SOCKEYE_OK);
    close(second);
    sockeye_event event;
    do
        NEED(sockeye_queue_poll(server.queue, &event, sizeof event, 1, PATIENCE_MS) == 1);
    while (event.kind == SOCKEYE_EVENT_DISCONNECTING);
    CHECK("the last one's DISCONNECT comes first", event.kind == SOCKEYE_EVENT_DISCONNECT && event.nsp == nsp);
    event = server_next(&server, SOCKEYE_EVENT_NAMESPACE_GONE);
    CHECK("then the end of the namespace", event.nsp == nsp && event.status == (int32_t)pattern && is_text(event.name_ptr, event.name_len, name_1));
    GIVES("its id means nothing any more", SOCKEYE_ERR_INVALID, name_of(&server, nsp));
    ws_send(first, "40/game-1,");
    again = server_next(&server, SOCKEYE_EVENT_NAMESPACE).nsp;
    CHECK("made anew it has another id", again != nsp && again != 0 && server_next(&server, SOCKEYE_EVENT_CONNECT).nsp == again);
    GIVES("the old one is still none", SOCKEYE_ERR_INVALID, name_of(&server, nsp));
    char answer[512];
    NEED(ws_recv(first, answer, sizeof answer) > 0);
    target = target_of(nsp);
    GIVES("nor can it be emitted to", SOCKEYE_ERR_INVALID, sockeye_broadcast(server.engine, &target, &e, NULL));
    target = target_of(pattern);
    NEED(sockeye_broadcast(server.engine, &target, &e, NULL) == SOCKEYE_OK);
    ws_recv(first, answer, sizeof answer);
    CHECK("an emission to the pattern reaches the new one", strcmp(answer, "42/game-1,[\"x\"]") == 0);
    close(first);
    server_end(&server);
}

static void those_that_stay(void)
{
    sockeye_nsp pattern, own, known;
    struct server server = server_with(SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN, 1, 0, &pattern);
    NEED(sockeye_namespace(server.engine, "/game-own", 9, NULL, &own) == SOCKEYE_OK);
    close(enter(&server, "/game-own"));
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("one that the host made stays", none_of(&server, SOCKEYE_EVENT_NAMESPACE_GONE) && name_of(&server, own) == SOCKEYE_OK);
    int fd = enter(&server, name_1);
    sockeye_nsp nsp = server_next(&server, SOCKEYE_EVENT_NAMESPACE).nsp;
    NEED(sockeye_namespace(server.engine, name_1, sizeof name_1 - 1, NULL, &known) == SOCKEYE_OK && known == nsp);
    close(fd);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("and one that it has called for", none_of(&server, SOCKEYE_EVENT_NAMESPACE_GONE) && name_of(&server, nsp) == SOCKEYE_OK);
    close(enter(&server, "/game-2"));
    server_next(&server, SOCKEYE_EVENT_NAMESPACE_GONE);
    server_end(&server);
    server = server_with(0, 1, 0, &pattern);
    close(enter(&server, name_1));
    nsp = server_next(&server, SOCKEYE_EVENT_DISCONNECT).nsp;
    CHECK("without the option all stay", none_of(&server, SOCKEYE_EVENT_NAMESPACE_GONE) && name_of(&server, nsp) == SOCKEYE_OK);
    server_end(&server);
}

static void who_waits_for_admission_keeps_it(void)
{
    sockeye_nsp pattern;
    struct server server = server_with(SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN, 1, SOCKEYE_NSP_AUTHORIZE, &pattern);
    char answer[512];
    int fds[2];
    sockeye_token tokens[2];
    sockeye_nsp nsp = 0;
    for (int i = 0; i < 2; i++) {
        fds[i] = ws_open(server.port, "/socket.io/?EIO=4&transport=websocket");
        NEED(fds[i] >= 0 && ws_recv(fds[i], answer, sizeof answer) > 0 && ws_send(fds[i], "40/game-1,") == 0);
        sockeye_event asked = server_next(&server, SOCKEYE_EVENT_AUTHORIZE);
        tokens[i] = asked.token;
        nsp = asked.nsp;
    }
    NEED(sockeye_reject(server.engine, tokens[0], "no", 2, NULL, 0) == SOCKEYE_OK);
    NEED(ws_recv(fds[0], answer, sizeof answer) > 0);
    CHECK("while one waits it stays", none_of(&server, SOCKEYE_EVENT_NAMESPACE_GONE));
    NEED(sockeye_reject(server.engine, tokens[1], "no", 2, NULL, 0) == SOCKEYE_OK);
    CHECK("when the last is refused it ends", server_next(&server, SOCKEYE_EVENT_NAMESPACE_GONE).nsp == nsp);
    close(fds[0]);
    close(fds[1]);
    server_end(&server);
}

/* ---- many at once ------------------------------------------------------------------------------------------------------------------- */

#define CLIENTS 4
#define NAMES 2

static void *come_and_go(void *server)
{
    char packet[32], answer[512];
    int rounds = getenv("SLOW") ? 40 : 1000;
    int fd = sio_open(((const struct server *)server)->port);
    unsigned seed = (unsigned)fd;
    for (int round = 0; round < rounds; round++) {
        seed = seed * 1103515245 + 12345;
        snprintf(packet, sizeof packet, "40/game-%u,", (seed >> 16) % NAMES);
        NEED(ws_send(fd, packet) == 0 && ws_recv(fd, answer, sizeof answer) > 0);
        NEED(strncmp(answer, packet, strlen(packet)) == 0);
        packet[1] = '1';
        NEED(ws_send(fd, packet) == 0);
    }
    close(fd);
    return NULL;
}

static void no_event_comes_after_the_end_and_no_client_is_lost(void)
{
    sockeye_nsp pattern;
    struct server server = server_with(SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN, 3, 0, &pattern);
    pthread_t threads[CLIENTS];
    size_t cap = 1 << 17, gone_count = 0, made = 0, left = 0, wanted = CLIENTS * (getenv("SLOW") ? 40u : 1000u), late = 0, twice = 0;
    sockeye_nsp *gone = (sockeye_nsp *)calloc(cap, sizeof gone[0]);
    sockeye_event events[64];
    NEED(gone);
    for (int i = 0; i < CLIENTS; i++)
        NEED(pthread_create(&threads[i], NULL, come_and_go, &server) == 0);
    while (left < wanted || made > gone_count) {
        int64_t count = sockeye_queue_poll(server.queue, events, sizeof events[0], 64, PATIENCE_MS);
        if (count <= 0)
            break;
        for (int64_t i = 0; i < count; i++) {
            sockeye_nsp nsp = events[i].nsp;
            int is_gone = 0;
            for (size_t at = 0; at < gone_count && !is_gone; at++)
                is_gone = gone[gone_count - 1 - at] == nsp;
            late += is_gone && events[i].kind != SOCKEYE_EVENT_NAMESPACE_GONE;
            made += events[i].kind == SOCKEYE_EVENT_NAMESPACE;
            left += events[i].kind == SOCKEYE_EVENT_DISCONNECT && nsp != 1;
            if (events[i].kind == SOCKEYE_EVENT_NAMESPACE_GONE && gone_count < cap) {
                twice += (size_t)is_gone;
                gone[gone_count++] = nsp;
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    GIVES("every client came and went", (int64_t)wanted, (int64_t)left);
    GIVES("all that was made has ended", (int64_t)made, (int64_t)gone_count);
    GIVES("each once", 0, (int64_t)twice);
    GIVES("and no event came after an end", 0, (int64_t)late);
    free(gone);
    server_end(&server);
}

int main(void)
{
    the_last_one_out();
    those_that_stay();
    who_waits_for_admission_keeps_it();
    no_event_comes_after_the_end_and_no_client_is_lost();
    return contract_report();
}
