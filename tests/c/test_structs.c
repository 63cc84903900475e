/* Every struct that a host fills, as hosts of other versions fill it: shorter, longer with nothing in the tail, longer with something in it, and
 * with a size that cannot be. tests/tidy.rs holds that no struct is left out. A new one needs a STRUCT (or OUT) row. */
#include "client.h"

#include <stddef.h>

static struct server server;
static sockeye_socket peer;
static sockeye_emitter *emitter;

/* The calls. Each gets a pointer that may be odd, as a struct that starts in the midst of a message. */

static int64_t with_options(const void *p)
{
    sockeye_engine *engine = NULL;
    sockeye_result result = sockeye_engine_new((const sockeye_options *)p, &engine);
    sockeye_engine_free(engine);
    return result;
}

static int64_t with_limits(const void *p)
{
    sockeye_options options = default_options();
    options.limits = (const sockeye_limits *)p;
    return with_options(&options);
}

static int64_t with_queue_options(const void *p)
{
    sockeye_queue *queue;
    return sockeye_queue_new(server.engine, (const sockeye_queue_options *)p, &queue);
}

static int64_t with_nsp_options(const void *p)
{
    return sockeye_namespace(server.engine, "/structs", 8, (const sockeye_nsp_options *)p, NULL);
}

static int64_t with_emission(const void *p)
{
    return sockeye_emit(server.engine, peer, (const sockeye_emission *)p, NULL);
}

static int64_t with_target(const void *p)
{
    sockeye_emission e = emission_of("x", "[]");
    return sockeye_broadcast(server.engine, (const sockeye_target *)p, &e, NULL);
}

/* The result of the operation, as that of the call is how many failed. Tokens are written, hence no const. */
static int64_t with_op(const void *p)
{
    uint32_t size;
    sockeye_result result = 1;
    memcpy(&size, p, sizeof size);
    sockeye_submit(server.engine, (sockeye_op *)(uintptr_t)p, size < 8 ? 8 : size, 1, &result);
    return result;
}

static int64_t with_drain_options(const void *p)
{
    struct server drained = server_start();
    sockeye_result result = sockeye_engine_drain(drained.engine, (const sockeye_drain_options *)p);
    NEED(sockeye_engine_free(drained.engine) == SOCKEYE_OK);
    return result;
}

static int64_t with_connection(const void *p)
{
    unsigned char copy[256];
    int ends[2];
    ptrdiff_t fd;
    uint32_t size;
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    memcpy(&size, p, sizeof size);
    NEED(size <= sizeof copy);
    memcpy(copy, p, size < 8 ? 8 : size);
    fd = ends[0];
    if (size >= offsetof(sockeye_connection, fd) + sizeof fd)
        memcpy(copy + offsetof(sockeye_connection, fd), &fd, sizeof fd);
    sockeye_result result = sockeye_engine_adopt(server.engine, (const sockeye_connection *)(const void *)copy, NULL);
    close(ends[1]);
    if (result < 0)
        close(ends[0]);
    return result;
}

static int64_t with_broker(const void *p)
{
    sockeye_options options = default_options();
    struct server clustered = server_new(&options);
    sockeye_result result = sockeye_engine_set_broker(clustered.engine, (const sockeye_broker *)p, "{}", 2);
    NEED(sockeye_engine_free(clustered.engine) == SOCKEYE_OK);
    return result;
}

static sockeye_result on_publish(void *user, const char *channel, size_t channel_len, const void *bytes, size_t len)
{
    (void)user, (void)channel, (void)channel_len, (void)bytes, (void)len;
    return SOCKEYE_OK;
}

static void on_answer(void *user, const sockeye_http_answer *answer)
{
    (void)user;
    if (answer->size != sizeof *answer)
        CHECK("an answer has its size", 0);
}

static int64_t with_http_request(const void *p)
{
    return sockeye_engine_http(server.engine, (const sockeye_http_request *)p, on_answer, NULL, NULL, NULL);
}

static int64_t fill_socket_info(void *p)
{
    return sockeye_socket_get_info(server.engine, peer, (sockeye_socket_info *)p, *(uint32_t *)p);
}

static int64_t fill_metrics(void *p)
{
    return sockeye_engine_metrics(server.engine, (sockeye_metrics *)p);
}

static int64_t fill_queue_metrics(void *p)
{
    return sockeye_queue_get_metrics(server.queue, (sockeye_queue_metrics *)p);
}

static int64_t with_emitter_target(const void *p)
{
    sockeye_emission e = emission_of("x", "[]");
    return sockeye_emitter_emit(emitter, (const sockeye_emitter_target *)p, &e);
}

static int64_t fill_emitter_state(void *p)
{
    return sockeye_emitter_get_state(emitter, (sockeye_emitter_state *)p);
}

/* ---- the structs, filled as they should be ------------------------------------------------------------------------------------------- */

/* `shortest` bytes are a struct by themselves: the fields after them may be left out. */
#define STRUCTS                                                                              \
    STRUCT(sockeye_options, with_options, offsetof(sockeye_options, shards))                 \
    STRUCT(sockeye_limits, with_limits, 8)                                                   \
    STRUCT(sockeye_queue_options, with_queue_options, 8)                                     \
    STRUCT(sockeye_nsp_options, with_nsp_options, 8)                                         \
    STRUCT(sockeye_emission, with_emission, offsetof(sockeye_emission, data))                \
    STRUCT(sockeye_target, with_target, offsetof(sockeye_target, reserved))                  \
    STRUCT(sockeye_op, with_op, offsetof(sockeye_op, target))                                \
    STRUCT(sockeye_drain_options, with_drain_options, 8)                                     \
    STRUCT(sockeye_emitter_target, with_emitter_target, 8)                                   \
    STRUCT(sockeye_connection, with_connection, offsetof(sockeye_connection, head))          \
    STRUCT(sockeye_broker, with_broker, offsetof(sockeye_broker, subscribe))                 \
    STRUCT(sockeye_http_request, with_http_request, offsetof(sockeye_http_request, headers))
/* Those that the library fills. sockeye_event has no size, as the call is told it; of sockeye_http_answer, which comes with a call, see on_answer: that is OUT(sockeye_http_answer, on_answer). */
#define OUTS                                       \
    OUT(sockeye_socket_info, fill_socket_info)     \
    OUT(sockeye_metrics, fill_metrics)             \
    OUT(sockeye_emitter_state, fill_emitter_state) \
    OUT(sockeye_queue_metrics, fill_queue_metrics)

#define STRUCT(type, call, shortest) static type a_##type;
STRUCTS
#undef STRUCT

static sockeye_emission op_emission;

static void fill(void)
{
    a_sockeye_options = default_options();
    a_sockeye_emission = emission_of("x", "[]");
    a_sockeye_target = target_of(1);
    op_emission = emission_of("x", "[]");
    a_sockeye_op = op_of(SOCKEYE_OP_EMIT);
    a_sockeye_op.socket = peer;
    a_sockeye_op.emission = &op_emission;
    a_sockeye_broker.publish = on_publish;
    a_sockeye_http_request.method = "GET";
    a_sockeye_http_request.method_len = 3;
    a_sockeye_http_request.target = "/nothing";
    a_sockeye_http_request.target_len = 8;
}

static void gives(const char *type, const char *what, int64_t wanted, int64_t got)
{
    char name[128];
    snprintf(name, sizeof name, "%s, %s", type, what);
    GIVES(name, wanted, got < 0 ? got : SOCKEYE_OK);
}

/* `call` with the struct in the first `size` bytes of a larger piece of memory, at an odd address if so wished. */
static int64_t with_size(const void *filled, size_t len, uint32_t size, int odd, unsigned char tail, int64_t (*call)(const void *))
{
    union {
        uint64_t aligned[64];
        unsigned char bytes[512];
    } memory;
    unsigned char *at = memory.bytes + odd;
    NEED(len + 24 < sizeof memory.bytes);
    memset(memory.bytes, 0, sizeof memory.bytes);
    memcpy(at, filled, len);
    memcpy(at, &size, sizeof size);
    at[len + 15] = tail;
    return call(at);
}

static void try_struct(const char *type, const void *filled, size_t len, size_t shortest, int64_t (*call)(const void *))
{
    uint32_t size = (uint32_t)len;
    gives(type, "as it is", SOCKEYE_OK, with_size(filled, len, size, 0, 0, call));
    gives(type, "at an odd address", SOCKEYE_OK, with_size(filled, len, size, 1, 0, call));
    gives(type, "with a tail of zeroes", SOCKEYE_OK, with_size(filled, len, size + 16, 0, 0, call));
    gives(type, "with a tail that says something", SOCKEYE_ERR_VERSION, with_size(filled, len, size + 16, 0, 1, call));
    gives(type, "with a tail at an odd address", SOCKEYE_ERR_VERSION, with_size(filled, len, size + 16, 1, 1, call));
    gives(type, "without its last fields", SOCKEYE_OK, with_size(filled, len, (uint32_t)shortest, 0, 0, call));
    gives(type, "of size 0", SOCKEYE_ERR_INVALID, with_size(filled, len, 0, 0, 0, call));
    gives(type, "of size 7", SOCKEYE_ERR_INVALID, with_size(filled, len, 7, 0, 0, call));
}

/* What lies behind the size that the host said is not touched; what the library does not know is zero. */
static void try_out(const char *type, size_t len, int64_t (*call)(void *))
{
    union {
        uint32_t size;
        unsigned char bytes[4096];
    } memory;
    int untouched = 1, zero = 1;
    NEED(len + 16 < sizeof memory.bytes);
    memset(memory.bytes, 0xee, sizeof memory.bytes);
    memory.size = 16;
    gives(type, "of an older host", SOCKEYE_OK, call(&memory));
    for (size_t i = 16; i < sizeof memory.bytes; i++)
        untouched = untouched && memory.bytes[i] == 0xee;
    gives(type, "of which no more is written", SOCKEYE_OK, untouched ? 0 : -1);
    memory.size = (uint32_t)len + 16;
    gives(type, "of a newer host", SOCKEYE_OK, call(&memory));
    for (size_t i = len; i < len + 16; i++)
        zero = zero && memory.bytes[i] == 0;
    gives(type, "with zeroes in the tail", SOCKEYE_OK, zero && memory.bytes[len + 16] == 0xee ? 0 : -1);
    memory.size = 7;
    gives(type, "filled, of size 7", SOCKEYE_ERR_INVALID, call(&memory));
    memory.size = 0;
    gives(type, "filled, of size 0", SOCKEYE_ERR_INVALID, call(&memory));
}

int main(void)
{
    server = server_start();
    int fd = sio_open(server.port);
    peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    NEED(sockeye_emitter_open("redis", 5, "{\"url\":\"redis://127.0.0.1:1\"}", 29, &emitter) == SOCKEYE_OK);
    fill();
#define STRUCT(type, call, shortest) try_struct(#type, &a_##type, sizeof(type), shortest, call);
    STRUCTS
#undef STRUCT
#define OUT(type, call) try_out(#type, sizeof(type), call);
    OUTS
#undef OUT
    close(fd);
    sockeye_emitter_close(emitter, 0);
    NEED(sockeye_emitter_free(emitter) == SOCKEYE_OK);
    server_end(&server);
    return contract_report();
}
