/* Emitters: the broker of a cluster, without a server. They keep no process alive; when the environment ends, what waits has a second. */
#include "addon.h"

#include <stdlib.h>

struct sender {
    sockeye_emitter *emitter; /* NULL once it was freed */
    int uses;                 /* those who wait on threads of Node's pool */
    int closed;               /* for JavaScript */
    int finalized;            /* JavaScript has no handle any more */
};

/* Frees what nobody uses any more. */
static void sender_drop(struct sender *sender)
{
    if (sender->uses || !(sender->closed || sender->finalized))
        return;
    sockeye_emitter_free(sender->emitter);
    sender->emitter = NULL;
    if (sender->finalized)
        free(sender);
}

static void on_cleanup(void *data)
{
    struct sender *sender = data;
    /* Node has waited for its pool. */
    sockeye_emitter_free(sender->emitter);
    sender->emitter = NULL;
}

static void on_finalize(napi_env env, void *data, void *hint)
{
    struct sender *sender = data;
    (void)hint;
    napi_remove_env_cleanup_hook(env, on_cleanup, sender);
    sender->finalized = 1;
    sender_drop(sender);
}

static struct sender *sender_of(napi_env env, napi_value value)
{
    void *data = NULL;
    struct sender *sender;
    if (napi_get_value_external(env, value, &data) != napi_ok) {
        napi_throw_type_error(env, NULL, "an emitter is wanted");
        return NULL;
    }
    sender = data;
    if (sender->emitter && !sender->closed)
        return sender;
    napi_throw_error(env, "SOCKEYE_ERR_CLOSED", "the emitter is closed");
    return NULL;
}

/* open(kind, options as JSON) → emitter */
static napi_value open_emitter(napi_env env, napi_callback_info info)
{
    napi_value args[2], handle = NULL;
    size_t kind_len, json_len;
    if (!arguments(env, info, 2, args))
        return NULL;
    struct sender *sender = calloc(1, sizeof *sender);
    char *kind = sender ? text_of(env, args[0], &kind_len) : NULL;
    char *json = kind ? text_of(env, args[1], &json_len) : NULL;
    sockeye_result result = SOCKEYE_ERR_INVALID;
    if (json && (result = sockeye_emitter_open(kind, kind_len, json, json_len, &sender->emitter)) < 0)
        throw_last(env, result);
    free(kind), free(json);
    if (result < 0) {
        free(sender);
        return NULL;
    }
    napi_create_external(env, sender, on_finalize, NULL, &handle);
    napi_add_env_cleanup_hook(env, on_cleanup, sender);
    return handle;
}

/* A target of a namespace's name, rooms and exceptions, which stand in the arguments in this order. */
struct address {
    char *nsp;
    struct texts rooms, except;
    sockeye_emitter_target target;
};

static void address_free(struct address *address)
{
    free(address->nsp);
    texts_free(&address->rooms);
    texts_free(&address->except);
}

static int address_of(napi_env env, const napi_value *args, struct address *address)
{
    *address = (struct address){.target = {.size = sizeof address->target}};
    address->nsp = text_of(env, args[0], &address->target.nsp_len);
    if (!address->nsp || !texts_of(env, args[1], &address->rooms) || !texts_of(env, args[2], &address->except)) {
        address_free(address);
        return 0;
    }
    address->target.nsp = address->nsp;
    address->target.rooms = address->rooms.items;
    address->target.room_count = address->rooms.count;
    address->target.except = address->except.items;
    address->target.except_count = address->except.count;
    return 1;
}

/* emit(emitter, namespace, rooms, except, name, arguments as JSON, attachments, flags) */
static napi_value emit(napi_env env, napi_callback_info info)
{
    napi_value args[8];
    struct sender *sender;
    struct address to;
    struct event event;
    sockeye_result result = SOCKEYE_OK;
    if (!arguments(env, info, 8, args) || !(sender = sender_of(env, args[0])) || !address_of(env, args + 1, &to))
        return NULL;
    if (event_of(env, args + 4, &event)) {
        event.emission.flags |= number_of(env, args[7]);
        result = sockeye_emitter_emit(sender->emitter, &to.target, &event.emission);
        event_free(&event);
    }
    address_free(&to);
    return outcome(env, result);
}

/* move(emitter, namespace, rooms, except, rooms to join or leave, whether to join) */
static napi_value move(napi_env env, napi_callback_info info)
{
    napi_value args[6];
    struct sender *sender;
    struct address to;
    struct texts rooms;
    bool join = false;
    sockeye_result result = SOCKEYE_OK;
    if (!arguments(env, info, 6, args) || !(sender = sender_of(env, args[0])) || !address_of(env, args + 1, &to))
        return NULL;
    napi_get_value_bool(env, args[5], &join);
    if (texts_of(env, args[4], &rooms)) {
        result = (join ? sockeye_emitter_join : sockeye_emitter_leave)(sender->emitter, &to.target, rooms.items, rooms.count);
        texts_free(&rooms);
    }
    address_free(&to);
    return outcome(env, result);
}

/* disconnect(emitter, namespace, rooms, except, flags) */
static napi_value disconnect(napi_env env, napi_callback_info info)
{
    napi_value args[5];
    struct sender *sender;
    struct address to;
    if (!arguments(env, info, 5, args) || !(sender = sender_of(env, args[0])) || !address_of(env, args + 1, &to))
        return NULL;
    sockeye_result result = sockeye_emitter_disconnect(sender->emitter, &to.target, number_of(env, args[4]));
    address_free(&to);
    return outcome(env, result);
}

/* serverEmit(emitter, namespace, name, arguments as JSON, attachments) */
static napi_value server_emit(napi_env env, napi_callback_info info)
{
    napi_value args[5];
    struct sender *sender;
    struct event event;
    size_t nsp_len;
    sockeye_result result = SOCKEYE_OK;
    if (!arguments(env, info, 5, args) || !(sender = sender_of(env, args[0])))
        return NULL;
    char *nsp = text_of(env, args[1], &nsp_len);
    if (nsp && event_of(env, args + 2, &event)) {
        result = sockeye_emitter_server_emit(sender->emitter, nsp, nsp_len, &event.emission);
        event_free(&event);
    }
    free(nsp);
    return outcome(env, result);
}

/* state(emitter) → [up, waiting, waiting bytes, published, unconfirmed, dropped, downs, error] */
static napi_value state(napi_env env, napi_callback_info info)
{
    napi_value args[1], list, text;
    struct sender *sender;
    sockeye_emitter_state state = {.size = sizeof state};
    sockeye_buffer *error = NULL;
    size_t len;
    if (!arguments(env, info, 1, args) || !(sender = sender_of(env, args[0])))
        return NULL;
    sockeye_result result = sockeye_emitter_get_state(sender->emitter, &state);
    if (result == SOCKEYE_OK)
        result = sockeye_emitter_error(sender->emitter, &error);
    if (result < 0)
        return throw_last(env, result);
    const uint64_t numbers[] = {state.up, state.waiting, state.waiting_bytes, state.published, state.unconfirmed, state.dropped, state.downs};
    napi_create_array(env, &list);
    for (uint32_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        napi_set_element(env, list, i, number(env, (double)numbers[i]));
    const char *data = sockeye_buffer_data(error, &len);
    napi_create_string_utf8(env, data, len, &text);
    napi_set_element(env, list, sizeof numbers / sizeof numbers[0], text);
    sockeye_buffer_free(error);
    return list;
}

/* ---- what waits, on a thread of Node's pool -------------------------------------------------------------------------------- */

#define LATER_MS 1000

struct wait {
    struct sender *sender;
    uint32_t timeout_ms;
    sockeye_result result;
    char why[256];
    napi_async_work work;
    napi_deferred deferred;
};

static void wait_execute(napi_env env, void *data)
{
    struct wait *wait = data;
    (void)env;
    wait->result = sockeye_emitter_flush(wait->sender->emitter, wait->timeout_ms);
    if (wait->result < 0) {
        size_t len = 0;
        for (const char *text = sockeye_last_error(); text[len] && len + 1 < sizeof wait->why; len++)
            wait->why[len] = text[len];
    }
}

static void wait_complete(napi_env env, napi_status status, void *data)
{
    struct wait *wait = data;
    napi_value code, text, error;
    (void)status;
    if (wait->result < 0) {
        napi_create_string_utf8(env, sockeye_error_name(wait->result), NAPI_AUTO_LENGTH, &code);
        napi_create_string_utf8(env, wait->why, NAPI_AUTO_LENGTH, &text);
        napi_create_error(env, code, text, &error);
        napi_reject_deferred(env, wait->deferred, error);
    } else {
        napi_get_undefined(env, &text);
        napi_resolve_deferred(env, wait->deferred, text);
    }
    napi_delete_async_work(env, wait->work);
    wait->sender->uses--;
    sender_drop(wait->sender);
    free(wait);
}

/* Waits for what was emitted before. */
static napi_value wait_for(napi_env env, struct sender *sender, uint32_t timeout_ms)
{
    napi_value promise, name;
    struct wait *wait = calloc(1, sizeof *wait);
    if (!wait) {
        napi_throw_error(env, NULL, "out of memory");
        return NULL;
    }
    *wait = (struct wait){.sender = sender, .timeout_ms = timeout_ms};
    sender->uses++;
    napi_create_promise(env, &wait->deferred, &promise);
    napi_create_string_utf8(env, "sockeye", NAPI_AUTO_LENGTH, &name);
    napi_create_async_work(env, NULL, name, wait_execute, wait_complete, wait, &wait->work);
    napi_queue_async_work(env, wait->work);
    return promise;
}

/* flush(emitter, ms) → promise */
static napi_value flush(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct sender *sender;
    if (!arguments(env, info, 2, args) || !(sender = sender_of(env, args[0])))
        return NULL;
    return wait_for(env, sender, number_of(env, args[1]));
}

/* close(emitter, ms) → promise */
static napi_value close_emitter(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct sender *sender;
    if (!arguments(env, info, 2, args) || !(sender = sender_of(env, args[0])))
        return NULL;
    uint32_t grace_ms = number_of(env, args[1]);
    sender->closed = 1;
    sockeye_emitter_close(sender->emitter, grace_ms);
    /* When the grace is over the emitter says so itself. */
    return wait_for(env, sender, grace_ms > UINT32_MAX - LATER_MS ? UINT32_MAX : grace_ms + LATER_MS);
}

void emitter_exports(napi_env env, napi_value exports)
{
    napi_value emitter;
    napi_create_object(env, &emitter);
    export_function(env, emitter, "open", open_emitter);
    export_function(env, emitter, "emit", emit);
    export_function(env, emitter, "move", move);
    export_function(env, emitter, "disconnect", disconnect);
    export_function(env, emitter, "serverEmit", server_emit);
    export_function(env, emitter, "state", state);
    export_function(env, emitter, "flush", flush);
    export_function(env, emitter, "close", close_emitter);
    napi_set_named_property(env, exports, "emitter", emitter);
}
