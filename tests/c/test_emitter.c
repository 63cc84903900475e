/* Emitters without a broker: what is refused, what waits, what is told of what is lost, and their end. tests/clients has those with one. */
#include "contract.h"

#include <sys/wait.h>

#define NOWHERE "\"url\":\"redis://user:s3cret@127.0.0.1:1\""

static sockeye_result open_emitter(const char *kind, const char *json, sockeye_emitter **out)
{
    return sockeye_emitter_open(kind, strlen(kind), json, strlen(json), out);
}

static sockeye_emitter *emitter_of(const char *json)
{
    sockeye_emitter *emitter = NULL;
    NEED(open_emitter("redis", json, &emitter) == SOCKEYE_OK);
    return emitter;
}

static sockeye_emitter_target everybody(void)
{
    sockeye_emitter_target target;
    memset(&target, 0, sizeof target);
    target.size = sizeof target;
    return target;
}

static sockeye_emission event(const char *name, const char *args)
{
    sockeye_emission emission;
    memset(&emission, 0, sizeof emission);
    emission.size = sizeof emission;
    emission.name_ptr = name;
    emission.name_len = strlen(name);
    emission.data = args;
    emission.data_len = args ? strlen(args) : 0;
    return emission;
}

static sockeye_emitter_state state_of(sockeye_emitter *emitter)
{
    sockeye_emitter_state state;
    memset(&state, 0, sizeof state);
    state.size = sizeof state;
    NEED(sockeye_emitter_get_state(emitter, &state) == SOCKEYE_OK);
    return state;
}

static void test_refused_options(void)
{
    sockeye_emitter *emitter = NULL;
    GIVES("a kind that does not exist", SOCKEYE_ERR_INVALID, open_emitter("carrier-pigeon", "{}", &emitter));
    CHECK("it is named", error_mentions("carrier-pigeon"));
    GIVES("no URL", SOCKEYE_ERR_INVALID, open_emitter("redis", "{}", &emitter));
    GIVES("an unknown option", SOCKEYE_ERR_INVALID, open_emitter("redis", "{" NOWHERE ",\"keyy\":1}", &emitter));
    CHECK("it is named", error_mentions("keyy"));
    GIVES("no JSON", SOCKEYE_ERR_BAD_JSON, open_emitter("redis", "{", &emitter));
    GIVES("a URL of something else", SOCKEYE_ERR_INVALID, open_emitter("redis", "{\"url\":\"http://s3cret@x/\"}", &emitter));
    CHECK("the URL is not shown", !error_mentions("s3cret"));
    CHECK("nothing was made", emitter == NULL);
}

/* Each kind of the servers has its emitter, with the same options. */
static void test_kinds(void)
{
    static const char *const kinds[][2] = {
        {"redis", "{" NOWHERE ",\"key\":\"k\"}"},
        {"sharded-redis", "{" NOWHERE ",\"subscriptionMode\":\"static\"}"},
        {"redis-streams", "{" NOWHERE ",\"streamName\":\"s\",\"streamCount\":4,\"maxLen\":10}"},
        {"postgres", "{\"url\":\"postgres://user:s3cret@127.0.0.1:1/x\",\"channelPrefix\":\"p\"}"},
    };
    sockeye_emitter *emitter = NULL;
    sockeye_emitter_target target = everybody();
    sockeye_emission emission = event("x", "[1]");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        GIVES(kinds[i][0], SOCKEYE_OK, open_emitter(kinds[i][0], kinds[i][1], &emitter));
        GIVES("it takes what is said", SOCKEYE_OK, sockeye_emitter_emit(emitter, &target, &emission));
        GIVES("and what is said to servers", SOCKEYE_OK, sockeye_emitter_server_emit(emitter, NULL, 0, &emission));
        GIVES("both wait", 2, (int64_t)state_of(emitter).waiting);
        sockeye_emitter_close(emitter, 0);
        GIVES("free", SOCKEYE_OK, sockeye_emitter_free(emitter));
    }
    GIVES("an option of another kind", SOCKEYE_ERR_INVALID, open_emitter("redis-streams", "{" NOWHERE ",\"key\":\"k\"}", &emitter));
    GIVES("a range that is left", SOCKEYE_ERR_INVALID, open_emitter("redis-streams", "{" NOWHERE ",\"streamCount\":0}", &emitter));
}

static void refused(sockeye_emitter *emitter, const char *what, sockeye_result wanted, sockeye_emission emission)
{
    sockeye_emitter_target target = everybody();
    char name[128];
    snprintf(name, sizeof name, "%s is refused", what);
    GIVES(name, wanted, sockeye_emitter_emit(emitter, &target, &emission));
    snprintf(name, sizeof name, "%s is refused to servers", what);
    GIVES(name, wanted, sockeye_emitter_server_emit(emitter, "/", 1, &emission));
}

static void test_refused_emissions(void)
{
    sockeye_emitter *emitter = emitter_of("{" NOWHERE "}");
    sockeye_emitter_target target = everybody();
    sockeye_emission emission = event("x", "[]");
    sockeye_bytes odd = {"\xff", 1};
    refused(emitter, "a reserved name", SOCKEYE_ERR_INVALID, event("connect", "[]"));
    refused(emitter, "no array", SOCKEYE_ERR_BAD_JSON, event("x", "{}"));
    refused(emitter, "no JSON", SOCKEYE_ERR_BAD_JSON, event("x", "[nil]"));
    refused(emitter, "a name that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, event("\xff", "[]"));
    emission.flags = SOCKEYE_EXPECT_ACK;
    refused(emitter, "asking for acknowledgements", SOCKEYE_ERR_INVALID, emission);
    emission.flags = SOCKEYE_LOCAL;
    refused(emitter, "what would be local", SOCKEYE_ERR_INVALID, emission);
    emission.flags = 0;
    emission.name = 1;
    refused(emitter, "an interned name", SOCKEYE_ERR_INVALID, emission);
    emission.name = 0;
    emission.ttl_ms = 1;
    refused(emitter, "a time to live", SOCKEYE_ERR_INVALID, emission);
    target.flags = 1;
    emission = event("x", NULL);
    GIVES("an unknown flag of a target", SOCKEYE_ERR_INVALID, sockeye_emitter_emit(emitter, &target, &emission));
    target = everybody();
    target.rooms = &odd;
    target.room_count = 1;
    GIVES("a room that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_emitter_join(emitter, &target, NULL, 0));
    target = everybody();
    GIVES("a room to join that is not UTF-8", SOCKEYE_ERR_BAD_UTF8, sockeye_emitter_join(emitter, &target, &odd, 1));
    GIVES("an unknown flag of disconnecting", SOCKEYE_ERR_INVALID, sockeye_emitter_disconnect(emitter, &target, 8));
    GIVES("nothing of this waits", 0, (int64_t)state_of(emitter).waiting);
    sockeye_emitter_close(emitter, 0);
    GIVES("free", SOCKEYE_OK, sockeye_emitter_free(emitter));
}

static void test_waiting_and_closing(void)
{
    sockeye_emitter *emitter = emitter_of("{" NOWHERE ",\"publishQueueBytes\":65536}");
    sockeye_emitter_target target = everybody();
    sockeye_emission emission = event("x", "[1]");
    sockeye_buffer *error = NULL;
    size_t len = 0;
    int64_t accepted = 0, full = 0, deadline = now_ms() + PATIENCE_MS;
    for (int i = 0; i < 5000; i++) {
        sockeye_result result = sockeye_emitter_emit(emitter, &target, &emission);
        accepted += result == SOCKEYE_OK;
        full += result == SOCKEYE_ERR_FULL;
    }
    sockeye_emitter_state state = state_of(emitter);
    CHECK("what has room waits, the rest is told", accepted > 100 && full > 100 && accepted + full == 5000);
    GIVES("it is counted: waiting", accepted, (int64_t)state.waiting);
    GIVES("it is counted: dropped", full, (int64_t)state.dropped);
    /* The last one may go beyond. */
    CHECK("within the bound", state.waiting_bytes >= 65536 && state.waiting_bytes < 65536 + 1024 && state.published == 0 && state.up == 0);
    GIVES("flushing takes too long", SOCKEYE_ERR_TIMEOUT, sockeye_emitter_flush(emitter, 10));
    while (state_of(emitter).downs == 0 && now_ms() < deadline)
        sleep_ms(5);
    GIVES("the error can be read", SOCKEYE_OK, sockeye_emitter_error(emitter, &error));
    const char *text = (const char *)sockeye_buffer_data(error, &len);
    CHECK("it says something, and no password", len > 0 && !contains(text, len, "s3cret"));
    sockeye_buffer_free(error);
    GIVES("close", SOCKEYE_OK, sockeye_emitter_close(emitter, 0));
    GIVES("close again", SOCKEYE_ERR_CLOSED, sockeye_emitter_close(emitter, 0));
    GIVES("nothing more is taken", SOCKEYE_ERR_CLOSED, sockeye_emitter_emit(emitter, &target, &emission));
    GIVES("what waited is lost, which flushing says", SOCKEYE_ERR_CLOSED, sockeye_emitter_flush(emitter, PATIENCE_MS));
    GIVES("and counted", 5000, (int64_t)state_of(emitter).dropped);
    GIVES("free", SOCKEYE_OK, sockeye_emitter_free(emitter));
}

/* What waits has the time that was given, and no more. */
static void test_grace(void)
{
    sockeye_emitter *emitter = emitter_of("{" NOWHERE "}");
    sockeye_emitter_target target = everybody();
    sockeye_emission emission = event("x", NULL);
    NEED(sockeye_emitter_emit(emitter, &target, &emission) == SOCKEYE_OK);
    int64_t start = now_ms();
    GIVES("close with grace", SOCKEYE_OK, sockeye_emitter_close(emitter, 3000));
    CHECK("closing does not wait", now_ms() - start < 2900);
    GIVES("free", SOCKEYE_OK, sockeye_emitter_free(emitter));
    CHECK("freeing waits for the grace", now_ms() - start >= 2990);
}

static void test_fork(void)
{
    sockeye_emitter *emitter = emitter_of("{" NOWHERE "}");
    /* Its exit status is the checker's, where one watches it. */
    int said[2], good = 0;
    NEED(pipe(said) == 0);
    fflush(stdout);
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        sockeye_emitter_target target = everybody();
        sockeye_emission emission = event("x", NULL);
        good = sockeye_emitter_emit(emitter, &target, &emission) == SOCKEYE_ERR_FORKED &&
                   sockeye_emitter_flush(emitter, 0) == SOCKEYE_ERR_FORKED && sockeye_emitter_free(emitter) == SOCKEYE_ERR_FORKED;
        _exit(write(said[1], &good, sizeof good) != (ssize_t)sizeof good);
    }
    close(said[1]);
    NEED(read(said[0], &good, sizeof good) == (ssize_t)sizeof good);
    close(said[0]);
    NEED(waitpid(child, NULL, 0) == child);
    CHECK("an emitter of the parent process is refused", good);
    GIVES("free", SOCKEYE_OK, sockeye_emitter_free(emitter));
}

int main(void)
{
    test_refused_options();
    test_kinds();
    test_refused_emissions();
    test_waiting_and_closing();
    test_grace();
    test_fork();
    return contract_report();
}
