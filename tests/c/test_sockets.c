/* What the host can ask and change about sockets, one by one and many at a time. */
#include "client.h"

static struct server server;
static int a, b;
static sockeye_socket peer_a, peer_b;

/* The call that wrote `buffer` comes first. */
static int buffer_is(sockeye_result result, sockeye_buffer *const *buffer, const char *wanted)
{
    size_t len = 0;
    const void *data = result == SOCKEYE_OK ? sockeye_buffer_data(*buffer, &len) : NULL;
    int good = is_text(data, len, wanted);
    if (!good)
        printf("  got %.*s\n", (int)len, data ? (const char *)data : "");
    if (result == SOCKEYE_OK)
        sockeye_buffer_free(*buffer);
    return good;
}

static void info_and_handshake(void)
{
    sockeye_socket_info info;
    sockeye_buffer *buffer = NULL;
    const char *at;
    size_t len, part_len;
    GIVES("get_info", SOCKEYE_OK, sockeye_socket_get_info(server.engine, peer_a, &info, sizeof info));
    CHECK("namespace, transport, protocol", info.nsp == 1 && info.transport == SOCKEYE_TRANSPORT_WEBSOCKET && info.protocol == 4);
    CHECK("connected, in its own room", info.connected == 1 && info.room_count == 1);
    CHECK("its id has 20 characters", strlen(info.id) == 20);
    GIVES("set_user", SOCKEYE_OK, sockeye_socket_set_user(server.engine, peer_a, 99));
    NEED(sockeye_socket_get_info(server.engine, peer_a, &info, sizeof info) == SOCKEYE_OK);
    CHECK("is in the info", info.user == 99);
    ws_send(a, "42[\"u\"]");
    CHECK("and in events", server_next(&server, SOCKEYE_EVENT_MESSAGE).user == 99);
    NEED(sockeye_socket_handshake(server.engine, peer_a, &buffer) == SOCKEYE_OK);
    const char *json = (const char *)sockeye_buffer_data(buffer, &len);
    CHECK("handshake: query", sockeye_json_get(json, len, "/query/EIO", 10, &at, &part_len) == SOCKEYE_OK && is_text(at, part_len, "\"4\""));
    CHECK("handshake: headers", sockeye_json_get(json, len, "/headers/host", 13, &at, &part_len) == SOCKEYE_OK && is_text(at, part_len, "\"test\""));
    CHECK("handshake: auth", sockeye_json_get(json, len, "/auth/who", 9, &at, &part_len) == SOCKEYE_OK && is_text(at, part_len, "\"a\""));
    CHECK("handshake: address", sockeye_json_get(json, len, "/address", 8, &at, &part_len) == SOCKEYE_OK && contains(at, part_len, "127.0.0.1"));
    sockeye_buffer_free(buffer);
}

static void data_and_rooms(void)
{
    sockeye_buffer *buffer = NULL;
    sockeye_bytes rooms[2];
    sockeye_socket_info info;
    rooms[0] = bytes_of("r1");
    rooms[1] = bytes_of("r2");
    CHECK("data is {} at first", buffer_is(sockeye_socket_data(server.engine, peer_a, &buffer), &buffer, "{}"));
    GIVES("set_data", SOCKEYE_OK, sockeye_socket_set_data(server.engine, peer_a, "{\"n\":1}", 7));
    CHECK("data is what was set", buffer_is(sockeye_socket_data(server.engine, peer_a, &buffer), &buffer, "{\"n\":1}"));
    GIVES("join two rooms", SOCKEYE_OK, sockeye_socket_join(server.engine, peer_a, rooms, 2));
    GIVES("join one again", SOCKEYE_OK, sockeye_socket_join(server.engine, peer_a, rooms, 1));
    NEED(sockeye_socket_get_info(server.engine, peer_a, &info, sizeof info) == SOCKEYE_OK);
    GIVES("it is in three now", 3, info.room_count);
    GIVES("leave one", SOCKEYE_OK, sockeye_socket_leave(server.engine, peer_a, rooms, 1));
    GIVES("leave one that it is not in", SOCKEYE_OK, sockeye_socket_leave(server.engine, peer_a, rooms, 1));
    NEED(sockeye_socket_get_info(server.engine, peer_a, &info, sizeof info) == SOCKEYE_OK);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "[\"%s\",\"r2\"]", info.id);
    CHECK("rooms, its own first", buffer_is(sockeye_socket_rooms(server.engine, peer_a, &buffer), &buffer, wanted));
    NEED(sockeye_namespace_rooms(server.engine, 1, &buffer) == SOCKEYE_OK);
    size_t len;
    const void *all = sockeye_buffer_data(buffer, &len);
    CHECK("the namespace's rooms have it and not the empty one", contains(all, len, "\"r2\"") && !contains(all, len, "\"r1\""));
    sockeye_buffer_free(buffer);
    CHECK("namespace_name", buffer_is(sockeye_namespace_name(server.engine, 1, &buffer), &buffer, "/"));
}

static void many_sockets(void)
{
    sockeye_target target = target_of(1);
    sockeye_bytes r2 = bytes_of("r2"), both = bytes_of("both");
    sockeye_token token = 0;
    sockeye_emission e = emission_of("hi", "[]");
    char answer[256];
    target.rooms = &r2;
    target.room_count = 1;
    GIVES("fetch", SOCKEYE_OK, sockeye_sockets_fetch(server.engine, &target, &token));
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_SOCKETS);
    const char *at;
    size_t len;
    CHECK("completes its token", event.token == token && event.status == SOCKEYE_OK);
    CHECK("finds the one in the room", sockeye_json_get(event.data, event.data_len, "/0/data/n", 9, &at, &len) == SOCKEYE_OK && is_text(at, len, "1"));
    CHECK("and no other", sockeye_json_get(event.data, event.data_len, "/1", 2, &at, &len) == SOCKEYE_OK && at == NULL);
    target = target_of(1);
    GIVES("sockets_join", SOCKEYE_OK, sockeye_sockets_join(server.engine, &target, &both, 1));
    target.rooms = &both;
    target.room_count = 1;
    target.except = &r2;
    target.except_count = 1;
    GIVES("broadcast to a room but another", SOCKEYE_OK, sockeye_broadcast(server.engine, &target, &e, NULL));
    ws_recv(b, answer, sizeof answer);
    CHECK("reaches who is in the one and not in the other", strcmp(answer, "42[\"hi\"]") == 0);
    target.except_count = 0;
    GIVES("sockets_leave", SOCKEYE_OK, sockeye_sockets_leave(server.engine, &target, &both, 1));
    GIVES("fetch from the empty room", SOCKEYE_OK, sockeye_sockets_fetch(server.engine, &target, &token));
    event = server_next(&server, SOCKEYE_EVENT_SOCKETS);
    CHECK("finds nobody", event.token == token && is_text(event.data, event.data_len, "[]"));
    target = target_of(1);
    target.rooms = &r2;
    target.room_count = 1;
    GIVES("sockets_disconnect", SOCKEYE_OK, sockeye_sockets_disconnect(server.engine, &target, SOCKEYE_CLOSE_TRANSPORT));
    event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("ends only those in the room", event.socket == peer_a && event.status == SOCKEYE_REASON_SERVER_NAMESPACE_DISCONNECT);
    sockeye_socket_info info;
    GIVES("the other stays", SOCKEYE_OK, sockeye_socket_get_info(server.engine, peer_b, &info, sizeof info));
}

static void other_servers(void)
{
    sockeye_emission e = emission_of("sse", "[1]");
    sockeye_token token = 0;
    GIVES("server_emit", SOCKEYE_OK, sockeye_server_emit(server.engine, 1, &e, NULL));
    e.flags = SOCKEYE_EXPECT_ACK;
    GIVES("server_emit with acknowledgements", SOCKEYE_OK, sockeye_server_emit(server.engine, 1, &e, &token));
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_SERVER_ACK);
    CHECK("there is nobody else", event.token == token && event.status == SOCKEYE_OK && is_text(event.data, event.data_len, "{\"expected\":0,\"received\":0}"));
    GIVES("server_count", SOCKEYE_OK, sockeye_server_count(server.engine, 1, &token));
    event = server_next(&server, SOCKEYE_EVENT_SERVER_ACK);
    CHECK("this one alone", event.token == token && is_text(event.data, event.data_len, "{\"count\":1}"));
}

int main(void)
{
    char answer[256];
    server = server_start();
    a = sio_open_as(server.port, "40{\"who\":\"a\"}", answer, sizeof answer);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_CONNECT);
    peer_a = event.socket;
    CHECK("CONNECT has the auth", is_text(event.data, event.data_len, "{\"who\":\"a\"}"));
    b = sio_open(server.port);
    event = server_next(&server, SOCKEYE_EVENT_CONNECT);
    peer_b = event.socket;
    CHECK("which is {} if there is none", is_text(event.data, event.data_len, "{}"));
    info_and_handshake();
    data_and_rooms();
    many_sockets();
    other_servers();
    close(a);
    close(b);
    server_end(&server);
    return contract_report();
}
