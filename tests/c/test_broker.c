/* A broker of the host's own: what it refuses, when its functions are called and when not any more, two engines that act as one over it, and what a
 * function that fails brings about. */
#include "client.h"

#include <pthread.h>

#define ENGINES 2
#define HEARTBEATS "{\"heartbeatInterval\":100,\"heartbeatTimeout\":20000,\"requestsTimeout\":20000}"

/* Messages go to all engines at once, in the call that publishes them. */
static struct hub {
    pthread_mutex_t lock;
    sockeye_engine *engines[ENGINES];
    int published, subscribed, unsubscribed, counted, dropped, bad_names;
    int broken;
    sockeye_result free_in_call;
} hub;

static void hub_reset(void)
{
    memset(&hub, 0, sizeof hub);
    pthread_mutex_init(&hub.lock, NULL);
}

static int hub_add(int *counter, int add)
{
    pthread_mutex_lock(&hub.lock);
    *counter += add;
    int value = *counter;
    pthread_mutex_unlock(&hub.lock);
    return value;
}

static void check_name(void *user, const char *channel, size_t len)
{
    if (user != &hub || len < 10 || memcmp(channel, "socket.io#", 10) != 0 || channel[len - 1] != '#')
        hub_add(&hub.bad_names, 1);
}

static sockeye_result on_publish(void *user, const char *channel, size_t channel_len, const void *bytes, size_t len)
{
    check_name(user, channel, channel_len);
    if (hub_add(&hub.broken, 0))
        return SOCKEYE_ERR_IO;
    hub_add(&hub.published, 1);
    for (int i = 0; i < ENGINES; i++)
        if (hub.engines[i])
            sockeye_broker_deliver(hub.engines[i], channel, channel_len, bytes, len);
    return SOCKEYE_OK;
}

static sockeye_result on_subscribe(void *user, const char *channel, size_t len)
{
    check_name(user, channel, len);
    if (hub_add(&hub.broken, 0))
        return SOCKEYE_ERR_IO;
    hub_add(&hub.subscribed, 1);
    return SOCKEYE_OK;
}

static sockeye_result on_unsubscribe(void *user, const char *channel, size_t len)
{
    check_name(user, channel, len);
    hub_add(&hub.unsubscribed, 1);
    return SOCKEYE_OK;
}

static int64_t on_count(void *user, const char *channel, size_t len)
{
    check_name(user, channel, len);
    hub_add(&hub.counted, 1);
    return ENGINES;
}

static void on_drop(void *user)
{
    if (user == &hub)
        hub_add(&hub.dropped, 1);
}

static sockeye_broker broker_of(int counts)
{
    sockeye_broker broker;
    memset(&broker, 0, sizeof broker);
    broker.size = sizeof broker;
    broker.publish = on_publish;
    broker.subscribe = on_subscribe;
    broker.unsubscribe = on_unsubscribe;
    broker.count = counts ? on_count : NULL;
    broker.user = &hub;
    broker.drop = on_drop;
    return broker;
}

static sockeye_result set(sockeye_engine *engine, const sockeye_broker *broker, const char *json)
{
    return sockeye_engine_set_broker(engine, broker, json, strlen(json));
}

static void test_refusals(void)
{
    hub_reset();
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    sockeye_broker broker = broker_of(0);
    broker.publish = NULL;
    GIVES("no publish", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{}"));
    CHECK("it is missed by name", error_mentions("broker.publish"));
    broker = broker_of(0);
    broker.unsubscribe = NULL;
    GIVES("subscribe alone", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{}"));
    broker = broker_of(0);
    broker.flags = 1;
    GIVES("unknown flags", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{}"));
    broker = broker_of(0);
    GIVES("no JSON", SOCKEYE_ERR_BAD_JSON, set(server.engine, &broker, "{"));
    GIVES("an unknown option", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{\"url\":\"x\"}"));
    CHECK("it is named", error_mentions("url"));
    GIVES("an empty prefix", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{\"channelPrefix\":\"\"}"));
    GIVES("heartbeats that come too fast", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{\"heartbeatInterval\":1}"));
    GIVES("heartbeats that come too late", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{\"heartbeatTimeout\":5000}"));
    CHECK("the option is named", error_mentions("heartbeatTimeout"));
    GIVES("no patience", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{\"requestsTimeout\":0}"));
    GIVES("no queue", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{\"publishQueueBytes\":1}"));
    GIVES("a message without a broker", SOCKEYE_ERR_INVALID, sockeye_broker_deliver(server.engine, "x", 1, "y", 1));
    GIVES("one is taken", SOCKEYE_OK, set(server.engine, &broker, "{}"));
    GIVES("a second one is not", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{}"));
    GIVES("nor is an adapter", SOCKEYE_ERR_INVALID, sockeye_engine_set_adapter(server.engine, "redis", 5, "{\"url\":\"redis://127.0.0.1:1\"}", 29));
    CHECK("what was refused is not dropped", hub_add(&hub.dropped, 0) == 0);
    server_end(&server);
    CHECK("what was taken is dropped once", hub.dropped == 1);
    server = server_start();
    GIVES("an engine that listens takes none", SOCKEYE_ERR_INVALID, set(server.engine, &broker, "{}"));
    server_end(&server);
    options.flags |= SOCKEYE_OPT_ENGINE_ONLY;
    server = server_new(&options);
    GIVES("a bare engine has none", SOCKEYE_ERR_UNSUPPORTED, set(server.engine, &broker, "{}"));
    sockeye_engine_free(server.engine);
    CHECK("nothing more is dropped", hub.dropped == 1);
}

/* Two engines on the hub that know each other. */
static void start(struct server servers[ENGINES], int counts)
{
    sockeye_options options = default_options();
    sockeye_broker broker = broker_of(counts);
    for (int i = 0; i < ENGINES; i++) {
        servers[i] = server_new(&options);
        hub.engines[i] = servers[i].engine;
    }
    for (int i = 0; i < ENGINES; i++) {
        NEED(set(servers[i].engine, &broker, HEARTBEATS) == SOCKEYE_OK);
        server_listen(&servers[i]);
        sockeye_event up = server_next(&servers[i], SOCKEYE_EVENT_ADAPTER_UP);
        CHECK("UP names the broker", is_text(up.name_ptr, up.name_len, "broker"));
    }
    for (int i = 0, known = 0; !known; i = (i + 1) % ENGINES) {
        sockeye_token token;
        NEED(sockeye_server_count(servers[i].engine, 1, &token) == SOCKEYE_OK);
        sockeye_event counted = server_next(&servers[i], SOCKEYE_EVENT_SERVER_ACK);
        known = i == ENGINES - 1 && is_text(counted.data, counted.data_len, "{\"count\":2}");
    }
}

static void end(struct server servers[ENGINES])
{
    for (int i = 0; i < ENGINES; i++)
        NEED(sockeye_engine_close(servers[i].engine, 0) == SOCKEYE_OK);
    for (int i = 0; i < ENGINES; i++)
        server_next(&servers[i], SOCKEYE_EVENT_CLOSED);
    CHECK("each broker is dropped before its engine says CLOSED", hub_add(&hub.dropped, 0) == ENGINES);
    int published = hub.published;
    GIVES("a message for an engine that has closed", SOCKEYE_ERR_CLOSED, sockeye_broker_deliver(servers[0].engine, "x", 1, "y", 1));
    for (int i = 0; i < ENGINES; i++)
        NEED(sockeye_engine_free(servers[i].engine) == SOCKEYE_OK);
    CHECK("nothing is called after that", hub.published == published && hub.dropped == ENGINES);
    CHECK("all channels had the prefix", hub.bad_names == 0);
}

static int received(int fd, const char *wanted)
{
    char text[1000];
    for (int64_t deadline = now_ms() + PATIENCE_MS; now_ms() < deadline;) {
        int64_t len = ws_recv(fd, text, sizeof text);
        if (len < 0)
            return 0;
        if (contains(text, (size_t)len, wanted))
            return 1;
    }
    return 0;
}

static void everything(const struct server servers[ENGINES])
{
    int fds[ENGINES];
    sockeye_token token;
    sockeye_target target = target_of(1);
    sockeye_emission emission = emission_of("hello", "[1,{\"_placeholder\":true,\"num\":0}]");
    sockeye_bytes blob = bytes_of("\x01\x02"), room = bytes_of("room");
    for (int i = 0; i < ENGINES; i++)
        fds[i] = sio_open(servers[i].port);
    for (int i = 0; i < ENGINES; i++) {
        emission.attachments = &blob;
        emission.attachment_count = 1;
        GIVES("a broadcast with an attachment", SOCKEYE_OK, sockeye_broadcast(servers[i].engine, &target, &emission, NULL));
        for (int to = 0; to < ENGINES; to++)
            CHECK("it arrives everywhere", received(fds[to], "hello") && received(fds[to], "\x01\x02"));
        GIVES("a fetch", SOCKEYE_OK, sockeye_sockets_fetch(servers[i].engine, &target, &token));
        sockeye_event sockets = server_next(&servers[i], SOCKEYE_EVENT_SOCKETS);
        const char *second = NULL;
        size_t len = 0;
        sockeye_json_get(sockets.data, sockets.data_len, "/1/id", 5, &second, &len);
        CHECK("it finds the sockets of both", sockets.status == SOCKEYE_OK && len == 22);
        GIVES("all join a room", SOCKEYE_OK, sockeye_sockets_join(servers[i].engine, &target, &room, 1));
        sockeye_target in_room = target_of(1);
        in_room.rooms = &room;
        in_room.room_count = 1;
        sockeye_emission plain = emission_of("inside", "[]");
        GIVES("a broadcast to it", SOCKEYE_OK, sockeye_broadcast(servers[i].engine, &in_room, &plain, NULL));
        for (int to = 0; to < ENGINES; to++)
            CHECK("it arrives everywhere", received(fds[to], "inside"));
        GIVES("all leave", SOCKEYE_OK, sockeye_sockets_leave(servers[i].engine, &in_room, &room, 1));
        plain.flags = SOCKEYE_EXPECT_ACK;
        GIVES("an event for the other server", SOCKEYE_OK, sockeye_server_emit(servers[i].engine, 1, &plain, &token));
        sockeye_event message = server_next(&servers[1 - i], SOCKEYE_EVENT_SERVER_MESSAGE);
        GIVES("which it answers", SOCKEYE_OK, sockeye_ack(servers[1 - i].engine, message.token, "[7]", 3, NULL, 0));
        sockeye_event reply = server_next(&servers[i], SOCKEYE_EVENT_SERVER_ACK);
        CHECK("the answer arrives", reply.token == token && is_text(reply.data, reply.data_len, "[7]"));
        server_next(&servers[i], SOCKEYE_EVENT_SERVER_ACK);
    }
    for (int i = 0; i < ENGINES; i++)
        close(fds[i]);
}

static void test_cluster(int counts)
{
    struct server servers[ENGINES];
    hub_reset();
    start(servers, counts);
    CHECK("each engine subscribed to its channels", hub.subscribed >= 2 * ENGINES);
    everything(servers);
    CHECK("servers are counted by whoever can", counts ? hub.counted > 0 : hub.counted == 0);
    end(servers);
}

static void test_without_subscriptions(void)
{
    struct server server;
    sockeye_options options = default_options();
    hub_reset();
    sockeye_broker broker = broker_of(0);
    broker.subscribe = broker.unsubscribe = NULL;
    broker.drop = NULL;
    server = server_new(&options);
    GIVES("a broker of which everything comes anyway", SOCKEYE_OK, set(server.engine, &broker, "{}"));
    server_next(&server, SOCKEYE_EVENT_ADAPTER_UP);
    server_end(&server);
    CHECK("nothing was subscribed to", hub.subscribed == 0);
}

static sockeye_metrics metrics_of(const struct server *server)
{
    sockeye_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server->engine, &metrics) == SOCKEYE_OK);
    return metrics;
}

static void test_failures(void)
{
    struct server servers[ENGINES];
    sockeye_target target = target_of(1);
    sockeye_emission emission = emission_of("hello", "[]");
    hub_reset();
    start(servers, 1);
    int fd = sio_open(servers[0].port), other = sio_open(servers[1].port);
    int subscribed = hub_add(&hub.subscribed, 0);
    hub_add(&hub.broken, 1);
    GIVES("a broadcast that cannot be published", SOCKEYE_OK, sockeye_broadcast(servers[0].engine, &target, &emission, NULL));
    CHECK("it arrives at home", received(fd, "hello"));
    sockeye_event down = server_next(&servers[0], SOCKEYE_EVENT_ADAPTER_DOWN);
    CHECK("DOWN says which function failed, and how", contains(down.data, down.data_len, "publish gave -") && is_text(down.name_ptr, down.name_len, "broker"));
    emission = emission_of("later", "[]");
    GIVES("another one waits", SOCKEYE_OK, sockeye_broadcast(servers[0].engine, &target, &emission, NULL));
    sleep_ms(300);
    CHECK("it was lost once", metrics_of(&servers[0]).adapter_unconfirmed == 1 && metrics_of(&servers[0]).adapter_downs == 1);
    hub_add(&hub.broken, -1);
    server_next(&servers[0], SOCKEYE_EVENT_ADAPTER_UP);
    CHECK("all is subscribed to anew", hub_add(&hub.subscribed, 0) >= subscribed + 2);
    CHECK("what waited arrives", received(other, "later"));
    close(fd);
    close(other);
    end(servers);
}

static void test_garbage(void)
{
    static const char *const garbage[] = {"", "{", "[]", "\xc1", "{\"type\":3}", "{\"type\":\"x\",\"uid\":\"u\",\"nsp\":\"/\"}"};
    struct server servers[ENGINES];
    hub_reset();
    start(servers, 0);
    uint64_t before = metrics_of(&servers[0]).adapter_malformed;
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++)
        GIVES("garbage", SOCKEYE_OK, sockeye_broker_deliver(servers[0].engine, "socket.io#/#", 12, garbage[i], strlen(garbage[i])));
    CHECK("what is no message is counted", metrics_of(&servers[0]).adapter_malformed - before >= 4);
    before = metrics_of(&servers[0]).adapter_malformed;
    GIVES("a message on another channel", SOCKEYE_OK, sockeye_broker_deliver(servers[0].engine, "socket.io#/no#", 14, "{", 1));
    GIVES("bytes that are not there", SOCKEYE_ERR_INVALID, sockeye_broker_deliver(servers[0].engine, "socket.io#/#", 12, NULL, 1));
    GIVES("a channel that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_broker_deliver(servers[0].engine, "\xff", 1, "x", 1));
    CHECK("they are not counted", metrics_of(&servers[0]).adapter_malformed == before);
    everything(servers);
    end(servers);
}

static sockeye_result free_in_publish(void *user, const char *channel, size_t channel_len, const void *bytes, size_t len)
{
    (void)channel, (void)channel_len, (void)bytes, (void)len;
    sockeye_result result = sockeye_engine_free(*(sockeye_engine **)user);
    hub_add(&hub.free_in_call, result);
    return SOCKEYE_OK;
}

static void test_free_in_a_function(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    hub_reset();
    sockeye_broker broker = broker_of(1);
    broker.publish = free_in_publish;
    broker.user = &server.engine;
    broker.subscribe = broker.unsubscribe = NULL;
    broker.drop = NULL;
    NEED(set(server.engine, &broker, "{}") == SOCKEYE_OK);
    sockeye_emission emission = emission_of("hello", "[]");
    sockeye_target target = target_of(1);
    NEED(sockeye_broadcast(server.engine, &target, &emission, NULL) == SOCKEYE_OK);
    for (int64_t deadline = now_ms() + PATIENCE_MS; hub_add(&hub.free_in_call, 0) == 0 && now_ms() < deadline;)
        sleep_ms(10);
    GIVES("free in a function of the broker's", SOCKEYE_ERR_DEADLOCK, hub_add(&hub.free_in_call, 0));
    server_end(&server);
}

int main(void)
{
    test_refusals();
    test_cluster(0);
    test_cluster(1);
    test_without_subscriptions();
    test_failures();
    test_garbage();
    test_free_in_a_function();
    return contract_report();
}
