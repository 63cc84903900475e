/* Streams that the host feeds, such as TLS of its own: conversation, backpressure in both directions, their end and the engine's, and many
 * threads that hand over at once. */
#include "takeover.h"

#include <pthread.h>

/* A host's stream into memory: `takes` bytes are taken, then no more. */
struct stream {
    pthread_mutex_t lock;
    sockeye_engine *engine;
    sockeye_stream id;
    char sent[64 * 1024];
    size_t len, takes;
    int sends, rooms, closes, drops, late;
    /* What is done in `send`: to whom something is emitted, and how often. */
    sockeye_socket peer;
    int emits;
    /* In each function: results of `sockeye_engine_free`, which cannot be, and whether the engine is closed. */
    int frees_refused, closes_engine;
};

static void meddle(struct stream *stream)
{
    if (!stream->closes_engine)
        return;
    stream->frees_refused += sockeye_engine_free(stream->engine) == SOCKEYE_ERR_DEADLOCK;
    sockeye_engine_close(stream->engine, 0);
}

static size_t on_send(void *user, const void *data, size_t len)
{
    struct stream *stream = (struct stream *)user;
    pthread_mutex_lock(&stream->lock);
    stream->late += stream->closes || stream->drops;
    stream->sends++;
    size_t n = len < stream->takes ? len : stream->takes;
    if (n > sizeof stream->sent - stream->len)
        n = sizeof stream->sent - stream->len;
    memcpy(stream->sent + stream->len, data, n);
    stream->len += n;
    stream->takes -= n;
    pthread_mutex_unlock(&stream->lock);
    sockeye_stream_input(stream->engine, stream->id, "", 0);
    if (stream->peer && stream->emits > 0) {
        sockeye_emission emission = emission_of("more", "[]");
        stream->emits--;
        sockeye_emit(stream->engine, stream->peer, &emission, NULL);
    }
    meddle(stream);
    return n;
}

static void on_room(void *user)
{
    struct stream *stream = (struct stream *)user;
    __atomic_add_fetch(&stream->rooms, 1, __ATOMIC_SEQ_CST);
}

static void on_close(void *user)
{
    struct stream *stream = (struct stream *)user;
    meddle(stream);
    __atomic_add_fetch(&stream->closes, 1, __ATOMIC_SEQ_CST);
}

static void on_drop(void *user)
{
    struct stream *stream = (struct stream *)user;
    meddle(stream);
    __atomic_add_fetch(&stream->drops, 1, __ATOMIC_SEQ_CST);
}

static struct stream *stream_new(size_t takes)
{
    struct stream *stream = (struct stream *)calloc(1, sizeof *stream);
    NEED(stream && pthread_mutex_init(&stream->lock, NULL) == 0);
    stream->takes = takes;
    return stream;
}

static void stream_free(struct stream *stream)
{
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static sockeye_result adopt(struct server *server, struct stream *stream, const char *head)
{
    sockeye_connection connection = connection_of(-1);
    connection.head = head;
    connection.head_len = strlen(head);
    connection.send = on_send;
    connection.room = on_room;
    connection.close = on_close;
    connection.user = stream;
    connection.drop = on_drop;
    stream->engine = server->engine;
    return sockeye_engine_adopt(server->engine, &connection, &stream->id);
}

static int count_of(int *count)
{
    return __atomic_load_n(count, __ATOMIC_SEQ_CST);
}

static int comes_to(int *count, int wanted)
{
    for (int i = 0; i < PATIENCE_MS / 5 && count_of(count) < wanted; i++)
        sleep_ms(5);
    return count_of(count) == wanted;
}

/* Waits until what was sent contains `part`. */
static int sent(struct stream *stream, const char *part)
{
    int found = 0;
    for (int i = 0; i < PATIENCE_MS / 5 && !found; i++) {
        pthread_mutex_lock(&stream->lock);
        found = contains(stream->sent, stream->len, part);
        pthread_mutex_unlock(&stream->lock);
        if (!found)
            sleep_ms(5);
    }
    return found;
}

static void give(struct stream *stream, const void *data, size_t len)
{
    const char *at = (const char *)data;
    while (len) {
        int64_t n = sockeye_stream_input(stream->engine, stream->id, at, len);
        NEED(n >= 0);
        at += n;
        len -= (size_t)n;
        if (!n)
            sleep_ms(1);
    }
}

/* One masked text frame; the mask is 0. */
static void give_text(struct stream *stream, const char *text)
{
    unsigned char head[8] = {0x81, 0, 0, 0, 0, 0, 0, 0};
    size_t len = strlen(text), at = 2;
    head[1] = (unsigned char)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        head[at++] = (unsigned char)(len >> 8);
        head[at++] = (unsigned char)len;
    }
    give(stream, head, at + 4);
    give(stream, text, len);
}

static void refused_streams(struct server *server)
{
    struct stream *stream = stream_new(SIZE_MAX);
    sockeye_connection connection = connection_of(-1);
    sockeye_stream out = 7;
    connection.user = stream;
    connection.drop = on_drop;
    GIVES("drop without send", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, &out));
    connection.send = on_send;
    connection.close = on_close;
    GIVES("send without room", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, &out));
    connection.close = NULL;
    connection.room = on_room;
    GIVES("send without close", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, &out));
    connection.close = on_close;
    GIVES("send without out", SOCKEYE_ERR_INVALID, sockeye_engine_adopt(server->engine, &connection, NULL));
    CHECK("a refused stream gets no call, and out is untouched", stream->drops + stream->closes + stream->sends == 0 && out == 7);
    GIVES("input to no stream", SOCKEYE_ERR_STALE, sockeye_stream_input(server->engine, 0, "x", 1));
    GIVES("end of no stream", SOCKEYE_ERR_STALE, sockeye_stream_end(server->engine, 4711));
    GIVES("writable of no stream", SOCKEYE_ERR_STALE, sockeye_stream_writable(server->engine, UINT64_MAX));
    GIVES("input: NULL engine", SOCKEYE_ERR_INVALID, sockeye_stream_input(NULL, 1, "x", 1));
    GIVES("end: NULL engine", SOCKEYE_ERR_INVALID, sockeye_stream_end(NULL, 1));
    GIVES("writable: NULL engine", SOCKEYE_ERR_INVALID, sockeye_stream_writable(NULL, 1));
    stream_free(stream);
}

static void a_conversation(struct server *server)
{
    struct stream *stream = stream_new(SIZE_MAX);
    GIVES("a stream is adopted", SOCKEYE_OK, adopt(server, stream, ""));
    give(stream, open_websocket, 25);
    give(stream, open_websocket + 25, sizeof open_websocket - 1 - 25);
    CHECK("the upgrade is answered", sent(stream, "HTTP/1.1 101") && sent(stream, "0{\"sid\":"));
    give_text(stream, "40");
    CHECK("a namespace is joined", sent(stream, "40{\"sid\":"));
    sockeye_event event = server_next(server, SOCKEYE_EVENT_CONNECT);
    sockeye_socket peer = event.socket;
    give_text(stream, "42[\"hi\"]");
    server_next(server, SOCKEYE_EVENT_MESSAGE);
    stream->emits = 3;
    stream->peer = peer;
    sockeye_emission emission = emission_of("yo", "[]");
    sockeye_emit(server->engine, peer, &emission, NULL);
    CHECK("an event comes", sent(stream, "42[\"yo\"]"));
    CHECK("and those that `send` emits", sent(stream, "42[\"more\"]\x81\x0a" "42[\"more\"]\x81\x0a" "42[\"more\"]"));
    GIVES("NULL input", SOCKEYE_ERR_INVALID, sockeye_stream_input(server->engine, stream->id, NULL, 1));
    GIVES("the peer ends", SOCKEYE_OK, sockeye_stream_end(server->engine, stream->id));
    CHECK("no input after the end", sockeye_stream_input(server->engine, stream->id, "x", 1) < 0);
    event = server_next(server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("its socket leaves", event.socket == peer && is_text(event.name_ptr, event.name_len, "transport close"));
    CHECK("drop is called once", comes_to(&stream->drops, 1));
    CHECK("after close, once", stream->closes == 1 && stream->late == 0);
    GIVES("the stream is stale", SOCKEYE_ERR_STALE, sockeye_stream_input(server->engine, stream->id, "x", 1));
    stream_free(stream);
}

static void a_stream_that_the_engine_closes(struct server *server)
{
    struct stream *stream = stream_new(SIZE_MAX);
    NEED(adopt(server, stream, get_polling) == SOCKEYE_OK);
    CHECK("the request is answered", sent(stream, "0{\"sid\":"));
    CHECK("and the stream closed", comes_to(&stream->closes, 1));
    CHECK("it waits for the peer", count_of(&stream->drops) == 0);
    GIVES("the peer ends", SOCKEYE_OK, sockeye_stream_end(server->engine, stream->id));
    CHECK("then it is dropped", comes_to(&stream->drops, 1) && stream->late == 0);
    stream_free(stream);
}

static size_t taken(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    size_t len = stream->len;
    pthread_mutex_unlock(&stream->lock);
    return len;
}

static void backpressure_outwards(struct server *server)
{
    static const char whole[] = "\"maxPayload\":1000000}";
    struct stream *stream = stream_new(100);
    NEED(adopt(server, stream, open_websocket) == SOCKEYE_OK);
    for (int i = 0; i < PATIENCE_MS / 5 && taken(stream) < 100; i++)
        sleep_ms(5);
    CHECK("no more is sent than taken", taken(stream) == 100);
    for (int64_t deadline = now_ms() + PATIENCE_MS; !contains(stream->sent, taken(stream), whole) && now_ms() < deadline;) {
        pthread_mutex_lock(&stream->lock);
        stream->takes = 7;
        pthread_mutex_unlock(&stream->lock);
        NEED(sockeye_stream_writable(server->engine, stream->id) == SOCKEYE_OK);
        sleep_ms(1);
    }
    CHECK("the rest comes in pieces, whole", strncmp(stream->sent, "HTTP/1.1 101", 12) == 0 && contains(stream->sent, taken(stream), whole));
    sockeye_stream_end(server->engine, stream->id);
    CHECK("and it ends", comes_to(&stream->drops, 1));
    stream_free(stream);
}

/* How many events wait for the host. */
static uint64_t waiting(const struct server *server)
{
    sockeye_queue_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_queue_get_metrics(server->queue, &metrics) == SOCKEYE_OK);
    return metrics.events;
}

/* Input for a session whose queue is full is refused after 256 KiB, and taken again when the host drains. */
static void backpressure_inwards(void)
{
    sockeye_options options = default_options();
    options.queue_events_max = 4;
    struct server server = server_new(&options);
    struct stream *stream = stream_new(SIZE_MAX);
    char frame[8 + 1024];
    size_t given = 0, part = 0;
    int rooms;
    NEED(adopt(&server, stream, open_websocket) == SOCKEYE_OK);
    give_text(stream, "40");
    NEED(sent(stream, "40{\"sid\":"));
    memset(frame, 'x', sizeof frame);
    memcpy(frame, "\x81\xfe\x04\x00\0\0\0\0" "42[\"e\",\"", 16);
    memcpy(frame + sizeof frame - 2, "\"]", 2);
    for (int still = 0; (still < 10 || waiting(&server) < options.queue_events_max) && given < ((size_t)1 << 30);) {
        int64_t n = sockeye_stream_input(server.engine, stream->id, frame + part, sizeof frame - part);
        NEED(n >= 0);
        given += (size_t)n;
        part = (part + (size_t)n) % sizeof frame;
        still = n ? 0 : still + 1;
        if (!n)
            sleep_ms(10);
    }
    CHECK("input is refused while nobody drains", given > 256 * 1024 && given < 4 * 1024 * 1024);
    rooms = count_of(&stream->rooms);
    for (size_t i = 0; i < given / sizeof frame; i++)
        server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("the host is told of room, and nothing is lost", count_of(&stream->rooms) > rooms);
    sockeye_stream_end(server.engine, stream->id);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("the stream is dropped", comes_to(&stream->drops, 1));
    stream_free(stream);
    server_end(&server);
}

/* The functions of a stream may close the engine, and are told that they cannot free it. */
static void functions_that_close_the_engine(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    struct stream *stream = stream_new(SIZE_MAX);
    stream->closes_engine = 1;
    NEED(adopt(&server, stream, open_websocket) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    CHECK("free is refused in each function", comes_to(&stream->drops, 1) && stream->frees_refused >= 3);
    GIVES("and works outside", SOCKEYE_OK, sockeye_engine_free(server.engine));
    stream_free(stream);
}

static void too_many_connections(void)
{
    sockeye_limits limits;
    sockeye_options options = default_options();
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    limits.connections_max = 1;
    options.limits = &limits;
    struct server server = server_new(&options);
    struct stream *stream = stream_new(SIZE_MAX), *refused = stream_new(SIZE_MAX);
    int ends[2];
    unix_pair(ends);
    NEED(adopt(&server, stream, "") == SOCKEYE_OK);
    GIVES("a stream too many", SOCKEYE_ERR_FULL, adopt(&server, refused, ""));
    CHECK("gets no call", refused->drops + refused->closes == 0);
    sockeye_connection connection = connection_of(ends[1]);
    GIVES("a descriptor too many", SOCKEYE_ERR_FULL, sockeye_engine_adopt(server.engine, &connection, NULL));
    CHECK("stays the host's", is_open(ends[1]) && (fcntl(ends[1], F_GETFL) & O_NONBLOCK) == 0);
    sockeye_stream_end(server.engine, stream->id);
    NEED(comes_to(&stream->drops, 1));
    GIVES("one that leaves makes room", SOCKEYE_OK, sockeye_engine_adopt(server.engine, &connection, NULL));
    close(ends[0]);
    server_end(&server);
    stream_free(stream);
    stream_free(refused);
}

static void the_engine_closes(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    struct stream *busy = stream_new(SIZE_MAX), *idle = stream_new(0);
    int ends[2];
    NEED(adopt(&server, busy, open_websocket) == SOCKEYE_OK && adopt(&server, idle, "") == SOCKEYE_OK);
    NEED(sent(busy, "0{\"sid\":"));
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    tcp_pair(ends);
    sockeye_connection connection = connection_of(ends[1]);
    GIVES("a closing engine adopts nothing", SOCKEYE_ERR_CLOSED, sockeye_engine_adopt(server.engine, &connection, NULL));
    CHECK("the descriptor stays the host's", is_open(ends[1]));
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
    CHECK("after free each stream is closed and dropped once",
          busy->closes == 1 && busy->drops == 1 && idle->closes == 1 && idle->drops == 1 && busy->late + idle->late == 0);
    close(ends[0]), close(ends[1]);
    stream_free(busy);
    stream_free(idle);
}

/* ---- many threads ------------------------------------------------------------------------------------------------------------------------ */

#define THREADS 4
#define ROUNDS 25

static void *adopt_and_talk(void *argument)
{
    struct server *server = (struct server *)argument;
    intptr_t good = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char text[1024];
        int ends[2];
        unix_pair(ends);
        sockeye_connection connection = connection_of(ends[1]);
        connection.head = get_polling;
        connection.head_len = i % 2 ? sizeof get_polling - 1 : 17;
        if (sockeye_engine_adopt(server->engine, &connection, NULL) != SOCKEYE_OK)
            close(ends[1]);
        send_all(ends[0], get_polling + connection.head_len, sizeof get_polling - 1 - connection.head_len);
        good += contains(text, read_to_end(ends[0], text, sizeof text), "0{\"sid\":");
        close(ends[0]);
        struct stream *stream = stream_new(SIZE_MAX);
        if (adopt(server, stream, "") == SOCKEYE_OK) {
            give(stream, get_polling, sizeof get_polling - 1);
            good += sent(stream, "0{\"sid\":");
            sockeye_stream_end(server->engine, stream->id);
            good += comes_to(&stream->drops, 1);
        }
        stream_free(stream);
    }
    return (void *)good;
}

static void many_threads(void)
{
    sockeye_options options = default_options();
    options.shards = 3;
    struct server server = server_new(&options);
    pthread_t threads[THREADS];
    intptr_t good = 0;
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, adopt_and_talk, &server) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        good += (intptr_t)result;
    }
    GIVES("many threads hand over at once", THREADS * ROUNDS * 3, good);
    server_end(&server);
}

int main(void)
{
    struct server server = server_start();
    refused_streams(&server);
    a_conversation(&server);
    a_stream_that_the_engine_closes(&server);
    backpressure_outwards(&server);
    server_end(&server);
    backpressure_inwards();
    the_engine_closes();
    functions_that_close_the_engine();
    too_many_connections();
    many_threads();
    return contract_report();
}
