/* Ids that are stale, of another kind, or made up; texts that are not UTF-8 or not JSON; answers that come twice. Each gives a code and
 * changes nothing. */
#include "client.h"

static struct server server;
static sockeye_socket peer;
static int fd;

static int info_of(sockeye_socket socket)
{
    sockeye_socket_info info;
    return sockeye_socket_get_info(server.engine, socket, &info, sizeof info);
}

static void made_up_ids(void)
{
    sockeye_emission e = emission_of("x", "[]");
    sockeye_target t = target_of(4711);
    CHECK("socket 0 is none", info_of(0) == SOCKEYE_ERR_INVALID);
    CHECK("a socket that never was", info_of(peer + 1000) < 0);
    CHECK("emit to all bits set", sockeye_emit(server.engine, UINT64_MAX, &e, NULL) < 0);
    GIVES("ack of token 0", SOCKEYE_ERR_INVALID, sockeye_ack(server.engine, 0, "[]", 2, NULL, 0));
    GIVES("ack of a socket's id", SOCKEYE_ERR_INVALID, sockeye_ack(server.engine, peer, "[]", 2, NULL, 0));
    GIVES("accept of a socket's id", SOCKEYE_ERR_INVALID, sockeye_accept(server.engine, peer, 0, NULL, 0));
    GIVES("a namespace that never was", SOCKEYE_ERR_INVALID, sockeye_broadcast(server.engine, &t, &e, NULL));
    t = target_of(0);
    GIVES("no namespace and no socket", SOCKEYE_ERR_INVALID, sockeye_broadcast(server.engine, &t, &e, NULL));
    e = emission_of(NULL, "[]");
    e.name = 4711;
    GIVES("an atom that never was", SOCKEYE_ERR_INVALID, sockeye_emit(server.engine, peer, &e, NULL));
}

static void an_acknowledgement_is_given_once(void)
{
    char answer[256];
    ws_send(fd, "425[\"hello\",1]");
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("the event wants an acknowledgement", event.token != 0);
    CHECK("name and data are apart", is_text(event.name_ptr, event.name_len, "hello") && is_text(event.data, event.data_len, "[1]"));
    GIVES("a token is no socket", SOCKEYE_ERR_INVALID, info_of(event.token));
    GIVES("ack with bad JSON", SOCKEYE_ERR_BAD_JSON, sockeye_ack(server.engine, event.token, "[1,", 3, NULL, 0));
    GIVES("ack with an object", SOCKEYE_ERR_BAD_JSON, sockeye_ack(server.engine, event.token, "{}", 2, NULL, 0));
    GIVES("the refused ones left the token alive", SOCKEYE_OK, sockeye_ack(server.engine, event.token, "[2]", 3, NULL, 0));
    GIVES("a second time", SOCKEYE_ERR_STALE, sockeye_ack(server.engine, event.token, "[3]", 3, NULL, 0));
    ws_recv(fd, answer, sizeof answer);
    CHECK("the client got the first", strcmp(answer, "435[2]") == 0);
}

static void admission_is_decided_once(void)
{
    char answer[256];
    sockeye_nsp_options options = nsp_options_of(SOCKEYE_NSP_AUTHORIZE, NULL);
    sockeye_nsp nsp = 0;
    NEED(sockeye_namespace(server.engine, "/door", 5, &options, &nsp) == SOCKEYE_OK);
    ws_send(fd, "40/door,{\"key\":7}");
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_AUTHORIZE);
    CHECK("AUTHORIZE has auth, namespace and token", is_text(event.data, event.data_len, "{\"key\":7}") && event.nsp == nsp && event.token != 0);
    GIVES("its token is not an acknowledgement's", SOCKEYE_ERR_INVALID, sockeye_ack(server.engine, event.token, "[]", 2, NULL, 0));
    GIVES("accept with bad JSON", SOCKEYE_ERR_BAD_JSON, sockeye_accept(server.engine, event.token, 0, "{", 1));
    GIVES("accept", SOCKEYE_OK, sockeye_accept(server.engine, event.token, 42, NULL, 0));
    GIVES("accept again", SOCKEYE_ERR_STALE, sockeye_accept(server.engine, event.token, 42, NULL, 0));
    GIVES("reject after accept", SOCKEYE_ERR_STALE, sockeye_reject(server.engine, event.token, "no", 2, NULL, 0));
    ws_recv(fd, answer, sizeof answer);
    CHECK("the client was let in", strncmp(answer, "40/door,{\"sid\":", 15) == 0);
    event = server_next(&server, SOCKEYE_EVENT_CONNECT);
    CHECK("CONNECT carries the user value of accept", event.user == 42 && event.nsp == nsp);
    ws_send(fd, "41/door,");
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    ws_send(fd, "40/door,");
    event = server_next(&server, SOCKEYE_EVENT_AUTHORIZE);
    GIVES("reject with bad UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_reject(server.engine, event.token, "\xff", 1, NULL, 0));
    GIVES("reject with bad data", SOCKEYE_ERR_BAD_JSON, sockeye_reject(server.engine, event.token, "no", 2, "}", 1));
    GIVES("reject", SOCKEYE_OK, sockeye_reject(server.engine, event.token, "no", 2, "{\"code\":1}", 10));
    GIVES("accept after reject", SOCKEYE_ERR_STALE, sockeye_accept(server.engine, event.token, 0, NULL, 0));
    ws_recv(fd, answer, sizeof answer);
    CHECK("the client was told", strcmp(answer, "44/door,{\"message\":\"no\",\"data\":{\"code\":1}}") == 0);
}

static void bad_text_is_refused(void)
{
    sockeye_emission e = emission_of("\xff", "[]");
    sockeye_bytes room = bytes_of("\xc0\x80");
    sockeye_nsp nsp = 0;
    sockeye_atom atom = 0;
    const char *out;
    size_t len;
    char buf[16];
    GIVES("emit: a name that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of("x", "[\"\xff\"]");
    GIVES("emit: data that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of("x", "[1");
    GIVES("emit: data that is not JSON", SOCKEYE_ERR_BAD_JSON, sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of("x", "{}");
    GIVES("emit: data that is not an array", SOCKEYE_ERR_BAD_JSON, sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of("x", "[1] 2");
    GIVES("emit: more than an array", SOCKEYE_ERR_BAD_JSON, sockeye_emit(server.engine, peer, &e, NULL));
    e = emission_of("disconnect", "[]");
    GIVES("emit: a reserved name", SOCKEYE_ERR_INVALID, sockeye_emit(server.engine, peer, &e, NULL));
    CHECK("and it is named", error_mentions("disconnect"));
    e = emission_of("x", "[]");
    e.flags = 0x40000000;
    GIVES("emit: an unknown flag", SOCKEYE_ERR_INVALID, sockeye_emit(server.engine, peer, &e, NULL));
    GIVES("join: a room that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_socket_join(server.engine, peer, &room, 1));
    GIVES("atom_of: not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_atom_of(server.engine, "\xff", 1, &atom));
    GIVES("namespace: not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_namespace(server.engine, "/\xff", 2, NULL, &nsp));
    CHECK("namespace_pattern: not a regular expression", sockeye_namespace_pattern(server.engine, "(", 1, NULL, &nsp) < 0);
    GIVES("socket_set_data: not JSON", SOCKEYE_ERR_BAD_JSON, sockeye_socket_set_data(server.engine, peer, "{]", 2));
    CHECK("mount: a folder that is not there", sockeye_engine_mount(server.engine, "/x", 2, "/no/such/folder", 15) < 0 && error_mentions("/no/such/folder"));
    GIVES("json_get: not JSON", SOCKEYE_ERR_BAD_JSON, sockeye_json_get("{\"a\":", 5, "/a", 2, &out, &len));
    GIVES("json_string: not a string", SOCKEYE_ERR_BAD_JSON, sockeye_json_string("7", 1, buf, sizeof buf));
    GIVES("json_quote: not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_json_quote("\xff", 1, buf, sizeof buf));
}

static void json_helpers_give_what_they_say(void)
{
    static const char json[] = "[{\"name\":\"a\\u00e9\\n\",\"list\":[1,[2,3]],\"a/b\":null}]";
    const char *out = "untouched";
    size_t len = 7;
    char buf[16];
    GIVES("json_get finds", SOCKEYE_OK, sockeye_json_get(json, sizeof json - 1, "/0/list/1/0", 11, &out, &len));
    CHECK("the slice", is_text(out, len, "2"));
    GIVES("json_get with an escaped pointer", SOCKEYE_OK, sockeye_json_get(json, sizeof json - 1, "/0/a~1b", 7, &out, &len));
    CHECK("a null is a value", is_text(out, len, "null"));
    GIVES("json_get of what is absent", SOCKEYE_OK, sockeye_json_get(json, sizeof json - 1, "/0/no", 5, &out, &len));
    CHECK("gives none", out == NULL && len == 0);
    NEED(sockeye_json_get(json, sizeof json - 1, "/0/name", 7, &out, &len) == SOCKEYE_OK);
    GIVES("json_string decodes", 4, sockeye_json_string(out, len, buf, sizeof buf));
    CHECK("escapes and all", memcmp(buf, "a\xc3\xa9\n", 4) == 0);
    GIVES("json_string into too little room tells the length", 4, sockeye_json_string(out, len, buf, 2));
    GIVES("json_quote", 9, sockeye_json_quote("a\"\n\xc3\xa9", 5, buf, sizeof buf));
    CHECK("quotes what must be", memcmp(buf, "\"a\\\"\\n\xc3\xa9\"", 9) == 0);
}

static void a_socket_that_left_is_stale(void)
{
    sockeye_emission e = emission_of("x", "[]");
    sockeye_buffer *buffer = NULL;
    sockeye_bytes room = bytes_of("r");
    ws_send(fd, "426[\"late\"]");
    sockeye_token token = server_next(&server, SOCKEYE_EVENT_MESSAGE).token;
    close(fd);
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("the reason is told twice", is_text(event.name_ptr, event.name_len, "transport close") && event.status == SOCKEYE_REASON_TRANSPORT_CLOSE);
    GIVES("get_info", SOCKEYE_ERR_STALE, info_of(peer));
    GIVES("emit", SOCKEYE_ERR_STALE, sockeye_emit(server.engine, peer, &e, NULL));
    GIVES("disconnect", SOCKEYE_ERR_STALE, sockeye_socket_disconnect(server.engine, peer, 0));
    GIVES("join", SOCKEYE_ERR_STALE, sockeye_socket_join(server.engine, peer, &room, 1));
    GIVES("leave", SOCKEYE_ERR_STALE, sockeye_socket_leave(server.engine, peer, &room, 1));
    GIVES("set_user", SOCKEYE_ERR_STALE, sockeye_socket_set_user(server.engine, peer, 1));
    GIVES("set_data", SOCKEYE_ERR_STALE, sockeye_socket_set_data(server.engine, peer, "{}", 2));
    GIVES("data", SOCKEYE_ERR_STALE, sockeye_socket_data(server.engine, peer, &buffer));
    GIVES("rooms", SOCKEYE_ERR_STALE, sockeye_socket_rooms(server.engine, peer, &buffer));
    GIVES("handshake", SOCKEYE_ERR_STALE, sockeye_socket_handshake(server.engine, peer, &buffer));
    CHECK("nothing was written", buffer == NULL);
    CHECK("its acknowledgement is refused or dropped, once", sockeye_ack(server.engine, token, "[]", 2, NULL, 0) <= 0);
    GIVES("and is gone then", SOCKEYE_ERR_STALE, sockeye_ack(server.engine, token, "[]", 2, NULL, 0));
    int again = sio_open(server.port);
    sockeye_socket next = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    CHECK("a new socket in its place is another id", next != peer);
    GIVES("and the old one stays stale", SOCKEYE_ERR_STALE, info_of(peer));
    close(again);
}

int main(void)
{
    server = server_start();
    fd = sio_open(server.port);
    peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    made_up_ids();
    an_acknowledgement_is_given_once();
    admission_is_decided_once();
    bad_text_is_refused();
    json_helpers_give_what_they_say();
    a_socket_that_left_is_stale();
    server_end(&server);
    return contract_report();
}
