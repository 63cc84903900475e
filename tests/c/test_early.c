/* What is emitted to a socket before its CONNECT is answered: it comes after the answer, in order, or not at all. And acknowledgements whose
 * time is long: they cost nothing once they are given. */
#include "client.h"

#include <malloc.h>

static struct server authorizing(const sockeye_limits *limits)
{
    sockeye_options options = default_options();
    options.limits = limits;
    struct server server = server_new(&options);
    sockeye_nsp_options authorize = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL);
    NEED(sockeye_namespace(server.engine, "/", 1, &authorize, NULL) == SOCKEYE_OK);
    server_listen(&server);
    return server;
}

/* A client whose CONNECT waits; the event asks about it. */
static int knock(const struct server *server, sockeye_event *event)
{
    char answer[512];
    int fd = ws_open(server->port, "/socket.io/?EIO=4&transport=websocket");
    NEED(fd >= 0 && ws_recv(fd, answer, sizeof answer) > 0 && ws_send(fd, "40") == 0);
    *event = server_next(server, SOCKEYE_EVENT_AUTHORIZE);
    return fd;
}

static sockeye_result emit(const struct server *server, sockeye_socket socket, int number, uint32_t flags, sockeye_token *token)
{
    char data[32];
    snprintf(data, sizeof data, "[%d]", number);
    sockeye_emission e = emission_of("n", data);
    e.flags = flags;
    return sockeye_emit(server->engine, socket, &e, token);
}

static int receives(int fd, const char *wanted)
{
    char answer[512] = "";
    int64_t len = ws_recv(fd, answer, sizeof answer);
    if (len < 0 || strncmp(answer, wanted, strlen(wanted)) != 0)
        printf("  got %s\n", len < 0 ? "the end" : answer);
    return len >= 0 && strncmp(answer, wanted, strlen(wanted)) == 0;
}

static void early_packets_follow_the_answer(void)
{
    struct server server = authorizing(NULL);
    sockeye_event asked;
    sockeye_message *message = NULL;
    sockeye_token token = 0;
    sockeye_emission prepared = emission_of("p", "[]");
    int fd = knock(&server, &asked);
    GIVES("emit before the decision", SOCKEYE_OK, emit(&server, asked.socket, 1, 0, NULL));
    GIVES("one that wants an acknowledgement", SOCKEYE_OK, emit(&server, asked.socket, 2, SOCKEYE_EXPECT_ACK, &token));
    GIVES("a volatile one", SOCKEYE_OK, emit(&server, asked.socket, 3, SOCKEYE_VOLATILE, NULL));
    NEED(sockeye_message_new(server.engine, 1, &prepared, &message) == SOCKEYE_OK);
    prepared = emission_of(NULL, NULL);
    prepared.prepared = message;
    GIVES("a prepared one", SOCKEYE_OK, sockeye_emit(server.engine, asked.socket, &prepared, NULL));
    sockeye_message_free(message);
    NEED(sockeye_accept(server.engine, asked.token, 0, NULL, 0) == SOCKEYE_OK);
    GIVES("emit after it", SOCKEYE_OK, emit(&server, asked.socket, 4, 0, NULL));
    CHECK("the answer comes first", receives(fd, "40{\"sid\":"));
    CHECK("then what was emitted", receives(fd, "42[\"n\",1]"));
    CHECK("in order", receives(fd, "420[\"n\",2]"));
    CHECK("without the volatile one", receives(fd, "42[\"p\"]"));
    CHECK("and what was emitted later comes later", receives(fd, "42[\"n\",4]"));
    ws_send(fd, "430[7]");
    sockeye_event ack = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("the acknowledgement comes", ack.token == token && ack.status == SOCKEYE_OK && is_text(ack.data, ack.data_len, "[7]"));
    close(fd);
    server_end(&server);
}

static void early_packets_of_a_refused_socket_go_with_it(void)
{
    struct server server = authorizing(NULL);
    sockeye_event asked;
    sockeye_token token = 0;
    int fd = knock(&server, &asked);
    NEED(emit(&server, asked.socket, 1, 0, NULL) == SOCKEYE_OK);
    NEED(emit(&server, asked.socket, 2, SOCKEYE_EXPECT_ACK, &token) == SOCKEYE_OK);
    NEED(sockeye_reject(server.engine, asked.token, "no", 2, NULL, 0) == SOCKEYE_OK);
    CHECK("the client is told no", receives(fd, "44{\"message\":\"no\"}"));
    sockeye_event ack = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("its acknowledgement completes as gone", ack.token == token && ack.status == SOCKEYE_ERR_GONE);
    CHECK("nobody is there to emit to", emit(&server, asked.socket, 3, 0, NULL) < 0);
    ws_send(fd, "40");
    asked = server_next(&server, SOCKEYE_EVENT_AUTHORIZE);
    NEED(emit(&server, asked.socket, 4, 0, NULL) == SOCKEYE_OK && sockeye_accept(server.engine, asked.token, 0, NULL, 0) == SOCKEYE_OK);
    CHECK("it may come again", receives(fd, "40{\"sid\":"));
    CHECK("and gets what was emitted to it alone", receives(fd, "42[\"n\",4]"));
    close(fd);
    server_end(&server);
}

static void early_packets_have_a_budget(void)
{
    sockeye_limits limits;
    sockeye_event asked;
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    limits.outbound_packets_max = 2;
    struct server server = authorizing(&limits);
    int fd = knock(&server, &asked);
    NEED(emit(&server, asked.socket, 1, 0, NULL) == SOCKEYE_OK);
    GIVES("as many as the budget has", SOCKEYE_OK, emit(&server, asked.socket, 2, 0, NULL));
    GIVES("one more", SOCKEYE_ERR_FULL, emit(&server, asked.socket, 3, 0, NULL));
    close(fd);
    server_end(&server);
}

/* The I/O thread answers CONNECT while this one emits. */
static void no_packet_passes_the_answer(void)
{
    struct server server = authorizing(NULL);
    int good = 0, rounds = getenv("SLOW") ? 30 : 300;
    for (int round = 0; round < rounds; round++) {
        sockeye_event asked;
        char wanted[32];
        int fd = knock(&server, &asked), in_order = 1;
        NEED(sockeye_accept(server.engine, asked.token, 0, NULL, 0) == SOCKEYE_OK);
        for (int i = 0; i < 50; i++)
            NEED(emit(&server, asked.socket, i, 0, NULL) == SOCKEYE_OK);
        in_order = receives(fd, "40{\"sid\":");
        for (int i = 0; i < 50 && in_order; i++) {
            snprintf(wanted, sizeof wanted, "42[\"n\",%d]", i);
            in_order = receives(fd, wanted);
        }
        good += in_order;
        close(fd);
        server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    }
    GIVES("the answer is first and all follow in order, every time", rounds, good);
    server_end(&server);
}

static int given_acks(const struct server *server, int fd, sockeye_socket socket, int from, int count)
{
    sockeye_emission e = emission_of("n", "[]");
    char packet[64], answer[64];
    sockeye_token token;
    int good = 0;
    e.flags = SOCKEYE_EXPECT_ACK;
    e.timeout_ms = 3600000;
    for (int i = 0; i < count; i++)
        NEED(sockeye_emit(server->engine, socket, &e, &token) == SOCKEYE_OK);
    for (int i = 0; i < count; i++) {
        NEED(ws_recv(fd, answer, sizeof answer) > 0);
        snprintf(packet, sizeof packet, "43%d[]", from + i);
        NEED(ws_send(fd, packet) == 0);
    }
    for (int i = 0; i < count; i++)
        good += server_next(server, SOCKEYE_EVENT_ACK).status == SOCKEYE_OK;
    return good;
}

/* Memory of all arenas that is in use, so that what free memory the allocator keeps does not matter. */
static long used_kib(void)
{
    char *text = NULL, *at;
    size_t len = 0;
    double bytes = 0;
    FILE *file = open_memstream(&text, &len);
    NEED(file && malloc_info(0, file) == 0 && fclose(file) == 0);
    /* What the system gave, in all, less what is free of it. */
    at = strstr(text, "</heap>\n<total type=\"fast\"");
    if (at) {
        double fast = 0, rest = 0, given = 0, mapped = 0;
        sscanf(strstr(at, "type=\"fast\""), "type=\"fast\" count=\"%*d\" size=\"%lf\"", &fast);
        sscanf(strstr(at, "type=\"rest\""), "type=\"rest\" count=\"%*d\" size=\"%lf\"", &rest);
        sscanf(strstr(at, "type=\"mmap\""), "type=\"mmap\" count=\"%*d\" size=\"%lf\"", &mapped);
        sscanf(strstr(at, "type=\"current\""), "type=\"current\" size=\"%lf\"", &given);
        bytes = given + mapped - fast - rest;
    }
    free(text);
    return (long)(bytes / 1024);
}

static void given_acknowledgements_cost_nothing_until_their_time(void)
{
    struct server server = server_start();
    int slow = getenv("SLOW") != NULL, rounds = slow ? 4 : 200, good = 0, at = 0;
    int fd = sio_open(server.port);
    sockeye_socket socket = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    good += given_acks(&server, fd, socket, at, 500);
    at += 500;
    long before = used_kib();
    for (int round = 0; round < rounds; round++, at += 500)
        good += given_acks(&server, fd, socket, at, 500);
    GIVES("all are given", at, good);
    long grown = used_kib() - before;
    if (!slow && !CHECK("and nothing is kept of them, whose time is an hour", grown < 2500))
        printf("  grown by %ld KiB\n", grown);
    close(fd);
    server_end(&server);
}

int main(void)
{
    early_packets_follow_the_answer();
    early_packets_of_a_refused_socket_go_with_it();
    early_packets_have_a_budget();
    no_packet_passes_the_answer();
    given_acknowledgements_cost_nothing_until_their_time();
    return contract_report();
}
