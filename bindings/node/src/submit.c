/* Everything that JavaScript did in one turn, in one crossing.
 *
 * Operations come as records of numbers; their texts (names, arguments, rooms) as one string, in the order in which the records need
 * them, each ended by a newline. JSON holds no raw newline, and in names and rooms JavaScript writes newline and escape as ESC n and ESC e. */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

/* Numbers of a record; lib/outbox.js writes them in this order. */
enum { KIND, FLAGS, LOW, HIGH, NSP, ATOM, TIMEOUT, ROOMS, EXCEPT, ATTACHMENTS, RECORD };

#define ESCAPE '\x1b'

/* What is read from, and what is made of it. */
struct reading {
    char *at, *end;
    sockeye_bytes *bytes; /* rooms and attachments, one after the other */
    const sockeye_bytes *attachments;
};

static int next_text(struct reading *in, const char **text, size_t *len)
{
    char *newline = in->at < in->end ? memchr(in->at, '\n', (size_t)(in->end - in->at)) : NULL;
    if (!newline)
        return 0;
    *text = in->at;
    *len = (size_t)(newline - in->at);
    in->at = newline + 1;
    return 1;
}

/* A name or a room: as `next_text`, with the escapes undone in place. */
static int next_plain(struct reading *in, const char **text, size_t *len)
{
    if (!next_text(in, text, len))
        return 0;
    if (!*len || !memchr(*text, ESCAPE, *len))
        return 1;
    char *to = (char *)*text;
    const char *end = *text + *len;
    for (const char *from = *text; from < end; from++)
        *to++ = *from != ESCAPE || from + 1 == end ? *from : *++from == 'n' ? '\n' : ESCAPE;
    *len = (size_t)(to - *text);
    return 1;
}

static int next_rooms(struct reading *in, uint32_t count, const sockeye_bytes **rooms)
{
    *rooms = in->bytes;
    for (uint32_t i = 0; i < count; i++, in->bytes++) {
        const char *text;
        if (!next_plain(in, &text, &in->bytes->len))
            return 0;
        in->bytes->ptr = text;
    }
    return 1;
}

static int read_emission(struct reading *in, const uint32_t *record, sockeye_emission *emission)
{
    *emission = (sockeye_emission){.size = sizeof *emission,
                                   .flags = record[FLAGS] | SOCKEYE_TRUST_JSON, /* JSON.stringify wrote it */
                                   .name = record[ATOM],
                                   .timeout_ms = record[TIMEOUT],
                                   .attachments = in->attachments,
                                   .attachment_count = record[ATTACHMENTS]};
    in->attachments += record[ATTACHMENTS];
    if (record[KIND] != SOCKEYE_OP_ACK && record[ATOM] == 0 && !next_plain(in, &emission->name_ptr, &emission->name_len))
        return 0;
    return next_text(in, &emission->data, &emission->data_len);
}

static int read_op(struct reading *in, const uint32_t *record, sockeye_op *op, sockeye_emission *emission, sockeye_target *target)
{
    uint64_t id = (uint64_t)record[LOW] | (uint64_t)record[HIGH] << 32;
    *op = (sockeye_op){.size = sizeof *op, .kind = record[KIND]};
    switch (record[KIND]) {
    case SOCKEYE_OP_ACK:
        op->token = id;
        op->emission = emission;
        return read_emission(in, record, emission);
    case SOCKEYE_OP_EMIT:
        op->socket = id;
        op->emission = emission;
        return read_emission(in, record, emission);
    case SOCKEYE_OP_BROADCAST:
        *target = (sockeye_target){.size = sizeof *target, .nsp = record[NSP], .from = id};
        target->room_count = record[ROOMS];
        target->except_count = record[EXCEPT];
        op->emission = emission;
        op->target = target;
        return read_emission(in, record, emission) && next_rooms(in, record[ROOMS], &target->rooms) &&
               next_rooms(in, record[EXCEPT], &target->except);
    default: /* JOIN, LEAVE, DISCONNECT */
        op->socket = id;
        op->flags = record[FLAGS];
        op->room_count = record[ROOMS];
        return next_rooms(in, record[ROOMS], &op->rooms);
    }
}

/* The string as UTF-8 in the scratch; its length, or -1. */
static ptrdiff_t read_text(napi_env env, napi_value value, struct scratch *scratch)
{
    size_t len = 0;
    if (scratch->text_cap) {
        if (napi_get_value_string_utf8(env, value, scratch->text, scratch->text_cap, &len) != napi_ok)
            return -1;
        if (len + 4 < scratch->text_cap) /* else a character may have been left out */
            return (ptrdiff_t)len;
    }
    if (napi_get_value_string_utf8(env, value, NULL, 0, &len) != napi_ok)
        return -1;
    size_t cap = len + len / 2 + 4096;
    char *text = realloc(scratch->text, cap);
    if (!text)
        return -1;
    scratch->text = text;
    scratch->text_cap = cap;
    napi_get_value_string_utf8(env, value, text, cap, &len);
    return (ptrdiff_t)len;
}

static int read_attachments(napi_env env, napi_value list, uint32_t count, sockeye_bytes *out)
{
    for (uint32_t i = 0; i < count; i++) {
        napi_value value;
        void *data;
        if (napi_get_element(env, list, i, &value) != napi_ok || !bytes_of(env, value, &data, &out[i].len))
            return 0;
        out[i].ptr = data;
    }
    return 1;
}

/* Memory for `count` operations and `bytes` slices: emissions, targets, operations, slices, results. */
static void *parts_for(struct scratch *scratch, size_t count, size_t bytes)
{
    size_t one = sizeof(sockeye_emission) + sizeof(sockeye_target) + sizeof(sockeye_op) + sizeof(sockeye_result);
    size_t wanted = count * one + bytes * sizeof(sockeye_bytes);
    if (wanted > scratch->parts_cap) {
        void *parts = realloc(scratch->parts, wanted * 2);
        if (!parts)
            return NULL;
        scratch->parts = parts;
        scratch->parts_cap = wanted * 2;
    }
    return scratch->parts;
}

static napi_value malformed(napi_env env)
{
    bool thrown = false;
    napi_is_exception_pending(env, &thrown);
    if (!thrown)
        napi_throw_error(env, NULL, "sockeye: malformed operations, or out of memory");
    return NULL;
}

/* submit(engine, records as Uint32Array, count, text, attachments as array): each record's first number becomes its result, and the third and
 * fourth the token of what is to be acknowledged */
static napi_value submit(napi_env env, napi_callback_info info)
{
    napi_value args[5];
    struct host *host;
    uint32_t *records;
    size_t numbers;
    uint32_t attachment_count = 0;
    size_t rooms = 0;
    if (!arguments(env, info, 5, args) || !(host = host_of(env, args[0])) ||
        napi_get_typedarray_info(env, args[1], NULL, &numbers, (void **)&records, NULL, NULL) != napi_ok)
        return malformed(env);
    uint32_t count = number_of(env, args[2]);
    ptrdiff_t len = read_text(env, args[3], &host->scratch);
    if (count > numbers / RECORD || len < 0)
        return malformed(env);
    for (uint32_t i = 0; i < count; i++) {
        attachment_count += records[i * RECORD + ATTACHMENTS];
        rooms += (size_t)records[i * RECORD + ROOMS] + records[i * RECORD + EXCEPT];
    }
    sockeye_emission *emissions = parts_for(&host->scratch, count, attachment_count + rooms);
    if (!emissions)
        return malformed(env);
    sockeye_target *targets = (sockeye_target *)(emissions + count);
    sockeye_op *ops = (sockeye_op *)(targets + count);
    sockeye_bytes *bytes = (sockeye_bytes *)(ops + count);
    sockeye_result *results = (sockeye_result *)(bytes + attachment_count + rooms);
    struct reading in = {host->scratch.text, host->scratch.text + len, bytes + attachment_count, bytes};
    if (!read_attachments(env, args[4], attachment_count, bytes))
        return malformed(env);
    for (uint32_t i = 0; i < count; i++)
        if (!read_op(&in, records + i * RECORD, &ops[i], &emissions[i], &targets[i]))
            return malformed(env);
    sockeye_result failed = sockeye_submit(host->engine, ops, sizeof *ops, count, results);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *record = records + i * RECORD;
        record[KIND] = (uint32_t)(failed < 0 ? failed : results[i]);
        record[LOW] = (uint32_t)ops[i].token;
        record[HIGH] = (uint32_t)(ops[i].token >> 32);
    }
    return number(env, failed);
}

void submit_exports(napi_env env, napi_value exports)
{
    export_function(env, exports, "submit", submit);
}
