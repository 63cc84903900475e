/* What waits for a client that does not read: the policies when its budget is used up, time to live, keys, priority and the watermarks, over
 * WebSocket and long-polling; and that a slow reader among many costs the others nothing, and the process no more than its budget. */
#include "takeover.h"

#include <sys/resource.h>

#define FILL_BYTES 60000
#define PLUG_BYTES 700000
/* What the kernel may keep for a client that does not read: the clients are on Unix sockets, which keep to it. Those of TCP grow. */
#define KERNEL_BYTES 16384

static char frame[PLUG_BYTES + 5000];
static char fill_data[FILL_BYTES + 8], plug_data[PLUG_BYTES + 8];

struct peer {
    struct server server;
    int fd;
    sockeye_socket socket;
};

static sockeye_limits limits_of(uint32_t policy, uint64_t packets_max)
{
    sockeye_limits limits;
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    limits.outbound_policy = policy;
    limits.outbound_packets_max = packets_max;
    return limits;
}

static sockeye_result emit(const struct peer *peer, const char *name, const char *data)
{
    sockeye_emission e = emission_of(name, data);
    return sockeye_emit(peer->server.engine, peer->socket, &e, NULL);
}

static sockeye_result emit_number(const struct peer *peer, int number)
{
    char data[16];
    snprintf(data, sizeof data, "[%d]", number);
    return emit(peer, "n", data);
}

static sockeye_socket_info info_of(const struct peer *peer)
{
    sockeye_socket_info info;
    NEED(sockeye_socket_get_info(peer->server.engine, peer->socket, &info, sizeof info) == SOCKEYE_OK);
    return info;
}

static int is_written(const struct peer *peer, int patience_ms)
{
    int64_t until = now_ms() + patience_ms;
    /* While a write is under way nothing waits; so nothing must wait for a while. */
    for (int empty = 0; empty < 10; sleep_ms(5)) {
        empty = info_of(peer).buffered_bytes == 0 ? empty + 1 : 0;
        if (!empty && now_ms() > until)
            return 0;
    }
    return 1;
}

/* Sends more to a client that does not read than the kernel takes: a part of one packet is on its way and none waits. */
static void block(const struct peer *peer)
{
    int64_t until = now_ms() + PATIENCE_MS;
    NEED(is_written(peer, PATIENCE_MS) && emit(peer, "fill", plug_data) == SOCKEYE_OK);
    /* As in is_written: it must look so for a while. */
    for (int blocked = 0; blocked < 10; sleep_ms(5)) {
        sockeye_socket_info info = info_of(peer);
        int is_part = info.buffered_bytes < PLUG_BYTES && info.buffered_bytes > PLUG_BYTES - 8 * KERNEL_BYTES;
        blocked = info.buffered_packets == 1 && is_part ? blocked + 1 : 0;
        NEED(blocked || now_ms() < until);
    }
}

static struct peer peer_start(const sockeye_limits *limits)
{
    struct peer peer;
    int ends[2], kernel_bytes = KERNEL_BYTES;
    sockeye_options options = default_options();
    options.limits = limits;
    /* These clients answer no pings, and on a loaded machine they take their time. */
    options.ping_interval_ms = 600000;
    peer.server = server_new(&options);
    server_listen(&peer.server);
    unix_pair(ends);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &kernel_bytes, sizeof kernel_bytes);
    sockeye_connection connection = connection_of(ends[1]);
    NEED(sockeye_engine_adopt(peer.server.engine, &connection, NULL) == SOCKEYE_OK);
    peer.fd = sio_open_on(ends[0]);
    peer.socket = server_next(&peer.server, SOCKEYE_EVENT_CONNECT).socket;
    return peer;
}

static void peer_end(struct peer *peer)
{
    close(peer->fd);
    server_end(&peer->server);
}

/* The next packet that neither fills nor is a ping. */
static const char *next(const struct peer *peer)
{
    do {
        if (ws_recv(peer->fd, frame, sizeof frame) < 0)
            return "the end";
    } while (strncmp(frame, "42[\"fill\"", 9) == 0 || strcmp(frame, "2") == 0);
    return frame;
}

static int gets(const struct peer *peer, const char *wanted)
{
    const char *got = next(peer);
    if (strcmp(got, wanted) != 0)
        printf("  got %.80s, wanted %s\n", got, wanted);
    return strcmp(got, wanted) == 0;
}

static int gets_number(const struct peer *peer, int number)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, "42[\"n\",%d]", number);
    return gets(peer, wanted);
}

/* The end of a session whose budget was used up. */
static int ends_by(const struct peer *peer, const char *cause)
{
    sockeye_event event = server_next(&peer->server, SOCKEYE_EVENT_DISCONNECT);
    return event.socket == peer->socket && event.status == SOCKEYE_REASON_FORCED_SERVER_CLOSE && contains(event.data, event.data_len, cause);
}

/* ---- policies ---------------------------------------------------------------------------------------------------------------------- */

static void who_does_not_read_is_disconnected(void)
{
    sockeye_limits limits = limits_of(SOCKEYE_OUTBOUND_DISCONNECT, 4);
    struct peer peer = peer_start(&limits);
    sockeye_emission e = emission_of("n", "[]");
    sockeye_token token = 7;
    block(&peer);
    for (int i = 0; i < 3; i++)
        NEED(emit_number(&peer, i) == SOCKEYE_OK);
    e.flags = SOCKEYE_EXPECT_ACK;
    sockeye_result emitted = sockeye_emit(peer.server.engine, peer.socket, &e, &token);
    /* The session's end may be told before the call returns: then the token's event says it. */
    sockeye_event told;
    memset(&told, 0, sizeof told);
    if (emitted == SOCKEYE_OK)
        told = server_next(&peer.server, SOCKEYE_EVENT_ACK);
    CHECK("disconnect: one packet too many", emitted == SOCKEYE_OK ? told.status == SOCKEYE_ERR_GONE : emitted == SOCKEYE_ERR_GONE);
    CHECK("no token is given, or one that is told", emitted == SOCKEYE_OK ? token == told.token : token == 7);
    CHECK("the cause names the limit", ends_by(&peer, "\"limit\":\"outboundPacketsMax\",\"value\":4"));
    peer_end(&peer);
    limits = limits_of(SOCKEYE_OUTBOUND_DISCONNECT, 0);
    limits.outbound_bytes_max = 2 * PLUG_BYTES;
    peer = peer_start(&limits);
    block(&peer);
    while (emit(&peer, "fill", fill_data) == SOCKEYE_OK)
        NEED(info_of(&peer).buffered_bytes <= limits.outbound_bytes_max);
    CHECK("as it does for bytes", ends_by(&peer, "\"limit\":\"outboundBytesMax\",\"value\":1400000"));
    CHECK("the client's end comes after what it had been sent", strcmp(next(&peer), "the end") == 0);
    peer_end(&peer);
}

static void the_newest_is_dropped(void)
{
    sockeye_limits limits = limits_of(SOCKEYE_OUTBOUND_DROP_NEWEST, 4);
    struct peer peer = peer_start(&limits);
    sockeye_emission e = emission_of("n", "[99]");
    sockeye_target all = target_of(1);
    sockeye_token ack, token = 7;
    ws_send(peer.fd, "423[\"ask\"]");
    ack = server_next(&peer.server, SOCKEYE_EVENT_MESSAGE).token;
    block(&peer);
    for (int i = 0; i < 3; i++)
        NEED(emit_number(&peer, i) == SOCKEYE_OK);
    GIVES("drop newest: emit is FULL", SOCKEYE_ERR_FULL, emit_number(&peer, 3));
    e.flags = SOCKEYE_EXPECT_ACK;
    GIVES("with an acknowledgement too", SOCKEYE_ERR_FULL, sockeye_emit(peer.server.engine, peer.socket, &e, &token));
    CHECK("and gives no token", token == 7);
    e.timeout_ms = PATIENCE_MS;
    GIVES("a broadcast leaves it out", SOCKEYE_OK, sockeye_broadcast(peer.server.engine, &all, &e, &token));
    sockeye_event event = server_next(&peer.server, SOCKEYE_EVENT_ACK);
    CHECK("and waits for no answer of it", event.token == token && is_text(event.data, event.data_len, "{\"expected\":0,\"received\":0}"));
    CHECK("what waited comes", gets_number(&peer, 0) && gets_number(&peer, 1) && gets_number(&peer, 2));
    NEED(is_written(&peer, PATIENCE_MS));
    GIVES("then there is room", SOCKEYE_OK, emit_number(&peer, 4));
    CHECK("for the next", gets_number(&peer, 4));
    block(&peer);
    while (emit_number(&peer, 5) == SOCKEYE_OK)
        ;
    GIVES("an acknowledgement is not dropped", SOCKEYE_ERR_GONE, sockeye_ack(peer.server.engine, ack, NULL, 0, NULL, 0));
    CHECK("the client is disconnected instead", ends_by(&peer, "\"limit\":\"outboundPacketsMax\""));
    peer_end(&peer);
}

static void the_oldest_is_dropped(void)
{
    sockeye_limits limits = limits_of(SOCKEYE_OUTBOUND_DROP_OLDEST, 5);
    struct peer peer = peer_start(&limits);
    sockeye_emission e = emission_of("asks", "[]");
    sockeye_token token = 0;
    block(&peer);
    NEED(emit_number(&peer, 0) == SOCKEYE_OK);
    e.flags = SOCKEYE_EXPECT_ACK;
    NEED(sockeye_emit(peer.server.engine, peer.socket, &e, &token) == SOCKEYE_OK);
    for (int i = 1; i < 20; i++)
        NEED(emit_number(&peer, i) == SOCKEYE_OK);
    GIVES("drop oldest: as much waits as may", 5, info_of(&peer).buffered_packets);
    CHECK("what asks for an answer stays", gets(&peer, "420[\"asks\"]"));
    CHECK("with the latest, in order", gets_number(&peer, 17) && gets_number(&peer, 18) && gets_number(&peer, 19));
    NEED(is_written(&peer, PATIENCE_MS));
    block(&peer);
    for (int i = 0; i < 4; i++) {
        NEED(sockeye_emit(peer.server.engine, peer.socket, &e, &token) == SOCKEYE_OK);
    }
    GIVES("if there is nothing to drop", SOCKEYE_ERR_GONE, emit_number(&peer, 20));
    CHECK("the client is disconnected", ends_by(&peer, "\"limit\":\"outboundPacketsMax\""));
    peer_end(&peer);
}

static sockeye_result emit_keyed(const struct peer *peer, const char *key, int number)
{
    char data[16];
    snprintf(data, sizeof data, "[%d]", number);
    sockeye_emission e = emission_of("n", data);
    e.key = key;
    e.key_len = strlen(key);
    return sockeye_emit(peer->server.engine, peer->socket, &e, NULL);
}

static void packets_of_a_key_are_conflated(void)
{
    static char long_key[258];
    sockeye_limits limits = limits_of(SOCKEYE_OUTBOUND_CONFLATE, 5);
    struct peer peer = peer_start(&limits);
    block(&peer);
    NEED(emit_number(&peer, 0) == SOCKEYE_OK && emit_keyed(&peer, "a", 1) == SOCKEYE_OK && emit_keyed(&peer, "b", 2) == SOCKEYE_OK);
    for (int i = 3; i < 20; i++)
        NEED(emit_keyed(&peer, "a", i) == SOCKEYE_OK);
    NEED(emit_keyed(&peer, "c", 20) == SOCKEYE_OK);
    CHECK("conflate: the latest of each key comes", gets_number(&peer, 0) && gets_number(&peer, 2) && gets_number(&peer, 19) && gets_number(&peer, 20));
    NEED(is_written(&peer, PATIENCE_MS));
    block(&peer);
    for (int i = 0; i < 4; i++)
        NEED(emit_number(&peer, i) == SOCKEYE_OK);
    memset(long_key, 'k', 257);
    GIVES("a key that is too long", SOCKEYE_ERR_TOO_BIG, emit_keyed(&peer, long_key, 1));
    GIVES("packets without a key make no room", SOCKEYE_ERR_GONE, emit_keyed(&peer, "a", 21));
    CHECK("the client is disconnected", ends_by(&peer, "\"limit\":\"outboundPacketsMax\""));
    peer_end(&peer);
}

/* ---- time to live, priority, watermarks -------------------------------------------------------------------------------------------- */

static sockeye_result emit_for(const struct peer *peer, int number, uint32_t ttl_ms, uint32_t flags)
{
    char data[16];
    snprintf(data, sizeof data, "[%d]", number);
    sockeye_emission e = emission_of("n", data);
    e.flags = flags;
    e.ttl_ms = ttl_ms;
    return sockeye_emit(peer->server.engine, peer->socket, &e, NULL);
}

static void time_and_priority(void)
{
    sockeye_limits limits = limits_of(0, 0);
    struct peer peer = peer_start(&limits);
    sockeye_emission e = emission_of("n", "[{\"_placeholder\":true,\"num\":0}]");
    sockeye_target all = target_of(1);
    sockeye_bytes attachment = bytes_of("a");
    sockeye_message *message = NULL;
    NEED(emit_for(&peer, 1, PATIENCE_MS, SOCKEYE_PRIORITY) == SOCKEYE_OK);
    CHECK("what can be written is", gets_number(&peer, 1));
    block(&peer);
    NEED(emit_for(&peer, 2, 0, 0) == SOCKEYE_OK && emit_for(&peer, 3, 20, 0) == SOCKEYE_OK && emit_for(&peer, 4, PATIENCE_MS, 0) == SOCKEYE_OK);
    NEED(emit_for(&peer, 5, 0, SOCKEYE_PRIORITY) == SOCKEYE_OK && emit_for(&peer, 6, 20, SOCKEYE_PRIORITY) == SOCKEYE_OK);
    e = emission_of("n", NULL);
    NEED(sockeye_message_new(peer.server.engine, 1, &e, &message) == SOCKEYE_OK);
    e = emission_of(NULL, NULL);
    e.prepared = message;
    e.flags = SOCKEYE_PRIORITY;
    NEED(sockeye_broadcast(peer.server.engine, &all, &e, NULL) == SOCKEYE_OK);
    sockeye_message_free(message);
    sleep_ms(60);
    CHECK("urgent packets come first, in order", gets_number(&peer, 5) && gets(&peer, "42[\"n\"]"));
    CHECK("then the others, without those whose time was over", gets_number(&peer, 2) && gets_number(&peer, 4));
    e = emission_of("n", "[{\"_placeholder\":true,\"num\":0}]");
    e.flags = SOCKEYE_PRIORITY;
    e.attachments = &attachment;
    e.attachment_count = 1;
    GIVES("priority with an attachment", SOCKEYE_ERR_TOO_BIG, sockeye_emit(peer.server.engine, peer.socket, &e, NULL));
    e = emission_of("n", fill_data);
    e.flags = SOCKEYE_PRIORITY;
    GIVES("priority for many bytes", SOCKEYE_ERR_TOO_BIG, sockeye_broadcast(peer.server.engine, &all, &e, NULL));
    GIVES("a message is not prepared with priority", SOCKEYE_ERR_INVALID, sockeye_message_new(peer.server.engine, 1, &e, &message));
    peer_end(&peer);
}

static void the_host_is_told_how_much_waits(void)
{
    sockeye_limits limits = limits_of(0, 0);
    struct peer peer;
    limits.outbound_high_bytes = 3 * PLUG_BYTES;
    limits.outbound_low_bytes = 1000;
    peer = peer_start(&limits);
    block(&peer);
    for (int i = 0; i < 60; i++)
        NEED(emit(&peer, "fill", fill_data) == SOCKEYE_OK);
    sockeye_event event = server_next(&peer.server, SOCKEYE_EVENT_OUTBOUND_HIGH);
    CHECK("OUTBOUND_HIGH names socket and level", event.socket == peer.socket && contains(event.data, event.data_len, "{\"bytes\":"));
    NEED(emit_number(&peer, 1) == SOCKEYE_OK);
    CHECK("the client reads", gets_number(&peer, 1));
    for (;;) {
        NEED(sockeye_queue_poll(peer.server.queue, &event, sizeof event, 1, PATIENCE_MS) == 1);
        NEED(event.kind != SOCKEYE_EVENT_OUTBOUND_HIGH);
        if (event.kind == SOCKEYE_EVENT_OUTBOUND_LOW)
            break;
    }
    CHECK("OUTBOUND_LOW follows, and no second HIGH", event.socket == peer.socket && contains(event.data, event.data_len, "\"bytes\":"));
    peer_end(&peer);
}

/* ---- long-polling ------------------------------------------------------------------------------------------------------------------ */

static void polling_knows_all_of_it(void)
{
    sockeye_limits limits = limits_of(SOCKEYE_OUTBOUND_DROP_OLDEST, 4);
    sockeye_options options = default_options();
    char body[1024], target[128], sid[21] = "";
    struct peer peer;
    options.limits = &limits;
    peer.server = server_new(&options);
    server_listen(&peer.server);
    NEED(http_request(peer.server.port, "GET", "/socket.io/?EIO=4&transport=polling", NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    NEED(http_request(peer.server.port, "POST", target, "40", body, sizeof body) == 200);
    peer.socket = server_next(&peer.server, SOCKEYE_EVENT_CONNECT).socket;
    NEED(emit_for(&peer, 1, 0, SOCKEYE_PRIORITY) == SOCKEYE_OK);
    NEED(http_request(peer.server.port, "GET", target, NULL, body, sizeof body) == 200);
    CHECK("polling: no event passes the answer to CONNECT", strncmp(body, "40{\"sid\":", 9) == 0 && strstr(body, "}\x1e" "42[\"n\",1]"));
    for (int i = 2; i < 8; i++)
        NEED(emit_number(&peer, i) == SOCKEYE_OK);
    NEED(emit_for(&peer, 8, 500, 0) == SOCKEYE_OK && emit_for(&peer, 9, 0, SOCKEYE_PRIORITY) == SOCKEYE_OK);
    GIVES("its budget is kept", 4, info_of(&peer).buffered_packets);
    sleep_ms(600);
    NEED(http_request(peer.server.port, "GET", target, NULL, body, sizeof body) == 200);
    CHECK("priority first, the oldest dropped, the late too", strcmp(body, "42[\"n\",9]\x1e" "42[\"n\",6]\x1e" "42[\"n\",7]") == 0);
    GIVES("then nothing waits", 0, info_of(&peer).buffered_bytes);
    server_end(&peer.server);
}

/* A poll that takes all that waits is as good a reason to tell as a write. */
static void polling_is_told_when_a_poll_takes_it(void)
{
    sockeye_limits limits = limits_of(0, 0);
    sockeye_options options = default_options();
    char body[8192], target[128], sid[21] = "", data[4096];
    struct peer peer;
    limits.outbound_high_bytes = 2000;
    limits.outbound_low_bytes = 100;
    options.limits = &limits;
    options.ping_interval_ms = 600000;
    peer.server = server_new(&options);
    server_listen(&peer.server);
    NEED(http_request(peer.server.port, "GET", "/socket.io/?EIO=4&transport=polling", NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    NEED(http_request(peer.server.port, "POST", target, "40", body, sizeof body) == 200);
    peer.socket = server_next(&peer.server, SOCKEYE_EVENT_CONNECT).socket;
    snprintf(data, sizeof data, "[\"%03000d\"]", 0);
    NEED(emit(&peer, "fill", data) == SOCKEYE_OK);
    server_next(&peer.server, SOCKEYE_EVENT_OUTBOUND_HIGH);
    NEED(http_request(peer.server.port, "GET", target, NULL, body, sizeof body) == 200);
    CHECK("OUTBOUND_LOW comes with the poll that takes all", server_next(&peer.server, SOCKEYE_EVENT_OUTBOUND_LOW).socket == peer.socket);
    server_end(&peer.server);
}

/* ---- a slow reader among many ------------------------------------------------------------------------------------------------------- */

#define CROWD_BUDGET 3000000
#define ROUNDS 100

static long resident_kib(void)
{
    char line[128];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = atol(line + 6);
    if (file)
        fclose(file);
    return kib;
}

static int under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "vgpreload");
}

/* Valgrind and AddressSanitizer keep freed memory for a while. */
#ifdef __SANITIZE_ADDRESS__
#define FREED_MEMORY_IS_KEPT 1
#else
#define FREED_MEMORY_IS_KEPT under_valgrind()
#endif

/* As many as descriptors allow, both ends being in this process; fewer under valgrind, which takes a hundred times as long. */
static int crowd_size(void)
{
    struct rlimit files;
    if (under_valgrind())
        return 30;
    NEED(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    NEED(setrlimit(RLIMIT_NOFILE, &files) == 0);
    return files.rlim_cur < 2200 ? (int)(files.rlim_cur / 2 - 50) : 1000;
}

static void a_slow_reader_costs_the_others_nothing(void)
{
    sockeye_limits limits = limits_of(SOCKEYE_OUTBOUND_DROP_OLDEST, 0);
    struct peer slow;
    int size = crowd_size() - 1, complete = 0;
    int *fds = (int *)malloc((size_t)size * sizeof fds[0]);
    sockeye_emission e = emission_of("n", NULL);
    sockeye_target all = target_of(1);
    char data[1200];
    long before;
    NEED(fds);
    limits.outbound_bytes_max = CROWD_BUDGET;
    slow = peer_start(&limits);
    for (int i = 0; i < size; i++)
        fds[i] = sio_open(slow.server.port);
    block(&slow);
    for (int round = 0; round < ROUNDS; round++) {
        int n = snprintf(data, sizeof data, "[%d,\"%01000d\"]", round, round);
        e.data = data;
        e.data_len = (size_t)n;
        NEED(sockeye_broadcast(slow.server.engine, &all, &e, NULL) == SOCKEYE_OK);
    }
    for (int i = 0; i < size; i++) {
        int received = 0;
        while (received < ROUNDS && ws_recv(fds[i], frame, sizeof frame) >= 0) {
            char wanted[32];
            snprintf(wanted, sizeof wanted, "42[\"n\",%d,", received);
            if (strcmp(frame, "2") != 0 && strncmp(frame, wanted, strlen(wanted)) != 0)
                break;
            received += strcmp(frame, "2") != 0;
        }
        complete += received == ROUNDS;
    }
    GIVES("a slow reader among many: the others get everything", size, complete);
    for (int i = 0; i < 100; i++)
        NEED(emit(&slow, "fill", fill_data) == SOCKEYE_OK);
    before = resident_kib();
    for (int i = 0; i < 1000; i++)
        NEED(emit(&slow, "fill", fill_data) == SOCKEYE_OK);
    CHECK("what waits for the slow one is its budget", info_of(&slow).buffered_bytes <= CROWD_BUDGET);
    CHECK("sixty more megabytes for it cost the process nothing", FREED_MEMORY_IS_KEPT || resident_kib() - before < 8 * 1024);
    NEED(emit_number(&slow, 7) == SOCKEYE_OK);
    do {
        NEED(ws_recv(slow.fd, frame, sizeof frame) > 0);
    } while (strcmp(frame, "42[\"n\",7]") != 0);
    CHECK("when it reads again it gets the latest", is_written(&slow, PATIENCE_MS));
    for (int i = 0; i < size; i++)
        close(fds[i]);
    free(fds);
    peer_end(&slow);
}

int main(void)
{
    snprintf(plug_data, sizeof plug_data, "[\"%0*d\"]", PLUG_BYTES, 0);
    snprintf(fill_data, sizeof fill_data, "[\"%0*d\"]", FILL_BYTES, 0);
    who_does_not_read_is_disconnected();
    the_newest_is_dropped();
    the_oldest_is_dropped();
    packets_of_a_key_are_conflated();
    time_and_priority();
    the_host_is_told_how_much_waits();
    polling_knows_all_of_it();
    polling_is_told_when_a_poll_takes_it();
    a_slow_reader_costs_the_others_nothing();
    return contract_report();
}
