/* The testbed's own vocabulary: what its files share. See testbed.c for what the program is.
 *
 * All state lives in one `struct testbed`. Only one thread at a time handles events (a queue never runs two batches at once),
 * so nothing here is locked. */
#ifndef TESTBED_H
#define TESTBED_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sockeye.h"

/* ---- memory and JSON: testbed_json.c ------------------------------------------------------------------------------------ */

/* Borrowed text. `ptr` NULL is "absent". */
typedef struct text {
    const char *ptr;
    size_t len;
} text;

/* Scratch memory of one batch: bumped out of a fixed block, and of separate blocks when that is used up; all of it is given back
 * at once by `arena_reset`. */
#define ARENA_BYTES 65536
struct arena {
    size_t used;
    struct arena_block *blocks;
    char bytes[ARENA_BYTES];
};

/* A growing JSON text; zeroed is empty. */
struct buf {
    char *ptr;
    size_t len, cap;
};

/* Owned copies of attachments; zeroed is empty. */
struct blobs {
    sockeye_bytes *items;
    size_t count;
};

/* A walk over the elements of a JSON array that the engine has validated. */
struct args {
    const char *at, *end;
};

void *arena_alloc(struct arena *arena, size_t len);
void arena_reset(struct arena *arena);

void *xrealloc(void *old, size_t len);
void buf_add(struct buf *buf, const char *ptr, size_t len);
void buf_text(struct buf *buf, text t);
void buf_str(struct buf *buf, const char *zero_terminated);
void buf_quote(struct buf *buf, const char *ptr, size_t len);
void buf_number(struct buf *buf, uint64_t n);
void buf_renumbered(struct buf *buf, text json, size_t offset);
void buf_sorted(struct buf *buf, text json_strings);
void buf_free(struct buf *buf);

void blobs_add(struct blobs *blobs, const sockeye_bytes *items, size_t count);
void blobs_free(struct blobs *blobs);

struct args args_of(text array);
bool args_next(struct args *args, text *value);
text args_rest(struct args args, struct arena *arena);

text json_at(text json, const char *pointer);
text json_or(text value, const char *otherwise);
bool json_is(text json, const char *literal);
bool json_is_string(text json);
uint32_t json_number(text json, uint32_t otherwise, uint32_t max);
bool json_decode(text json, struct arena *arena, text *out);
sockeye_bytes *json_rooms(text array, struct arena *arena, size_t *count);

/* ---- what waits for a token: testbed_pending.c ---------------------------------------------------------------------------- */

enum pending_kind { PENDING_FREE, PENDING_ASK, PENDING_RESPONSES, PENDING_FETCH, PENDING_REMOTE, PENDING_REMOTE_ACK, PENDING_COUNT, PENDING_FETCH_COUNT };

struct pending {
    enum pending_kind kind;
    sockeye_token token; /* of the operation whose completion is awaited */
    sockeye_token reply; /* the client's acknowledgement, 0 if it left it out */
    sockeye_nsp nsp;
    struct buf json; /* responses so far, or the command of a `remote` */
    struct blobs attachments;
};

/* Requests under way at once; one more is refused, so clients cannot make the testbed grow. */
#define PENDING_MAX 1024

/* ---- the program ------------------------------------------------------------------------------------------------------------ */

enum delivery { DELIVERY_POLL, DELIVERY_THREAD, DELIVERY_INLINE };

/* Operations that are collected before they are handed over in one `sockeye_submit`. */
#define OUTBOX_MAX 512

struct outbox {
    size_t count;
    sockeye_op ops[OUTBOX_MAX];
    sockeye_emission emissions[OUTBOX_MAX];
    sockeye_target targets[OUTBOX_MAX];
    sockeye_bytes rooms[OUTBOX_MAX];
};

/* Atoms are small consecutive numbers; ours must fit here, so that an event is dispatched by one load. */
#define ATOMS_MAX 256

/* Namespaces whose ids are remembered for `cmd`, and how long their names may be. */
#define NSPS_MAX 1024
#define NSP_NAME_MAX 56

struct nsp {
    sockeye_nsp id;
    size_t len;
    char name[NSP_NAME_MAX];
};

struct testbed {
    /* From the environment (testbed_env.c). */
    char address[300];
    const char *server_name;
    enum delivery delivery;
    bool engine_only;
    sockeye_options options;
    sockeye_limits limits;
    struct buf cors;

    sockeye_engine *engine;
    sem_t closed;
    uint8_t kind_of_atom[ATOMS_MAX];
    sockeye_atom message_back, auth, bin_back;
    struct nsp nsps[NSPS_MAX];
    size_t nsp_count;
    struct outbox outbox;
    struct arena arena;
    struct pending pending[PENDING_MAX];

    /* The cluster (testbed_cluster.c): kind and options of the adapter, NULL without one, and what other servers said. */
    const char *adapter;
    struct buf adapter_json, log;
    struct blobs log_attachments;
    sem_t adapter_up;
};

/* testbed_env.c */
void env_read(struct testbed *bed);

/* testbed_limits.c: reads LIMITS; what of it is wrong, from there on, or NULL. */
const char *env_limits(struct testbed *bed);

/* testbed_events.c */
bool events_prepare(struct testbed *bed);
void events_handle(struct testbed *bed, const sockeye_event *events, size_t count);
bool text_emission(sockeye_emission *emission, text json_name, text args, const sockeye_event *ev, struct arena *arena);

/* testbed_cluster.c */
void cluster_options(struct testbed *bed, const char *url, const char *sentinel, const char *prefix, const char *mode, uint64_t number, bool specific);
void cluster_over_postgres(struct testbed *bed, const char *url, const char *prefix, const uint64_t intervals[4]);
int cluster_join(struct testbed *bed);
void cluster_wait(struct testbed *bed);
void cluster_message(struct testbed *bed, const sockeye_event *ev);
void cluster_log(struct testbed *bed, sockeye_token reply);
void cluster_forget(struct testbed *bed);

/* testbed_cmd.c */
void nsp_learn(struct testbed *bed, text name, sockeye_nsp id);
void cmd_run(struct testbed *bed, const sockeye_event *ev);
bool cmd_remote_found(struct testbed *bed, struct pending *remote, text sockets);

/* testbed_pending.c */
struct pending *pending_add(struct testbed *bed, enum pending_kind kind, sockeye_token token, sockeye_token reply);
bool pending_room(const struct testbed *bed);
void pending_complete(struct testbed *bed, const sockeye_event *ev);
void pending_free_all(struct testbed *bed);
void reply_ok(struct testbed *bed, sockeye_token token, text result, const sockeye_bytes *attachments, size_t count);
void reply_error(struct testbed *bed, sockeye_token token, const char *message);

/* ---- testbed_late.c --------------------------------------------------------------------------------------------------------- */

bool late_start(struct testbed *bed);
void late_auth(sockeye_socket socket, struct buf args);
void late_end(void);

#endif
