/* Clusters: an engine joins one, and what it asks and tells the other servers. */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

/* A target of a namespace, rooms and exceptions, which stand in the arguments in this order. */
struct whom {
    struct texts rooms, except;
    sockeye_target target;
};

static int whom_of(napi_env env, const napi_value *args, struct whom *whom)
{
    *whom = (struct whom){.target = {.size = sizeof whom->target, .nsp = number_of(env, args[0])}};
    if (!texts_of(env, args[1], &whom->rooms))
        return 0;
    if (!texts_of(env, args[2], &whom->except)) {
        texts_free(&whom->rooms);
        return 0;
    }
    whom->target.rooms = whom->rooms.items;
    whom->target.room_count = whom->rooms.count;
    whom->target.except = whom->except.items;
    whom->target.except_count = whom->except.count;
    return 1;
}

static void whom_free(struct whom *whom)
{
    texts_free(&whom->rooms);
    texts_free(&whom->except);
}

/* `[low half, high half]` of a token. */
static napi_value halves(napi_env env, sockeye_result result, sockeye_token token)
{
    napi_value list;
    if (result < 0)
        return throw_last(env, result);
    napi_create_array(env, &list);
    napi_set_element(env, list, 0, number(env, (double)(uint32_t)token));
    napi_set_element(env, list, 1, number(env, (double)(uint32_t)(token >> 32)));
    return list;
}

/* setAdapter(engine, kind, options as JSON) */
static napi_value set_adapter(napi_env env, napi_callback_info info)
{
    napi_value args[3];
    struct host *host;
    size_t kind_len, json_len;
    if (!arguments(env, info, 3, args) || !(host = host_of(env, args[0])))
        return NULL;
    char *kind = text_of(env, args[1], &kind_len);
    char *json = kind ? text_of(env, args[2], &json_len) : NULL;
    sockeye_result result = json ? sockeye_engine_set_adapter(host->engine, kind, kind_len, json, json_len) : SOCKEYE_OK;
    free(kind), free(json);
    return outcome(env, result);
}

/* fetch(engine, namespace, rooms, except) → token of the SOCKETS event */
static napi_value fetch(napi_env env, napi_callback_info info)
{
    napi_value args[4];
    struct host *host;
    struct whom whom;
    sockeye_token token = 0;
    if (!arguments(env, info, 4, args) || !(host = host_of(env, args[0])) || !whom_of(env, args + 1, &whom))
        return NULL;
    sockeye_result result = sockeye_sockets_fetch(host->engine, &whom.target, &token);
    whom_free(&whom);
    return halves(env, result, token);
}

/* serverCount(engine, namespace) → token of the SERVER_ACK event */
static napi_value server_count(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct host *host;
    sockeye_token token = 0;
    if (!arguments(env, info, 2, args) || !(host = host_of(env, args[0])))
        return NULL;
    sockeye_result result = sockeye_server_count(host->engine, number_of(env, args[1]), &token);
    return halves(env, result, token);
}

/* serverEmit(engine, namespace, name, arguments as JSON, attachments, whether replies are wanted) → token of their SERVER_ACK events */
static napi_value server_emit(napi_env env, napi_callback_info info)
{
    napi_value args[6];
    struct host *host;
    bool wants_ack = false;
    sockeye_token token = 0;
    struct event event;
    if (!arguments(env, info, 6, args) || !(host = host_of(env, args[0])) || !event_of(env, args + 2, &event))
        return NULL;
    napi_get_value_bool(env, args[5], &wants_ack);
    event.emission.flags |= wants_ack ? SOCKEYE_EXPECT_ACK : 0;
    sockeye_result result = sockeye_server_emit(host->engine, number_of(env, args[1]), &event.emission, &token);
    event_free(&event);
    return halves(env, result, token);
}

/* move(engine, namespace, rooms, except, rooms to join or leave, whether to join) */
static napi_value move(napi_env env, napi_callback_info info)
{
    napi_value args[6];
    struct host *host;
    struct whom whom;
    struct texts rooms;
    bool join = false;
    if (!arguments(env, info, 6, args) || !(host = host_of(env, args[0])) || !whom_of(env, args + 1, &whom))
        return NULL;
    napi_get_value_bool(env, args[5], &join);
    sockeye_result result = SOCKEYE_OK;
    if (texts_of(env, args[4], &rooms)) {
        result = (join ? sockeye_sockets_join : sockeye_sockets_leave)(host->engine, &whom.target, rooms.items, rooms.count);
        texts_free(&rooms);
    }
    whom_free(&whom);
    return outcome(env, result);
}

/* disconnectAll(engine, namespace, rooms, except, flags) */
static napi_value disconnect_all(napi_env env, napi_callback_info info)
{
    napi_value args[5];
    struct host *host;
    struct whom whom;
    if (!arguments(env, info, 5, args) || !(host = host_of(env, args[0])) || !whom_of(env, args + 1, &whom))
        return NULL;
    sockeye_result result = sockeye_sockets_disconnect(host->engine, &whom.target, number_of(env, args[4]));
    whom_free(&whom);
    return outcome(env, result);
}

/* setData(engine, socket, socket's high half, data as JSON); that the socket has left is no error */
static napi_value set_data(napi_env env, napi_callback_info info)
{
    napi_value args[4];
    struct host *host;
    size_t len;
    if (!arguments(env, info, 4, args) || !(host = host_of(env, args[0])))
        return NULL;
    char *json = text_of(env, args[3], &len);
    sockeye_result result = json ? sockeye_socket_set_data(host->engine, id_of(env, args[1], args[2]), json, len) : SOCKEYE_OK;
    free(json);
    return result == SOCKEYE_ERR_STALE || result == SOCKEYE_ERR_GONE ? NULL : outcome(env, result);
}

void cluster_exports(napi_env env, napi_value exports)
{
    export_function(env, exports, "setAdapter", set_adapter);
    export_function(env, exports, "fetch", fetch);
    export_function(env, exports, "serverCount", server_count);
    export_function(env, exports, "serverEmit", server_emit);
    export_function(env, exports, "move", move);
    export_function(env, exports, "disconnectAll", disconnect_all);
    export_function(env, exports, "setData", set_data);
}
