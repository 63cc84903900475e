/* Every limit and every option out of its range, in the struct and in JSON: refused, and named. tests/tidy.rs holds that no option is left
 * out; that no limit is, the struct's own size tells. */
#include "contract.h"

#include <stddef.h>

/* The numbers of sockeye_limits in their order, by their JSON names. */
static const char *const limits[] = {
    "connectionsMax",     "connectionsPerAddressMax", "ipv6Prefix",         "handshakesPendingMax", "handshakesPerSecond", "handshakesBurst",
    "headBytesMax",       "headersMax",               "requestTimeMs",      "keepAliveMs",          "messagesPerSecond",   "messagesBurst",
    "bytesPerSecond",     "bytesBurst",               "namespacesMax",      "namespacesPendingMax", "roomsMax",            "eventNameBytesMax",
    "jsonDepthMax",       "attachmentsMax",           "attachmentsTimeMs",  "acksOwedMax",          "acksAwaitedMax",      "outboundBytesMax",
    "outboundPacketsMax", "outboundHighBytes",        "outboundLowBytes",
};

#define LIMITS (sizeof limits / sizeof limits[0])

/* An engine's options in JSON, and what is wrong with each of them: too small, too large, or of another type; a value that is right. */
static const struct option {
    const char *name, *right, *wrong[4];
} options[] = {
    {"path", "\"/p\"", {"\"p\"", "\"/?\"", "\"\"", "7"}},
    {"addTrailingSlash", "false", {"1", "\"no\"", "null", "[]"}},
    {"transports", "[\"polling\"]", {"[]", "[\"pigeon\"]", "[7]", "\"polling\""}},
    {"allowUpgrades", "false", {"0", "\"\"", "null", "{}"}},
    {"pingInterval", "1", {"0", "86400001", "-1", "1.5"}},
    {"pingTimeout", "86400000", {"0", "86400001", "-1", "\"1\""}},
    {"upgradeTimeout", "1", {"0", "86400001", "4294967296", "null"}},
    {"connectTimeout", "1", {"0", "86400001", "-5", "true"}},
    {"maxHttpBufferSize", "1", {"0", "1073741825", "18446744073709551616", "1e3"}},
    {"cors", "{\"origin\":\"*\"}", {"7", "{\"origin\":7}", "{\"orign\":\"*\"}", "\"*\""}},
    {"cookie", "true", {"7", "{\"name\":7}", "{\"nam\":\"io\"}", "{\"maxAge\":\"long\"}"}},
    {"httpCompression", "false", {"7", "{\"threshold\":-1}", "{\"treshold\":1}", "\"gzip\""}},
    {"headers", "{\"x\":\"y\"}", {"[]", "{\"x\":7}", "{\"x\":\"a\\nb\"}", "{\"a b\":\"c\"}"}},
    {"clientDir", "null", {"7", "\"/no/such/folder\"", "[]", "true"}},
    {"allowRequest", "true", {"1", "null", "\"yes\"", "[]"}},
    {"connectionErrors", "true", {"1", "null", "\"yes\"", "[]"}},
    {"cleanupEmptyChildNamespaces", "true", {"1", "null", "\"yes\"", "[]"}},
    {"httpEvents", "true", {"1", "null", "\"yes\"", "[]"}},
    {"engineOnly", "true", {"1", "null", "\"yes\"", "[]"}},
    {"shards", "2", {"0", "257", "-1", "\"2\""}},
    {"queueEventsMax", "1", {"0", "4294967297", "-1", "false"}},
    {"queueBytesMax", "1", {"0", "1099511627777", "-1", "0.5"}},
    {"checkOrigin", "false", {"1", "null", "\"yes\"", "[]"}},
    {"trustedProxies", "[\"10.0.0.0/8\"]", {"7", "[\"10.0.0.0/33\"]", "[\"proxy\"]", "[7]"}},
    {"metricsPath", "\"/metrics\"", {"7", "\"metrics\"", "\"/socket.io/metrics\"", "\"\""}},
    {"limits", "{}", {"7", "{\"connectionMax\":1}", "{\"connectionsMax\":\"many\"}", "null"}},
};

#define OPTIONS (sizeof options / sizeof options[0])

static sockeye_result new_json(const char *json)
{
    sockeye_engine *engine = NULL;
    sockeye_result result = sockeye_engine_new_json(json, strlen(json), &engine);
    sockeye_engine_free(engine);
    return result;
}

static sockeye_result new_with(const sockeye_limits *given)
{
    sockeye_options options = default_options();
    sockeye_engine *engine = NULL;
    options.limits = given;
    sockeye_result result = sockeye_engine_new(&options, &engine);
    sockeye_engine_free(engine);
    return result;
}

static void is_refused(const char *what, const char *name, sockeye_result result)
{
    char text[160];
    snprintf(text, sizeof text, "%s is refused", what);
    GIVES(text, SOCKEYE_ERR_INVALID, result);
    snprintf(text, sizeof text, "%s is named", what);
    CHECK(text, error_mentions(name));
}

static void limits_in_the_struct(void)
{
    GIVES("every limit has a name here", (int64_t)LIMITS, (int64_t)((sizeof(sockeye_limits) - offsetof(sockeye_limits, connections_max)) / sizeof(uint64_t)));
    for (size_t i = 0; i < LIMITS; i++) {
        sockeye_limits given;
        /* One less than SOCKEYE_NO_LIMIT, which is a number like others. */
        const uint64_t beyond = SOCKEYE_NO_LIMIT - 1;
        memset(&given, 0, sizeof given);
        given.size = sizeof given;
        memcpy((char *)&given + offsetof(sockeye_limits, connections_max) + i * sizeof beyond, &beyond, sizeof beyond);
        is_refused(limits[i], limits[i], new_with(&given));
    }
}

static void policies_in_the_struct(void)
{
    sockeye_limits given;
    memset(&given, 0, sizeof given);
    given.size = sizeof given;
    GIVES("limits of zeroes are the defaults", SOCKEYE_OK, new_with(&given));
    given.outbound_policy = 4;
    is_refused("outbound_policy 4", "outbound_policy", new_with(&given));
    given.outbound_policy = 0;
    given.rate_policy = 2;
    is_refused("rate_policy 2", "rate_policy", new_with(&given));
}

static void limits_in_json(void)
{
    static const char *const wrong[] = {"18446744073709551614", "-1", "1.5", "\"1\"", "null", "true"};
    char json[128], what[128];
    for (size_t i = 0; i < LIMITS; i++) {
        for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
            snprintf(json, sizeof json, "{\"limits\":{\"%s\":%s}}", limits[i], wrong[j]);
            snprintf(what, sizeof what, "limits.%s %s", limits[i], wrong[j]);
            is_refused(what, limits[i], new_json(json));
        }
    }
    is_refused("an unknown outboundPolicy", "outboundPolicy", new_json("{\"limits\":{\"outboundPolicy\":\"forget\"}}"));
    is_refused("an unknown ratePolicy", "ratePolicy", new_json("{\"limits\":{\"ratePolicy\":7}}"));
}

static void options_in_json(void)
{
    char json[256], what[256];
    for (size_t i = 0; i < OPTIONS; i++) {
        snprintf(json, sizeof json, "{\"%s\":%s}", options[i].name, options[i].right);
        snprintf(what, sizeof what, "%s %s is right", options[i].name, options[i].right);
        GIVES(what, SOCKEYE_OK, new_json(json));
        for (size_t j = 0; j < 4; j++) {
            snprintf(json, sizeof json, "{\"%s\":%s}", options[i].name, options[i].wrong[j]);
            snprintf(what, sizeof what, "%s %s", options[i].name, options[i].wrong[j]);
            sockeye_result result = new_json(json);
            CHECK(what, result == SOCKEYE_ERR_INVALID || result == SOCKEYE_ERR_IO || result == SOCKEYE_ERR_BAD_JSON);
            CHECK("and it is named", error_mentions(options[i].name));
        }
    }
}

int main(void)
{
    limits_in_the_struct();
    policies_in_the_struct();
    limits_in_json();
    options_in_json();
    return contract_report();
}
