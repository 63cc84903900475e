/* The adapter of a cluster, without a broker: what it refuses, what it never says, and that everything which waits for other servers completes,
 * in time or when the engine closes. What a cluster does is tested with clients (tests/clients/node/cluster-redis.test.js). */
#include "contract.h"

/* Nobody listens there. */
#define NOWHERE "\"url\":\"redis://user:s3cret@127.0.0.1:1\""

#define SECURED "\"url\":\"rediss://user:s3cret@127.0.0.1:1\","

static sockeye_result join(sockeye_engine *engine, const char *kind, const char *json)
{
    return sockeye_engine_set_adapter(engine, kind, strlen(kind), json, strlen(json));
}

static void test_refusals(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    GIVES("a kind that does not exist", SOCKEYE_ERR_INVALID, join(server.engine, "carrier-pigeon", "{}"));
    CHECK("it is named", error_mentions("carrier-pigeon"));
    GIVES("no URL", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{}"));
    CHECK("it is missed by name", error_mentions("url"));
    GIVES("an unknown option", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" NOWHERE ",\"keyy\":1}"));
    CHECK("it is named", error_mentions("keyy"));
    GIVES("an option of the wrong type", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" NOWHERE ",\"requestsTimeout\":\"s3cret\"}"));
    CHECK("it is named and its value is not", error_mentions("requestsTimeout") && !error_mentions("s3cret"));
    GIVES("no JSON", SOCKEYE_ERR_BAD_JSON, join(server.engine, "redis", "{"));
    GIVES("a URL of something else", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{\"url\":\"http://s3cret@x/\"}"));
    CHECK("the URL is not shown", error_mentions("adapter.url") && !error_mentions("s3cret"));
    GIVES("a sentinel that is none", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{\"url\":\"redis://m\",\"sentinels\":[\"s3cret\"]}"));
    CHECK("it is named, and not shown", error_mentions("adapter.sentinels") && !error_mentions("s3cret"));
    GIVES("no verification", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{\"url\":\"rediss://x/#insecure\"}"));
    CHECK("it is refused by its option", error_mentions("adapter.url") && error_mentions("verified"));
    GIVES("TLS for a URL without", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" NOWHERE ",\"tls\":{\"caFile\":\"/dev/null\"}}"));
    CHECK("it is told", error_mentions("adapter.tls") && error_mentions("rediss://"));
    GIVES("a file that is not there", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" SECURED "\"tls\":{\"caFile\":\"/no/such/file\"}}"));
    CHECK("its option is named", error_mentions("adapter.tls.caFile"));
    GIVES("a file of something else", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" SECURED "\"tls\":{\"caFile\":\"/dev/null\"}}"));
    CHECK("its option is named", error_mentions("adapter.tls.caFile"));
    GIVES("a certificate without a key", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" SECURED "\"tls\":{\"certFile\":\"/dev/null\"}}"));
    CHECK("both are named", error_mentions("certFile") && error_mentions("keyFile"));
    GIVES("an unknown option of TLS", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" SECURED "\"tls\":{\"ca\":\"x\"}}"));
    GIVES("nodes and a URL", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" NOWHERE ",\"nodes\":[\"redis://x\"]}"));
    CHECK("they are named", error_mentions("adapter.nodes"));
    GIVES("nodes with several passwords", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{\"nodes\":[\"redis://:s3cret@a\",\"redis://:s3crets@b\"]}"));
    CHECK("they are named, and not shown", error_mentions("adapter.nodes") && !error_mentions("s3cret"));
    GIVES("a database of nodes", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{\"nodes\":[\"redis://a/1\"]}"));
    GIVES("an option of another kind", SOCKEYE_ERR_INVALID, join(server.engine, "redis-streams", "{" NOWHERE ",\"key\":\"a\"}"));
    CHECK("it is named", error_mentions("key"));
    GIVES("a mode that does not exist", SOCKEYE_ERR_INVALID, join(server.engine, "sharded-redis", "{" NOWHERE ",\"subscriptionMode\":\"all\"}"));
    GIVES("a range that is left", SOCKEYE_ERR_INVALID, join(server.engine, "redis-streams", "{" NOWHERE ",\"streamCount\":0}"));
    GIVES("one is taken", SOCKEYE_OK, join(server.engine, "redis", "{" NOWHERE "}"));
    GIVES("a second one is not", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" NOWHERE "}"));
    sockeye_engine_free(server.engine);
    server = server_start();
    GIVES("an engine that listens takes none", SOCKEYE_ERR_INVALID, join(server.engine, "redis", "{" NOWHERE "}"));
    CHECK("it says why", error_mentions("before the engine listens"));
    sockeye_engine_free(server.engine);
    options.flags |= SOCKEYE_OPT_ENGINE_ONLY;
    server = server_new(&options);
    GIVES("a bare engine has none", SOCKEYE_ERR_UNSUPPORTED, join(server.engine, "redis", "{" NOWHERE "}"));
    sockeye_engine_free(server.engine);
}

/* What the kind `postgres` says no to, and what it says when nobody is there. */
static void test_postgres(void)
{
    static const char *const WRONG[][2] = {
        {"url", "{}"},
        {"adapter.url", "{\"url\":\"redis://u:s3cret@x\"}"},
        {"adapter.url", "{\"url\":\"postgres://u:s3cret@h:port/\"}"},
        {"sslmode", "{\"url\":\"postgres://u:s3cret@h/db?sslmode=no-verify\"}"},
        {"adapter.tls.caFile", "{\"url\":\"postgres://u:s3cret@h\",\"tls\":{\"caFile\":\"/no/such/file\"}}"},
        {"adapter.tls.caFile", "{\"url\":\"postgres://u:s3cret@h\",\"tls\":{\"caFile\":\"/dev/null\"}}"},
        {"keyFile", "{\"url\":\"postgres://u:s3cret@h\",\"tls\":{\"certFile\":\"/dev/null\"}}"},
        {"key", "{\"url\":\"postgres://u:s3cret@h\",\"key\":\"x\"}"},
        {"adapter.channelPrefix", "{\"url\":\"postgres://u:s3cret@h\",\"channelPrefix\":\"\"}"},
        {"adapter.tableName", "{\"url\":\"postgres://u:s3cret@h\",\"tableName\":\"a; DROP TABLE b\"}"},
        {"adapter.payloadThreshold", "{\"url\":\"postgres://u:s3cret@h\",\"payloadThreshold\":8001}"},
        {"adapter.cleanupInterval", "{\"url\":\"postgres://u:s3cret@h\",\"cleanupInterval\":0}"},
        {"adapter.heartbeatInterval", "{\"url\":\"postgres://u:s3cret@h\",\"heartbeatInterval\":0}"},
        {"adapter.heartbeatTimeout", "{\"url\":\"postgres://u:s3cret@h\",\"heartbeatTimeout\":5000}"},
    };
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        GIVES(WRONG[i][1], SOCKEYE_ERR_INVALID, join(server.engine, "postgres", WRONG[i][1]));
        CHECK("it is named, and no secret is shown", error_mentions(WRONG[i][0]) && !error_mentions("s3cret"));
    }
    GIVES("no JSON", SOCKEYE_ERR_BAD_JSON, join(server.engine, "postgres", "{"));
    GIVES("one is taken", SOCKEYE_OK, join(server.engine, "postgres", "{\"url\":\"postgres://u:s3cret@127.0.0.1:1/db\"}"));
    sockeye_event down = server_next(&server, SOCKEYE_EVENT_ADAPTER_DOWN);
    CHECK("DOWN names the adapter", is_text(down.name_ptr, down.name_len, "postgres"));
    CHECK("DOWN says why, and no password", contains(down.data, down.data_len, "reason") && !contains(down.data, down.data_len, "s3cret"));
    sockeye_engine_free(server.engine);
}

static sockeye_target everybody(void)
{
    sockeye_target target;
    memset(&target, 0, sizeof target);
    target.size = sizeof target;
    target.nsp = 1;
    return target;
}

static sockeye_emission question(uint32_t timeout_ms)
{
    sockeye_emission emission;
    memset(&emission, 0, sizeof emission);
    emission.size = sizeof emission;
    emission.name_ptr = "question";
    emission.name_len = 8;
    emission.flags = SOCKEYE_EXPECT_ACK;
    emission.timeout_ms = timeout_ms;
    return emission;
}

/* Asks everything that other servers answer. */
static void ask_all(sockeye_engine *engine, uint32_t timeout_ms, sockeye_token tokens[4])
{
    sockeye_target target = everybody();
    sockeye_emission emission = question(timeout_ms);
    NEED(sockeye_sockets_fetch(engine, &target, &tokens[0]) == SOCKEYE_OK);
    NEED(sockeye_server_count(engine, 1, &tokens[1]) == SOCKEYE_OK);
    NEED(sockeye_server_emit(engine, 1, &emission, &tokens[2]) == SOCKEYE_OK);
    NEED(sockeye_broadcast(engine, &target, &emission, &tokens[3]) == SOCKEYE_OK);
}

/* Whether each of the tokens completes with `status`, once. */
static int all_complete(const struct server *server, const sockeye_token tokens[4], sockeye_result status)
{
    int completed[4] = {0, 0, 0, 0};
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (completed[0] + completed[1] + completed[2] + completed[3] < 4 && now_ms() < deadline) {
        sockeye_event event;
        if (sockeye_queue_poll(server->queue, &event, sizeof event, 1, 100) != 1)
            continue;
        for (int i = 0; i < 4; i++)
            if (event.token == tokens[i] && event.status == status)
                completed[i]++;
    }
    return completed[0] == 1 && completed[1] == 1 && completed[2] == 1 && completed[3] == 1;
}

static void test_without_broker(void)
{
    sockeye_options options = default_options();
    sockeye_token tokens[4];
    struct server server = server_new(&options);
    NEED(join(server.engine, "redis", "{" NOWHERE ",\"requestsTimeout\":100}") == SOCKEYE_OK);
    sockeye_event down = server_next(&server, SOCKEYE_EVENT_ADAPTER_DOWN);
    CHECK("DOWN names the adapter", is_text(down.name_ptr, down.name_len, "redis"));
    CHECK("DOWN says why, and no password", contains(down.data, down.data_len, "reason") && !contains(down.data, down.data_len, "s3cret"));
    ask_all(server.engine, 100, tokens);
    CHECK("what is asked of others ends when the time is over", all_complete(&server, tokens, SOCKEYE_ERR_TIMEOUT));
    sockeye_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server.engine, &metrics) == SOCKEYE_OK);
    CHECK("that is counted", metrics.adapter_timeouts >= 3 && metrics.adapter_downs == 1);
    ask_all(server.engine, 60000, tokens);
    GIVES("close", SOCKEYE_OK, sockeye_engine_close(server.engine, 0));
    /* The 100 ms of some may be over first. */
    server_next(&server, SOCKEYE_EVENT_CLOSED);
    sockeye_engine_free(server.engine);
}

static void test_close(void)
{
    sockeye_options options = default_options();
    sockeye_token tokens[4];
    struct server server = server_new(&options);
    NEED(join(server.engine, "redis", "{" NOWHERE "}") == SOCKEYE_OK);
    ask_all(server.engine, 60000, tokens);
    GIVES("close", SOCKEYE_OK, sockeye_engine_close(server.engine, 0));
    CHECK("what is asked of others ends when the engine closes", all_complete(&server, tokens, SOCKEYE_ERR_CLOSED));
    sockeye_engine_free(server.engine);
}

static void test_full_queue(void)
{
    sockeye_options options = default_options();
    sockeye_target target = everybody();
    sockeye_metrics metrics;
    struct server server = server_new(&options);
    NEED(join(server.engine, "redis", "{" NOWHERE ",\"publishQueueBytes\":65536}") == SOCKEYE_OK);
    sockeye_emission emission = question(0);
    emission.flags = 0;
    for (int i = 0; i < 5000; i++)
        NEED(sockeye_broadcast(server.engine, &target, &emission, NULL) == SOCKEYE_OK);
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server.engine, &metrics) == SOCKEYE_OK);
    CHECK("what has no room is dropped and counted", metrics.adapter_unsent > 4000 && metrics.adapter_unsent < 5000);
    sockeye_engine_free(server.engine);
}

int main(void)
{
    test_refusals();
    test_postgres();
    test_without_broker();
    test_close();
    test_full_queue();
    return contract_report();
}
