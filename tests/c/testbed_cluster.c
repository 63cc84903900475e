/* The testbed as a member of a cluster: its adapter from the environment, and what other servers say to it: `sse` is logged, `sse-ack` is
 * answered with this server's name and the arguments, `sse-noack` never is. */
#include "testbed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long the broker may take before the testbed listens all the same: a test can start one without a broker. */
#define BROKER_WAIT_S 3

/* Bytes of the log of `sse`; what comes after is left out. */
#define LOG_BYTES_MAX (16u << 20)

static void add_text(struct buf *json, const char *key, const char *value)
{
    if (!value)
        return;
    buf_str(json, json->len > 1 ? ",\"" : "\"");
    buf_str(json, key);
    buf_str(json, "\":");
    buf_quote(json, value, strlen(value));
}

static void add_raw(struct buf *json, const char *key, const char *value)
{
    buf_str(json, json->len > 1 ? ",\"" : "\"");
    buf_str(json, key);
    buf_str(json, "\":");
    buf_str(json, value);
}

/* ADAPTER_PREFIX and SUBSCRIPTION_MODE, under the names that the kind has for them. */
static void add_names(struct testbed *bed, const char *prefix, const char *mode)
{
    struct buf *json = &bed->adapter_json;
    bool streams = strcmp(bed->adapter, "redis-streams") == 0;
    add_text(json, "subscriptionMode", mode);
    if (strcmp(bed->adapter, "redis") == 0) {
        add_text(json, "key", prefix);
        return;
    }
    add_text(json, "channelPrefix", prefix);
    if (streams && prefix) {
        add_text(json, "streamName", prefix);
        buf_str(json, ",\"sessionKeyPrefix\":\"");
        buf_str(json, prefix);
        buf_str(json, ":session:\"");
    }
}

/* The options of the adapter as JSON; `number` is REQUESTS_TIMEOUT, 0 if there is none. */
void cluster_options(struct testbed *bed, const char *url, const char *sentinel, const char *prefix, const char *mode, uint64_t number, bool specific)
{
    char text[32];
    buf_str(&bed->adapter_json, "{");
    add_text(&bed->adapter_json, "url", url ? url : "redis://127.0.0.1:6379");
    if (sentinel) {
        buf_str(&bed->adapter_json, ",\"sentinels\":[");
        buf_quote(&bed->adapter_json, sentinel, strlen(sentinel));
        buf_str(&bed->adapter_json, "]");
    }
    add_names(bed, prefix, mode);
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    if (number)
        add_raw(&bed->adapter_json, "requestsTimeout", text);
    if (specific)
        add_raw(&bed->adapter_json, "publishOnSpecificResponseChannel", "true");
    buf_str(&bed->adapter_json, "}");
}

/* The same over PostgreSQL; `intervals` are REQUESTS_TIMEOUT, HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT and CLEANUP_INTERVAL, 0 for what is not said. */
void cluster_over_postgres(struct testbed *bed, const char *url, const char *prefix, const uint64_t intervals[4])
{
    static const char *const NAMES[4] = {"requestsTimeout", "heartbeatInterval", "heartbeatTimeout", "cleanupInterval"};
    buf_str(&bed->adapter_json, "{");
    add_text(&bed->adapter_json, "url", url ? url : "postgres://127.0.0.1:5432");
    add_text(&bed->adapter_json, "channelPrefix", prefix);
    for (int i = 0; i < 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)intervals[i]);
        if (intervals[i])
            add_raw(&bed->adapter_json, NAMES[i], text);
    }
    buf_str(&bed->adapter_json, "}");
}

/* Joins the cluster; the exit status if that is refused, else 0. Before the engine listens, so that whoever reaches it reaches all. */
int cluster_join(struct testbed *bed)
{
    sem_init(&bed->adapter_up, 0, 0);
    if (!bed->adapter)
        return 0;
    const struct buf *json = &bed->adapter_json;
    return sockeye_engine_set_adapter(bed->engine, bed->adapter, strlen(bed->adapter), json->ptr, json->len) == SOCKEYE_OK ? 0 : 2;
}

/* Waits for the broker, if there is to be one. Only when events are handled already. */
void cluster_wait(struct testbed *bed)
{
    struct timespec until;
    if (!bed->adapter || clock_gettime(CLOCK_REALTIME, &until) != 0)
        return;
    until.tv_sec += BROKER_WAIT_S;
    while (sem_timedwait(&bed->adapter_up, &until) != 0 && time(NULL) < until.tv_sec)
        continue;
}

static void log_event(struct testbed *bed, const sockeye_event *ev, text name)
{
    text args = {ev->data, ev->data_len};
    sockeye_buffer *buffer;
    text nsp;
    if (bed->log.len + args.len > LOG_BYTES_MAX || sockeye_namespace_name(bed->engine, ev->nsp, &buffer) != SOCKEYE_OK)
        return;
    nsp.ptr = sockeye_buffer_data(buffer, &nsp.len);
    buf_str(&bed->log, bed->log.len ? ",[" : "[");
    buf_quote(&bed->log, nsp.ptr, nsp.len);
    buf_str(&bed->log, ",");
    buf_quote(&bed->log, name.ptr, name.len);
    buf_str(&bed->log, args.len > 2 ? "," : "");
    if (args.len > 2)
        buf_renumbered(&bed->log, (text){args.ptr + 1, args.len - 2}, bed->log_attachments.count);
    buf_str(&bed->log, "]");
    blobs_add(&bed->log_attachments, ev->attachments, ev->attachment_count);
    sockeye_buffer_free(buffer);
}

static bool is_named(text name, const char *literal)
{
    return name.len == strlen(literal) && memcmp(name.ptr, literal, name.len) == 0;
}

/* A SERVER_MESSAGE. */
void cluster_message(struct testbed *bed, const sockeye_event *ev)
{
    text name = {ev->name_ptr, ev->name_len};
    struct buf json = {0};
    if (is_named(name, "sse"))
        log_event(bed, ev, name);
    if (!is_named(name, "sse-ack") || !ev->token)
        return;
    buf_str(&json, "[{\"name\":");
    buf_quote(&json, bed->server_name, strlen(bed->server_name));
    buf_str(&json, ",\"echo\":");
    buf_add(&json, ev->data, ev->data_len);
    buf_str(&json, "}]");
    sockeye_ack(bed->engine, ev->token, json.ptr, json.len, ev->attachments, ev->attachment_count);
    buf_free(&json);
}

/* `log`: what `sse` said since it was asked last. */
void cluster_log(struct testbed *bed, sockeye_token reply)
{
    struct buf json = {0};
    buf_str(&json, "[");
    buf_add(&json, bed->log.ptr, bed->log.len);
    buf_str(&json, "]");
    reply_ok(bed, reply, (text){json.ptr, json.len}, bed->log_attachments.items, bed->log_attachments.count);
    buf_free(&json);
    cluster_forget(bed);
}

void cluster_forget(struct testbed *bed)
{
    buf_free(&bed->log);
    blobs_free(&bed->log_attachments);
    bed->log = (struct buf){0};
    bed->log_attachments = (struct blobs){0};
}
