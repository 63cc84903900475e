/* The testbed's `LIMITS`: limits by their official names, as in `LIMITS=messagesPerSecond=50,roomsMax=false,ratePolicy=1`. A policy is the
 * number of its constant. Absent are the defaults. */
#define _GNU_SOURCE
#include "testbed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct limit {
    const char *name;
    size_t offset;
};

#define LIMIT(name, field) {name, offsetof(sockeye_limits, field)}

static const struct limit LIMITS[] = {
    LIMIT("connectionsMax", connections_max),
    LIMIT("connectionsPerAddressMax", connections_per_address_max),
    LIMIT("ipv6Prefix", ipv6_prefix),
    LIMIT("handshakesPendingMax", handshakes_pending_max),
    LIMIT("handshakesPerSecond", handshakes_per_second),
    LIMIT("handshakesBurst", handshakes_burst),
    LIMIT("headBytesMax", head_bytes_max),
    LIMIT("headersMax", headers_max),
    LIMIT("requestTimeMs", request_time_ms),
    LIMIT("keepAliveMs", keep_alive_ms),
    LIMIT("messagesPerSecond", messages_per_second),
    LIMIT("messagesBurst", messages_burst),
    LIMIT("bytesPerSecond", bytes_per_second),
    LIMIT("bytesBurst", bytes_burst),
    LIMIT("namespacesMax", namespaces_max),
    LIMIT("namespacesPendingMax", namespaces_pending_max),
    LIMIT("roomsMax", rooms_max),
    LIMIT("eventNameBytesMax", event_name_bytes_max),
    LIMIT("jsonDepthMax", json_depth_max),
    LIMIT("attachmentsMax", attachments_max),
    LIMIT("attachmentsTimeMs", attachments_time_ms),
    LIMIT("acksOwedMax", acks_owed_max),
    LIMIT("acksAwaitedMax", acks_awaited_max),
    LIMIT("outboundBytesMax", outbound_bytes_max),
    LIMIT("outboundPacketsMax", outbound_packets_max),
    LIMIT("outboundHighBytes", outbound_high_bytes),
    LIMIT("outboundLowBytes", outbound_low_bytes),
};

static bool is_name(const char *name, const char *at, size_t len)
{
    return strlen(name) == len && memcmp(name, at, len) == 0;
}

/* Sets what `name` of `len` bytes means; false if it means nothing. */
static bool set_limit(sockeye_limits *limits, const char *name, size_t len, uint64_t value)
{
    if (is_name("ratePolicy", name, len) || is_name("outboundPolicy", name, len)) {
        *(name[0] == 'r' ? &limits->rate_policy : &limits->outbound_policy) = (uint32_t)value;
        return true;
    }
    for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0]; i++)
        if (is_name(LIMITS[i].name, name, len)) {
            memcpy((char *)limits + LIMITS[i].offset, &value, sizeof value);
            return true;
        }
    return false;
}

const char *env_limits(struct testbed *bed)
{
    const char *at = getenv("LIMITS");
    bed->limits.size = sizeof bed->limits;
    bed->options.limits = &bed->limits;
    while (at && *at) {
        const char *sign = strchr(at, '=');
        char *end;
        if (!sign)
            return at;
        bool none = strncmp(sign + 1, "false", 5) == 0;
        errno = 0;
        uint64_t value = none ? SOCKEYE_NO_LIMIT : strtoull(sign + 1, &end, 10);
        end = none ? (char *)sign + 6 : end;
        if (end == sign + 1 || errno || (*end && *end != ',') || !set_limit(&bed->limits, at, (size_t)(sign - at), value))
            return at;
        at = *end ? end + 1 : end;
    }
    return NULL;
}
