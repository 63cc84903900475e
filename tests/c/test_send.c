/* Sending: prepared messages, many operations in one `submit`, acknowledgements that the host asks for, attachments. */
#include "client.h"

static struct server server;
static int a, b;
static sockeye_socket peer_a, peer_b;
static char answer[4096];

static int gets(int fd, const char *wanted)
{
    int good = ws_recv(fd, answer, sizeof answer) >= 0 && strcmp(answer, wanted) == 0;
    if (!good)
        printf("  got %s\n", answer);
    return good;
}

static void prepared_messages(void)
{
    sockeye_emission e = emission_of("pre", "[1,{\"_placeholder\":true,\"num\":0}]"), use;
    sockeye_bytes attachment = bytes_of("\x05\x06");
    sockeye_target all = target_of(1);
    sockeye_message *message = NULL;
    e.attachments = &attachment;
    e.attachment_count = 1;
    GIVES("message_new", SOCKEYE_OK, sockeye_message_new(server.engine, 1, &e, &message));
    use = emission_of(NULL, NULL);
    use.prepared = message;
    GIVES("emit a prepared message", SOCKEYE_OK, sockeye_emit(server.engine, peer_a, &use, NULL));
    GIVES("broadcast it", SOCKEYE_OK, sockeye_broadcast(server.engine, &all, &use, NULL));
    sockeye_message_free(message);
    for (int i = 0; i < 2; i++) {
        CHECK("its text arrives", gets(a, "451-[\"pre\",1,{\"_placeholder\":true,\"num\":0}]"));
        CHECK("its attachment follows", gets(a, "\x05\x06"));
    }
    CHECK("also at the other, once", gets(b, "451-[\"pre\",1,{\"_placeholder\":true,\"num\":0}]") && gets(b, "\x05\x06"));
    e = emission_of("x", "[1");
    message = NULL;
    GIVES("a message of bad JSON", SOCKEYE_ERR_BAD_JSON, sockeye_message_new(server.engine, 1, &e, &message));
    CHECK("is none", message == NULL);
    e = emission_of("connect_error", "[]");
    GIVES("a message of a reserved name", SOCKEYE_ERR_INVALID, sockeye_message_new(server.engine, 1, &e, &message));
}

static void a_whole_tick_in_one_call(void)
{
    sockeye_emission hello = emission_of("hello", "[1]"), state = emission_of("state", "[2]"), reply = emission_of(NULL, "[3]"), bad = emission_of("x", "[");
    sockeye_target room = target_of(1);
    sockeye_bytes name = bytes_of("tick");
    sockeye_op ops[8];
    sockeye_result results[8];
    ws_send(a, "427[\"ask\"]");
    sockeye_token token = server_next(&server, SOCKEYE_EVENT_MESSAGE).token;
    room.rooms = &name;
    room.room_count = 1;
    for (int i = 0; i < 8; i++)
        ops[i] = op_of(SOCKEYE_OP_EMIT);
    ops[0].socket = peer_a;
    ops[0].emission = &hello;
    ops[1].socket = peer_a;
    ops[1].emission = &bad;
    ops[2].kind = SOCKEYE_OP_JOIN;
    ops[2].socket = peer_a;
    ops[2].rooms = &name;
    ops[2].room_count = 1;
    ops[3].kind = SOCKEYE_OP_BROADCAST;
    ops[3].target = &room;
    ops[3].emission = &state;
    ops[4].kind = SOCKEYE_OP_LEAVE;
    ops[4].socket = peer_a;
    ops[4].rooms = &name;
    ops[4].room_count = 1;
    ops[5] = ops[3];
    ops[6].kind = SOCKEYE_OP_ACK;
    ops[6].token = token;
    ops[6].emission = &reply;
    ops[7].kind = 99;
    GIVES("submit tells how many failed", 2, sockeye_submit(server.engine, ops, sizeof ops[0], 8, results));
    CHECK("and which, and why", results[1] == SOCKEYE_ERR_BAD_JSON && results[7] == SOCKEYE_ERR_INVALID);
    CHECK("the others went well", !results[0] && !results[2] && !results[3] && !results[4] && !results[5] && !results[6]);
    CHECK("in order: the emission", gets(a, "42[\"hello\",1]"));
    CHECK("the broadcast to the room just joined", gets(a, "42[\"state\",2]"));
    CHECK("the acknowledgement, and no broadcast after leaving", gets(a, "437[3]"));
    CHECK("an op size of 0 is refused", sockeye_submit(server.engine, ops, 0, 1, NULL) < 0);
}

static void acknowledgements_that_the_host_asks_for(void)
{
    sockeye_emission e = emission_of("q", "[]");
    sockeye_target all = target_of(1);
    sockeye_op op = op_of(SOCKEYE_OP_EMIT);
    sockeye_token token = 0;
    sockeye_event event;
    char reply[64];
    e.flags = SOCKEYE_EXPECT_ACK;
    op.socket = peer_a;
    op.emission = &e;
    GIVES("submit with an acknowledgement", 0, sockeye_submit(server.engine, &op, sizeof op, 1, NULL));
    CHECK("writes the token", op.token != 0);
    ws_recv(a, answer, sizeof answer);
    snprintf(reply, sizeof reply, "43%d[\"yes\"]", atoi(answer + 2));
    ws_send(a, reply);
    event = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("the answer has it",
          event.token == op.token && event.status == SOCKEYE_OK && event.socket == peer_a && is_text(event.data, event.data_len, "[\"yes\"]"));
    e.timeout_ms = 50;
    NEED(sockeye_emit(server.engine, peer_a, &e, &token) == SOCKEYE_OK);
    event = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("no answer is a TIMEOUT", event.token == token && event.status == SOCKEYE_ERR_TIMEOUT);
    ws_recv(a, answer, sizeof answer);
    e.timeout_ms = PATIENCE_MS;
    NEED(sockeye_broadcast(server.engine, &all, &e, &token) == SOCKEYE_OK);
    ws_recv(a, answer, sizeof answer);
    snprintf(reply, sizeof reply, "43%d[\"a\"]", atoi(answer + 2));
    ws_send(a, reply);
    event = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("a broadcast gives each reply",
          event.token == token && event.flags & SOCKEYE_EVENT_PARTIAL && event.socket == peer_a && is_text(event.data, event.data_len, "[\"a\"]"));
    ws_recv(b, answer, sizeof answer);
    snprintf(reply, sizeof reply, "43%d[]", atoi(answer + 2));
    ws_send(b, reply);
    server_next(&server, SOCKEYE_EVENT_ACK);
    event = server_next(&server, SOCKEYE_EVENT_ACK);
    CHECK("and a final event", event.token == token && !(event.flags & SOCKEYE_EVENT_PARTIAL) && event.socket == 0 && event.status == SOCKEYE_OK);
    CHECK("with the numbers", is_text(event.data, event.data_len, "{\"expected\":2,\"received\":2}"));
}

static void what_came_can_be_handed_on(void)
{
    sockeye_target others = target_of(0);
    sockeye_emission e = emission_of(NULL, NULL);
    ws_send(a, "451-[\"pass\",{\"deep\":[{\"_placeholder\":true,\"num\":0}]}]");
    ws_send_bytes(a, FRAME_BINARY, "\x09\x08", 2);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_MESSAGE);
    e.name_ptr = event.name_ptr;
    e.name_len = event.name_len;
    e.data = event.data;
    e.data_len = event.data_len;
    e.attachments = event.attachments;
    e.attachment_count = event.attachment_count;
    others.from = event.socket;
    GIVES("a broadcast from a socket, its namespace implied", SOCKEYE_OK, sockeye_broadcast(server.engine, &others, &e, NULL));
    CHECK("the other gets it", gets(b, "451-[\"pass\",{\"deep\":[{\"_placeholder\":true,\"num\":0}]}]") && gets(b, "\x09\x08"));
    e = emission_of("after", "[]");
    NEED(sockeye_emit(server.engine, peer_a, &e, NULL) == SOCKEYE_OK);
    CHECK("the sender does not", gets(a, "42[\"after\"]"));
    GIVES("disconnect", SOCKEYE_OK, sockeye_socket_disconnect(server.engine, peer_b, 0));
    CHECK("the client is told", gets(b, "41"));
    event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("and so is the host", event.socket == peer_b && is_text(event.name_ptr, event.name_len, "server namespace disconnect"));
}

int main(void)
{
    server = server_start();
    a = sio_open(server.port);
    peer_a = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    b = sio_open(server.port);
    peer_b = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    prepared_messages();
    a_whole_tick_in_one_call();
    acknowledgements_that_the_host_asks_for();
    what_came_can_be_handed_on();
    close(a);
    close(b);
    server_end(&server);
    return contract_report();
}
