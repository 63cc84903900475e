/* An engine's life in a Node environment: made, woken, polled, asked, closed, freed.
 *
 * Engine threads only append notes and call uv_async_send; everything else happens on the environment's own thread. The async handle
 * outlives the engine, whose threads `sockeye_engine_free` joins, and the host outlives both and JavaScript's handle. */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

struct host *host_of(napi_env env, napi_value value)
{
    void *data = NULL;
    if (napi_get_value_external(env, value, &data) == napi_ok) {
        struct host *host = data;
        if (host->engine)
            return host;
        napi_throw_error(env, "SOCKEYE_ERR_CLOSED", "the engine is closed");
        return NULL;
    }
    napi_throw_type_error(env, NULL, "an engine is wanted");
    return NULL;
}

/* ---- from engine threads ------------------------------------------------------------------------------------------------- */

struct note *note_new(uint32_t kind, uint32_t id, size_t len)
{
    struct note *note = malloc(sizeof *note + len);
    if (note)
        *note = (struct note){.kind = kind, .id = id};
    return note;
}

void host_note(struct host *host, struct note *note)
{
    pthread_mutex_lock(&host->lock);
    if (host->last)
        host->last->next = note;
    else
        host->first = note;
    host->last = note;
    pthread_mutex_unlock(&host->lock);
    uv_async_send(host->async);
}

static void on_events(void *user)
{
    uv_async_send(((struct host *)user)->async);
}

/* ---- to JavaScript ------------------------------------------------------------------------------------------------------- */

static napi_value headers_of(napi_env env, const struct note *note)
{
    const unsigned char *at = note->bytes;
    napi_value list, text;
    napi_create_array(env, &list);
    for (uint32_t i = 0; i < note->pair_count * 2; i++) {
        uint32_t len;
        memcpy(&len, at, sizeof len);
        napi_create_string_latin1(env, (const char *)at + sizeof len, len, &text);
        napi_set_element(env, list, i, text);
        at += sizeof len + len;
    }
    return list;
}

/* `[kind, id, status, headers, body, ...]`, five elements for each note; undefined if there is none. */
static napi_value take_notes(struct host *host)
{
    napi_env env = host->env;
    napi_value list, value;
    uint32_t at = 0;
    pthread_mutex_lock(&host->lock);
    struct note *note = host->first;
    host->first = host->last = NULL;
    pthread_mutex_unlock(&host->lock);
    if (!note) {
        napi_get_undefined(env, &list);
        return list;
    }
    napi_create_array(env, &list);
    while (note) {
        struct note *next = note->next;
        napi_set_element(env, list, at++, number(env, note->kind));
        napi_set_element(env, list, at++, number(env, note->id));
        napi_set_element(env, list, at++, number(env, note->status));
        napi_set_element(env, list, at++, headers_of(env, note));
        napi_create_buffer_copy(env, note->body_len, note->bytes + note->head_len, NULL, &value);
        napi_set_element(env, list, at++, value);
        free(note);
        note = next;
    }
    return list;
}

static void wake_javascript(struct host *host)
{
    napi_env env = host->env;
    napi_handle_scope scope;
    napi_value function, resource, notes, error, ignored;
    if (!host->on_wake || napi_open_handle_scope(env, &scope) != napi_ok)
        return;
    napi_get_reference_value(env, host->on_wake, &function);
    napi_get_reference_value(env, host->resource, &resource);
    notes = take_notes(host);
    if (napi_make_callback(env, host->context, resource, function, 1, &notes, &ignored) == napi_pending_exception &&
        napi_get_and_clear_last_exception(env, &error) == napi_ok)
        napi_fatal_exception(env, error); /* 'uncaughtException', as from any callback of Node's */
    napi_close_handle_scope(env, scope);
}

static void on_async(uv_async_t *async)
{
    wake_javascript(async->data);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------- */

static void host_drop(struct host *host)
{
    if (host->async || !host->finalized)
        return;
    pthread_mutex_destroy(&host->lock);
    free(host->scratch.text);
    free(host->scratch.parts);
    free(host);
}

static void on_closed(uv_handle_t *handle)
{
    struct host *host = handle->data;
    napi_async_cleanup_hook_handle hook = host->hook;
    free(handle);
    host->async = NULL;
    host->hook = NULL;
    if (hook)
        napi_remove_async_cleanup_hook(hook);
    host_drop(host);
}

/* Unties from the loop what `sockeye_engine_free` has ended: after that no thread of the engine's is left. */
static void detach_loop(struct host *host)
{
    while (host->first) {
        struct note *note = host->first;
        host->first = note->next;
        free(note);
    }
    host->last = NULL;
    napi_delete_reference(host->env, host->on_wake);
    napi_delete_reference(host->env, host->resource);
    napi_async_destroy(host->env, host->context);
    host->on_wake = host->resource = NULL;
    uv_close((uv_handle_t *)host->async, on_closed);
}

/* The environment ends: `process.exit`, or a worker. Live connections go with it. */
static void on_cleanup(napi_async_cleanup_hook_handle hook, void *data)
{
    struct host *host = data;
    host->hook = hook;
    if (!host->engine)
        return; /* the handle is closing already */
    sockeye_engine_free(host->engine);
    host->engine = NULL;
    detach_loop(host);
}

static void on_finalize(napi_env env, void *data, void *hint)
{
    struct host *host = data;
    (void)env, (void)hint;
    host->finalized = 1;
    host_drop(host);
}

/* ---- functions of JavaScript --------------------------------------------------------------------------------------------- */

/* Ties a new engine to the loop. */
static int attach_loop(napi_env env, struct host *host, napi_value function)
{
    uv_loop_t *loop;
    napi_value name, resource;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok || !(host->async = malloc(sizeof *host->async)))
        return 0;
    host->async->data = host;
    if (uv_async_init(loop, host->async, on_async) != 0)
        return 0;
    uv_unref((uv_handle_t *)host->async);
    napi_create_string_utf8(env, "sockeye", NAPI_AUTO_LENGTH, &name);
    napi_create_object(env, &resource);
    napi_create_reference(env, resource, 1, &host->resource);
    napi_create_reference(env, function, 1, &host->on_wake);
    napi_async_init(env, resource, name, &host->context);
    napi_add_async_cleanup_hook(env, on_cleanup, host, &host->hook);
    return 1;
}

/* create(options as JSON, function for wakes) → engine */
static napi_value create(napi_env env, napi_callback_info info)
{
    napi_value args[2], handle;
    size_t len;
    if (!arguments(env, info, 2, args))
        return NULL;
    char *json = text_of(env, args[0], &len);
    struct host *host = calloc(1, sizeof *host);
    if (!json || !host) {
        free(json), free(host);
        return NULL;
    }
    sockeye_result result = sockeye_engine_new_json(json, len, &host->engine);
    free(json);
    if (result < 0) {
        free(host);
        return throw_last(env, result);
    }
    host->env = env;
    pthread_mutex_init(&host->lock, NULL);
    if (!attach_loop(env, host, args[1])) {
        sockeye_engine_free(host->engine);
        free(host->async), free(host);
        napi_throw_error(env, NULL, "sockeye: the event loop takes no more handles");
        return NULL;
    }
    napi_create_external(env, host, on_finalize, NULL, &handle);
    sockeye_queue_set_wake(sockeye_engine_queue(host->engine), on_events, host, NULL);
    return handle;
}

/* poll(engine, buffer) → events in the buffer; -6 if the next one needs a buffer of as many bytes as its first number says; -4 after the last */
static napi_value poll_batch(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct host *host;
    void *buffer;
    size_t cap, used = 0;
    if (!arguments(env, info, 2, args) || !(host = host_of(env, args[0])) || !bytes_of(env, args[1], &buffer, &cap))
        return NULL;
    int64_t count =
        sockeye_queue_poll_packed(sockeye_engine_queue(host->engine), buffer, cap, &used, SOCKEYE_PACK_JOINED, 0);
    if (count == SOCKEYE_ERR_TOO_BIG) {
        uint32_t wanted = (uint32_t)used;
        memcpy(buffer, &wanted, sizeof wanted);
    }
    return number(env, (double)count);
}

/* namespace(engine, name, flags) → id */
static napi_value namespace(napi_env env, napi_callback_info info)
{
    napi_value args[3];
    struct host *host;
    size_t len;
    sockeye_nsp nsp = 0;
    if (!arguments(env, info, 3, args) || !(host = host_of(env, args[0])))
        return NULL;
    sockeye_nsp_options options = {.size = sizeof options, .flags = number_of(env, args[2])};
    char *name = text_of(env, args[1], &len);
    if (!name)
        return NULL;
    sockeye_result result = sockeye_namespace(host->engine, name, len, &options, &nsp);
    free(name);
    return result < 0 ? throw_last(env, result) : number(env, nsp);
}

/* nameOf(engine, namespace) → its name, or undefined if it has ended */
static napi_value name_of_namespace(napi_env env, napi_callback_info info)
{
    napi_value args[2], name;
    struct host *host;
    sockeye_buffer *text = NULL;
    size_t len;
    if (!arguments(env, info, 2, args) || !(host = host_of(env, args[0])) ||
        sockeye_namespace_name(host->engine, number_of(env, args[1]), &text) < 0)
        return NULL;
    const char *bytes = sockeye_buffer_data(text, &len);
    napi_create_string_utf8(env, bytes, len, &name);
    sockeye_buffer_free(text);
    return name;
}

/* pattern(engine, flags) → id of a pattern that matches every name */
static napi_value pattern(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct host *host;
    sockeye_nsp nsp = 0;
    if (!arguments(env, info, 2, args) || !(host = host_of(env, args[0])))
        return NULL;
    sockeye_nsp_options options = {.size = sizeof options, .flags = number_of(env, args[1])};
    sockeye_result result = sockeye_namespace_pattern(host->engine, NULL, 0, &options, &nsp);
    return result < 0 ? throw_last(env, result) : number(env, nsp);
}

/* decide(engine, token, token's high half, accept, message, data as JSON) → result */
static napi_value decide(napi_env env, napi_callback_info info)
{
    napi_value args[6];
    struct host *host;
    bool accepted = false;
    size_t message_len, data_len;
    if (!arguments(env, info, 6, args) || !(host = host_of(env, args[0])))
        return NULL;
    uint64_t token = id_of(env, args[1], args[2]);
    napi_get_value_bool(env, args[3], &accepted);
    char *message = text_of(env, args[4], &message_len);
    char *data = text_of(env, args[5], &data_len);
    sockeye_result result =
        accepted ? sockeye_accept(host->engine, token, 0, data, data_len)
                 : sockeye_reject(host->engine, token, message, message_len, data, data_len);
    free(message), free(data);
    return number(env, result);
}

/* info(engine, socket, socket's high half) → `[id, transport, handshake as JSON]`, or undefined */
static napi_value socket_info(napi_env env, napi_callback_info info)
{
    napi_value args[3], list, text;
    struct host *host;
    sockeye_buffer *handshake = NULL;
    size_t len;
    if (!arguments(env, info, 3, args) || !(host = host_of(env, args[0])))
        return NULL;
    uint64_t socket = id_of(env, args[1], args[2]);
    sockeye_socket_info known = {.size = sizeof known};
    if (sockeye_socket_get_info(host->engine, socket, &known, sizeof known) < 0 ||
        sockeye_socket_handshake(host->engine, socket, &handshake) < 0)
        return NULL;
    const char *json = sockeye_buffer_data(handshake, &len);
    napi_create_array_with_length(env, 3, &list);
    /* Strings of their own: a part of a longer one would keep it all. */
    napi_create_string_latin1(env, known.id, NAPI_AUTO_LENGTH, &text);
    napi_set_element(env, list, 0, text);
    napi_set_element(env, list, 1, number(env, known.transport));
    napi_create_string_utf8(env, json, len, &text);
    napi_set_element(env, list, 2, text);
    sockeye_buffer_free(handshake);
    return list;
}

/* atom(engine, name) → number, 0 if there are too many */
static napi_value atom(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct host *host;
    size_t len;
    sockeye_atom atom = 0;
    if (!arguments(env, info, 2, args) || !(host = host_of(env, args[0])))
        return NULL;
    char *name = text_of(env, args[1], &len);
    if (name && sockeye_atom_of(host->engine, name, len, &atom) < 0)
        atom = 0;
    free(name);
    return number(env, atom);
}

/* sessions(engine) → how many clients there are */
static napi_value sessions(napi_env env, napi_callback_info info)
{
    napi_value args[1];
    struct host *host;
    sockeye_metrics metrics = {.size = sizeof metrics};
    if (!arguments(env, info, 1, args) || !(host = host_of(env, args[0])))
        return NULL;
    sockeye_result result = sockeye_engine_metrics(host->engine, &metrics);
    if (result < 0)
        return throw_last(env, result);
    return number(env, (double)(metrics.sessions_polling + metrics.sessions_websocket));
}

/* metrics(engine) → Prometheus text */
static napi_value metrics_text(napi_env env, napi_callback_info info)
{
    napi_value args[1], text = NULL;
    struct host *host;
    sockeye_buffer *buffer = NULL;
    size_t len;
    if (!arguments(env, info, 1, args) || !(host = host_of(env, args[0])))
        return NULL;
    sockeye_result result = sockeye_engine_metrics_text(host->engine, &buffer);
    if (result < 0)
        return throw_last(env, result);
    const char *data = sockeye_buffer_data(buffer, &len);
    napi_create_string_utf8(env, data, len, &text);
    sockeye_buffer_free(buffer);
    return text;
}

/* hold(engine, whether it keeps the process alive) */
static napi_value hold(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct host *host;
    bool held = false;
    if (!arguments(env, info, 2, args) || !(host = host_of(env, args[0])))
        return NULL;
    napi_get_value_bool(env, args[1], &held);
    (held ? uv_ref : uv_unref)((uv_handle_t *)host->async);
    return NULL;
}

/* close(engine, ms in which what is queued may be sent): the queue's end follows */
static napi_value close_engine(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct host *host;
    if (!arguments(env, info, 2, args) || !(host = host_of(env, args[0])))
        return NULL;
    return number(env, sockeye_engine_close(host->engine, number_of(env, args[1])));
}

/* free(engine) → the last notes: after the queue's end */
static napi_value free_engine(napi_env env, napi_callback_info info)
{
    napi_value args[1];
    struct host *host;
    if (!arguments(env, info, 1, args) || !(host = host_of(env, args[0])))
        return NULL;
    sockeye_engine_free(host->engine);
    host->engine = NULL;
    napi_value notes = take_notes(host);
    detach_loop(host);
    return notes;
}

void engine_exports(napi_env env, napi_value exports)
{
    export_function(env, exports, "create", create);
    export_function(env, exports, "poll", poll_batch);
    export_function(env, exports, "namespace", namespace);
    export_function(env, exports, "nameOf", name_of_namespace);
    export_function(env, exports, "pattern", pattern);
    export_function(env, exports, "decide", decide);
    export_function(env, exports, "info", socket_info);
    export_function(env, exports, "atom", atom);
    export_function(env, exports, "sessions", sessions);
    export_function(env, exports, "metrics", metrics_text);
    export_function(env, exports, "hold", hold);
    export_function(env, exports, "close", close_engine);
    export_function(env, exports, "free", free_engine);
}
