/* What the files of the addon share: an engine as JavaScript holds it, and short forms of Node-API calls.
 *
 * Nothing is global: what belongs to an engine hangs on it, so that an addon can be loaded by several worker threads. */
#ifndef SOCKEYE_NODE_ADDON_H
#define SOCKEYE_NODE_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "sockeye.h"

/* Something that an engine thread tells JavaScript, in the order in which it came. */
struct note {
    struct note *next;
    uint32_t kind;       /* NOTE_* */
    uint32_t id;         /* JavaScript's number of the request or stream */
    uint32_t status;     /* NOTE_ANSWER: the HTTP status */
    uint32_t pair_count; /* NOTE_ANSWER: headers; each is name and value, with their lengths before them */
    size_t head_len;     /* bytes of the headers, which `bytes` begins with */
    size_t body_len;
    unsigned char bytes[];
};

#define NOTE_ANSWER 0 /* a request is answered */
#define NOTE_SEND 1   /* a stream has bytes for its peer */
#define NOTE_ROOM 2   /* a stream takes input again */
#define NOTE_CLOSE 3  /* a stream is over: end it */

/* Memory of `submit`, kept from call to call. */
struct scratch {
    char *text;
    size_t text_cap;
    void *parts;
    size_t parts_cap;
};

/* An engine, with what ties it to the loop of one environment. */
struct host {
    napi_env env;
    sockeye_engine *engine; /* NULL once it was freed */
    uv_async_t *async;      /* NULL once it was closed */
    napi_ref on_wake;
    napi_ref resource; /* the object that callbacks are accounted to */
    napi_async_context context;
    napi_async_cleanup_hook_handle hook;
    pthread_mutex_t lock; /* for the notes */
    struct note *first, *last;
    struct scratch scratch;
    int finalized; /* JavaScript has no handle any more */
};

struct host *host_of(napi_env env, napi_value value);
void host_note(struct host *host, struct note *note);
struct note *note_new(uint32_t kind, uint32_t id, size_t len);

/* Throws an Error with the message of the engine's last failure, and `code`. */
napi_value throw_last(napi_env env, sockeye_result code);

/* Arguments, unpacked. They throw and return 0 (or NULL) if the value is of another kind. */
int arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);
uint32_t number_of(napi_env env, napi_value value);
uint64_t id_of(napi_env env, napi_value low, napi_value high);
/* The text of a string, to be freed; NULL for undefined and null. */
char *text_of(napi_env env, napi_value value, size_t *len);
int bytes_of(napi_env env, napi_value value, void **data, size_t *len);
int is_nothing(napi_env env, napi_value value);
napi_value number(napi_env env, double value);

/* Texts of a JavaScript array, and an event with its arguments: to be freed. They throw and return 0 if the values are of another kind. */
struct texts {
    sockeye_bytes *items;
    size_t count;
};
struct event {
    sockeye_emission emission;
    sockeye_bytes *attachments;
};
int texts_of(napi_env env, napi_value list, struct texts *texts);
void texts_free(struct texts *texts);
/* Of three values: name, arguments as JSON, an array of Buffers. */
int event_of(napi_env env, const napi_value *values, struct event *event);
void event_free(struct event *event);
/* Nothing, or what `throw_last` throws. */
napi_value outcome(napi_env env, sockeye_result result);

void engine_exports(napi_env env, napi_value exports);
void submit_exports(napi_env env, napi_value exports);
void guest_exports(napi_env env, napi_value exports);
void door_exports(napi_env env, napi_value exports);
void cluster_exports(napi_env env, napi_value exports);
void emitter_exports(napi_env env, napi_value exports);
void export_function(napi_env env, napi_value exports, const char *name, napi_callback function);

#endif
