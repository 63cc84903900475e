/* HTTP between the engine and its host: requests that the host received, which the engine answers, and requests that came to the engine,
 * which the host answers. */
#include "client.h"

#include <pthread.h>

#define HANDSHAKE "/socket.io/?EIO=4&transport=polling"

/* ---- requests of the host's ----------------------------------------------------------------------------------------------------------- */

struct answer {
    int status, drops, calls;
    /* To whom something is emitted in the answer's call. */
    sockeye_engine *engine;
    sockeye_socket peer;
    char headers[2048], body[4096];
    size_t body_len;
};

static void on_answer(void *user, const sockeye_http_answer *given)
{
    struct answer *answer = (struct answer *)user;
    size_t at = 0;
    for (size_t i = 0; i < given->header_count && at < sizeof answer->headers; i++)
        at += (size_t)snprintf(answer->headers + at, sizeof answer->headers - at, "%.*s: %.*s\n", (int)given->headers[i].name_len,
                               given->headers[i].name, (int)given->headers[i].value_len, given->headers[i].value);
    answer->body_len = given->body_len < sizeof answer->body ? given->body_len : sizeof answer->body - 1;
    memcpy(answer->body, given->body, answer->body_len);
    answer->status = (int)given->status;
    if (answer->peer) {
        sockeye_emission emission = emission_of("again", "[]");
        sockeye_emit(answer->engine, answer->peer, &emission, NULL);
    }
    __atomic_add_fetch(&answer->calls, 1, __ATOMIC_SEQ_CST);
}

static void on_drop(void *user)
{
    __atomic_add_fetch(&((struct answer *)user)->drops, 1, __ATOMIC_SEQ_CST);
}

static sockeye_header header_of(const char *name, const char *value)
{
    sockeye_header header;
    header.name = name;
    header.name_len = strlen(name);
    header.value = value;
    header.value_len = strlen(value);
    return header;
}

static sockeye_http_request request_of(const char *method, const char *target, const char *body)
{
    sockeye_http_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.method = method;
    request.method_len = strlen(method);
    request.target = target;
    request.target_len = strlen(target);
    request.body = body;
    request.body_len = body ? strlen(body) : 0;
    return request;
}

static int comes_to(int *count, int wanted)
{
    for (int i = 0; i < PATIENCE_MS / 5 && __atomic_load_n(count, __ATOMIC_SEQ_CST) < wanted; i++)
        sleep_ms(5);
    return __atomic_load_n(count, __ATOMIC_SEQ_CST) == wanted;
}

/* A request that is answered at once. */
static struct answer ask(struct server *server, const char *method, const char *target, const char *body)
{
    struct answer answer;
    sockeye_header host = header_of("Host", "test");
    sockeye_http_request request = request_of(method, target, body);
    request.headers = &host;
    request.header_count = 1;
    memset(&answer, 0, sizeof answer);
    NEED(sockeye_engine_http(server->engine, &request, on_answer, &answer, on_drop, NULL) == SOCKEYE_OK);
    NEED(comes_to(&answer.drops, 1) && answer.calls == 1);
    return answer;
}

static void refused_requests(struct server *server)
{
    static const struct {
        const char *what, *method, *target, *name, *value;
    } bad[] = {{"no method", "", "/", "Host", "h"},           {"a method with a space", "GET /", "/", "Host", "h"},
               {"no target", "GET", "", "Host", "h"},         {"a target with a space", "GET", "/ HTTP/1.1", "Host", "h"},
               {"a target with a line", "GET", "/\r\nX:", "Host", "h"}, {"no header name", "GET", "/", "", "h"},
               {"a header name with a colon", "GET", "/", "X:", "h"},   {"a header value with a line", "GET", "/", "X", "a\r\nY: b"}};
    struct answer answer;
    sockeye_stream out = 7;
    sockeye_http_request request;
    sockeye_header header;
    memset(&answer, 0, sizeof answer);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        request = request_of(bad[i].method, bad[i].target, NULL);
        header = header_of(bad[i].name, bad[i].value);
        request.headers = &header;
        request.header_count = 1;
        GIVES(bad[i].what, SOCKEYE_ERR_INVALID, sockeye_engine_http(server->engine, &request, on_answer, &answer, on_drop, &out));
    }
    request = request_of("GET", HANDSHAKE, NULL);
    GIVES("NULL engine", SOCKEYE_ERR_INVALID, sockeye_engine_http(NULL, &request, on_answer, &answer, on_drop, &out));
    GIVES("NULL request", SOCKEYE_ERR_INVALID, sockeye_engine_http(server->engine, NULL, on_answer, &answer, on_drop, &out));
    GIVES("NULL answer", SOCKEYE_ERR_INVALID, sockeye_engine_http(server->engine, &request, NULL, &answer, on_drop, &out));
    request.header_count = 1;
    GIVES("NULL headers", SOCKEYE_ERR_INVALID, sockeye_engine_http(server->engine, &request, on_answer, &answer, on_drop, &out));
    request.headers = &header;
    request.header_count = (size_t)1 << 40;
    GIVES("too many headers", SOCKEYE_ERR_TOO_BIG, sockeye_engine_http(server->engine, &request, on_answer, &answer, on_drop, &out));
    request.header_count = 0;
    request.flags = 2;
    GIVES("unknown flags", SOCKEYE_ERR_INVALID, sockeye_engine_http(server->engine, &request, on_answer, &answer, on_drop, &out));
    request.flags = 0;
    request.remote = "x";
    request.remote_len = 1;
    GIVES("a remote that is no address", SOCKEYE_ERR_INVALID, sockeye_engine_http(server->engine, &request, on_answer, &answer, on_drop, &out));
    request.remote = NULL;
    request.remote_len = 0;
    header = header_of("upgrade", "WebSocket");
    request.header_count = 1;
    GIVES("an upgrade", SOCKEYE_ERR_UNSUPPORTED, sockeye_engine_http(server->engine, &request, on_answer, &answer, on_drop, &out));
    CHECK("says what to do", error_mentions("sockeye_engine_adopt"));
    CHECK("nothing is called on failure, and out is untouched", answer.calls == 0 && answer.drops == 0 && out == 7);
}

/* The answer of the engine's own listener, cut as `sockeye_http_answer` is; the Date may differ. */
static int same_as_on_the_wire(struct server *server, const struct answer *answer, const char *method, const char *target)
{
    char head[4096], text[4096];
    int fd = tcp_open(server->port), same;
    int n = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", method, target);
    NEED(fd >= 0 && send_all(fd, text, (size_t)n) == 0);
    same = http_head(fd, head, sizeof head) == answer->status;
    char *out = text;
    for (char *line = strstr(head, "\r\n") + 2, *end; (end = strstr(line, "\r\n")) != NULL && end != line; line = end + 2)
        if (strncmp(line, "Connection:", 11) != 0 && strncmp(line, "Date:", 5) != 0)
            out += sprintf(out, "%.*s\n", (int)(end - line), line);
    *out = 0;
    char without_date[2048];
    const char *date = strstr(answer->headers, "Date: ");
    snprintf(without_date, sizeof without_date, "%.*s%s", (int)(date - answer->headers), answer->headers, strchr(date, '\n') + 1);
    same = same && strcmp(text, without_date) == 0;
    n = (int)recv(fd, text, sizeof text, 0);
    close(fd);
    /* A session id differs each time. */
    return same && (strstr(answer->body, "\"sid\"") ? n == (int)answer->body_len
                                                    : n == (int)answer->body_len && memcmp(text, answer->body, (size_t)n) == 0);
}

static void a_session_by_requests(struct server *server)
{
    char target[256];
    struct answer open = ask(server, "GET", HANDSHAKE, NULL), poll, post;
    CHECK("a handshake", open.status == 200 && strncmp(open.body, "0{\"sid\":\"", 9) == 0);
    CHECK("is what the listener answers", same_as_on_the_wire(server, &open, "GET", HANDSHAKE));
    snprintf(target, sizeof target, "%s&sid=%.*s", HANDSHAKE, (int)(strchr(open.body + 9, '"') - open.body - 9), open.body + 9);
    post = ask(server, "POST", target, "40");
    CHECK("a POST", post.status == 200 && strcmp(post.body, "ok") == 0);
    sockeye_event event = server_next(server, SOCKEYE_EVENT_CONNECT);
    sockeye_socket peer = event.socket;
    poll = ask(server, "GET", target, NULL);
    CHECK("a poll with packets", strncmp(poll.body, "40{\"sid\":", 9) == 0);

    struct answer waiting;
    sockeye_stream id = 0;
    sockeye_header host = header_of("host", "test");
    sockeye_http_request request = request_of("GET", target, NULL);
    request.headers = &host;
    request.header_count = 1;
    memset(&waiting, 0, sizeof waiting);
    waiting.engine = server->engine;
    waiting.peer = peer;
    NEED(sockeye_engine_http(server->engine, &request, on_answer, &waiting, on_drop, &id) == SOCKEYE_OK);
    sleep_ms(50);
    GIVES("a request takes no input", SOCKEYE_ERR_INVALID, sockeye_stream_input(server->engine, id, "GET", 3));
    CHECK("a poll waits", waiting.calls == 0 && waiting.drops == 0 && id != 0);
    sockeye_emission emission = emission_of("yo", "[1]");
    sockeye_emit(server->engine, peer, &emission, NULL);
    CHECK("until there is something to tell", comes_to(&waiting.drops, 1) && strcmp(waiting.body, "42[\"yo\",1]") == 0);
    poll = ask(server, "GET", target, NULL);
    CHECK("an answer's call may emit", strcmp(poll.body, "42[\"again\"]") == 0);
    GIVES("an answered request is stale", SOCKEYE_ERR_STALE, sockeye_stream_end(server->engine, id));

    memset(&waiting, 0, sizeof waiting);
    NEED(sockeye_engine_http(server->engine, &request, on_answer, &waiting, on_drop, &id) == SOCKEYE_OK);
    GIVES("a client that goes away", SOCKEYE_OK, sockeye_stream_end(server->engine, id));
    CHECK("gets no answer", comes_to(&waiting.drops, 1) && waiting.calls == 0);
    event = server_next(server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("and its session ends", event.socket == peer);
}

static void other_answers(struct server *server)
{
    struct answer answer = ask(server, "GET", "/socket.io/?EIO=4&transport=nothing", NULL);
    CHECK("a refusal", answer.status == 400 && contains(answer.body, answer.body_len, "Transport unknown") &&
                           same_as_on_the_wire(server, &answer, "GET", "/socket.io/?EIO=4&transport=nothing"));
    answer = ask(server, "GET", "/elsewhere", NULL);
    CHECK("404 outside the path", answer.status == 404 && same_as_on_the_wire(server, &answer, "GET", "/elsewhere"));
    answer = ask(server, "GET", "/contract.h", NULL);
    CHECK("a file of a folder", answer.status == 200 && answer.body_len > 1000 && contains(answer.headers, strlen(answer.headers), "Content-Length:"));
    answer = ask(server, "HEAD", "/contract.h", NULL);
    CHECK("its head alone", answer.status == 200 && answer.body_len == 0);
    char *large = (char *)malloc(1100001);
    memset(large, 'x', 1100000);
    large[1100000] = 0;
    answer = ask(server, "POST", HANDSHAKE, large);
    CHECK("a body too large", answer.status == 413);
    free(large);
}

/* What the host says of a request is what the handshake shows. */
static void handshakes(void)
{
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_ALLOW_REQUEST;
    struct server server = server_new(&options);
    sockeye_header headers[] = {header_of("Host", "example.org"), header_of("Expect", "100-continue"), header_of("X-Own", "1"),
                                header_of("Content-Length", "77"), header_of("Transfer-Encoding", "chunked")};
    sockeye_http_request request = request_of("GET", HANDSHAKE, NULL);
    struct answer answer;
    memset(&answer, 0, sizeof answer);
    request.headers = headers;
    request.header_count = sizeof headers / sizeof headers[0];
    request.remote = "[2001:db8::7]:443";
    request.remote_len = strlen(request.remote);
    request.flags = SOCKEYE_CONNECTION_SECURE;
    NEED(sockeye_engine_http(server.engine, &request, on_answer, &answer, on_drop, NULL) == SOCKEYE_OK);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    CHECK("headers, address and TLS are the request's",
          contains(event.data, event.data_len, "\"headers\":{\"host\":\"example.org\",\"x-own\":\"1\"}") &&
              contains(event.data, event.data_len, "\"address\":\"2001:db8::7\",\"secure\":true"));
    GIVES("a handshake is accepted", SOCKEYE_OK, sockeye_accept(server.engine, event.token, 0, NULL, 0));
    CHECK("and answered", comes_to(&answer.drops, 1) && answer.status == 200);
    request.header_count = 0;
    memset(&answer, 0, sizeof answer);
    NEED(sockeye_engine_http(server.engine, &request, on_answer, &answer, on_drop, NULL) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    CHECK("a closing engine answers 503", comes_to(&answer.drops, 1) && answer.calls == 1 && answer.status == 503);
    GIVES("and takes no more", SOCKEYE_ERR_CLOSED, sockeye_engine_http(server.engine, &request, on_answer, &answer, on_drop, NULL));
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
}

static void on_answer_close(void *user, const sockeye_http_answer *given)
{
    sockeye_engine *engine = (sockeye_engine *)user;
    GIVES("free in an answer", SOCKEYE_ERR_DEADLOCK, sockeye_engine_free(engine));
    GIVES("close in an answer", SOCKEYE_OK, sockeye_engine_close(engine, 0));
    CHECK("an answer", given->status == 404);
}

static void an_answer_that_closes_the_engine(void)
{
    struct server server = server_start();
    sockeye_http_request request = request_of("GET", "/nothing", NULL);
    NEED(sockeye_engine_http(server.engine, &request, on_answer_close, server.engine, NULL, NULL) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
}

/* ---- requests for the host -------------------------------------------------------------------------------------------------------------- */

struct client {
    uint16_t port;
    const char *method, *target, *body;
    char answer[4096];
    int status;
    pthread_t thread;
};

static void *run_client(void *argument)
{
    struct client *client = (struct client *)argument;
    client->status = http_request(client->port, client->method, client->target, client->body, client->answer, sizeof client->answer);
    return NULL;
}

static void client_start(struct client *client, struct server *server, const char *method, const char *target, const char *body)
{
    memset(client, 0, sizeof *client);
    client->port = server->port;
    client->method = method;
    client->target = target;
    client->body = body;
    NEED(pthread_create(&client->thread, NULL, run_client, client) == 0);
}

static void requests_for_the_host(void)
{
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_HTTP_EVENTS | SOCKEYE_OPT_ALLOW_REQUEST;
    struct server server = server_new(&options);
    struct client client;
    NEED(sockeye_engine_mount(server.engine, "/files", 6, "tests/c", 7) == SOCKEYE_OK);
    server_listen(&server);

    client_start(&client, &server, "PATCH", "/api/thing?x=1", "{\"a\":1}");
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_HTTP);
    CHECK("an event has the target", is_text(event.name_ptr, event.name_len, "/api/thing?x=1"));
    CHECK("method, headers, address", contains(event.data, event.data_len, "{\"method\":\"PATCH\",\"headers\":{\"host\":\"test\",") &&
                                          contains(event.data, event.data_len, "},\"address\":\"127.0.0.1\",\"secure\":false}"));
    CHECK("and the body", event.attachment_count == 1 && is_text(event.attachments[0].ptr, event.attachments[0].len, "{\"a\":1}"));
    sockeye_token token = event.token;
    sockeye_header good = header_of("X-Answer", "42"), line = header_of("X", "a\r\nb"), framing = header_of("Content-Length", "1");
    GIVES("a status too small", SOCKEYE_ERR_INVALID, sockeye_http_respond(server.engine, token, 199, NULL, 0, NULL, 0));
    GIVES("a status too large", SOCKEYE_ERR_INVALID, sockeye_http_respond(server.engine, token, 600, NULL, 0, NULL, 0));
    GIVES("a body that 204 cannot have", SOCKEYE_ERR_INVALID, sockeye_http_respond(server.engine, token, 204, NULL, 0, "x", 1));
    GIVES("a header with a line", SOCKEYE_ERR_INVALID, sockeye_http_respond(server.engine, token, 200, &line, 1, NULL, 0));
    GIVES("a header that is the engine's", SOCKEYE_ERR_INVALID, sockeye_http_respond(server.engine, token, 200, &framing, 1, NULL, 0));
    GIVES("NULL headers", SOCKEYE_ERR_INVALID, sockeye_http_respond(server.engine, token, 200, NULL, 1, NULL, 0));
    GIVES("NULL body", SOCKEYE_ERR_INVALID, sockeye_http_respond(server.engine, token, 200, NULL, 0, NULL, 1));
    GIVES("NULL engine", SOCKEYE_ERR_INVALID, sockeye_http_respond(NULL, token, 200, NULL, 0, NULL, 0));
    GIVES("accept is for decisions", SOCKEYE_ERR_INVALID, sockeye_accept(server.engine, token, 0, NULL, 0));
    GIVES("the host answers", SOCKEYE_OK, sockeye_http_respond(server.engine, token, 418, &good, 1, "short and stout", 15));
    GIVES("once", SOCKEYE_ERR_STALE, sockeye_http_respond(server.engine, token, 200, NULL, 0, NULL, 0));
    pthread_join(client.thread, NULL);
    CHECK("the client gets it", client.status == 418 && strcmp(client.answer, "short and stout") == 0);

    client_start(&client, &server, "GET", HANDSHAKE, NULL);
    event = server_next(&server, SOCKEYE_EVENT_HTTP_REQUEST);
    GIVES("respond is for HTTP", SOCKEYE_ERR_INVALID, sockeye_http_respond(server.engine, event.token, 200, NULL, 0, NULL, 0));
    GIVES("a decision is still open", SOCKEYE_OK, sockeye_accept(server.engine, event.token, 0, NULL, 0));
    pthread_join(client.thread, NULL);
    CHECK("the engine's path is the engine's", client.status == 200);

    client_start(&client, &server, "GET", "/files/contract.h", NULL);
    pthread_join(client.thread, NULL);
    CHECK("a folder comes first", client.status == 200);

    client_start(&client, &server, "GET", "/bye", NULL);
    event = server_next(&server, SOCKEYE_EVENT_HTTP);
    CHECK("no body is no attachment", event.attachment_count == 0);
    GIVES("an answer without content", SOCKEYE_OK, sockeye_http_respond(server.engine, event.token, 304, NULL, 0, NULL, 0));
    pthread_join(client.thread, NULL);
    CHECK("has none", client.status == 304 && client.answer[0] == 0);

    /* Two requests on a connection: the second waits for the first. */
    char text[1024];
    int fd = tcp_open(server.port);
    static const char two[] = "GET /1 HTTP/1.1\r\nHost: test\r\n\r\nGET /2 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    send_all(fd, two, sizeof two - 1);
    event = server_next(&server, SOCKEYE_EVENT_HTTP);
    CHECK("the first of two", is_text(event.name_ptr, event.name_len, "/1"));
    NEED(sockeye_http_respond(server.engine, event.token, 200, NULL, 0, NULL, 0) == SOCKEYE_OK);
    event = server_next(&server, SOCKEYE_EVENT_HTTP);
    CHECK("then the second", is_text(event.name_ptr, event.name_len, "/2"));
    NEED(sockeye_http_respond(server.engine, event.token, 201, NULL, 0, NULL, 0) == SOCKEYE_OK);
    CHECK("answered in order", http_head(fd, text, sizeof text) == 200 && http_head(fd, text, sizeof text) == 201);
    close(fd);

    fd = tcp_open(server.port);
    send_all(fd, "HEAD /3 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 52);
    event = server_next(&server, SOCKEYE_EVENT_HTTP);
    NEED(sockeye_http_respond(server.engine, event.token, 200, NULL, 0, "body", 4) == SOCKEYE_OK);
    CHECK("HEAD has the length of a body, and none", http_head(fd, text, sizeof text) == 200 && strstr(text, "Content-Length: 4\r\n") &&
                                                        recv(fd, text, 1, 0) == 0);
    close(fd);

    fd = tcp_open(server.port);
    send_all(fd, two, 33);
    event = server_next(&server, SOCKEYE_EVENT_HTTP);
    close(fd);
    sockeye_token left = event.token;
    client_start(&client, &server, "GET", "/after", NULL);
    event = server_next(&server, SOCKEYE_EVENT_HTTP);
    NEED(sockeye_http_respond(server.engine, event.token, 200, NULL, 0, NULL, 0) == SOCKEYE_OK);
    pthread_join(client.thread, NULL);
    GIVES("a client that left", SOCKEYE_ERR_STALE, sockeye_http_respond(server.engine, left, 200, NULL, 0, NULL, 0));
    CHECK("the next is served", client.status == 200);
    server_end(&server);
}

/* Events without end for a host that does not drain are refused, and so is its patience bounded. */
static void a_host_that_does_not_answer(void)
{
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_HTTP_EVENTS;
    options.connect_timeout_ms = 200;
    options.queue_events_max = 2;
    struct server server = server_new(&options);
    struct client clients[8];
    int late = 0, full = 0;
    server_listen(&server);
    for (int i = 0; i < 8; i++) {
        client_start(&clients[i], &server, "GET", "/x", NULL);
        sleep_ms(10);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(clients[i].thread, NULL);
        late += clients[i].status == 504;
        full += clients[i].status == 503;
    }
    CHECK("504 for those that waited, 503 for those beyond the queue", late >= 2 && full >= 1 && late + full == 8);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_HTTP);
    GIVES("an expired token", SOCKEYE_ERR_STALE, sockeye_http_respond(server.engine, event.token, 200, NULL, 0, NULL, 0));
    server_end(&server);
}

/* The host as its own proxy: a request that it gave comes back to it. */
static void there_and_back(void)
{
    sockeye_options options = default_options();
    options.flags = SOCKEYE_OPT_HTTP_EVENTS;
    struct server server = server_new(&options);
    sockeye_http_request request = request_of("DELETE", "/thing", "body");
    struct answer answer;
    memset(&answer, 0, sizeof answer);
    NEED(sockeye_engine_http(server.engine, &request, on_answer, &answer, on_drop, NULL) == SOCKEYE_OK);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_HTTP);
    CHECK("a request without Host or address", contains(event.data, event.data_len, "{\"method\":\"DELETE\",\"headers\":{\"content-length\":\"4\"},\"address\":\"\","));
    NEED(sockeye_http_respond(server.engine, event.token, 204, NULL, 0, NULL, 0) == SOCKEYE_OK);
    CHECK("is answered", comes_to(&answer.drops, 1) && answer.status == 204 && answer.body_len == 0);
    server_end(&server);
}

int main(void)
{
    sockeye_options options = default_options();
    options.shards = 2;
    struct server server = server_new(&options);
    NEED(sockeye_engine_mount(server.engine, "/", 1, "tests/c", 7) == SOCKEYE_OK);
    server_listen(&server);
    refused_requests(&server);
    for (int i = 0; i < 3; i++)
        a_session_by_requests(&server);
    other_answers(&server);
    server_end(&server);
    handshakes();
    an_answer_that_closes_the_engine();
    requests_for_the_host();
    a_host_that_does_not_answer();
    there_and_back();
    return contract_report();
}
