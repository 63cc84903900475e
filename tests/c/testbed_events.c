/* What the testbed does with each event: the contract's items 1 to 9 (10, `cmd`, is in testbed_cmd.c).
 *
 * The benchmark's events and their like take the short way: one load finds the handler, the arguments go back as the slice that
 * arrived, and the answers of a batch are collected and handed over in one `sockeye_submit`. All other events first hand over what was
 * collected, so that everything happens in the order of the events, and then act at once. */
#include "testbed.h"

#include <stdio.h>
#include <string.h>

enum event_kind {
    OTHER,
    ECHO,
    ACK,
    BCAST,
    ROOM,
    MESSAGE,
    JOIN,
    LEAVE,
    ROOM_EMIT,
    IO_EMIT,
    ASK,
    BIN,
    WHOAMI,
    KICK,
    LEAVE_NSP,
    DROP,
    CMD
};

static const struct {
    const char *name;
    enum event_kind kind;
} EVENTS[] = {
    {"echo", ECHO},           {"echo-bin", ECHO},     {"ack", ACK},
    {"bcast", BCAST},         {"room", ROOM},         {"message", MESSAGE},
    {"message-with-ack", ACK}, {"join", JOIN},        {"leave", LEAVE},
    {"room-emit", ROOM_EMIT}, {"io-emit", IO_EMIT},   {"ask", ASK},
    {"bin", BIN},             {"whoami", WHOAMI},     {"kick", KICK},
    {"leave-nsp", LEAVE_NSP}, {"drop", DROP},         {"cmd", CMD},
};

/* How long `ask` waits for its answer, as the contract says. */
#define ASK_TIMEOUT_MS 2000

/* The largest buffer that `bin` makes: far over any payload that a test takes, far under what would hurt. */
#define BIN_BYTES_MAX (16u << 20)

static bool intern(struct testbed *bed, const char *name, sockeye_atom *atom)
{
    return sockeye_atom_of(bed->engine, name, strlen(name), atom) == SOCKEYE_OK;
}

/* Interns the names and fills in what no operation changes. */
bool events_prepare(struct testbed *bed)
{
    sockeye_atom atom;
    for (size_t i = 0; i < sizeof EVENTS / sizeof EVENTS[0]; i++) {
        if (!intern(bed, EVENTS[i].name, &atom) || atom >= ATOMS_MAX)
            return false;
        bed->kind_of_atom[atom] = (uint8_t)EVENTS[i].kind;
    }
    for (size_t i = 0; i < OUTBOX_MAX; i++) {
        bed->outbox.ops[i] = (sockeye_op){.size = sizeof(sockeye_op), .emission = &bed->outbox.emissions[i]};
        bed->outbox.emissions[i] = (sockeye_emission){.size = sizeof(sockeye_emission), .flags = SOCKEYE_TRUST_JSON};
        bed->outbox.targets[i] = (sockeye_target){.size = sizeof(sockeye_target), .rooms = &bed->outbox.rooms[i]};
    }
    return intern(bed, "message-back", &bed->message_back) && intern(bed, "auth", &bed->auth) && intern(bed, "bin-back", &bed->bin_back);
}

/* ---- the short way ------------------------------------------------------------------------------------------------------------------ */

static void outbox_flush(struct testbed *bed)
{
    /* Each failure (the peer left meanwhile) concerns only its own operation, and there is nobody left to tell. */
    if (bed->outbox.count)
        sockeye_submit(bed->engine, bed->outbox.ops, sizeof bed->outbox.ops[0], bed->outbox.count, NULL);
    bed->outbox.count = 0;
    arena_reset(&bed->arena);
}

/* The next place in the outbox, its payload being the event's arguments. */
static size_t outbox_add(struct testbed *bed, uint32_t kind, const sockeye_event *ev, sockeye_atom name)
{
    if (bed->outbox.count == OUTBOX_MAX)
        outbox_flush(bed);
    size_t i = bed->outbox.count++;
    sockeye_op *op = &bed->outbox.ops[i];
    sockeye_emission *emission = &bed->outbox.emissions[i];
    op->kind = kind;
    op->socket = ev->socket;
    op->token = kind == SOCKEYE_OP_ACK ? ev->token : 0;
    op->target = NULL;
    emission->name = name;
    emission->data = ev->data;
    emission->data_len = ev->data_len;
    emission->attachments = ev->attachments;
    emission->attachment_count = ev->attachment_count;
    return i;
}

static void broadcast_add(struct testbed *bed, const sockeye_event *ev, const text *room, text args)
{
    size_t i = outbox_add(bed, SOCKEYE_OP_BROADCAST, ev, ev->name);
    sockeye_target *target = &bed->outbox.targets[i];
    bed->outbox.ops[i].target = target;
    bed->outbox.emissions[i].data = args.ptr;
    bed->outbox.emissions[i].data_len = args.len;
    target->nsp = ev->nsp;
    target->room_count = room != NULL;
    if (room)
        bed->outbox.rooms[i] = (sockeye_bytes){room->ptr, room->len};
}

static void on_room(struct testbed *bed, const sockeye_event *ev)
{
    struct args args = args_of((text){ev->data, ev->data_len});
    text first, room;
    /* The scratch memory of this event must outlive the flush that a full outbox would cause. */
    if (bed->outbox.count == OUTBOX_MAX || bed->arena.blocks)
        outbox_flush(bed);
    if (args_next(&args, &first) && json_decode(first, &bed->arena, &room))
        broadcast_add(bed, ev, &room, args_rest(args, &bed->arena));
}

/* ---- everything else ------------------------------------------------------------------------------------------------------------------ */

/* Makes an emission of a JSON string, an array of arguments and the attachments of `ev`; false if the name is not a string. */
bool text_emission(sockeye_emission *emission, text json_name, text args, const sockeye_event *ev, struct arena *arena)
{
    text name;
    if (!json_decode(json_name, arena, &name))
        return false;
    *emission = (sockeye_emission){
        .size = sizeof *emission,
        .name_ptr = name.ptr,
        .name_len = name.len,
        .data = args.ptr,
        .data_len = args.len,
        .attachments = ev->attachments,
        .attachment_count = ev->attachment_count,
    };
    return true;
}

static void on_connect(struct testbed *bed, const sockeye_event *ev)
{
    text auth = json_or((text){ev->data, ev->data_len}, "{}");
    text data = json_at(auth, "/data");
    size_t count;
    sockeye_bytes *rooms = json_rooms(json_at(auth, "/rooms"), &bed->arena, &count);
    struct buf args = {0};
    if (data.ptr && data.ptr[0] == '{')
        sockeye_socket_set_data(bed->engine, ev->socket, data.ptr, data.len);
    if (count)
        sockeye_socket_join(bed->engine, ev->socket, rooms, count);
    buf_str(&args, "[");
    buf_text(&args, auth);
    buf_str(&args, "]");
    late_auth(ev->socket, args);
}

static void rooms_sorted(struct testbed *bed, sockeye_socket socket, struct buf *out)
{
    sockeye_buffer *rooms;
    text json = {NULL, 0};
    if (sockeye_socket_rooms(bed->engine, socket, &rooms) != SOCKEYE_OK) {
        buf_str(out, "[]");
        return;
    }
    json.ptr = sockeye_buffer_data(rooms, &json.len);
    buf_sorted(out, json);
    sockeye_buffer_free(rooms);
}

static void on_join_leave(struct testbed *bed, const sockeye_event *ev, bool join)
{
    struct args args = args_of((text){ev->data, ev->data_len});
    struct buf rooms = {0};
    text first, name;
    if (args_next(&args, &first) && json_decode(first, &bed->arena, &name)) {
        sockeye_bytes room = {name.ptr, name.len};
        if (join)
            sockeye_socket_join(bed->engine, ev->socket, &room, 1);
        else
            sockeye_socket_leave(bed->engine, ev->socket, &room, 1);
    }
    if (!ev->token)
        return;
    buf_str(&rooms, "[");
    rooms_sorted(bed, ev->socket, &rooms);
    buf_str(&rooms, "]");
    sockeye_ack(bed->engine, ev->token, rooms.ptr, rooms.len, NULL, 0);
    buf_free(&rooms);
}

/* room, event, ...args; `from` is left out. `null` as the room is the whole namespace, which `room-emit` does not know. */
static void on_emit_to(struct testbed *bed, const sockeye_event *ev, sockeye_socket from)
{
    struct args args = args_of((text){ev->data, ev->data_len});
    sockeye_emission emission;
    text first, name, room;
    if (!args_next(&args, &first) || !args_next(&args, &name))
        return;
    bool whole = json_is(first, "null") && !from;
    if (!whole && !json_decode(first, &bed->arena, &room))
        return;
    if (!text_emission(&emission, name, args_rest(args, &bed->arena), ev, &bed->arena))
        return;
    sockeye_bytes rooms = {whole ? NULL : room.ptr, whole ? 0 : room.len};
    sockeye_target target = {.size = sizeof target, .nsp = ev->nsp, .from = from, .rooms = &rooms, .room_count = !whole};
    sockeye_broadcast(bed->engine, &target, &emission, NULL);
}

static void on_ask(struct testbed *bed, const sockeye_event *ev)
{
    struct args args = args_of((text){ev->data, ev->data_len});
    sockeye_emission emission;
    sockeye_token token;
    text name;
    if (!args_next(&args, &name) || !text_emission(&emission, name, args_rest(args, &bed->arena), ev, &bed->arena))
        return;
    emission.flags = SOCKEYE_EXPECT_ACK;
    emission.timeout_ms = ASK_TIMEOUT_MS;
    if (pending_room(bed) && sockeye_emit(bed->engine, ev->socket, &emission, &token) == SOCKEYE_OK)
        pending_add(bed, PENDING_ASK, token, ev->token);
    else if (ev->token)
        sockeye_ack(bed->engine, ev->token, "[\"timeout\"]", 11, NULL, 0);
}

#define PLACEHOLDER(num) "{\"_placeholder\":true,\"num\":" #num "}"

static void on_bin(struct testbed *bed, const sockeye_event *ev)
{
    uint32_t n = json_number(json_at((text){ev->data, ev->data_len}, "/0"), 0, BIN_BYTES_MAX);
    unsigned char *bytes = arena_alloc(&bed->arena, n);
    sockeye_bytes attachments[] = {{bytes, n}, {"\x01\x02\x03", 3}, {"\xff\x00", 2}};
    static const char ack[] = "[" PLACEHOLDER(0) "]";
    char data[256];
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)i;
    int len = snprintf(data, sizeof data,
                       "[{\"n\":%u,\"buf\":" PLACEHOLDER(0) ",\"list\":[" PLACEHOLDER(1) ",{\"deep\":" PLACEHOLDER(2) "}]}]", n);
    sockeye_emission emission = {
        .size = sizeof emission, .name = bed->bin_back, .data = data, .data_len = (size_t)len, .attachments = attachments, .attachment_count = 3};
    sockeye_emit(bed->engine, ev->socket, &emission, NULL);
    if (ev->token)
        sockeye_ack(bed->engine, ev->token, ack, sizeof ack - 1, attachments, 1);
}

static void buffer_take(struct buf *json, sockeye_buffer *buffer, const char *pointer, const char *otherwise)
{
    text all;
    all.ptr = sockeye_buffer_data(buffer, &all.len);
    if (pointer)
        buf_text(json, json_or(json_at(all, pointer), otherwise));
    else
        buf_quote(json, all.ptr, all.len);
    sockeye_buffer_free(buffer);
}

static void on_whoami(struct testbed *bed, const sockeye_event *ev)
{
    sockeye_socket_info info = {0};
    sockeye_buffer *name, *handshake;
    struct buf json = {0};
    if (!ev->token || sockeye_socket_get_info(bed->engine, ev->socket, &info, sizeof info) != SOCKEYE_OK)
        return;
    buf_str(&json, "[{\"id\":");
    buf_quote(&json, info.id, strlen(info.id));
    buf_str(&json, ",\"nsp\":");
    if (sockeye_namespace_name(bed->engine, ev->nsp, &name) == SOCKEYE_OK)
        buffer_take(&json, name, NULL, NULL);
    else
        buf_str(&json, "null");
    buf_str(&json, ",\"transport\":");
    buf_str(&json, info.transport == SOCKEYE_TRANSPORT_POLLING ? "\"polling\"" : "\"websocket\"");
    buf_str(&json, ",\"protocol\":");
    buf_number(&json, info.protocol);
    buf_str(&json, ",\"rooms\":");
    rooms_sorted(bed, ev->socket, &json);
    buf_str(&json, ",\"recovered\":false,\"query\":");
    if (sockeye_socket_handshake(bed->engine, ev->socket, &handshake) == SOCKEYE_OK)
        buffer_take(&json, handshake, "/query", "{}");
    else
        buf_str(&json, "{}");
    buf_str(&json, "}]");
    sockeye_ack(bed->engine, ev->token, json.ptr, json.len, NULL, 0);
    buf_free(&json);
}

/* ---- dispatch ------------------------------------------------------------------------------------------------------------------------ */

static void on_slow_message(struct testbed *bed, const sockeye_event *ev, enum event_kind kind)
{
    outbox_flush(bed);
    switch (kind) {
    case JOIN: on_join_leave(bed, ev, true); break;
    case LEAVE: on_join_leave(bed, ev, false); break;
    case ROOM_EMIT: on_emit_to(bed, ev, ev->socket); break;
    case IO_EMIT: on_emit_to(bed, ev, 0); break;
    case ASK: on_ask(bed, ev); break;
    case BIN: on_bin(bed, ev); break;
    case WHOAMI: on_whoami(bed, ev); break;
    case KICK: sockeye_socket_disconnect(bed->engine, ev->socket, SOCKEYE_CLOSE_TRANSPORT); break;
    case LEAVE_NSP: sockeye_socket_disconnect(bed->engine, ev->socket, 0); break;
    case DROP: sockeye_socket_disconnect(bed->engine, ev->socket, SOCKEYE_CLOSE_SILENT); break;
    case CMD: cmd_run(bed, ev); break;
    default: break;
    }
}

static void on_message(struct testbed *bed, const sockeye_event *ev)
{
    enum event_kind kind = ev->name < ATOMS_MAX ? (enum event_kind)bed->kind_of_atom[ev->name] : OTHER;
    switch (kind) {
    case ECHO: outbox_add(bed, SOCKEYE_OP_EMIT, ev, ev->name); break;
    case ACK:
        if (ev->token)
            outbox_add(bed, SOCKEYE_OP_ACK, ev, 0);
        break;
    case BCAST: broadcast_add(bed, ev, NULL, (text){ev->data, ev->data_len}); break;
    case ROOM: on_room(bed, ev); break;
    case MESSAGE: outbox_add(bed, SOCKEYE_OP_EMIT, ev, bed->message_back); break;
    case OTHER: break;
    default: on_slow_message(bed, ev, kind); break;
    }
}

static void on_engine_message(struct testbed *bed, const sockeye_event *ev)
{
    outbox_add(bed, SOCKEYE_OP_SEND, ev, 0);
}

static void on_other(struct testbed *bed, const sockeye_event *ev)
{
    outbox_flush(bed);
    switch (ev->kind) {
    case SOCKEYE_EVENT_AUTHORIZE: /* only /deny asks */
        sockeye_reject(bed->engine, ev->token, "denied", 6, "{\"code\":4001}", 13);
        break;
    case SOCKEYE_EVENT_CONNECT:
        if (!bed->engine_only)
            on_connect(bed, ev);
        break;
    case SOCKEYE_EVENT_ACK:
    case SOCKEYE_EVENT_SERVER_ACK:
    case SOCKEYE_EVENT_SOCKETS: pending_complete(bed, ev); break;
    case SOCKEYE_EVENT_SERVER_MESSAGE: cluster_message(bed, ev); break;
    case SOCKEYE_EVENT_ADAPTER_UP: sem_post(&bed->adapter_up); break;
    case SOCKEYE_EVENT_NAMESPACE: nsp_learn(bed, (text){ev->name_ptr, ev->name_len}, ev->nsp); break;
    case SOCKEYE_EVENT_FAULT: fprintf(stderr, "testbed: FAULT %.*s\n", (int)ev->name_len, ev->name_ptr); break;
    case SOCKEYE_EVENT_CLOSED: sem_post(&bed->closed); break;
    default: break;
    }
}

void events_handle(struct testbed *bed, const sockeye_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (events[i].kind != SOCKEYE_EVENT_MESSAGE)
            on_other(bed, &events[i]);
        else if (bed->engine_only)
            on_engine_message(bed, &events[i]);
        else
            on_message(bed, &events[i]);
    }
    outbox_flush(bed);
}
