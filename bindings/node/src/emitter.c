/* Emitters: the broker of a cluster, without a server. They keep no process alive; when the environment ends, what waits has a second. */
#include "addon.h"

#include <stdlib.h>

/* What is left for what waits when the environment ends. */
#define END_GRACE_MS 1000

struct sender {
    sockeye_emitter *emitter; /* NULL once it was freed */
    napi_threadsafe_function done; /* by which waits come back; NULL once it was released */
    struct wait *waits;       /* those whose threads run, or have not been joined */
    int closed;               /* for JavaScript */
    int finalized;            /* JavaScript has no handle any more */
};

static void waits_join(struct sender *sender);

/* Frees what nobody uses any more. */
static void sender_drop(struct sender *sender)
{
    if (sender->waits || !(sender->closed || sender->finalized))
        return;
    sockeye_emitter_free(sender->emitter);
    sender->emitter = NULL;
    if (sender->done)
        napi_release_threadsafe_function(sender->done, napi_tsfn_release);
    sender->done = NULL;
    if (sender->finalized)
        free(sender);
}

/* The environment ends, and `done` after this. */
static void on_cleanup(void *data)
{
    struct sender *sender = data;
    if (!sender->emitter)
        return;
    sockeye_emitter_close(sender->emitter, END_GRACE_MS);
    waits_join(sender);
    sockeye_emitter_free(sender->emitter);
    sender->emitter = NULL;
    sender->done = NULL; /* the environment's to release */
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

static void on_done(napi_env env, napi_value function, void *context, void *data);

/* Ties a new emitter to the environment. */
static napi_value sender_handle(napi_env env, struct sender *sender)
{
    napi_value name, handle = NULL;
    napi_create_string_utf8(env, "sockeye", NAPI_AUTO_LENGTH, &name);
    if (napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, NULL, on_done, &sender->done) != napi_ok) {
        napi_throw_error(env, NULL, "sockeye: the event loop takes no more handles");
        return NULL;
    }
    /* An emitter keeps no process alive, but who waits for it does. */
    napi_unref_threadsafe_function(env, sender->done);
    napi_create_external(env, sender, on_finalize, NULL, &handle);
    /* The hooks run in reverse order: this one before that of `done`. */
    napi_add_env_cleanup_hook(env, on_cleanup, sender);
    return handle;
}

/* open(kind, options as JSON) → emitter */
static napi_value open_emitter(napi_env env, napi_callback_info info)
{
    napi_value args[2], handle;
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
    if (result >= 0 && (handle = sender_handle(env, sender)))
        return handle;
    if (sender)
        sockeye_emitter_free(sender->emitter);
    free(sender);
    return NULL;
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

/* ---- what waits ------------------------------------------------------------------------------------------------------------
 *
 * On threads of their own: those of Node's pool are few, others need them, and `process.exit` waits for them. */

#define LATER_MS 1000
#define STACK_BYTES (256 * 1024)

struct wait {
    struct wait *next;
    struct sender *sender;
    pthread_t thread;
    int joined;
    uint32_t timeout_ms;
    sockeye_result result;
    char why[256];
    napi_deferred deferred;
};

static void *wait_run(void *data)
{
    struct wait *wait = data;
    wait->result = sockeye_emitter_flush(wait->sender->emitter, wait->timeout_ms);
    if (wait->result < 0) {
        size_t len = 0;
        for (const char *text = sockeye_last_error(); text[len] && len + 1 < sizeof wait->why; len++)
            wait->why[len] = text[len];
    }
    napi_call_threadsafe_function(wait->sender->done, wait, napi_tsfn_blocking);
    return NULL;
}

static void wait_join(struct wait *wait)
{
    if (!wait->joined)
        pthread_join(wait->thread, NULL);
    wait->joined = 1;
}

/* Returns when all threads have ended, which they do soon after the emitter was closed. */
static void waits_join(struct sender *sender)
{
    for (struct wait *wait = sender->waits; wait; wait = wait->next)
        wait_join(wait);
}

static void wait_settle(napi_env env, const struct wait *wait)
{
    napi_value code, text, error;
    if (wait->result < 0) {
        napi_create_string_utf8(env, sockeye_error_name(wait->result), NAPI_AUTO_LENGTH, &code);
        napi_create_string_utf8(env, wait->why, NAPI_AUTO_LENGTH, &text);
        napi_create_error(env, code, text, &error);
        napi_reject_deferred(env, wait->deferred, error);
    } else {
        napi_get_undefined(env, &text);
        napi_resolve_deferred(env, wait->deferred, text);
    }
}

/* A thread has waited; at the end of the environment there is no `env`. */
static void on_done(napi_env env, napi_value function, void *context, void *data)
{
    struct wait *wait = data;
    struct sender *sender = wait->sender;
    (void)function, (void)context;
    wait_join(wait);
    for (struct wait **at = &sender->waits; *at; at = &(*at)->next)
        if (*at == wait) {
            *at = wait->next;
            break;
        }
    if (env) {
        wait_settle(env, wait);
        if (!sender->waits)
            napi_unref_threadsafe_function(env, sender->done);
    }
    free(wait);
    sender_drop(sender);
}

static int wait_start(struct wait *wait)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return 0;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(&wait->thread, &attributes, wait_run, wait);
    pthread_attr_destroy(&attributes);
    return !failed;
}

/* Waits for what was emitted before. */
static napi_value wait_for(napi_env env, struct sender *sender, uint32_t timeout_ms)
{
    napi_value promise;
    struct wait *wait = calloc(1, sizeof *wait);
    if (wait)
        *wait = (struct wait){.sender = sender, .timeout_ms = timeout_ms, .next = sender->waits};
    if (!wait || napi_create_promise(env, &wait->deferred, &promise) != napi_ok || !wait_start(wait)) {
        free(wait);
        napi_throw_error(env, NULL, "sockeye: out of memory or threads");
        return NULL;
    }
    if (!sender->waits)
        napi_ref_threadsafe_function(env, sender->done);
    sender->waits = wait;
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
