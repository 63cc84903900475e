// A chat with nicknames, rooms, typing notices and a list of who is here. What its page (chat/app.js) and we say:
//   auth {name, room}: refused with a sentence that the page shows
//   -> say text, move room, typing true|false: acknowledged with nothing, or with what is wrong
//   <- joined name, left name, message name text, typing name true|false: to the others in the room
//   <- here {room: [name, ...]}: to everybody, at each change
// Run: CLIENT_DIR=node_modules/socket.io-client ./chat     (also: HOST, PORT, PAGE_DIR)
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sockeye.h"

#define MAX_PEOPLE 200 // everybody gets the whole list at each change: fine for a house party, not for a stadium
#define MAX_NAME 60    // bytes: the page allows 20 UTF-16 units, at most 3 bytes each
#define MAX_TEXT 8000  // bytes of JSON: the page allows 1000 units, and some may come escaped
static const sockeye_bytes rooms[] = {{"lobby", 5}, {"games", 5}, {"music", 5}, {"help", 4}, {NULL, 0}};
static struct person {
    sockeye_socket socket;       // 0 if this place is free
    const sockeye_bytes *room;   // one of `rooms`, or NULL
    char name[6 * MAX_NAME + 3]; // as JSON: in quotes, each byte a \u00XX at worst
} people[MAX_PEOPLE], *const people_end = people + MAX_PEOPLE, nobody; // no lock: one thread calls on_events
static sockeye_engine *engine;
static sockeye_nsp root;
static sockeye_atom say, move, typing;

// A peer may leave before our answer reaches it; that is life. Any other failure is worth a line.
static int ok(sockeye_result result) {
    if (result < 0 && result != SOCKEYE_ERR_STALE && result != SOCKEYE_ERR_GONE && result != SOCKEYE_ERR_CLOSED)
        fprintf(stderr, "chat: %s: %s\n", sockeye_error_name(result), sockeye_last_error());
    return result >= 0;
}

// Emits a person's name, and maybe more JSON, to the others in the room; from nobody, only the JSON, to everybody.
static void emit(const char *event, const struct person *from, const char *more, size_t len, uint32_t flags) {
    char args[sizeof people + MAX_TEXT]; // fits all names, or one and a text
    int size = snprintf(args, sizeof args, "[%s%s%.*s]", from->name, *from->name && len ? "," : "", (int)len, more);
    sockeye_target target = {.size = sizeof target, .nsp = root, .from = from->socket, .rooms = from->room,
                             .room_count = from->room ? 1 : 0};
    sockeye_emission emission = {.size = sizeof emission, .flags = flags, .name_ptr = event, .name_len = strlen(event),
                                 .data = args, .data_len = (size_t)size};
    ok(sockeye_broadcast(engine, &target, &emission, NULL));
}

// Takes a person out of their room, if any, and into another unless that is NULL; then everybody learns who is where.
static void go(struct person *person, const sockeye_bytes *room) {
    if (person->room) emit("left", person, "", 0, 0);
    if (person->room) ok(sockeye_socket_leave(engine, person->socket, person->room, 1));
    person->room = room;
    if (room && ok(sockeye_socket_join(engine, person->socket, room, 1))) emit("joined", person, "", 0, 0);
    char here[sizeof people], *at = here; // it fits: a name and its comma are shorter than a person
    for (room = rooms; room->ptr; room++) {
        at += snprintf(at, here + sizeof here - at, "%s\"%s\":[", room == rooms ? "{" : "],", (const char *)room->ptr);
        for (const struct person *p = people; p < people_end; p++)
            if (p->room == room) at += snprintf(at, here + sizeof here - at, "%s%s", at[-1] == '[' ? "" : ",", p->name);
    }
    at += snprintf(at, here + sizeof here - at, "]}");
    emit("here", &nobody, here, (size_t)(at - here), 0);
}

static struct person *find(sockeye_socket socket) {
    for (struct person *p = people; p < people_end; p++) if (p->socket == socket) return p;
    return NULL;
}

// The part of the event's JSON that `pointer` names, as it came; empty if there is none.
static sockeye_bytes get(const sockeye_event *event, const char *pointer) {
    const char *part = NULL;
    size_t len = 0;
    ok(sockeye_json_get(event->data, event->data_len, pointer, strlen(pointer), &part, &len));
    return (sockeye_bytes){part ? part : "", len};
}

static const sockeye_bytes *room_of(sockeye_bytes json) {
    for (const sockeye_bytes *room = rooms; room->ptr; room++)
        if (json.len == room->len + 2 && memcmp((const char *)json.ptr + 1, room->ptr, room->len) == 0) return room;
    return NULL;
}

// Reads the name, and quotes it anew so that equal ones look equal. Returns why this visitor cannot come in, or NULL.
static const char *check_in(const sockeye_event *event, struct person *visitor) {
    sockeye_bytes json = get(event, "/name");
    char name[MAX_NAME];
    int64_t len = sockeye_json_string(json.ptr, json.len, name, sizeof name);
    if (len <= 0 || len > MAX_NAME || sockeye_json_quote(name, (size_t)len, visitor->name, sizeof visitor->name) < 0)
        return "Please give a name of at most 20 letters.";
    for (const struct person *p = people; p < people_end; p++)
        if (strcmp(p->name, visitor->name) == 0) return "Somebody here has that name.";
    return !room_of(get(event, "/room")) ? "There is no such room." : !find(0) ? "The house is full." : NULL;
}

static void on_message(struct person *person, const sockeye_event *event) {
    const sockeye_bytes arg = get(event, "/0"), *room = room_of(arg);
    int is_text = arg.len > 2 && arg.len <= MAX_TEXT && *(const char *)arg.ptr == '"';
    const char *answer = event->name == say && !is_text ? "[\"A message is text, and not too long.\"]"
                         : event->name == move && !room ? "[\"There is no such room.\"]" : "[]";
    if (event->token) ok(sockeye_ack(engine, event->token, answer, strlen(answer), NULL, 0));
    if (event->name == say && is_text) emit("message", person, arg.ptr, arg.len, 0);
    if (event->name == move && room && room != person->room) go(person, room);
    if (event->name == typing && arg.len <= 5) emit("typing", person, arg.ptr, arg.len, SOCKEYE_VOLATILE);
}

static void on_events(void *user, const sockeye_event *event, size_t count) {
    for (const sockeye_event *end = event + count; event < end; event++) {
        struct person *person = find(event->socket), visitor = {.socket = event->socket};
        if (event->kind == SOCKEYE_EVENT_AUTHORIZE) {
            const char *no = check_in(event, &visitor);
            const char *hint = room_of(get(event, "/room")) ? "{}" : "{\"room\":\"lobby\"}"; // where to try next
            ok(no ? sockeye_reject(engine, event->token, no, strlen(no), hint, strlen(hint))
                  : sockeye_accept(engine, event->token, 0, NULL, 0));
        } else if (event->kind == SOCKEYE_EVENT_CONNECT && check_in(event, &visitor)) {
            ok(sockeye_socket_disconnect(engine, event->socket, 0)); // its name was taken in the meantime
        } else if (event->kind == SOCKEYE_EVENT_CONNECT) {
            person = find(0); // a free place: check_in looked
            *person = visitor;
            go(person, room_of(get(event, "/room")));
        } else if (person && event->kind == SOCKEYE_EVENT_MESSAGE) {
            on_message(person, event);
        } else if (person && event->kind == SOCKEYE_EVENT_DISCONNECT) {
            go(person, NULL);
            *person = nobody;
        }
    }
    (void)user;
}

static const char *env(const char *name, const char *fallback) {
    return getenv(name) ? getenv(name) : fallback;
}

int main(void) {
    const char *host = env("HOST", "127.0.0.1"), *dir = env("PAGE_DIR", "examples/c/chat"), *js = env("CLIENT_DIR", "");
    sockeye_options opts = {.size = sizeof opts, .abi = SOCKEYE_ABI, .client_dir = js, .client_dir_len = strlen(js)};
    sockeye_nsp_options ask = {.size = sizeof ask, .flags = SOCKEYE_NSP_AUTHORIZE};
    char address[256];
    snprintf(address, sizeof address, "%s:%s", host, env("PORT", "3000"));
    uint16_t port;
    int signal_number;
    sigset_t set;
    if (sigemptyset(&set) || sigaddset(&set, SIGINT) || sigaddset(&set, SIGTERM) || sigprocmask(SIG_BLOCK, &set, 0) ||
        !ok(sockeye_engine_new(&opts, &engine)) || !ok(sockeye_engine_mount(engine, "/", 1, dir, strlen(dir))) ||
        !ok(sockeye_namespace(engine, "/", 1, &ask, &root)) || !ok(sockeye_atom_of(engine, "say", 3, &say)) ||
        !ok(sockeye_atom_of(engine, "move", 4, &move)) || !ok(sockeye_atom_of(engine, "typing", 6, &typing)) ||
        !ok(sockeye_queue_deliver(sockeye_engine_queue(engine), SOCKEYE_DELIVER_THREAD, on_events, NULL, NULL)) ||
        !ok(sockeye_engine_listen(engine, address, strlen(address), &port))) return EXIT_FAILURE;
    printf("Chat on http://%s:%u\n", host, (unsigned)port);
    fflush(stdout);
    sigwait(&set, &signal_number);
    return ok(sockeye_engine_close(engine, 1000)) && ok(sockeye_engine_free(engine)) ? EXIT_SUCCESS : EXIT_FAILURE;
}
