/* The log: levels, targets, fields, by callback and as events; what it never says; how much it says; when `drop` runs. */
#include "client.h"

#include <fcntl.h>
#include <pthread.h>

#define TEXT_MAX (1 << 20)

/* What a log wrote: a line of text for each line, `level target message fields`. */
struct book {
    pthread_mutex_t lock;
    char text[TEXT_MAX];
    size_t len;
    int lines, levels[6], dropped;
    sockeye_engine *engine;
    sockeye_result freed;
};

static void book_init(struct book *book)
{
    memset(book, 0, sizeof *book);
    pthread_mutex_init(&book->lock, NULL);
}

static void on_line(void *user, int32_t level, const char *target, size_t target_len, const char *message, size_t message_len, const char *fields,
                    size_t fields_len)
{
    struct book *book = (struct book *)user;
    pthread_mutex_lock(&book->lock);
    if (level >= SOCKEYE_LOG_ERROR && level <= SOCKEYE_LOG_TRACE)
        book->levels[level]++;
    book->lines++;
    if (book->len + target_len + message_len + fields_len + 32 < TEXT_MAX)
        book->len += (size_t)snprintf(book->text + book->len, TEXT_MAX - book->len, "%d %.*s %.*s %.*s\n", level, (int)target_len, target, (int)message_len,
                                      message, (int)fields_len, fields);
    if (book->engine && book->freed == SOCKEYE_OK)
        book->freed = sockeye_engine_free(book->engine);
    pthread_mutex_unlock(&book->lock);
}

static void on_drop(void *user)
{
    struct book *book = (struct book *)user;
    __atomic_add_fetch(&book->dropped, 1, __ATOMIC_SEQ_CST);
}

static int says(struct book *book, const char *part)
{
    pthread_mutex_lock(&book->lock);
    int said = strstr(book->text, part) != NULL;
    pthread_mutex_unlock(&book->lock);
    return said;
}

/* Whether a line with `part` came, which takes the I/O threads their time. */
static int will_say(struct book *book, const char *part)
{
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (!says(book, part) && now_ms() < deadline)
        sleep_ms(2);
    return says(book, part);
}

static struct server start_logged(struct book *book, int32_t level, uint32_t shards)
{
    sockeye_options options = default_options();
    options.shards = shards;
    struct server server = server_new(&options);
    book_init(book);
    NEED(sockeye_engine_set_log(server.engine, level, on_line, book, on_drop) == SOCKEYE_OK);
    server_listen(&server);
    return server;
}

/* A polling session's id. */
static void open_polling(uint16_t port, char sid[21])
{
    char body[1024];
    NEED(http_request(port, "GET", "/socket.io/?EIO=4&transport=polling&secret=hunter2", NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
}

static struct book book, other;

static void what_is_said(void)
{
    struct server server = start_logged(&book, SOCKEYE_LOG_TRACE, 1);
    char sid[21], target[160], body[1024], answer[1024];
    CHECK("listening, with the address", will_say(&book, "3 listen listening {\"address\":\"127.0.0.1:"));
    open_polling(server.port, sid);
    CHECK("a session, with its transport", will_say(&book, "\"transport\":\"polling\""));
    snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    NEED(http_request(server.port, "POST", target, "40{\"password\":\"hunter3\"}", body, sizeof body) == 200);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    CHECK("a socket, with its namespace", will_say(&book, "4 socket connected {\"socket\":\""));
    NEED(http_request(server.port, "POST", target, "42[\"hunter4\"]", body, sizeof body) == 200);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("packets, at TRACE", will_say(&book, "5 packet "));

    int fd = sio_open_as(server.port, "40", answer, sizeof answer);
    NEED(fd >= 0);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    close(fd);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("its end, with the reason", will_say(&book, "\"reason\":\"transport close\""));
    GIVES("a refused request", 400, http_request(server.port, "GET", "/socket.io/?EIO=4&transport=hunter5", NULL, body, sizeof body));
    CHECK("with the code", will_say(&book, "4 handshake request refused {\"code\":0,"));
    GIVES("an unknown session", 400, http_request(server.port, "GET", "/socket.io/?EIO=4&transport=polling&sid=hunter6", NULL, body, sizeof body));
    CHECK("with its code", will_say(&book, "4 handshake request refused {\"code\":1,"));
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    CHECK("that the engine closes", will_say(&book, "3 engine closing {"));
    CHECK("that it has closed", will_say(&book, "3 engine closed {"));
    CHECK("no payload, query, auth or foreign id", !says(&book, "hunter"));
    CHECK("no session id", !says(&book, sid));
    GIVES("nothing was dropped yet", 0, book.dropped);
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
    GIVES("drop ran when the engine was freed", 1, book.dropped);
}

static void levels(void)
{
    struct server server = start_logged(&book, SOCKEYE_LOG_INFO, 1);
    CHECK("INFO says INFO", will_say(&book, "3 listen listening"));
    int fd = sio_open(server.port);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    CHECK("INFO says no DEBUG", book.levels[SOCKEYE_LOG_DEBUG] == 0 && book.levels[SOCKEYE_LOG_TRACE] == 0);
    book_init(&other);
    GIVES("another function", SOCKEYE_OK, sockeye_engine_set_log(server.engine, SOCKEYE_LOG_DEBUG, on_line, &other, on_drop));
    GIVES("the first is dropped", 1, __atomic_load_n(&book.dropped, __ATOMIC_SEQ_CST));
    int before = book.lines, two = sio_open(server.port);
    CHECK("DEBUG says DEBUG", will_say(&other, "4 session opened"));
    GIVES("the first hears nothing more", before, book.lines);
    GIVES("off", SOCKEYE_OK, sockeye_engine_set_log(server.engine, SOCKEYE_LOG_OFF, NULL, NULL, NULL));
    GIVES("the second is dropped", 1, __atomic_load_n(&other.dropped, __ATOMIC_SEQ_CST));
    book_init(&other);
    GIVES("off with a function", SOCKEYE_OK, sockeye_engine_set_log(server.engine, SOCKEYE_LOG_OFF, on_line, &other, on_drop));
    GIVES("which is dropped at once", 1, other.dropped);
    GIVES("a level that is none", SOCKEYE_ERR_INVALID, sockeye_engine_set_log(server.engine, 6, on_line, &other, on_drop));
    GIVES("a negative level", SOCKEYE_ERR_INVALID, sockeye_engine_set_log(server.engine, -1, on_line, &other, on_drop));
    GIVES("no engine", SOCKEYE_ERR_INVALID, sockeye_engine_set_log(NULL, SOCKEYE_LOG_INFO, on_line, &other, on_drop));
    GIVES("what failed drops nothing", 1, other.dropped);
    close(fd);
    close(two);
    server_end(&server);
    GIVES("nothing is dropped twice", 2, book.dropped + other.dropped);
}

static void as_events(void)
{
    sockeye_options options = default_options();
    options.queue_events_max = 20;
    struct server server = server_new(&options);
    sockeye_metrics metrics;
    char body[256];
    book_init(&book);
    NEED(sockeye_engine_set_log(server.engine, SOCKEYE_LOG_DEBUG, NULL, &book, on_drop) == SOCKEYE_OK);
    GIVES("without a function its value is dropped at once", 1, book.dropped);
    server_listen(&server);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_LOG);
    GIVES("the level", SOCKEYE_LOG_INFO, event.status);
    CHECK("the target", is_text(event.name_ptr, event.name_len, "listen"));
    CHECK("message and fields", contains(event.data, event.data_len, "{\"message\":\"listening\",\"address\":\"127.0.0.1:"));
    /* Nobody polls: the log takes at most half of the queue, and a client's events still come. */
    for (int i = 0; i < 40; i++)
        http_request(server.port, "GET", "/socket.io/?EIO=3&transport=polling", NULL, body, sizeof body);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server.engine, &metrics) == SOCKEYE_OK);
    CHECK("a log fills half of a queue", metrics.queue_events >= 8 && metrics.queue_events <= 11);
    CHECK("the rest is counted", metrics.log_lines_dropped >= 25 && metrics.log_lines_dropped <= 40);
    GIVES("and does not stop the reading", 0, (int64_t)metrics.queue_stalls);
    int fd = sio_open(server.port);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    close(fd);
    server_end(&server);
}

static void floods(void)
{
    struct server server = start_logged(&book, SOCKEYE_LOG_DEBUG, 1);
    sockeye_metrics metrics;
    char body[256];
    int sent = 0;
    for (int64_t end = now_ms() + PATIENCE_MS; !says(&book, "2 handshake lines were left out {\"lines\":") && now_ms() < end;) {
        /* Twenty requests on one connection in one write. */
        static const char request[] = "GET /socket.io/?EIO=3&transport=polling HTTP/1.1\r\nHost: test\r\n\r\n";
        int fd = tcp_open(server.port);
        for (int i = 0; i < 20; i++)
            send_all(fd, request, sizeof request - 1);
        for (int i = 0; i < 20 && http_head(fd, body, sizeof body) == 400; i++)
            sent++, recv(fd, body, 60, 0);
        close(fd);
    }
    CHECK("a flood is summed up", says(&book, "2 handshake lines were left out {\"lines\":"));
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server.engine, &metrics) == SOCKEYE_OK);
    CHECK("and counted", metrics.log_lines_left_out > 0);
    CHECK("few of its lines are written", book.lines < sent);
    server_end(&server);
}

/* ---- from several threads ------------------------------------------------------------------------------------------------------------ */

struct worker {
    uint16_t port;
    int done;
};

static void *come_and_go(void *user)
{
    struct worker *worker = (struct worker *)user;
    while (!__atomic_load_n(&worker->done, __ATOMIC_SEQ_CST))
        close(sio_open(worker->port));
    return NULL;
}

static void several_threads(void)
{
    enum { WORKERS = 3, CHANGES = 200 };
    struct server server = start_logged(&book, SOCKEYE_LOG_TRACE, 3);
    struct worker worker = {server.port, 0};
    pthread_t threads[WORKERS];
    sockeye_event events[64];
    for (int i = 0; i < WORKERS; i++)
        NEED(pthread_create(&threads[i], NULL, come_and_go, &worker) == 0);
    book_init(&other);
    for (int i = 0; i < CHANGES; i++) {
        NEED(sockeye_engine_set_log(server.engine, SOCKEYE_LOG_TRACE, on_line, &other, on_drop) == SOCKEYE_OK);
        NEED(sockeye_queue_poll(server.queue, events, sizeof events[0], 64, 1) >= 0);
    }
    __atomic_store_n(&worker.done, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    server_end(&server);
    CHECK("lines came from all of them", other.lines > 0);
    GIVES("the first function was dropped once", 1, book.dropped);
    GIVES("each of the others was dropped once", CHANGES, other.dropped);
}

static void free_within(void)
{
    struct server server = start_logged(&book, SOCKEYE_LOG_INFO, 1);
    pthread_mutex_lock(&book.lock);
    book.engine = server.engine;
    pthread_mutex_unlock(&book.lock);
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    GIVES("free in the log's function", SOCKEYE_ERR_DEADLOCK, book.freed);
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
}

static void close_at_once(void *user, int32_t level, const char *target, size_t target_len, const char *message, size_t message_len,
                          const char *fields, size_t fields_len)
{
    struct server *server = (struct server *)user;
    (void)level, (void)target, (void)target_len, (void)message, (void)message_len, (void)fields, (void)fields_len;
    sockeye_engine_close(server->engine, 0);
}

static void close_within(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    NEED(sockeye_engine_set_log(server.engine, SOCKEYE_LOG_INFO, close_at_once, &server, NULL) == SOCKEYE_OK);
    server_listen(&server);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    GIVES("close in the log's function closes", SOCKEYE_ERR_CLOSED, sockeye_engine_close(server.engine, 0));
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
}

/* ---- the host's streams ----------------------------------------------------------------------------------------------------------------- */

static void nothing_is_printed(void)
{
    char file[] = "/tmp/sockeye-log-XXXXXX";
    int out = dup(1), err = dup(2), to = mkstemp(file);
    NEED(out >= 0 && err >= 0 && to >= 0);
    unlink(file);
    fflush(NULL);
    dup2(to, 1);
    dup2(to, 2);
    for (int32_t level = SOCKEYE_LOG_OFF; level <= SOCKEYE_LOG_TRACE; level++) {
        char body[256];
        struct server server = start_logged(&book, level, 2);
        int fd = sio_open(server.port);
        ws_send(fd, "42[\"a\"]");
        ws_send(fd, "nonsense");
        http_request(server.port, "GET", "/socket.io/?EIO=3&transport=polling", NULL, body, sizeof body);
        server_next(&server, SOCKEYE_EVENT_DISCONNECT);
        close(fd);
        server_end(&server);
    }
    fflush(NULL);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    GIVES("nothing is written to the host's streams", 0, (int64_t)lseek(to, 0, SEEK_END));
    close(to);
}

int main(void)
{
    what_is_said();
    levels();
    as_events();
    floods();
    several_threads();
    free_within();
    close_within();
    nothing_is_printed();
    return contract_report();
}
