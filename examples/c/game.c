// A game server with a loop of its own: 60 times a second it drains what the players sent, moves the world, and says how
// the world is. The engine's queue is polled (SOCKEYE_DELIVER_POLL, the default), so no callback ever meets the loop, and
// everything that a tick has to say crosses into the engine in one sockeye_submit.
//
// What the page (game/app.js) and we say to each other:
//   <- welcome id, width, height              id 0: no seat is free, watch
//   -> steer x, y                             -100..100, a vector no longer than 100
//   -> rtt ack                                answered with the tick: the page shows how far away the server is
//   <- state tick, [[id, x, y, score], ...], [[x, y], ...]     players and food; volatile: who is slow misses some
//
// Run: CLIENT_DIR=node_modules/socket.io-client ./game        (also: HOST, PORT, PAGE_DIR)
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sockeye.h"

#define ROOT 1 // the namespace "/"
#define TICK_NS (1000000000L / 60)
#define LATE_NS (TICK_NS * 15) // after a pause this long, ticks that were missed stay missed
#define MAX_PLAYERS 64
#define FOOD_COUNT 8
#define WIDTH 1600
#define HEIGHT 900
#define RADIUS 22        // of a player: this near, food is eaten
#define ACCELERATION 0.9f // units a tick, each tick, at full steering
#define DRAG 0.9f         // what is left of the speed after a tick
#define MAX_EVENTS 256    // a tick's batch; what is more waits in the queue, and a full queue stops reading from sockets
#define MAX_OPS (MAX_EVENTS + 1) // at most one answer for each event, and the state

struct player {
    sockeye_socket socket; // 0: the seat is free
    float x, y, speed_x, speed_y;
    int steer_x, steer_y, score;
};

// What a tick says. The engine borrows all of it for the one call of sockeye_submit.
struct outbox {
    size_t count;
    sockeye_op ops[MAX_OPS];
    sockeye_emission emissions[MAX_OPS];
    char text[MAX_EVENTS][32];
    char state[64 + MAX_PLAYERS * 40 + FOOD_COUNT * 16];
};

static sockeye_engine *engine;
static sockeye_atom steer, rtt, welcome, state;
static struct player players[MAX_PLAYERS];
static struct { int x, y; } food[FOOD_COUNT];
static struct outbox outbox;
static volatile sig_atomic_t stopping;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static const char *env(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

static int64_t must(int64_t result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "game: %s: %s\n", what, sockeye_last_error());
        exit(EXIT_FAILURE);
    }
    return result;
}

// ---- the world ---------------------------------------------------------------------------------

static int anywhere(int size) {
    return RADIUS + rand() % (size - 2 * RADIUS);
}

static void place_food(int i) {
    food[i].x = anywhere(WIDTH);
    food[i].y = anywhere(HEIGHT);
}

static float clamp(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

static void move_player(struct player *p) {
    p->speed_x = (p->speed_x + ACCELERATION * (float)p->steer_x / 100) * DRAG;
    p->speed_y = (p->speed_y + ACCELERATION * (float)p->steer_y / 100) * DRAG;
    p->x = clamp(p->x + p->speed_x, RADIUS, WIDTH - RADIUS);
    p->y = clamp(p->y + p->speed_y, RADIUS, HEIGHT - RADIUS);
    for (int i = 0; i < FOOD_COUNT; i++) {
        float dx = (float)food[i].x - p->x, dy = (float)food[i].y - p->y;
        if (dx * dx + dy * dy < RADIUS * RADIUS) {
            p->score++;
            place_food(i);
        }
    }
}

static struct player *player_of(sockeye_socket socket) {
    for (struct player *p = players; p < players + MAX_PLAYERS; p++) {
        if (p->socket == socket)
            return p;
    }
    return NULL;
}

// ---- what comes in -----------------------------------------------------------------------------

// The operation after the last one, with an empty emission in it. There is space for one for each event.
static sockeye_op *next_op(uint32_t kind) {
    size_t i = outbox.count++;
    outbox.emissions[i] = (sockeye_emission){.size = sizeof(sockeye_emission)};
    outbox.ops[i] = (sockeye_op){.size = sizeof(sockeye_op), .kind = kind, .emission = &outbox.emissions[i]};
    return &outbox.ops[i];
}

static void on_connect(sockeye_socket socket) {
    struct player *seat = player_of(0);
    if (seat)
        *seat = (struct player){.socket = socket, .x = (float)anywhere(WIDTH), .y = (float)anywhere(HEIGHT)};
    char *args = outbox.text[outbox.count];
    size_t cap = sizeof outbox.text[0];
    sockeye_emission *emission = &outbox.emissions[outbox.count];
    next_op(SOCKEYE_OP_EMIT)->socket = socket;
    emission->name = welcome;
    emission->data = args;
    emission->data_len = (size_t)snprintf(args, cap, "[%d,%d,%d]", seat ? (int)(seat - players) + 1 : 0, WIDTH, HEIGHT);
}

// The integer at `pointer` of the arguments, 0 if it is something else. strtol stops at the comma or bracket behind a number.
static int integer_at(const sockeye_event *event, const char *pointer) {
    const char *json = NULL;
    size_t len = 0;
    if (sockeye_json_get(event->data, event->data_len, pointer, strlen(pointer), &json, &len) < 0 || !json)
        return 0;
    return (int)clamp((float)strtol(json, NULL, 10), -1000, 1000);
}

static void on_steer(sockeye_socket socket, int x, int y) {
    struct player *p = player_of(socket);
    if (!p || x * x + y * y > 101 * 101) // the page rounds; who claims to be faster than that is not obeyed
        return;
    p->steer_x = x;
    p->steer_y = y;
}

static void on_event(const sockeye_event *event) {
    switch (event->kind) {
    case SOCKEYE_EVENT_CONNECT:
        on_connect(event->socket);
        break;
    case SOCKEYE_EVENT_MESSAGE:
        if (event->name == steer)
            on_steer(event->socket, integer_at(event, "/0"), integer_at(event, "/1"));
        else if (event->name == rtt && event->token)
            next_op(SOCKEYE_OP_ACK)->token = event->token;
        break;
    case SOCKEYE_EVENT_DISCONNECT: {
        struct player *p = player_of(event->socket);
        if (p)
            *p = (struct player){0};
        break;
    }
    }
}

// ---- what goes out -----------------------------------------------------------------------------

static void push_state(unsigned tick) {
    static const sockeye_target everybody = {.size = sizeof everybody, .nsp = ROOT};
    char *out = outbox.state;
    size_t cap = sizeof outbox.state;
    size_t len = (size_t)snprintf(out, cap, "[%u,[", tick);
    const char *comma = "";
    for (int i = 0; i < MAX_PLAYERS; i++) {
        const struct player *p = &players[i];
        if (!p->socket)
            continue;
        len += (size_t)snprintf(out + len, cap - len, "%s[%d,%d,%d,%d]", comma, i + 1, (int)p->x, (int)p->y, p->score);
        comma = ",";
    }
    for (int i = 0; i < FOOD_COUNT; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s[%d,%d]", i ? "," : "],[", food[i].x, food[i].y);
    len += (size_t)snprintf(out + len, cap - len, "]]");

    sockeye_emission *emission = &outbox.emissions[outbox.count];
    next_op(SOCKEYE_OP_BROADCAST)->target = &everybody;
    emission->flags = SOCKEYE_VOLATILE | SOCKEYE_TRUST_JSON; // our own numbers: no need to check them 60 times a second
    emission->name = state;
    emission->data = out;
    emission->data_len = len;
}

// Sleeps until the next tick is due.
static void wait_for_tick(struct timespec *due) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    due->tv_nsec += TICK_NS;
    if ((now.tv_sec - due->tv_sec) * 1000000000LL + now.tv_nsec - due->tv_nsec > LATE_NS)
        *due = now;
    due->tv_sec += due->tv_nsec / 1000000000L;
    due->tv_nsec %= 1000000000L;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL) == EINTR && !stopping)
        continue;
}

static void run(sockeye_queue *queue) {
    static sockeye_event events[MAX_EVENTS];
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (unsigned tick = 0; !stopping; tick++) {
        outbox.count = 0;
        int64_t count = must(sockeye_queue_poll(queue, events, sizeof events[0], MAX_EVENTS, 0), "poll");
        for (int64_t i = 0; i < count; i++)
            on_event(&events[i]);
        for (struct player *p = players; p < players + MAX_PLAYERS; p++) {
            if (p->socket)
                move_player(p);
        }
        push_state(tick);
        // A positive result counts operations that failed: players who left a moment ago.
        must(sockeye_submit(engine, outbox.ops, sizeof outbox.ops[0], outbox.count, NULL), "submit");
        wait_for_tick(&due);
    }
    must(sockeye_engine_close(engine, 1000), "close");
    while (sockeye_queue_poll(queue, events, sizeof events[0], MAX_EVENTS, 2000) > 0)
        continue; // the last one is SOCKEYE_EVENT_CLOSED; then poll returns SOCKEYE_ERR_CLOSED
}

static void set_up(void) {
    sockeye_options options;
    must(sockeye_options_init(&options, sizeof options, SOCKEYE_ABI), "options");
    options.client_dir = env("CLIENT_DIR", NULL);
    options.client_dir_len = options.client_dir ? strlen(options.client_dir) : 0;
    must(sockeye_engine_new(&options, &engine), "engine");
    const char *page = env("PAGE_DIR", "examples/c/game");
    must(sockeye_engine_mount(engine, "/", 1, page, strlen(page)), "PAGE_DIR");
    must(sockeye_atom_of(engine, "steer", 5, &steer), "steer");
    must(sockeye_atom_of(engine, "rtt", 3, &rtt), "rtt");
    must(sockeye_atom_of(engine, "welcome", 7, &welcome), "welcome");
    must(sockeye_atom_of(engine, "state", 5, &state), "state");
}

int main(void) {
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    for (int i = 0; i < FOOD_COUNT; i++)
        place_food(i);

    set_up();
    const char *host = env("HOST", "127.0.0.1");
    char address[256];
    uint16_t port;
    int len = snprintf(address, sizeof address, "%s:%s", host, env("PORT", "3000"));
    must(sockeye_engine_listen(engine, address, (size_t)len, &port), "listen");
    printf("Game on http://%s:%u\n", host, (unsigned)port);
    fflush(stdout);

    run(sockeye_engine_queue(engine));
    must(sockeye_engine_free(engine), "free");
    return EXIT_SUCCESS;
}
