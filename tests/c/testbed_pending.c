/* Requests whose answer comes later, as an event that carries the token of the operation: `ask`, broadcasts with acks, fetches. A bounded
 * table; an entry is freed by its final event, which the engine promises for every token, also on timeout and close. */
#include "testbed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Replies that one request may collect, bytes; what comes after is left out. */
#define RESPONSES_BYTES_MAX (64u << 20)

static struct pending *pending_find(struct testbed *bed, sockeye_token token)
{
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (bed->pending[i].kind != PENDING_FREE && bed->pending[i].token == token)
            return &bed->pending[i];
    return NULL;
}

static struct pending *pending_unused(const struct testbed *bed)
{
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (bed->pending[i].kind == PENDING_FREE)
            return (struct pending *)&bed->pending[i];
    return NULL;
}

/* True if `pending_add` will find a place. */
bool pending_room(const struct testbed *bed)
{
    return pending_unused(bed) != NULL;
}

/* Only after `pending_room` said yes. */
struct pending *pending_add(struct testbed *bed, enum pending_kind kind, sockeye_token token, sockeye_token reply)
{
    struct pending *pending = pending_unused(bed);
    *pending = (struct pending){.kind = kind, .token = token, .reply = reply};
    return pending;
}

static void pending_free(struct pending *pending)
{
    buf_free(&pending->json);
    blobs_free(&pending->attachments);
    pending->kind = PENDING_FREE;
}

void pending_free_all(struct testbed *bed)
{
    for (size_t i = 0; i < PENDING_MAX; i++)
        pending_free(&bed->pending[i]);
}

/* ---- answers to the client ---------------------------------------------------------------------------------------------------- */

/* The client may have left its acknowledgement out, or have gone meanwhile: neither is an error of the testbed. */
void reply_ok(struct testbed *bed, sockeye_token token, text result, const sockeye_bytes *attachments, size_t count)
{
    struct buf json = {0};
    if (!token)
        return;
    buf_str(&json, "[{\"ok\":true,\"result\":");
    buf_text(&json, result);
    buf_str(&json, "}]");
    sockeye_ack(bed->engine, token, json.ptr, json.len, attachments, count);
    buf_free(&json);
}

void reply_error(struct testbed *bed, sockeye_token token, const char *message)
{
    struct buf json = {0};
    if (!token)
        return;
    buf_str(&json, "[{\"ok\":false,\"error\":");
    buf_quote(&json, message, strlen(message));
    buf_str(&json, "}]");
    sockeye_ack(bed->engine, token, json.ptr, json.len, NULL, 0);
    buf_free(&json);
}

static const char *failure_text(sockeye_result status)
{
    return status == SOCKEYE_ERR_TIMEOUT ? "operation has timed out" : sockeye_error_name(status);
}

/* ---- completions ---------------------------------------------------------------------------------------------------------------- */

static text data_of(const sockeye_event *ev)
{
    return json_or((text){ev->data, ev->data_len}, "[]");
}

/* `ask`: the answer behind a null, or "timeout". */
static void ask_done(struct testbed *bed, struct pending *ask, const sockeye_event *ev)
{
    struct args answer = args_of(data_of(ev));
    struct buf json = {0};
    if (!ask->reply)
        return;
    if (ev->status != SOCKEYE_OK) {
        sockeye_ack(bed->engine, ask->reply, "[\"timeout\"]", 11, NULL, 0);
        return;
    }
    text rest = args_rest(answer, &bed->arena), none;
    buf_str(&json, args_next(&answer, &none) ? "[null," : "[null");
    buf_add(&json, rest.ptr + 1, rest.len - 1);
    sockeye_ack(bed->engine, ask->reply, json.ptr, json.len, ev->attachments, ev->attachment_count);
    buf_free(&json);
}

/* One reply of several: its first argument joins the list. */
static void response_add(struct pending *pending, const sockeye_event *ev)
{
    struct args args = args_of(data_of(ev));
    text first = {"null", 4};
    size_t bytes = pending->json.len + ev->data_len;
    for (size_t i = 0; i < ev->attachment_count; i++)
        bytes += ev->attachments[i].len;
    if (bytes > RESPONSES_BYTES_MAX)
        return;
    args_next(&args, &first);
    buf_str(&pending->json, pending->json.len ? "," : "");
    buf_renumbered(&pending->json, first, pending->attachments.count);
    blobs_add(&pending->attachments, ev->attachments, ev->attachment_count);
}

static void responses_done(struct testbed *bed, struct pending *pending, const sockeye_event *ev)
{
    struct buf json = {0};
    buf_str(&json, "{\"err\":");
    if (ev->status == SOCKEYE_OK)
        buf_str(&json, "null");
    else
        buf_quote(&json, failure_text(ev->status), strlen(failure_text(ev->status)));
    buf_str(&json, ",\"responses\":[");
    buf_add(&json, pending->json.ptr, pending->json.len);
    buf_str(&json, "]}");
    reply_ok(bed, pending->reply, (text){json.ptr, json.len}, pending->attachments.items, pending->attachments.count);
    buf_free(&json);
}

static void remote_ack_done(struct testbed *bed, struct pending *pending, const sockeye_event *ev)
{
    text answer = {pending->json.ptr, pending->json.len};
    if (answer.len)
        reply_ok(bed, pending->reply, answer, pending->attachments.items, pending->attachments.count);
    else
        reply_error(bed, pending->reply, failure_text(ev->status == SOCKEYE_OK ? SOCKEYE_ERR_TIMEOUT : ev->status));
}

struct found {
    text id, socket;
};

static int by_id(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    size_t shorter = x->id.len < y->id.len ? x->id.len : y->id.len;
    int order = memcmp(x->id.ptr, y->id.ptr, shorter);
    return order ? order : (x->id.len > y->id.len) - (x->id.len < y->id.len);
}

static void found_write(struct buf *json, const struct found *found)
{
    buf_str(json, "{\"id\":");
    buf_text(json, found->id);
    buf_str(json, ",\"rooms\":");
    buf_sorted(json, json_at(found->socket, "/rooms"));
    buf_str(json, ",\"data\":");
    buf_text(json, json_or(json_at(found->socket, "/data"), "{}"));
    buf_str(json, ",\"query\":");
    buf_text(json, json_or(json_at(found->socket, "/handshake/query"), "{}"));
    buf_str(json, ",\"auth\":");
    buf_text(json, json_or(json_at(found->socket, "/handshake/auth"), "{}"));
    buf_str(json, "}");
}

static void fetch_done(struct testbed *bed, struct pending *fetch, text sockets)
{
    struct buf json = {0};
    struct found *all = NULL;
    size_t count = 0, cap = 0;
    text socket;
    for (struct args args = args_of(sockets); args_next(&args, &socket); count++) {
        if (count == cap)
            all = xrealloc(all, (cap = cap * 2 + 8) * sizeof *all);
        all[count] = (struct found){json_or(json_at(socket, "/id"), "\"\""), socket};
    }
    if (count)
        qsort(all, count, sizeof *all, by_id);
    buf_str(&json, "[");
    for (size_t i = 0; i < count; i++) {
        buf_str(&json, i ? "," : "");
        found_write(&json, &all[i]);
    }
    buf_str(&json, "]");
    reply_ok(bed, fetch->reply, (text){json.ptr, json.len}, NULL, 0);
    buf_free(&json);
    free(all);
}

static void fetch_counted(struct testbed *bed, struct pending *fetch, text sockets)
{
    char number[24];
    size_t count = 0;
    text socket;
    for (struct args args = args_of(sockets); args_next(&args, &socket);)
        count++;
    int len = snprintf(number, sizeof number, "%zu", count);
    reply_ok(bed, fetch->reply, (text){number, (size_t)len}, NULL, 0);
}

/* An ACK, SERVER_ACK or SOCKETS event: gives its request what it waited for. */
void pending_complete(struct testbed *bed, const sockeye_event *ev)
{
    struct pending *pending = pending_find(bed, ev->token);
    if (!pending)
        return;
    if (ev->flags & SOCKEYE_EVENT_PARTIAL) {
        response_add(pending, ev);
        return;
    }
    if (pending->kind == PENDING_ASK)
        ask_done(bed, pending, ev);
    else if (pending->kind == PENDING_RESPONSES)
        responses_done(bed, pending, ev);
    else if (pending->kind == PENDING_REMOTE_ACK)
        remote_ack_done(bed, pending, ev);
    else if (ev->status != SOCKEYE_OK)
        reply_error(bed, pending->reply, failure_text(ev->status));
    else if (pending->kind == PENDING_COUNT)
        reply_ok(bed, pending->reply, json_or(json_at(data_of(ev), "/count"), "null"), NULL, 0);
    else if (pending->kind == PENDING_FETCH)
        fetch_done(bed, pending, data_of(ev));
    else if (pending->kind == PENDING_FETCH_COUNT)
        fetch_counted(bed, pending, data_of(ev));
    else if (cmd_remote_found(bed, pending, data_of(ev)))
        return; /* it waits for another token now */
    pending_free(pending);
}
