// Says something to the clients of a cluster, from a shell, a timer or a deploy: a program that is none of the servers, on
// include/sockeye_emitter.hpp. It ends with 0 when the broker has taken it.
//
// Run: ./emit news '[{"text":"hello"}]'            to everybody
//      ROOM=games NSP=/chat ./emit news '["hi"]'   to a room of a namespace
//      ROOM=games ./emit --disconnect              everybody in a room is sent away
//
// The environment says where: ADAPTER (redis, or another of the servers' kinds), REDIS_URL (redis://127.0.0.1:6379) or DATABASE_URL, NSP, ROOM, EXCEPT,
// and ADAPTER_PREFIX, the servers' option `key`, `streamName` or `channelPrefix`.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sockeye_emitter.hpp"

namespace {

using std::string_view;
using namespace std::chrono_literals;

string_view env(const char *name, string_view fallback) {
    const char *value = std::getenv(name);
    return value && *value ? string_view(value) : fallback;
}

std::string options(string_view kind) {
    const auto url = kind == "postgres" ? env("DATABASE_URL", "postgres://127.0.0.1/postgres") : env("REDIS_URL", "redis://127.0.0.1:6379");
    const string_view name = kind == "redis" ? "key" : kind == "redis-streams" ? "streamName" : "channelPrefix";
    std::string json = "{\"url\":" + sockeye::json::quote(url);
    if (const auto prefix = env("ADAPTER_PREFIX", ""); !prefix.empty())
        json += "," + sockeye::json::quote(name) + ":" + sockeye::json::quote(prefix);
    return json + "}";
}

int failed(const char *what, sockeye::Status status) {
    std::fprintf(stderr, "emit: %s: %s: %s\n", what, status.name(), status.message());
    return EXIT_FAILURE;
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: emit EVENT [ARGUMENTS, a JSON array], or emit --disconnect\n");
        return 2;
    }
    const auto kind = env("ADAPTER", "redis");
    const auto emitter = sockeye::Emitter::open(kind, options(kind));
    if (!emitter) return failed("the emitter cannot be made", emitter.status());
    auto to = emitter->all(env("NSP", "/"));
    if (const auto room = env("ROOM", ""); !room.empty()) to.to(room);
    if (const auto room = env("EXCEPT", ""); !room.empty()) to.except(room);
    const string_view event = argv[1];
    const auto said = event == "--disconnect" ? to.disconnect() : to.emit(event, argc > 2 ? argv[2] : "[]");
    if (!said) return failed("that cannot be said", said);
    const auto flushed = emitter->flush(5s);
    return flushed ? EXIT_SUCCESS : failed("the broker did not take it", flushed);
}
