/* `cmd`, item 10 of the contract: operations on a namespace, narrowed by rooms and flags. Each answers with `{ok: true, result}` or
 * `{ok: false, error}`; those that a cluster makes asynchronous answer when their token completes (testbed_pending.c). */
#include "testbed.h"

#include <string.h>

/* How long a `remote` acknowledgement may take when the command has no `timeout`. */
#define REMOTE_TIMEOUT_MS 5000

struct cmd {
    struct testbed *bed;
    text json;           /* the command's object */
    sockeye_token reply;
    sockeye_socket socket;
    sockeye_target target;
    uint32_t emission_flags;
    const sockeye_bytes *attachments;
    size_t attachment_count;
};

/* What an operation returns: a failure of the engine, whose text is the answer; done, so the answer is `true`; or that the answer was
 * or will be given. */
#define DONE SOCKEYE_OK
#define ANSWERED 1

static sockeye_result refuse(const struct cmd *cmd, const char *message)
{
    reply_error(cmd->bed, cmd->reply, message);
    return ANSWERED;
}

/* ---- reading the command ------------------------------------------------------------------------------------------------------------- */

/* Remembers the id of a namespace that was made, by us or by its pattern. Those that find no room cannot be named by `cmd`. */
void nsp_learn(struct testbed *bed, text name, sockeye_nsp id)
{
    if (bed->nsp_count == NSPS_MAX || name.len > NSP_NAME_MAX)
        return;
    struct nsp *nsp = &bed->nsps[bed->nsp_count++];
    nsp->id = id;
    nsp->len = name.len;
    memcpy(nsp->name, name.ptr, name.len);
}

static sockeye_nsp nsp_find(const struct testbed *bed, text name)
{
    for (size_t i = 0; i < bed->nsp_count; i++)
        if (bed->nsps[i].len == name.len && memcmp(bed->nsps[i].name, name.ptr, name.len) == 0)
            return bed->nsps[i].id;
    return 0;
}

/* `/dyn-` and digits: what the pattern matches. */
static bool nsp_is_dynamic(text name)
{
    static const char prefix[] = "/dyn-";
    size_t digits = sizeof prefix - 1;
    if (name.len <= digits || name.len > NSP_NAME_MAX || memcmp(name.ptr, prefix, digits) != 0)
        return false;
    for (size_t i = digits; i < name.len; i++)
        if (name.ptr[i] < '0' || name.ptr[i] > '9')
            return false;
    return true;
}

/* The id of a namespace; a dynamic one comes to be if nobody was there yet, as the official `of()` would have it. 0 is none. */
static sockeye_nsp nsp_of(struct testbed *bed, text name)
{
    sockeye_nsp nsp = nsp_find(bed, name);
    if (nsp || !nsp_is_dynamic(name))
        return nsp;
    if (sockeye_namespace(bed->engine, name.ptr, name.len, NULL, &nsp) != SOCKEYE_OK)
        return 0;
    nsp_learn(bed, name, nsp);
    return nsp;
}

static bool cmd_target(struct cmd *cmd)
{
    struct arena *arena = &cmd->bed->arena;
    sockeye_target *target = &cmd->target;
    text name;
    *target = (sockeye_target){.size = sizeof *target};
    if (!json_decode(json_or(json_at(cmd->json, "/nsp"), "\"/\""), arena, &name))
        return false;
    target->nsp = nsp_of(cmd->bed, name);
    if (!target->nsp)
        return false;
    target->rooms = json_rooms(json_at(cmd->json, "/to"), arena, &target->room_count);
    target->except = json_rooms(json_at(cmd->json, "/except"), arena, &target->except_count);
    if (json_is(json_at(cmd->json, "/flags/local"), "true"))
        target->flags = cmd->emission_flags = SOCKEYE_LOCAL;
    if (json_is(json_at(cmd->json, "/flags/volatile"), "true"))
        cmd->emission_flags |= SOCKEYE_VOLATILE;
    if (json_is(json_at(cmd->json, "/flags/compress"), "false"))
        cmd->emission_flags |= SOCKEYE_COMPRESS_OFF;
    return true;
}

static bool cmd_emission(const struct cmd *cmd, sockeye_emission *emission)
{
    sockeye_event attached = {.attachments = cmd->attachments, .attachment_count = (uint32_t)cmd->attachment_count};
    text args = json_or(json_at(cmd->json, "/args"), "[]");
    if (!text_emission(emission, json_at(cmd->json, "/event"), args, &attached, &cmd->bed->arena))
        return false;
    emission->flags = cmd->emission_flags;
    return true;
}

static uint32_t close_flag(const struct cmd *cmd)
{
    return json_is(json_at(cmd->json, "/close"), "true") ? SOCKEYE_CLOSE_TRANSPORT : 0;
}

/* ---- operations ---------------------------------------------------------------------------------------------------------------------------- */

static sockeye_result cmd_name(struct cmd *cmd)
{
    struct buf json = {0};
    buf_quote(&json, cmd->bed->server_name, strlen(cmd->bed->server_name));
    reply_ok(cmd->bed, cmd->reply, (text){json.ptr, json.len}, NULL, 0);
    buf_free(&json);
    return ANSWERED;
}

static sockeye_result cmd_emit(struct cmd *cmd)
{
    sockeye_emission emission;
    if (!cmd_emission(cmd, &emission))
        return refuse(cmd, "event is not a string");
    return sockeye_broadcast(cmd->bed->engine, &cmd->target, &emission, NULL);
}

static sockeye_result cmd_socket_emit(struct cmd *cmd)
{
    cmd->target.from = cmd->socket;
    cmd->target.nsp = 0;
    return cmd_emit(cmd);
}

/* Remembers who waits for the token that a call `made`, unless it failed. A `remote` needs its command again when its batch is gone. */
static sockeye_result await(struct cmd *cmd, sockeye_result made, enum pending_kind kind, const sockeye_token *token)
{
    if (made < 0)
        return made;
    struct pending *pending = pending_add(cmd->bed, kind, *token, cmd->reply);
    if (kind == PENDING_REMOTE) {
        buf_text(&pending->json, cmd->json);
        blobs_add(&pending->attachments, cmd->attachments, cmd->attachment_count);
    }
    return ANSWERED;
}

static sockeye_result cmd_emit_ack(struct cmd *cmd)
{
    sockeye_emission emission;
    sockeye_token token = 0;
    if (!cmd_emission(cmd, &emission))
        return refuse(cmd, "event is not a string");
    emission.flags |= SOCKEYE_EXPECT_ACK;
    emission.timeout_ms = json_number(json_at(cmd->json, "/timeout"), 0, UINT32_MAX);
    return await(cmd, sockeye_broadcast(cmd->bed->engine, &cmd->target, &emission, &token), PENDING_RESPONSES, &token);
}

static sockeye_result cmd_fetch(struct cmd *cmd)
{
    sockeye_token token = 0;
    return await(cmd, sockeye_sockets_fetch(cmd->bed->engine, &cmd->target, &token), PENDING_FETCH, &token);
}

/* For benchmarks: a client that is told of all sockets would cost more than the servers that find them. */
static sockeye_result cmd_fetch_count(struct cmd *cmd)
{
    sockeye_token token = 0;
    return await(cmd, sockeye_sockets_fetch(cmd->bed->engine, &cmd->target, &token), PENDING_FETCH_COUNT, &token);
}

static sockeye_result cmd_join(struct cmd *cmd)
{
    size_t count;
    sockeye_bytes *rooms = json_rooms(json_at(cmd->json, "/rooms"), &cmd->bed->arena, &count);
    return sockeye_sockets_join(cmd->bed->engine, &cmd->target, rooms, count);
}

static sockeye_result cmd_leave(struct cmd *cmd)
{
    size_t count;
    sockeye_bytes *rooms = json_rooms(json_at(cmd->json, "/rooms"), &cmd->bed->arena, &count);
    return sockeye_sockets_leave(cmd->bed->engine, &cmd->target, rooms, count);
}

static sockeye_result cmd_disconnect(struct cmd *cmd)
{
    return sockeye_sockets_disconnect(cmd->bed->engine, &cmd->target, close_flag(cmd));
}

static sockeye_result cmd_server_emit(struct cmd *cmd)
{
    sockeye_emission emission;
    if (!cmd_emission(cmd, &emission))
        return refuse(cmd, "event is not a string");
    return sockeye_server_emit(cmd->bed->engine, cmd->target.nsp, &emission, NULL);
}

static sockeye_result cmd_server_emit_ack(struct cmd *cmd)
{
    sockeye_emission emission;
    sockeye_token token = 0;
    if (!cmd_emission(cmd, &emission))
        return refuse(cmd, "event is not a string");
    emission.flags |= SOCKEYE_EXPECT_ACK;
    return await(cmd, sockeye_server_emit(cmd->bed->engine, cmd->target.nsp, &emission, &token), PENDING_RESPONSES, &token);
}

static sockeye_result cmd_server_count(struct cmd *cmd)
{
    sockeye_token token = 0;
    return await(cmd, sockeye_server_count(cmd->bed->engine, cmd->target.nsp, &token), PENDING_COUNT, &token);
}

static sockeye_result cmd_log(struct cmd *cmd)
{
    cluster_log(cmd->bed, cmd->reply);
    return ANSWERED;
}

static sockeye_result cmd_rooms(struct cmd *cmd)
{
    sockeye_buffer *buffer;
    struct buf json = {0};
    text rooms;
    sockeye_result result = sockeye_namespace_rooms(cmd->bed->engine, cmd->target.nsp, &buffer);
    if (result < 0)
        return result;
    rooms.ptr = sockeye_buffer_data(buffer, &rooms.len);
    buf_sorted(&json, rooms);
    sockeye_buffer_free(buffer);
    reply_ok(cmd->bed, cmd->reply, (text){json.ptr, json.len}, NULL, 0);
    buf_free(&json);
    return ANSWERED;
}

/* ---- remote: an operation on the one socket that a fetch finds ------------------------------------------------------------------------------ */

static sockeye_result cmd_remote(struct cmd *cmd)
{
    sockeye_token token = 0;
    text id;
    if (!json_decode(json_at(cmd->json, "/id"), &cmd->bed->arena, &id))
        return refuse(cmd, "id is not a string");
    sockeye_bytes room = {id.ptr, id.len};
    cmd->target.rooms = &room;
    cmd->target.room_count = 1;
    return await(cmd, sockeye_sockets_fetch(cmd->bed->engine, &cmd->target, &token), PENDING_REMOTE, &token);
}

static sockeye_result remote_emit(struct cmd *cmd, struct pending *remote, bool ack)
{
    sockeye_emission emission;
    if (!cmd_emission(cmd, &emission))
        return refuse(cmd, "event is not a string");
    if (!ack)
        return sockeye_broadcast(cmd->bed->engine, &cmd->target, &emission, NULL);
    emission.flags |= SOCKEYE_EXPECT_ACK;
    emission.timeout_ms = json_number(json_at(cmd->json, "/timeout"), REMOTE_TIMEOUT_MS, UINT32_MAX);
    sockeye_result result = sockeye_broadcast(cmd->bed->engine, &cmd->target, &emission, &remote->token);
    if (result < 0)
        return result;
    remote->kind = PENDING_REMOTE_ACK;
    return ANSWERED;
}

static sockeye_result remote_how(struct cmd *cmd, struct pending *remote)
{
    text how = json_at(cmd->json, "/how"), room;
    if (json_is(how, "\"emit\""))
        return remote_emit(cmd, remote, false);
    if (json_is(how, "\"ack\""))
        return remote_emit(cmd, remote, true);
    if (json_is(how, "\"disconnect\""))
        return cmd_disconnect(cmd);
    if (json_is(how, "\"join\""))
        return cmd_join(cmd);
    if (!json_is(how, "\"leave\""))
        return refuse(cmd, "unknown how");
    if (!json_decode(json_at(cmd->json, "/room"), &cmd->bed->arena, &room))
        return refuse(cmd, "room is not a string");
    return sockeye_sockets_leave(cmd->bed->engine, &cmd->target, &(sockeye_bytes){room.ptr, room.len}, 1);
}

static void cmd_finish(const struct cmd *cmd, sockeye_result result)
{
    if (result < 0)
        reply_error(cmd->bed, cmd->reply, sockeye_last_error());
    else if (result == DONE)
        reply_ok(cmd->bed, cmd->reply, (text){"true", 4}, NULL, 0);
}

/* Goes on with a `remote` whose fetch gave `sockets`; true if it now waits for an acknowledgement of that socket. */
bool cmd_remote_found(struct testbed *bed, struct pending *remote, text sockets)
{
    struct args found = args_of(sockets);
    struct buf json = remote->json;
    struct cmd cmd = {
        .bed = bed,
        .json = {json.ptr, json.len},
        .reply = remote->reply,
        .attachments = remote->attachments.items,
        .attachment_count = remote->attachments.count,
    };
    text socket, id, other;
    if (!args_next(&found, &socket) || args_next(&found, &other) || !json_decode(json_at(socket, "/id"), &bed->arena, &id) || !cmd_target(&cmd)) {
        refuse(&cmd, "not exactly one socket");
        return false;
    }
    sockeye_bytes room = {id.ptr, id.len};
    cmd.target.rooms = &room;
    cmd.target.room_count = 1;
    cmd.target.except_count = 0;
    cmd_finish(&cmd, remote_how(&cmd, remote));
    if (remote->kind != PENDING_REMOTE_ACK)
        return false;
    /* From here on the entry collects the answer. */
    buf_free(&json);
    remote->json = (struct buf){0};
    blobs_free(&remote->attachments);
    return true;
}

/* ---- dispatch ---------------------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *op;
    sockeye_result (*run)(struct cmd *cmd);
} OPERATIONS[] = {
    {"\"name\"", cmd_name},
    {"\"emit\"", cmd_emit},
    {"\"socketEmit\"", cmd_socket_emit},
    {"\"emitAck\"", cmd_emit_ack},
    {"\"fetchSockets\"", cmd_fetch},
    {"\"fetchCount\"", cmd_fetch_count},
    {"\"remote\"", cmd_remote},
    {"\"socketsJoin\"", cmd_join},
    {"\"socketsLeave\"", cmd_leave},
    {"\"disconnectSockets\"", cmd_disconnect},
    {"\"serverSideEmit\"", cmd_server_emit},
    {"\"serverSideEmitAck\"", cmd_server_emit_ack},
    {"\"serverCount\"", cmd_server_count},
    {"\"log\"", cmd_log},
    {"\"rooms\"", cmd_rooms},
};

void cmd_run(struct testbed *bed, const sockeye_event *ev)
{
    struct cmd cmd = {
        .bed = bed,
        .json = json_at((text){ev->data, ev->data_len}, "/0"),
        .reply = ev->token,
        .socket = ev->socket,
        .attachments = ev->attachments,
        .attachment_count = ev->attachment_count,
    };
    text op = json_at(cmd.json, "/op");
    if (!pending_room(bed)) {
        refuse(&cmd, "too many requests under way");
        return;
    }
    if (!cmd_target(&cmd)) {
        refuse(&cmd, "unknown namespace");
        return;
    }
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof OPERATIONS[0]; i++) {
        if (json_is(op, OPERATIONS[i].op)) {
            cmd_finish(&cmd, OPERATIONS[i].run(&cmd));
            return;
        }
    }
    refuse(&cmd, "unknown op");
}
