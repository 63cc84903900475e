/* Connections and requests that Node accepted and the engine takes over: descriptors, requests with their answers, streams (TLS).
 *
 * The functions that the engine calls run on its threads: they copy, note, and return. */
#include "addon.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of a stream that wait for Node's socket before the engine keeps the rest itself. */
#define STREAM_BYTES_MAX (256 * 1024)

/* A request or stream, as the engine knows it. */
struct guest {
    struct host *host;
    uint32_t id;
    atomic_size_t waiting; /* bytes that JavaScript has not written yet */
    atomic_int refused;    /* the engine was told to keep some */
    atomic_int holders;    /* the engine, and of a stream JavaScript's handle */
};

static void guest_release(void *user)
{
    struct guest *guest = user;
    if (atomic_fetch_sub(&guest->holders, 1) == 1)
        free(guest);
}

static void on_finalize(napi_env env, void *data, void *hint)
{
    (void)env, (void)hint;
    guest_release(data);
}

static struct guest *guest_new(struct host *host, uint32_t id)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (guest) {
        guest->host = host;
        guest->id = id;
        atomic_init(&guest->holders, 1);
    }
    return guest;
}

/* ---- on engine threads --------------------------------------------------------------------------------------------------- */

static unsigned char *put(unsigned char *at, const char *text, size_t text_len)
{
    uint32_t len = (uint32_t)text_len;
    memcpy(at, &len, sizeof len);
    if (len)
        memcpy(at + sizeof len, text, len);
    return at + sizeof len + len;
}

static void on_answer(void *user, const sockeye_http_answer *answer)
{
    struct guest *guest = user;
    size_t head_len = 0;
    for (size_t i = 0; i < answer->header_count; i++)
        head_len += 2 * sizeof(uint32_t) + answer->headers[i].name_len + answer->headers[i].value_len;
    struct note *note = note_new(NOTE_ANSWER, guest->id, head_len + answer->body_len);
    if (!note)
        return;
    unsigned char *at = note->bytes;
    note->status = answer->status;
    note->pair_count = (uint32_t)answer->header_count;
    note->head_len = head_len;
    note->body_len = answer->body_len;
    for (size_t i = 0; i < answer->header_count; i++) {
        at = put(at, answer->headers[i].name, answer->headers[i].name_len);
        at = put(at, answer->headers[i].value, answer->headers[i].value_len);
    }
    if (answer->body_len)
        memcpy(at, answer->body, answer->body_len);
    host_note(guest->host, note);
}

static size_t on_send(void *user, const void *data, size_t len)
{
    struct guest *guest = user;
    size_t waiting = atomic_load(&guest->waiting);
    size_t room = waiting < STREAM_BYTES_MAX ? STREAM_BYTES_MAX - waiting : 0;
    size_t taken = len < room ? len : room;
    struct note *note = taken ? note_new(NOTE_SEND, guest->id, taken) : NULL;
    if (!note)
        taken = 0;
    if (taken < len)
        atomic_store(&guest->refused, 1);
    if (!note)
        return 0;
    note->body_len = taken;
    memcpy(note->bytes, data, taken);
    atomic_fetch_add(&guest->waiting, taken);
    host_note(guest->host, note);
    return taken;
}

static void tell(struct guest *guest, uint32_t kind)
{
    struct note *note = note_new(kind, guest->id, 0);
    if (note)
        host_note(guest->host, note);
}

static void on_room(void *user)
{
    tell(user, NOTE_ROOM);
}

static void on_close(void *user)
{
    tell(user, NOTE_CLOSE);
}

/* ---- functions of JavaScript --------------------------------------------------------------------------------------------- */

/* adopt(engine, descriptor, head) → result. The engine gets a duplicate; the caller closes its own. */
static napi_value adopt(napi_env env, napi_callback_info info)
{
    napi_value args[3];
    struct host *host;
    void *head;
    size_t head_len;
    if (!arguments(env, info, 3, args) || !(host = host_of(env, args[0])) || !bytes_of(env, args[2], &head, &head_len))
        return NULL;
    int fd = fcntl((int)number_of(env, args[1]), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return number(env, SOCKEYE_ERR_IO);
    sockeye_connection connection = {.size = sizeof connection, .fd = fd, .head = head, .head_len = head_len};
    sockeye_result result = sockeye_engine_adopt(host->engine, &connection, NULL);
    if (result < 0)
        close(fd);
    return number(env, result);
}

/* A stream as JavaScript holds it: its id, and the guest that the engine frees. */
static napi_value stream_result(napi_env env, sockeye_result result, sockeye_stream stream)
{
    napi_value id = NULL;
    if (result < 0)
        return number(env, result);
    napi_create_bigint_uint64(env, stream, &id);
    return id;
}

/* Reads `[name, value, ...]` into headers that point into one block, `*block`, to be freed. The number of headers, or -1. */
static int64_t read_headers(napi_env env, napi_value list, sockeye_header **headers)
{
    uint32_t count = 0;
    size_t total = 0, len;
    napi_value value;
    *headers = NULL;
    if (napi_get_array_length(env, list, &count) != napi_ok)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        if (napi_get_element(env, list, i, &value) != napi_ok ||
            napi_get_value_string_latin1(env, value, NULL, 0, &len) != napi_ok)
            return -1;
        total += len + 1;
    }
    *headers = malloc((count / 2 + 1) * sizeof **headers + total);
    if (!*headers)
        return -1;
    char *at = (char *)(*headers + count / 2 + 1), *end = at + total;
    for (uint32_t i = 0; i + 1 < count; i += 2) {
        sockeye_header *header = &(*headers)[i / 2];
        napi_get_element(env, list, i, &value);
        napi_get_value_string_latin1(env, value, at, (size_t)(end - at), &header->name_len);
        header->name = at;
        at += header->name_len + 1;
        napi_get_element(env, list, i + 1, &value);
        napi_get_value_string_latin1(env, value, at, (size_t)(end - at), &header->value_len);
        header->value = at;
        at += header->value_len + 1;
    }
    return count / 2;
}

/* http(engine, id, method, target, headers, body, address, secure) → stream, or a negative result; the answer comes as a note */
static napi_value http(napi_env env, napi_callback_info info)
{
    napi_value args[8];
    struct host *host;
    sockeye_header *headers = NULL;
    bool secure = false;
    sockeye_stream stream = 0;
    void *body;
    if (!arguments(env, info, 8, args) || !(host = host_of(env, args[0])))
        return NULL;
    sockeye_http_request request = {.size = sizeof request};
    if (!bytes_of(env, args[5], &body, &request.body_len))
        return NULL;
    napi_get_value_bool(env, args[7], &secure);
    char *method = text_of(env, args[2], &request.method_len);
    char *target = text_of(env, args[3], &request.target_len);
    char *remote = text_of(env, args[6], &request.remote_len);
    int64_t count = read_headers(env, args[4], &headers);
    struct guest *guest = guest_new(host, number_of(env, args[1]));
    sockeye_result result = SOCKEYE_ERR_INVALID;
    if (method && target && count >= 0 && guest) {
        request.flags = secure ? SOCKEYE_CONNECTION_SECURE : 0;
        request.method = method;
        request.target = target;
        request.remote = remote;
        request.headers = headers;
        request.header_count = (size_t)count;
        request.body = body;
        result = sockeye_engine_http(host->engine, &request, on_answer, guest, guest_release, &stream);
    }
    if (result < 0)
        free(guest);
    free(method), free(target), free(remote), free(headers);
    return stream_result(env, result, stream);
}

/* feed(engine, id, head, address, secure) → `[stream, guest]`, or a negative result: a connection whose bytes JavaScript carries */
static napi_value feed(napi_env env, napi_callback_info info)
{
    napi_value args[5], pair, handle;
    struct host *host;
    bool secure = false;
    sockeye_stream stream = 0;
    void *head;
    sockeye_connection connection = {.size = sizeof connection, .fd = -1};
    if (!arguments(env, info, 5, args) || !(host = host_of(env, args[0])) ||
        !bytes_of(env, args[2], &head, &connection.head_len))
        return NULL;
    napi_get_value_bool(env, args[4], &secure);
    struct guest *guest = guest_new(host, number_of(env, args[1]));
    char *remote = text_of(env, args[3], &connection.remote_len);
    if (!guest) {
        free(remote);
        return number(env, SOCKEYE_ERR_FULL);
    }
    connection.flags = secure ? SOCKEYE_CONNECTION_SECURE : 0;
    connection.head = head;
    connection.remote = remote;
    connection.send = on_send;
    connection.room = on_room;
    connection.close = on_close;
    connection.user = guest;
    connection.drop = guest_release;
    atomic_store(&guest->holders, 2);
    napi_create_external(env, guest, on_finalize, NULL, &handle);
    sockeye_result result = sockeye_engine_adopt(host->engine, &connection, &stream);
    free(remote);
    if (result < 0) {
        guest_release(guest); /* for the engine, which did not take it */
        return number(env, result);
    }
    napi_create_array_with_length(env, 2, &pair);
    napi_set_element(env, pair, 0, stream_result(env, result, stream));
    napi_set_element(env, pair, 1, handle);
    return pair;
}

static sockeye_stream stream_of(napi_env env, napi_value value)
{
    uint64_t id = 0;
    bool lossless;
    if (napi_get_value_bigint_uint64(env, value, &id, &lossless) != napi_ok)
        napi_throw_type_error(env, NULL, "a stream is wanted");
    return id;
}

/* input(engine, stream, bytes) → how many were taken, or a negative result */
static napi_value input(napi_env env, napi_callback_info info)
{
    napi_value args[3];
    struct host *host;
    void *data;
    size_t len;
    if (!arguments(env, info, 3, args) || !(host = host_of(env, args[0])) || !bytes_of(env, args[2], &data, &len))
        return NULL;
    return number(env, (double)sockeye_stream_input(host->engine, stream_of(env, args[1]), data, len));
}

/* end(engine, stream): the peer sends no more, or is gone */
static napi_value end(napi_env env, napi_callback_info info)
{
    napi_value args[2];
    struct host *host;
    if (!arguments(env, info, 2, args) || !(host = host_of(env, args[0])))
        return NULL;
    return number(env, sockeye_stream_end(host->engine, stream_of(env, args[1])));
}

/* written(engine, stream, guest, bytes that left): the engine may have kept some back */
static napi_value written(napi_env env, napi_callback_info info)
{
    napi_value args[4];
    struct host *host;
    void *data = NULL;
    if (!arguments(env, info, 4, args) || !(host = host_of(env, args[0])) ||
        napi_get_value_external(env, args[2], &data) != napi_ok)
        return NULL;
    struct guest *guest = data;
    atomic_fetch_sub(&guest->waiting, number_of(env, args[3]));
    if (atomic_exchange(&guest->refused, 0))
        sockeye_stream_writable(host->engine, stream_of(env, args[1]));
    return NULL;
}

void guest_exports(napi_env env, napi_value exports)
{
    export_function(env, exports, "adopt", adopt);
    export_function(env, exports, "http", http);
    export_function(env, exports, "feed", feed);
    export_function(env, exports, "input", input);
    export_function(env, exports, "end", end);
    export_function(env, exports, "written", written);
}
