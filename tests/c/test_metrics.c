/* Metrics: exact numbers after known traffic, the same in the struct and in the text; the path that serves the text; sizes. */
#include "client.h"

static sockeye_metrics metrics_of(sockeye_engine *engine)
{
    sockeye_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(engine, &metrics) == SOCKEYE_OK);
    return metrics;
}

/* The value of a sample, by its line up to the value; -1 if the text has no such line. */
static double sample(const char *text, const char *series)
{
    size_t len = strlen(series);
    for (const char *at = strstr(text, series); at; at = strstr(at + 1, series))
        if ((at == text || at[-1] == '\n') && at[len] == ' ')
            return strtod(at + len, NULL);
    return -1;
}

static char *text_of(sockeye_engine *engine)
{
    sockeye_buffer *buffer = NULL;
    size_t len = 0;
    NEED(sockeye_engine_metrics_text(engine, &buffer) == SOCKEYE_OK);
    const char *data = sockeye_buffer_data(buffer, &len);
    char *text = (char *)malloc(len + 1);
    NEED(text != NULL);
    memcpy(text, data, len);
    text[len] = 0;
    sockeye_buffer_free(buffer);
    return text;
}

/* Metrics once `of` is `wanted`: the I/O threads count at their own pace. */
static sockeye_metrics wait_for(sockeye_engine *engine, size_t of, uint64_t wanted)
{
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (;;) {
        sockeye_metrics metrics = metrics_of(engine);
        uint64_t value;
        memcpy(&value, (const char *)&metrics + of, sizeof value);
        if (value == wanted || now_ms() > deadline)
            return metrics;
        sleep_ms(2);
    }
}

#define UNTIL(engine, field, wanted) wait_for(engine, offsetof(sockeye_metrics, field), wanted)

static uint64_t sum(const uint64_t *numbers, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += numbers[i];
    return total;
}

/* An engine whose heartbeat comes after `ping_interval_ms`; 0 is the default, so late that it counts nothing here. */
static struct server start_beating(uint32_t ping_interval_ms)
{
    static const char path[] = "/metrics";
    sockeye_options options = default_options();
    options.ping_interval_ms = ping_interval_ms;
    options.metrics_path = path;
    options.metrics_path_len = sizeof path - 1;
    struct server server = server_new(&options);
    server_listen(&server);
    return server;
}

static struct server start(void)
{
    return start_beating(0);
}

/* Two WebSocket clients and their packets: every number is known. */
static void known_traffic(void)
{
    struct server server = start();
    sockeye_engine *engine = server.engine;
    char frame[1024];
    sockeye_metrics before = metrics_of(engine);
    GIVES("nothing was counted before anybody came", 0, (int64_t)(before.packets_in + before.bytes_in + before.connections_opened));

    int one = sio_open(server.port), two = sio_open(server.port);
    sockeye_event first = server_next(&server, SOCKEYE_EVENT_CONNECT);
    sockeye_socket socket = first.socket;
    sockeye_bytes room = bytes_of("red");
    NEED(sockeye_socket_join(engine, socket, &room, 1) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    NEED(ws_send(one, "420[\"one\",1]") == 0 && ws_send(one, "42[\"two\"]") == 0);
    sockeye_event asked = server_next(&server, SOCKEYE_EVENT_MESSAGE);
    sockeye_token owed = asked.token;
    server_next(&server, SOCKEYE_EVENT_MESSAGE);

    /* Two CONNECT and two events came; two open packets and two answers to CONNECT went. */
    sockeye_metrics metrics = UNTIL(engine, packets_in, 4);
    GIVES("packets in", 4, (int64_t)metrics.packets_in);
    GIVES("packets out", 4, (int64_t)metrics.packets_out);
    GIVES("connections", 2, (int64_t)metrics.connections);
    GIVES("connections opened", 2, (int64_t)metrics.connections_opened);
    GIVES("sessions on WebSocket", 2, (int64_t)metrics.sessions_websocket);
    GIVES("sessions on polling", 0, (int64_t)metrics.sessions_polling);
    GIVES("handshakes on WebSocket", 2, (int64_t)metrics.handshakes_websocket);
    GIVES("sockets", 2, (int64_t)metrics.sockets);
    GIVES("namespaces", 1, (int64_t)metrics.namespaces);
    GIVES("rooms", 1, (int64_t)metrics.rooms);
    GIVES("CONNECT accepted", 2, (int64_t)metrics.connects_accepted);
    GIVES("an acknowledgement is owed", 1, (int64_t)metrics.acks_owed);
    GIVES("answers of class 1xx", 2, (int64_t)metrics.http_answers[1]);

    uint64_t bytes_in = metrics.bytes_in, bytes_out = metrics.bytes_out;
    NEED(ws_send(two, "42[\"abc\"]") == 0);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    metrics = UNTIL(engine, packets_in, 5);
    GIVES("bytes in: header, mask and payload", 2 + 4 + 9, (int64_t)(metrics.bytes_in - bytes_in));
    NEED(sockeye_ack(engine, owed, "[7]", 3, NULL, 0) == SOCKEYE_OK);
    NEED(ws_recv(one, frame, sizeof frame) == 6 && strcmp(frame, "430[7]") == 0);
    metrics = UNTIL(engine, bytes_out, bytes_out + 8);
    GIVES("bytes out: header and payload", 2 + 6, (int64_t)(metrics.bytes_out - bytes_out));
    GIVES("the acknowledgement was given", 0, (int64_t)metrics.acks_owed);

    close(one);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    metrics = UNTIL(engine, sockets, 1);
    GIVES("one left by transport close", 1, (int64_t)metrics.disconnects[SOCKEYE_REASON_TRANSPORT_CLOSE]);
    metrics = UNTIL(engine, sessions_websocket, 1);
    GIVES("one session is left", 1, (int64_t)metrics.sessions_websocket);
    NEED(ws_send(two, "41") == 0);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    metrics = UNTIL(engine, sockets, 0);
    GIVES("one left by itself", 1, (int64_t)metrics.disconnects[SOCKEYE_REASON_CLIENT_NAMESPACE_DISCONNECT]);
    GIVES("its room went with it", 0, (int64_t)metrics.rooms);

    char *text = text_of(engine);
    GIVES("the text has the same packets", 6, (int64_t)sample(text, "sockeye_packets_total{direction=\"in\"}"));
    GIVES("the text has the reasons", 1, (int64_t)sample(text, "sockeye_disconnects_total{reason=\"transport close\"}"));
    free(text);
    close(two);
    server_end(&server);
}

/* A client's heartbeat: 2 is answered with 3. */
static void round_trips(void)
{
    struct server server = start_beating(200);
    sockeye_engine *engine = server.engine;
    char frame[1024];
    int fd = sio_open(server.port);
    while (ws_recv(fd, frame, sizeof frame) >= 0 && strcmp(frame, "2") != 0)
        ;
    NEED(strcmp(frame, "2") == 0 && ws_send(fd, "3") == 0);
    sockeye_metrics metrics = UNTIL(engine, packets_in, 2);
    GIVES("a round trip was measured", 1, (int64_t)sum(metrics.round_trips, 16));
    CHECK("it took some time", metrics.round_trips_us > 0);
    CHECK("turns were measured", sum(metrics.loop_turns, 16) > 0 && metrics.loop_turns_us > 0);
    CHECK("no turn was longer than the longest", metrics.loop_turn_max_us <= metrics.loop_turns_us);
    CHECK("timers were measured", sum(metrics.loop_lag, 16) > 0);
    char *text = text_of(engine);
    GIVES("the text has the round trip", 1, (int64_t)sample(text, "sockeye_round_trip_seconds_bucket{le=\"+Inf\"}"));
    free(text);
    close(fd);
    server_end(&server);
}

/* Long-polling: sessions, refusals by code, answers by class, an upgrade. */
static void polling_and_errors(void)
{
    struct server server = start();
    sockeye_engine *engine = server.engine;
    char body[1024], target[160], sid[21] = "";
    GIVES("unknown transport", 400, http_request(server.port, "GET", "/socket.io/?EIO=4&transport=pigeon", NULL, body, sizeof body));
    GIVES("unknown session", 400, http_request(server.port, "GET", "/socket.io/?EIO=4&transport=polling&sid=nobody", NULL, body, sizeof body));
    GIVES("unknown revision", 400, http_request(server.port, "GET", "/socket.io/?EIO=5&transport=polling", NULL, body, sizeof body));
    GIVES("no page", 404, http_request(server.port, "GET", "/page", NULL, body, sizeof body));
    NEED(http_request(server.port, "GET", "/socket.io/?EIO=4&transport=polling", NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    NEED(http_request(server.port, "POST", target, "40\x1e" "40/none", body, sizeof body) == 200);
    NEED(http_request(server.port, "GET", target, NULL, body, sizeof body) == 200);
    server_next(&server, SOCKEYE_EVENT_CONNECT);

    UNTIL(engine, packets_out, 3);
    sockeye_metrics metrics = UNTIL(engine, http_answers[2], 3);
    GIVES("error of code 0", 1, (int64_t)metrics.errors[0]);
    GIVES("error of code 1", 1, (int64_t)metrics.errors[1]);
    GIVES("error of code 5", 1, (int64_t)metrics.errors[5]);
    GIVES("no other error", 3, (int64_t)sum(metrics.errors, 6));
    GIVES("answers of class 4xx", 4, (int64_t)metrics.http_answers[4]);
    GIVES("answers of class 2xx", 3, (int64_t)metrics.http_answers[2]);
    GIVES("a handshake on polling", 1, (int64_t)metrics.handshakes_polling);
    GIVES("a session on polling", 1, (int64_t)metrics.sessions_polling);
    GIVES("packets in by POST", 2, (int64_t)metrics.packets_in);
    GIVES("packets out by GET", 3, (int64_t)metrics.packets_out);
    GIVES("a CONNECT was accepted", 1, (int64_t)metrics.connects_accepted);
    GIVES("a CONNECT was refused", 1, (int64_t)metrics.connects_refused);

    snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=websocket&sid=%s", sid);
    int fd = ws_open(server.port, target);
    NEED(fd >= 0 && ws_send(fd, "2probe") == 0 && ws_recv(fd, body, sizeof body) == 6 && ws_send(fd, "5") == 0);
    metrics = UNTIL(engine, upgrades, 1);
    GIVES("an upgrade", 1, (int64_t)metrics.upgrades);
    GIVES("the session moved from polling", 0, (int64_t)metrics.sessions_polling);
    GIVES("the session moved to WebSocket", 1, (int64_t)metrics.sessions_websocket);
    GIVES("no other handshake", 0, (int64_t)metrics.handshakes_websocket);
    close(fd);
    metrics = UNTIL(engine, sessions_websocket, 0);
    GIVES("it is gone", 0, (int64_t)(metrics.sessions_websocket + metrics.sessions_polling));
    server_end(&server);
}

/* Acknowledgements that the host awaits, and queues. */
static void acks_and_queues(void)
{
    struct server server = start();
    sockeye_engine *engine = server.engine;
    sockeye_emission emission = emission_of("question", "[]");
    sockeye_queue_metrics queue;
    sockeye_token token;
    int fd = sio_open(server.port);
    sockeye_socket socket = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    emission.flags = SOCKEYE_EXPECT_ACK;
    emission.timeout_ms = 2000;
    NEED(sockeye_emit(engine, socket, &emission, &token) == SOCKEYE_OK);
    emission.timeout_ms = 0;
    NEED(sockeye_emit(engine, socket, &emission, &token) == SOCKEYE_OK);
    GIVES("two are awaited", 2, (int64_t)metrics_of(engine).acks_awaited);
    GIVES("one came too late", SOCKEYE_ERR_TIMEOUT, server_next(&server, SOCKEYE_EVENT_ACK).status);
    sockeye_metrics metrics = metrics_of(engine);
    GIVES("one is still awaited", 1, (int64_t)metrics.acks_awaited);
    GIVES("one timed out", 1, (int64_t)metrics.acks_timed_out);
    NEED(ws_send(fd, "420[\"a\"]") == 0 && ws_send(fd, "421[\"b\"]") == 0);
    metrics = UNTIL(engine, queue_events, 2);
    GIVES("two events wait", 2, (int64_t)metrics.queue_events);
    memset(&queue, 0, sizeof queue);
    queue.size = sizeof queue;
    GIVES("a queue's own metrics", SOCKEYE_OK, sockeye_queue_get_metrics(server.queue, &queue));
    GIVES("two events wait in it", 2, (int64_t)queue.events);
    GIVES("their bytes wait in it", (int64_t)metrics.queue_bytes, (int64_t)queue.bytes);
    close(fd);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    metrics = UNTIL(engine, sockets, 0);
    GIVES("who left is owed nothing", 0, (int64_t)metrics.acks_owed);
    GIVES("and nothing is awaited from it", 0, (int64_t)metrics.acks_awaited);
    server_end(&server);
}

/* Who does not read holds memory, and half a frame too: seen within a second or two, and gone with them. */
static void buffers(void)
{
    struct server server = start();
    sockeye_engine *engine = server.engine;
    static char args[1 << 20];
    unsigned char half[14] = {0x82, 0x80 | 127, 0, 0, 0, 0, 0, 8};
    int fd = sio_open(server.port), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    sockeye_socket socket = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    memset(args, 'x', sizeof args - 1);
    memcpy(args, "[\"", 2);
    memcpy(args + sizeof args - 3, "\"]", 2);
    sockeye_emission emission = emission_of("big", args);
    for (int i = 0; i < 8; i++)
        NEED(sockeye_emit(engine, socket, &emission, NULL) == SOCKEYE_OK);
    int other = sio_open(server.port);
    NEED(send_all(other, half, sizeof half) == 0 && send_all(other, args, 1000) == 0);
    int64_t deadline = now_ms() + PATIENCE_MS;
    sockeye_metrics metrics = metrics_of(engine);
    while ((metrics.outbound_bytes < 1 << 20 || metrics.input_bytes < 1000) && now_ms() < deadline) {
        sleep_ms(50);
        metrics = metrics_of(engine);
    }
    CHECK("bytes that wait to be written", metrics.outbound_bytes >= 1 << 20 && metrics.outbound_bytes <= 9 << 20);
    CHECK("bytes that are not whole", metrics.input_bytes >= 1000 && metrics.input_bytes <= 1 << 21);
    close(fd);
    close(other);
    metrics = UNTIL(engine, outbound_bytes, 0);
    GIVES("nothing waits when they have left", 0, (int64_t)metrics.outbound_bytes);
    metrics = UNTIL(engine, input_bytes, 0);
    GIVES("nothing is held when they have left", 0, (int64_t)metrics.input_bytes);
    server_end(&server);
}

static void the_path(void)
{
    static char body[65536];
    struct server server = start(), without = server_start();
    GIVES("the path answers", 200, http_request(server.port, "GET", "/metrics", NULL, body, sizeof body));
    GIVES("with the metrics", 1, (int64_t)sample(body, "sockeye_connections"));
    GIVES("whatever the query", 200, http_request(server.port, "GET", "/metrics?now", NULL, body, sizeof body));
    GIVES("only this path", 404, http_request(server.port, "GET", "/metrics/", NULL, body, sizeof body));
    GIVES("only GET", 405, http_request(server.port, "POST", "/metrics", "", body, sizeof body));
    GIVES("not unless it is switched on", 404, http_request(without.port, "GET", "/metrics", NULL, body, sizeof body));
    server_end(&without);
    server_end(&server);
}

static void sizes(void)
{
    struct server server = server_start();
    sockeye_metrics metrics;
    struct {
        sockeye_metrics known;
        uint64_t more[4];
    } newer;
    memset(&metrics, 0xee, sizeof metrics);
    metrics.size = 24;
    GIVES("an older struct", SOCKEYE_OK, sockeye_engine_metrics(server.engine, &metrics));
    CHECK("is written as far as it goes", metrics.size == 24 && metrics.connections == 0);
    CHECK("and no further", metrics.sessions_polling == UINT64_C(0xeeeeeeeeeeeeeeee));
    memset(&newer, 0xee, sizeof newer);
    newer.known.size = sizeof newer;
    GIVES("a newer struct", SOCKEYE_OK, sockeye_engine_metrics(server.engine, &newer.known));
    CHECK("has zeroes where this library knows nothing", sum(newer.more, 4) == 0);
    metrics.size = 0;
    GIVES("a struct without its size", SOCKEYE_ERR_INVALID, sockeye_engine_metrics(server.engine, &metrics));
    GIVES("no struct", SOCKEYE_ERR_INVALID, sockeye_engine_metrics(server.engine, NULL));
    GIVES("no engine", SOCKEYE_ERR_INVALID, sockeye_engine_metrics(NULL, &metrics));
    GIVES("no place for the text", SOCKEYE_ERR_INVALID, sockeye_engine_metrics_text(server.engine, NULL));
    GIVES("no queue", SOCKEYE_ERR_INVALID, sockeye_queue_get_metrics(NULL, NULL));
    GIVES("no struct for a queue", SOCKEYE_ERR_INVALID, sockeye_queue_get_metrics(server.queue, NULL));
    CHECK("the size that bindings compare", sockeye_struct_size(SOCKEYE_STRUCT_METRICS) == sizeof metrics);
    NEED(sockeye_engine_close(server.engine, 0) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    metrics.size = sizeof metrics;
    GIVES("after close too", SOCKEYE_OK, sockeye_engine_metrics(server.engine, &metrics));
    NEED(sockeye_engine_free(server.engine) == SOCKEYE_OK);
}

int main(void)
{
    known_traffic();
    round_trips();
    polling_and_errors();
    acks_and_queues();
    buffers();
    the_path();
    sizes();
    return contract_report();
}
