/* Options: their defaults, every one of them out of range, headers that do not fit the library, and the JSON form. */
#include "contract.h"

#include <stddef.h>

static void defaults_are_the_official_ones(void)
{
    sockeye_options o = default_options();
    GIVES("size is written", sizeof o, o.size);
    GIVES("abi is written", SOCKEYE_ABI, o.abi);
    GIVES("default flags", 0, o.flags);
    GIVES("default shards", 1, o.shards);
    GIVES("default transports", SOCKEYE_TRANSPORT_POLLING | SOCKEYE_TRANSPORT_WEBSOCKET, o.transports);
    GIVES("default pingInterval", 25000, o.ping_interval_ms);
    GIVES("default pingTimeout", 20000, o.ping_timeout_ms);
    GIVES("default upgradeTimeout", 10000, o.upgrade_timeout_ms);
    GIVES("default connectTimeout", 45000, o.connect_timeout_ms);
    GIVES("default compression threshold", 1024, o.http_compression_threshold);
    GIVES("default maxHttpBufferSize", 1000000, (int64_t)o.max_http_buffer_size);
    GIVES("default queue_events_max", 65536, (int64_t)o.queue_events_max);
    GIVES("default queue_bytes_max", 64 << 20, (int64_t)o.queue_bytes_max);
}

static void a_header_that_does_not_fit_is_refused(void)
{
    struct {
        sockeye_options known;
        uint64_t tail[4];
    } longer;
    sockeye_engine *engine = NULL;
    memset(&longer, 0, sizeof longer);
    GIVES("another ABI", SOCKEYE_ERR_VERSION, sockeye_options_init(&longer.known, sizeof longer.known, SOCKEYE_ABI + 1));
    GIVES("a longer struct can be initialised", SOCKEYE_OK, sockeye_options_init(&longer.known, sizeof longer, SOCKEYE_ABI));
    longer.known.size = sizeof longer;
    GIVES("an unknown tail of zeros is fine", SOCKEYE_OK, sockeye_engine_new(&longer.known, &engine));
    GIVES("and freed", SOCKEYE_OK, sockeye_engine_free(engine));
    longer.tail[3] = 1;
    engine = NULL;
    GIVES("an unknown tail that says something", SOCKEYE_ERR_VERSION, sockeye_engine_new(&longer.known, &engine));
    CHECK("out is untouched on failure", engine == NULL);
    longer.known.size = sizeof longer.known;
    longer.known.abi = SOCKEYE_ABI + 1;
    GIVES("engine_new checks the ABI too", SOCKEYE_ERR_VERSION, sockeye_engine_new(&longer.known, &engine));
    longer.known.abi = SOCKEYE_ABI;
    longer.known.size = 3;
    CHECK("a size that cannot be", sockeye_engine_new(&longer.known, &engine) < 0);
}

static void an_older_shorter_struct_gets_defaults(void)
{
    sockeye_options o;
    sockeye_engine *engine = NULL;
    memset(&o, 0xff, sizeof o);
    GIVES("init of a shorter struct", SOCKEYE_OK, sockeye_options_init(&o, offsetof(sockeye_options, path), SOCKEYE_ABI));
    CHECK("init writes no byte beyond it", o.client_dir_len == (size_t)-1);
    GIVES("new with a shorter struct", SOCKEYE_OK, sockeye_engine_new(&o, &engine));
    GIVES("and freed", SOCKEYE_OK, sockeye_engine_free(engine));
}

static void refused(const char *what, const sockeye_options *o, const char *word)
{
    sockeye_engine *engine = NULL;
    char name[128];
    snprintf(name, sizeof name, "%s is refused", what);
    sockeye_result result = sockeye_engine_new(o, &engine);
    CHECK(name, result == SOCKEYE_ERR_INVALID || result == SOCKEYE_ERR_BAD_JSON || result == SOCKEYE_ERR_BAD_UTF8 || result == SOCKEYE_ERR_IO);
    snprintf(name, sizeof name, "%s: the message says %s", what, word);
    CHECK(name, error_mentions(word));
    if (engine)
        sockeye_engine_free(engine);
}

static void numbers_out_of_range(void)
{
    static const uint32_t too_long_ms = 86400001;
    sockeye_options o = default_options();
    o.flags = 0x80000000u;
    refused("an unknown flag", &o, "flags");
    o = default_options();
    o.shards = 257;
    refused("shards 257", &o, "shards");
    o = default_options();
    o.transports = 8;
    refused("an unknown transport", &o, "transports");
    o = default_options();
    o.ping_interval_ms = too_long_ms;
    refused("a pingInterval of more than a day", &o, "pingInterval");
    o = default_options();
    o.ping_timeout_ms = too_long_ms;
    refused("a pingTimeout of more than a day", &o, "pingTimeout");
    o = default_options();
    o.upgrade_timeout_ms = too_long_ms;
    refused("an upgradeTimeout of more than a day", &o, "upgradeTimeout");
    o = default_options();
    o.connect_timeout_ms = too_long_ms;
    refused("a connectTimeout of more than a day", &o, "connectTimeout");
    o = default_options();
    o.max_http_buffer_size = UINT64_MAX;
    refused("maxHttpBufferSize beyond all memory", &o, "maxHttpBufferSize");
    o = default_options();
    o.queue_events_max = UINT64_MAX;
    refused("queue_events_max beyond all memory", &o, "queueEventsMax");
    o = default_options();
    o.queue_bytes_max = UINT64_MAX;
    refused("queue_bytes_max beyond all memory", &o, "queueBytesMax");
}

static void zero_is_the_default(void)
{
    sockeye_options o;
    sockeye_engine *engine = NULL;
    memset(&o, 0, sizeof o);
    o.size = sizeof o;
    o.abi = SOCKEYE_ABI;
    GIVES("options of zeros are the defaults", SOCKEYE_OK, sockeye_engine_new(&o, &engine));
    GIVES("and freed again", SOCKEYE_OK, sockeye_engine_free(engine));
}

static void with_text(const char **ptr, size_t *len, const char *text)
{
    *ptr = text;
    *len = strlen(text);
}

static void texts_out_of_range(void)
{
    sockeye_options o = default_options();
    with_text(&o.path, &o.path_len, "no-slash");
    refused("a path without slash", &o, "path");
    with_text(&o.path, &o.path_len, "/\xff");
    refused("a path that is not UTF-8", &o, "path");
    o = default_options();
    o.path_len = 5;
    refused("a path of NULL with a length", &o, "path");
    o = default_options();
    with_text(&o.cors, &o.cors_len, "{\"origin\":");
    refused("cors that is not JSON", &o, "cors");
    with_text(&o.cors, &o.cors_len, "{\"orign\":\"*\"}");
    refused("cors with an unknown key", &o, "orign");
    o = default_options();
    with_text(&o.cookie, &o.cookie_len, "{\"name\":7}");
    refused("a cookie whose name is a number", &o, "cookie");
    o = default_options();
    with_text(&o.headers, &o.headers_len, "[1]");
    refused("headers that are an array", &o, "headers");
    with_text(&o.headers, &o.headers_len, "{\"x\":\"a\\r\\nb\"}");
    refused("a header with a line break", &o, "\"x\"");
    o = default_options();
    with_text(&o.client_dir, &o.client_dir_len, "/no/such/folder");
    refused("a client_dir that is not there", &o, "/no/such/folder");
}

static sockeye_result new_json(const char *json)
{
    sockeye_engine *engine = NULL;
    sockeye_result result = sockeye_engine_new_json(json, strlen(json), &engine);
    if (engine)
        sockeye_engine_free(engine);
    return result;
}

static void the_json_form(void)
{
    GIVES("no option at all", SOCKEYE_OK, new_json("{}"));
    GIVES("official names", SOCKEYE_OK,
          new_json("{\"pingInterval\":300,\"pingTimeout\":200,\"maxHttpBufferSize\":1000000,\"path\":\"/my\",\"transports\":[\"websocket\"],"
                   "\"cors\":{\"origin\":\"*\"},\"allowUpgrades\":false,\"connectTimeout\":1000,\"cookie\":true}"));
    CHECK("an unknown key is refused", new_json("{\"pingIntervall\":300}") < 0);
    CHECK("and named", error_mentions("pingIntervall"));
    CHECK("an unknown key deep inside is refused", new_json("{\"cors\":{\"orign\":\"*\"}}") < 0);
    CHECK("and named too", error_mentions("orign"));
    CHECK("a value of the wrong type is refused", new_json("{\"pingInterval\":\"soon\"}") < 0);
    CHECK("and the message has the value and the place", error_mentions("soon") && error_mentions("column 22"));
    CHECK("a value out of range is refused", new_json("{\"shards\":0}") < 0);
    CHECK("and its key named, with the bounds", error_mentions("shards") && error_mentions("256"));
    GIVES("text that is not JSON", SOCKEYE_ERR_BAD_JSON, new_json("{"));
    CHECK("an array", new_json("[]") < 0);
    GIVES("text that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, new_json("{\"path\":\"/\xff\"}"));
}

int main(void)
{
    defaults_are_the_official_ones();
    a_header_that_does_not_fit_is_refused();
    an_older_shorter_struct_gets_defaults();
    numbers_out_of_range();
    zero_is_the_default();
    texts_out_of_range();
    the_json_form();
    return contract_report();
}
