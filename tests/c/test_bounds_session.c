/* What one session may send and hold: each limit with what passes it, the cause that the host is told, and another client that does not
 * notice. */
#include "client.h"

#include <stddef.h>

#define ROOMS_MAX 3
#define ACKS_MAX 2

static char answer[65536];

static struct server limited(const sockeye_limits *limits)
{
    sockeye_options options = default_options();
    options.limits = limits;
    struct server server = server_new(&options);
    server_listen(&server);
    return server;
}

static sockeye_limits no_limits(void)
{
    sockeye_limits limits;
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    return limits;
}

/* A client that has joined, and its socket. */
static int joined(const struct server *server, sockeye_socket *socket)
{
    int fd = sio_open(server->port);
    *socket = server_next(server, SOCKEYE_EVENT_CONNECT).socket;
    return fd;
}

/* Whether an event of a client arrives at the host, after what others sent. */
static int is_served(const struct server *server, int fd)
{
    if (ws_send(fd, "42[\"ok\",1]") != 0)
        return 0;
    for (;;) {
        sockeye_event event = server_next(server, SOCKEYE_EVENT_MESSAGE);
        if (is_text(event.name_ptr, event.name_len, "ok"))
            return 1;
    }
}

/* ---- what ends the connection ---------------------------------------------------------------------------------------------------------- */

struct violation {
    const char *limit;
    unsigned value;
    size_t field; /* of sockeye_limits */
    const char *allowed[4]; /* sent first; a text of "b" is a binary message */
    const char *refused[4];
};

#define FIELD(name) offsetof(sockeye_limits, name)

static const struct violation VIOLATIONS[] = {
    {"eventNameBytesMax", 5, FIELD(event_name_bytes_max), {"42[\"abcde\"]", "42[\"\\u00e9abc\"]"}, {"42[\"abcdef\"]"}},
    {"eventNameBytesMax", 5, FIELD(event_name_bytes_max), {NULL}, {"42[\"\\u00e9\\u00e9\\u00e9\"]"}},
    {"jsonDepthMax", 3, FIELD(json_depth_max), {"42[\"a\",[[]]]", "43999[[{}]]"}, {"42[\"a\",[[1,[]]]]"}},
    {"jsonDepthMax", 3, FIELD(json_depth_max), {NULL}, {"43999[[[{}]]]"}},
    {"jsonDepthMax", 3, FIELD(json_depth_max), {NULL}, {"40/other,{\"a\":{\"b\":{\"c\":[]}}}"}},
    {"jsonDepthMax", 3, FIELD(json_depth_max), {NULL}, {"451-[\"a\",[[{\"_placeholder\":true,\"num\":0}]]]"}},
    {"attachmentsMax", 2, FIELD(attachments_max), {"452-[\"a\"]", "b", "b"}, {"453-[\"a\"]"}},
    {"attachmentsTimeMs", 1500, FIELD(attachments_time_ms), {"452-[\"a\"]", "b", "b"}, {"452-[\"a\"]", "b"}},
    {"acksOwedMax", 2, FIELD(acks_owed_max), {"421[\"a\"]", "422[\"a\"]"}, {"423[\"a\"]"}},
};

static void send_each(int fd, const char *const *messages)
{
    for (size_t i = 0; i < 4 && messages[i]; i++) {
        if (strcmp(messages[i], "b") == 0)
            NEED(ws_send_bytes(fd, FRAME_BINARY, "binary", 6) == 0);
        else
            NEED(ws_send(fd, messages[i]) == 0);
    }
}

static void violation_ends_the_connection(const struct violation *violation)
{
    char name[128], wanted[128];
    sockeye_limits limits = no_limits();
    uint64_t value = violation->value;
    sockeye_socket socket, other;
    memcpy((char *)&limits + violation->field, &value, sizeof value);
    struct server server = limited(&limits);
    int fd = joined(&server, &socket), other_fd = joined(&server, &other);
    send_each(fd, violation->allowed);
    snprintf(name, sizeof name, "%s: what is within passes", violation->limit);
    CHECK(name, is_served(&server, fd));
    send_each(fd, violation->refused);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    snprintf(name, sizeof name, "%s: what is not ends the connection (%s)", violation->limit, violation->refused[0]);
    CHECK(name, event.socket == socket && is_text(event.name_ptr, event.name_len, "forced close"));
    snprintf(wanted, sizeof wanted, "\"limit\":\"%s\",\"value\":%u}", violation->limit, violation->value);
    snprintf(name, sizeof name, "%s: its cause has limit and value", violation->limit);
    if (!CHECK(name, contains(event.data, event.data_len, wanted)))
        printf("  %.*s\n", (int)event.data_len, event.data);
    while (ws_recv(fd, answer, sizeof answer) >= 0) {
    }
    snprintf(name, sizeof name, "%s: another client is served", violation->limit);
    CHECK(name, is_served(&server, other_fd));
    close(fd);
    close(other_fd);
    server_end(&server);
}

/* ---- what is refused by itself --------------------------------------------------------------------------------------------------------- */

static int connect_gives(int fd, const char *nsp, const char *wanted)
{
    char packet[64];
    snprintf(packet, sizeof packet, "40%s,", nsp);
    NEED(ws_send(fd, packet) == 0);
    if (ws_recv(fd, answer, sizeof answer) < 0)
        return 0;
    return strncmp(answer, wanted, strlen(wanted)) == 0;
}

static void namespaces(void)
{
    sockeye_limits limits = no_limits();
    sockeye_nsp nsp;
    sockeye_socket socket;
    limits.namespaces_max = 3;
    struct server server = limited(&limits);
    NEED(sockeye_namespace_pattern(server.engine, "^/n", 3, NULL, &nsp) == SOCKEYE_OK);
    int fd = joined(&server, &socket);
    CHECK("namespacesMax: those within are joined", connect_gives(fd, "/n1", "40/n1,") && connect_gives(fd, "/n2", "40/n2,"));
    CHECK("namespacesMax: one more is a CONNECT_ERROR",
          connect_gives(fd, "/n3", "44/n3,{\"message\":\"Too many namespaces\",\"data\":{\"limit\":\"namespacesMax\",\"value\":3}}"));
    CHECK("namespacesMax: the client is served", is_served(&server, fd));
    NEED(ws_send(fd, "41/n1,") == 0);
    CHECK("namespacesMax: who leaves one may join one", connect_gives(fd, "/n3", "40/n3,"));
    close(fd);
    server_end(&server);
}

static void namespaces_pending(void)
{
    sockeye_limits limits = no_limits();
    sockeye_nsp_options ask = nsp_options_of(SOCKEYE_NSP_ASK, NULL), authorize = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL);
    sockeye_nsp nsp;
    sockeye_socket socket;
    static const char refusal[] = ",{\"message\":\"Too many namespaces\",\"data\":{\"limit\":\"namespacesPendingMax\",\"value\":2}}";
    char wanted[160];
    limits.namespaces_pending_max = 2;
    limits.namespaces_max = 4;
    struct server server = limited(&limits);
    NEED(sockeye_namespace_pattern(server.engine, "^/ask", 5, &ask, &nsp) == SOCKEYE_OK);
    NEED(sockeye_namespace(server.engine, "/guarded", 8, &authorize, &nsp) == SOCKEYE_OK);
    NEED(sockeye_namespace(server.engine, "/locked", 7, &authorize, &nsp) == SOCKEYE_OK);
    NEED(sockeye_namespace(server.engine, "/free", 5, NULL, &nsp) == SOCKEYE_OK);
    int fd = joined(&server, &socket);
    NEED(ws_send(fd, "40/ask1,") == 0 && ws_send(fd, "40/guarded,") == 0);
    sockeye_token first = server_next(&server, SOCKEYE_EVENT_NAMESPACE_REQUEST).token;
    sockeye_token second = server_next(&server, SOCKEYE_EVENT_AUTHORIZE).token;
    snprintf(wanted, sizeof wanted, "44/ask2%s", refusal);
    CHECK("namespacesPendingMax: one more by pattern is a CONNECT_ERROR", connect_gives(fd, "/ask2", wanted));
    snprintf(wanted, sizeof wanted, "44/locked%s", refusal);
    CHECK("namespacesPendingMax: one more to be admitted, too", connect_gives(fd, "/locked", wanted));
    CHECK("namespacesPendingMax: what the host need not decide is joined", connect_gives(fd, "/free", "40/free,"));
    CHECK("namespacesMax: what waits counts once", connect_gives(fd, "/ask2", "44/ask2,{\"message\":\"Too many namespaces\",\"data\":{\"limit\":\"namespacesMax\",\"value\":4}}"));
    GIVES("namespacesPendingMax: accept the namespace", SOCKEYE_OK, sockeye_accept(server.engine, first, 0, NULL, 0));
    CHECK("namespacesPendingMax: its answer comes", ws_recv(fd, answer, sizeof answer) > 0 && strncmp(answer, "40/ask1,", 8) == 0);
    GIVES("namespacesPendingMax: accept the socket", SOCKEYE_OK, sockeye_accept(server.engine, second, 0, NULL, 0));
    CHECK("namespacesPendingMax: its answer comes, too", ws_recv(fd, answer, sizeof answer) > 0 && strncmp(answer, "40/guarded,", 11) == 0);
    close(fd);
    server_end(&server);
}

/* ---- what the host is told ------------------------------------------------------------------------------------------------------------- */

static size_t room_count(const struct server *server, sockeye_socket socket)
{
    sockeye_socket_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    NEED(sockeye_socket_get_info(server->engine, socket, &info, sizeof info) == SOCKEYE_OK);
    return info.room_count;
}

static void rooms(void)
{
    sockeye_limits limits = no_limits();
    sockeye_socket one, two;
    limits.rooms_max = ROOMS_MAX;
    struct server server = limited(&limits);
    int fd = joined(&server, &one), other_fd = joined(&server, &two);
    const sockeye_bytes names[] = {bytes_of("a"), bytes_of("b"), bytes_of("c"), bytes_of("d"), bytes_of("b")};
    sockeye_target target = target_of(1);
    GIVES("roomsMax: as many as it allows", SOCKEYE_OK, sockeye_socket_join(server.engine, one, names, 2));
    GIVES("roomsMax: two more are FULL", SOCKEYE_ERR_FULL, sockeye_socket_join(server.engine, one, names + 2, 2));
    CHECK("roomsMax: named", error_mentions("limits.roomsMax, 3"));
    GIVES("roomsMax: and none was joined", 3, (int64_t)room_count(&server, one));
    GIVES("roomsMax: known and doubled ones do not count", SOCKEYE_OK, sockeye_socket_join(server.engine, one, names, 3));
    GIVES("roomsMax: at the limit known ones are fine", SOCKEYE_OK, sockeye_socket_join(server.engine, one, names + 1, 2));
    GIVES("roomsMax: one more is not", SOCKEYE_ERR_FULL, sockeye_socket_join(server.engine, one, names + 3, 2));
    GIVES("roomsMax: for many, FULL tells that some were left out", SOCKEYE_ERR_FULL, sockeye_sockets_join(server.engine, &target, names + 3, 1));
    CHECK("roomsMax: and how many", error_mentions("1 sockets"));
    GIVES("roomsMax: the others have joined", 2, (int64_t)room_count(&server, two));
    GIVES("roomsMax: after leaving one", SOCKEYE_OK, sockeye_socket_leave(server.engine, one, names, 1));
    GIVES("roomsMax: there is room for one", SOCKEYE_OK, sockeye_socket_join(server.engine, one, names + 3, 1));
    GIVES("roomsMax: four and its own", 1 + ROOMS_MAX, (int64_t)room_count(&server, one));
    CHECK("roomsMax: both are served", is_served(&server, fd) && is_served(&server, other_fd));
    close(fd);
    close(other_fd);
    server_end(&server);
}

static void acks_awaited(void)
{
    sockeye_limits limits = no_limits();
    sockeye_socket one, two;
    sockeye_token tokens[ACKS_MAX + 2], broadcast = 0;
    char packet[32];
    limits.acks_awaited_max = ACKS_MAX;
    struct server server = limited(&limits);
    int fd = joined(&server, &one), other_fd = joined(&server, &two);
    sockeye_emission emission = emission_of("ask", "[1]");
    sockeye_target target = target_of(1);
    emission.flags = SOCKEYE_EXPECT_ACK;
    for (int i = 0; i < ACKS_MAX; i++)
        GIVES("acksAwaitedMax: within", SOCKEYE_OK, sockeye_emit(server.engine, one, &emission, &tokens[i]));
    GIVES("acksAwaitedMax: one more is FULL", SOCKEYE_ERR_FULL, sockeye_emit(server.engine, one, &emission, &tokens[ACKS_MAX]));
    CHECK("acksAwaitedMax: named", error_mentions("limits.acksAwaitedMax"));
    emission.timeout_ms = PATIENCE_MS;
    GIVES("acksAwaitedMax: a broadcast goes out", SOCKEYE_OK, sockeye_broadcast(server.engine, &target, &emission, &broadcast));
    NEED(ws_recv(other_fd, answer, sizeof answer) > 0);
    int wire_id = atoi(answer + 2);
    snprintf(packet, sizeof packet, "43%d[\"yes\"]", wire_id);
    NEED(ws_send(other_fd, packet) == 0);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("acksAwaitedMax: with the reply of the one that got it", event.token == broadcast && event.flags == SOCKEYE_EVENT_PARTIAL);
    event = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("acksAwaitedMax: and the full one left out", is_text(event.data, event.data_len, "{\"expected\":1,\"received\":1}"));
    NEED(ws_send(fd, "431[2]") == 0 && ws_send(fd, "430[1]") == 0);
    event = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("acksAwaitedMax: replies come in any order", event.token == tokens[1] && is_text(event.data, event.data_len, "[2]"));
    event = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("acksAwaitedMax: each with its token", event.token == tokens[0] && is_text(event.data, event.data_len, "[1]"));
    emission.timeout_ms = 0;
    GIVES("acksAwaitedMax: then there is room again", SOCKEYE_OK, sockeye_emit(server.engine, one, &emission, &tokens[2]));
    close(fd);
    close(other_fd);
    server_end(&server);
}

static void acks_in_any_order(void)
{
    enum { COUNT = 3000, STEP = 1009 };
    struct server server = server_start();
    static sockeye_token tokens[COUNT];
    sockeye_socket socket;
    int fd = joined(&server, &socket), wrong = 0;
    char packet[64];
    for (int i = 0; i < COUNT; i++) {
        snprintf(packet, sizeof packet, "42%d[\"ask\"]", i);
        NEED(ws_send(fd, packet) == 0);
        tokens[i] = server_next(&server, SOCKEYE_EVENT_MESSAGE).token;
    }
    for (int i = 0, at = 0; i < COUNT; i++, at = (at + STEP) % COUNT) {
        NEED(sockeye_ack(server.engine, tokens[at], "[]", 2, NULL, 0) == SOCKEYE_OK);
        wrong += sockeye_ack(server.engine, tokens[at], "[]", 2, NULL, 0) != SOCKEYE_ERR_STALE;
        snprintf(packet, sizeof packet, "43%d[]", at);
        NEED(ws_recv(fd, answer, sizeof answer) > 0);
        wrong += strcmp(answer, packet) != 0;
    }
    GIVES("acknowledgements are given once and in any order", 0, wrong);
    close(fd);
    server_end(&server);
}

/* ---- names and numbers at their edges -------------------------------------------------------------------------------------------------- */

static void edges(void)
{
    static const char *const names[] = {"__proto__", "constructor", "hasOwnProperty", "toString", ""};
    static const char *const ids[][2] = {
        {"0", "0"},
        {"007", "7"},
        {"9007199254740991", "9007199254740991"},
        {"18446744073709551615", "18446744073709552000"},
        {"18446744073709551616", "18446744073709552000"},
        {"1000000000000000000000", "1e+21"},
    };
    char packet[1024], wanted[128];
    sockeye_socket socket;
    struct server server = server_start();
    int fd = joined(&server, &socket);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(packet, sizeof packet, "42[\"%s\",{\"__proto__\":{\"x\":1},\"constructor\":2}]", names[i]);
        NEED(ws_send(fd, packet) == 0);
        sockeye_event event = server_next(&server, SOCKEYE_EVENT_MESSAGE);
        CHECK("an event may have any name", is_text(event.name_ptr, event.name_len, names[i]));
        CHECK("and keys", is_text(event.data, event.data_len, "[{\"__proto__\":{\"x\":1},\"constructor\":2}]"));
    }
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        snprintf(packet, sizeof packet, "42%s[\"ask\"]", ids[i][0]);
        NEED(ws_send(fd, packet) == 0);
        NEED(sockeye_ack(server.engine, server_next(&server, SOCKEYE_EVENT_MESSAGE).token, "[]", 2, NULL, 0) == SOCKEYE_OK);
        snprintf(wanted, sizeof wanted, "43%s[]", ids[i][1]);
        CHECK("an id is answered as JavaScript prints it", ws_recv(fd, answer, sizeof answer) > 0 && strcmp(answer, wanted) == 0);
        snprintf(packet, sizeof packet, "43%s[1]", ids[i][0]);
        NEED(ws_send(fd, packet) == 0);
    }
    memset(packet, '9', sizeof packet);
    memcpy(packet, "42", 2);
    memcpy(packet + 402, "[\"ask\"]", 8);
    NEED(ws_send(fd, packet) == 0);
    NEED(sockeye_ack(server.engine, server_next(&server, SOCKEYE_EVENT_MESSAGE).token, "[]", 2, NULL, 0) == SOCKEYE_OK);
    CHECK("the longest is infinite", ws_recv(fd, answer, sizeof answer) > 0 && strcmp(answer, "43Infinity[]") == 0);
    CHECK("a query is part of a namespace's name", connect_gives(fd, "/?token=1", "44/?token=1,{\"message\":\"Invalid namespace\"}"));
    CHECK("no name of an object's is a namespace", connect_gives(fd, "/__proto__", "44/__proto__,{\"message\":\"Invalid namespace\"}"));
    CHECK("acknowledgements that nobody waits for change nothing", is_served(&server, fd));
    close(fd);
    server_end(&server);
}

int main(void)
{
    for (size_t i = 0; i < sizeof VIOLATIONS / sizeof VIOLATIONS[0]; i++)
        violation_ends_the_connection(&VIOLATIONS[i]);
    namespaces();
    namespaces_pending();
    rooms();
    acks_awaited();
    acks_in_any_order();
    edges();
    return contract_report();
}
