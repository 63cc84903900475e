/* Many threads at once: clients that come, talk and go, host threads that send, join, ask and name things, and a consumer, in each way of
 * delivery; then the engine closes under them. What it must show is that everybody is served. What it is for is ThreadSanitizer. */
#include "client.h"

#include <pthread.h>

#define CLIENTS 4
#define ROUNDS 40
#define HOSTS 3
#define SEEN 16

static struct stage {
    struct server server;
    /* Sockets that came last, as they are told in events; some are gone by the time they are used. */
    sockeye_socket seen[SEEN];
    unsigned connects, messages, stopping, served, disconnected;
} stage;

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELAXED)
#define ADD(place) __atomic_fetch_add(&(place), 1, __ATOMIC_RELAXED)

static void on_event(const sockeye_event *event)
{
    if (event->kind == SOCKEYE_EVENT_CONNECT)
        STORE(stage.seen[ADD(stage.connects) % SEEN], event->socket);
    if (event->kind == SOCKEYE_EVENT_MESSAGE) {
        ADD(stage.messages);
        if (event->token)
            sockeye_ack(stage.server.engine, event->token, event->data, event->data_len, event->attachments, event->attachment_count);
    }
}

static void on_events(void *user, const sockeye_event *events, size_t count)
{
    (void)user;
    for (size_t i = 0; i < count; i++)
        on_event(&events[i]);
}

/* A client's life, over and over: its acknowledgement comes, whatever else does. */
static void *client(void *number)
{
    char answer[2048];
    for (int round = 0; round < ROUNDS; round++) {
        int fd = sio_open_as(stage.server.port, "40", answer, sizeof answer);
        int good = fd >= 0 && ws_send(fd, "42[\"plain\",{\"a\":[1,2]}]") == 0 && ws_send(fd, "451-7[\"bin\",{\"_placeholder\":true,\"num\":0}]") == 0 &&
                   ws_send_bytes(fd, FRAME_BINARY, "abc", 3) == 0;
        while (good && strncmp(answer, "461-7[", 6) != 0)
            good = ws_recv(fd, answer, sizeof answer) >= 0;
        if (good)
            ADD(stage.served);
        if (round % 3 == 0 && fd >= 0) {
            struct linger abrupt = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
        } else if (fd >= 0) {
            ws_send(fd, "41");
        }
        if (fd >= 0)
            close(fd);
    }
    return number;
}

static void names_and_questions(unsigned turn)
{
    static const sockeye_bytes room = {"room", 4};
    sockeye_engine *engine = stage.server.engine;
    sockeye_socket socket = LOAD(stage.seen[turn % SEEN]);
    sockeye_target target;
    sockeye_token token;
    sockeye_atom atom;
    char name[32];
    size_t len;
    snprintf(name, sizeof name, "name-%u", turn % 300);
    if (sockeye_atom_of(engine, name, strlen(name), &atom) == SOCKEYE_OK)
        sockeye_atom_text(engine, atom, &len);
    memset(&target, 0, sizeof target);
    target.size = sizeof target;
    target.nsp = 1;
    target.rooms = &room;
    target.room_count = 1;
    sockeye_sockets_fetch(engine, &target, &token);
    sockeye_socket_set_data(engine, socket, "{\"a\":1}", 7);
    sockeye_sockets_leave(engine, &target, &room, 1);
}

/* One thread of the host: what it wants of sockets that are gone is refused, and nothing else happens. */
static void *host(void *number)
{
    static const sockeye_bytes room = {"room", 4};
    sockeye_engine *engine = stage.server.engine;
    size_t which = (size_t)number;
    for (unsigned turn = 0; !LOAD(stage.stopping); turn++) {
        sockeye_socket socket = LOAD(stage.seen[turn % SEEN]);
        sockeye_emission emission = emission_of("news", "[1,\"two\"]");
        sockeye_target target;
        sockeye_token token;
        emission.flags = which == 0 ? SOCKEYE_EXPECT_ACK : 0;
        emission.timeout_ms = 50;
        memset(&target, 0, sizeof target);
        target.size = sizeof target;
        target.nsp = 1;
        sockeye_socket_join(engine, socket, &room, 1);
        if (which == 0)
            sockeye_emit(engine, socket, &emission, &token);
        else if (which == 1)
            sockeye_broadcast(engine, &target, &emission, NULL);
        else
            names_and_questions(turn);
        /* However slowly clients come and go, an eighth of them is disconnected. */
        if (turn % 50 == 49 && LOAD(stage.disconnected) < LOAD(stage.connects) / 8) {
            ADD(stage.disconnected);
            sockeye_socket_disconnect(engine, socket, 0);
        }
        sleep_ms(turn % 8 == 0);
    }
    return number;
}

static void *consumer(void *unused)
{
    sockeye_event events[7];
    ptrdiff_t fd = -1;
    NEED(sockeye_queue_fd(stage.server.queue, &fd) == SOCKEYE_OK);
    for (;;) {
        struct pollfd ready = {(int)fd, POLLIN, 0};
        NEED(poll(&ready, 1, PATIENCE_MS) == 1);
        int64_t count = sockeye_queue_poll(stage.server.queue, events, sizeof events[0], 7, 0);
        NEED(count >= 0);
        on_events(NULL, events, (size_t)count);
        for (int64_t i = 0; i < count; i++)
            if (events[i].kind == SOCKEYE_EVENT_CLOSED)
                return unused;
    }
}

static void all_at_once(const char *name, uint32_t mode)
{
    pthread_t clients[CLIENTS], hosts[HOSTS], drain;
    sockeye_options options = default_options();
    char check[96];
    memset(&stage, 0, sizeof stage);
    options.shards = 2;
    options.ping_interval_ms = 60000;
    stage.server = server_new(&options);
    NEED(sockeye_queue_deliver(stage.server.queue, mode, mode == SOCKEYE_DELIVER_POLL ? NULL : on_events, NULL, NULL) == SOCKEYE_OK);
    server_listen(&stage.server);
    if (mode == SOCKEYE_DELIVER_POLL)
        NEED(pthread_create(&drain, NULL, consumer, NULL) == 0);
    for (size_t i = 0; i < CLIENTS; i++)
        NEED(pthread_create(&clients[i], NULL, client, NULL) == 0);
    for (size_t i = 0; i < HOSTS; i++)
        NEED(pthread_create(&hosts[i], NULL, host, (void *)i) == 0);
    for (size_t i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    /* Hosts go on while it closes. */
    NEED(sockeye_engine_close(stage.server.engine, 50) == SOCKEYE_OK);
    sleep_ms(20);
    STORE(stage.stopping, 1);
    for (size_t i = 0; i < HOSTS; i++)
        pthread_join(hosts[i], NULL);
    if (mode == SOCKEYE_DELIVER_POLL)
        pthread_join(drain, NULL);
    snprintf(check, sizeof check, "%s: it can be freed", name);
    GIVES(check, SOCKEYE_OK, sockeye_engine_free(stage.server.engine));
    snprintf(check, sizeof check, "%s: all clients came", name);
    CHECK(check, stage.connects == CLIENTS * ROUNDS);
    /* The host disconnects some, so that not everybody can have an answer. */
    snprintf(check, sizeof check, "%s: most of them were served (%u)", name, stage.served);
    CHECK(check, stage.served >= CLIENTS * ROUNDS / 2);
}

int main(void)
{
    all_at_once("poll", SOCKEYE_DELIVER_POLL);
    all_at_once("thread", SOCKEYE_DELIVER_THREAD);
    all_at_once("inline", SOCKEYE_DELIVER_INLINE);
    return contract_report();
}
