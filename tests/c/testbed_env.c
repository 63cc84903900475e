/* The environment of the testbed: its variables, checked, as options of the engine. A value that is not known, or a variable of a
 * feature that this build does not have, ends the program with exit status 2 and a line that names it. */
#define _GNU_SOURCE
#include "testbed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const LATER[] = {
    "ALLOW_EIO3",         "PMD",        "PMD_THRESHOLD",    "RECOVERY",          "RECOVERY_MS",
    "PARSER",
    "ADMIN",              "ADMIN_USER", "ADMIN_PASSWORD_HASH", "ADMIN_MODE",     "ADMIN_READONLY",
    "TLS_CERT",           "TLS_KEY",    "WT",
};

static void fail(const char *name, const char *value, const char *what)
{
    fprintf(stderr, "testbed: %s=%s: %s\n", name, value, what);
    exit(2);
}

/* The value of a variable; an empty one counts as absent. */
static const char *env_text(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static uint64_t env_number(const char *name, uint64_t otherwise, uint64_t min, uint64_t max)
{
    const char *value = env_text(name);
    char *end;
    if (!value)
        return otherwise;
    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || n < min || n > max)
        fail(name, value, "not a whole number in range");
    return n;
}

static bool env_flag(const char *name, bool otherwise)
{
    const char *value = env_text(name);
    if (!value)
        return otherwise;
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        fail(name, value, "neither 0 nor 1");
    return value[0] == '1';
}

static void env_option(const char *name, const char **ptr, size_t *len)
{
    const char *value = env_text(name);
    if (!value)
        return;
    *ptr = value;
    *len = strlen(value);
}

static enum delivery env_delivery(void)
{
    const char *value = env_text("DELIVERY");
    if (!value || strcmp(value, "poll") == 0)
        return DELIVERY_POLL;
    if (strcmp(value, "thread") == 0)
        return DELIVERY_THREAD;
    if (strcmp(value, "inline") != 0)
        fail("DELIVERY", value, "not one of inline, thread, poll");
    return DELIVERY_INLINE;
}

static uint32_t env_transports(uint32_t otherwise)
{
    const char *value = env_text("TRANSPORTS"), *at = value;
    uint32_t transports = 0;
    if (!value)
        return otherwise;
    while (*at) {
        size_t len = strcspn(at, ",");
        if (len == 7 && memcmp(at, "polling", len) == 0)
            transports |= SOCKEYE_TRANSPORT_POLLING;
        else if (len == 9 && memcmp(at, "websocket", len) == 0)
            transports |= SOCKEYE_TRANSPORT_WEBSOCKET;
        else
            fail("TRANSPORTS", value, "not a list of polling, websocket");
        at += len + (at[len] == ',');
    }
    return transports;
}

/* CORS_ORIGIN and CORS_CREDENTIALS as the JSON of the `cors` option: one origin as a string, several as an array. */
static void env_cors(struct testbed *bed)
{
    const char *value = env_text("CORS_ORIGIN"), *at = value;
    bool credentials = env_flag("CORS_CREDENTIALS", false);
    struct buf *json = &bed->cors;
    if (!value)
        return;
    bool several = strchr(value, ',') != NULL;
    buf_str(json, several ? "{\"origin\":[" : "{\"origin\":");
    while (*at) {
        size_t len = strcspn(at, ",");
        buf_str(json, at == value ? "" : ",");
        buf_quote(json, at, len);
        at += len + (at[len] == ',');
    }
    buf_str(json, several ? "]" : "");
    buf_str(json, credentials ? ",\"credentials\":true}" : "}");
    bed->options.cors = json->ptr;
    bed->options.cors_len = json->len;
}

static void env_flags(struct testbed *bed)
{
    sockeye_options *options = &bed->options;
    bed->engine_only = env_flag("ENGINE_ONLY", false);
    options->flags |= bed->engine_only ? SOCKEYE_OPT_ENGINE_ONLY : 0;
    options->flags |= env_flag("ALLOW_UPGRADES", true) ? 0 : SOCKEYE_OPT_NO_UPGRADES;
    options->flags |= env_flag("TRAILING_SLASH", true) ? 0 : SOCKEYE_OPT_NO_TRAILING_SLASH;
    options->flags |= env_flag("HTTP_COMPRESSION", true) ? 0 : SOCKEYE_OPT_NO_HTTP_COMPRESSION;
}

static void env_numbers(sockeye_options *options)
{
    options->shards = (uint32_t)env_number("SHARDS", options->shards, 1, UINT32_MAX);
    options->ping_interval_ms = (uint32_t)env_number("PING_INTERVAL", options->ping_interval_ms, 1, UINT32_MAX);
    options->ping_timeout_ms = (uint32_t)env_number("PING_TIMEOUT", options->ping_timeout_ms, 1, UINT32_MAX);
    options->connect_timeout_ms = (uint32_t)env_number("CONNECT_TIMEOUT", options->connect_timeout_ms, 1, UINT32_MAX);
    options->upgrade_timeout_ms = (uint32_t)env_number("UPGRADE_TIMEOUT", options->upgrade_timeout_ms, 1, UINT32_MAX);
    options->max_http_buffer_size = env_number("MAX_HTTP_BUFFER_SIZE", options->max_http_buffer_size, 1, UINT64_MAX);
}

static void env_adapter(struct testbed *bed)
{
    const char *kind = env_text("ADAPTER");
    uint64_t timeout = env_number("REQUESTS_TIMEOUT", 0, 1, UINT32_MAX);
    bool specific = env_flag("SPECIFIC_RESPONSE_CHANNEL", false);
    const char *options = env_text("ADAPTER_OPTIONS");
    const uint64_t intervals[4] = {
        timeout,
        env_number("HEARTBEAT_INTERVAL", 0, 1, UINT32_MAX),
        env_number("HEARTBEAT_TIMEOUT", 0, 1, UINT32_MAX),
        env_number("CLEANUP_INTERVAL", 0, 1, UINT32_MAX),
    };
    if (!kind || strcmp(kind, "memory") == 0)
        return;
    bed->adapter = kind;
    if (options)
        buf_str(&bed->adapter_json, options);
    else if (strcmp(kind, "postgres") == 0)
        cluster_over_postgres(bed, env_text("DATABASE_URL"), env_text("ADAPTER_PREFIX"), intervals);
    else
        cluster_options(bed, env_text("REDIS_URL"), env_text("REDIS_SENTINEL"), env_text("ADAPTER_PREFIX"), env_text("SUBSCRIPTION_MODE"), timeout, specific);
}

void env_read(struct testbed *bed)
{
    const char *host = env_text("HOST"), *name = env_text("SERVER_NAME");
    sockeye_options *options = &bed->options;
    for (size_t i = 0; i < sizeof LATER / sizeof LATER[0]; i++)
        if (env_text(LATER[i]))
            fail(LATER[i], env_text(LATER[i]), "this build does not have it");
    if (sockeye_options_init(options, sizeof *options, SOCKEYE_ABI) != SOCKEYE_OK)
        fail("library", "libsockeye", sockeye_last_error());
    host = host ? host : "127.0.0.1";
    unsigned port = (unsigned)env_number("PORT", 3000, 0, 65535);
    int len = snprintf(bed->address, sizeof bed->address, strchr(host, ':') && host[0] != '[' ? "[%s]:%u" : "%s:%u", host, port);
    if (len < 0 || (size_t)len >= sizeof bed->address)
        fail("HOST", host, "too long");
    bed->server_name = name ? name : "";
    bed->delivery = env_delivery();
    env_numbers(options);
    const char *wrong = env_limits(bed);
    if (wrong)
        fail("LIMITS", wrong, "not name=value,... with names and values of limits");
    env_flags(bed);
    env_adapter(bed);
    env_cors(bed);
    options->transports = env_transports(options->transports);
    env_option("SIO_PATH", &options->path, &options->path_len);
    env_option("COOKIE", &options->cookie, &options->cookie_len);
    env_option("METRICS_PATH", &options->metrics_path, &options->metrics_path_len);
    env_option("CLIENT_DIR", &options->client_dir, &options->client_dir_len);
}
