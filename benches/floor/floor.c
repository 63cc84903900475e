/*
 * The floor: a server that does the least that the benchmark's scenarios allow, to tell what is the kernel's and
 * cannot be saved. It is not a Socket.IO server: it believes its client.
 *
 * One thread, one epoll. In a turn every readable connection gets one read, and every connection that has something
 * to say gets one write at the end of the turn, in which all broadcasts of the turn leave together. A frame is
 * unmasked while it is copied to the output; a packet is told by its first bytes and sent back without being parsed.
 * There are no timers, no limits and no errors for the client: what it does not expect ends the connection.
 *
 * HOST (127.0.0.1) and PORT (3000) in the environment say where it listens.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    FD_MAX = 65536,          /* connections are found by descriptor */
    ROOM_MAX = 1024,         /* rooms are named r0, r1, ... */
    EVENTS_MAX = 1024,
    READ_BYTES = 1 << 18,    /* more than a client of the benchmark has in flight */
    HEADER_BYTES_MAX = 4,    /* server frames here are shorter than 65536 bytes */
    SID_DIGITS = 20,         /* the official length */
};

/* The answer to the key of RFC 6455, section 1.3, which the load generator always sends. */
#define UPGRADED \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
#define RESPONSE \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\ncache-control: no-store\r\nContent-Length: %zu\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"
#define OPEN \
    "0{\"sid\":\"%020u\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}"

struct buffer {
    uint8_t *data;
    size_t length, capacity;
};

struct connection {
    struct buffer out;      /* leaves at the end of the turn */
    struct buffer partial;  /* the beginning of a request or frame */
    int websocket;          /* 0 while it speaks HTTP */
    int dirty;              /* listed in `dirty` */
    int joined;             /* gets broadcasts */
};

/* A long-polling session: its number is its sid. */
struct session {
    struct buffer queue;  /* packets for the next GET */
    int poll;             /* descriptor of the waiting GET, or 0 */
};

struct room {
    int *members;
    size_t count;
};

static struct connection *connections[FD_MAX];
static struct session sessions[FD_MAX];
static unsigned session_count;
static struct room rooms[ROOM_MAX];
static int dirty[FD_MAX], joined[FD_MAX];
static size_t dirty_count, joined_count;
static struct buffer broadcasts; /* frames of this turn for everyone */
static uint8_t input[READ_BYTES];

static uint8_t *reserve(struct buffer *buffer, size_t bytes)
{
    if (buffer->length + bytes > buffer->capacity) {
        buffer->capacity = (buffer->length + bytes) * 2;
        buffer->data = realloc(buffer->data, buffer->capacity);
        if (!buffer->data)
            abort();
    }
    return buffer->data + buffer->length;
}

static void append(struct buffer *buffer, const void *data, size_t bytes)
{
    memcpy(reserve(buffer, bytes), data, bytes);
    buffer->length += bytes;
}

static void mark(int fd)
{
    if (!connections[fd]->dirty) {
        connections[fd]->dirty = 1;
        dirty[dirty_count++] = fd;
    }
}

/* Appends the header of a frame. */
static void frame_header(struct buffer *out, uint8_t opcode, size_t bytes)
{
    uint8_t *p = reserve(out, HEADER_BYTES_MAX);
    p[0] = 0x80 | opcode;
    if (bytes < 126) {
        p[1] = (uint8_t)bytes;
        out->length += 2;
    } else {
        p[1] = 126;
        p[2] = (uint8_t)(bytes >> 8);
        p[3] = (uint8_t)bytes;
        out->length += 4;
    }
}

static void frame(struct buffer *out, uint8_t opcode, const void *data, size_t bytes)
{
    frame_header(out, opcode, bytes);
    append(out, data, bytes);
}

static void unmask(uint8_t *data, size_t bytes, const uint8_t *key)
{
    uint64_t key8;
    size_t i = 0;
    memcpy(&key8, key, 4);
    memcpy((uint8_t *)&key8 + 4, key, 4);
    for (; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        word ^= key8;
        memcpy(data + i, &word, 8);
    }
    for (; i < bytes; i++)
        data[i] ^= key[i & 3];
}

/* CONNECT to "/": joins the room that `auth` asks for, answers, and greets with the auth, as every server under test does. */
static void on_connect(int fd, struct buffer *out, const char *auth, size_t bytes)
{
    static const char asks[] = "{\"rooms\":[\"r";
    char text[256];
    if (bytes > sizeof asks - 1 && !memcmp(auth, asks, sizeof asks - 1)) {
        struct room *room = &rooms[strtoul(auth + sizeof asks - 1, NULL, 10) % ROOM_MAX];
        room->members = realloc(room->members, (room->count + 1) * sizeof *room->members);
        if (!room->members)
            abort();
        room->members[room->count++] = fd;
    }
    int length = snprintf(text, sizeof text, "40{\"sid\":\"%020d\"}", fd);
    frame(out, 1, text, (size_t)length);
    if (bytes == 0) {
        auth = "{}";
        bytes = 2;
    }
    length = snprintf(text, sizeof text, "42[\"auth\",%.*s]", (int)bytes, auth);
    frame(out, 1, text, (size_t)length);
    connections[fd]->joined = 1;
    joined[joined_count++] = fd;
}

/* `42["room","r7",...]`: sends `42["room",...]` to the members. */
static void on_room(const char *text, size_t bytes)
{
    static const char name[] = "42[\"room\",";
    const char *number = text + sizeof name - 1 + 2; /* behind `"r` */
    char *end;
    struct room *room = &rooms[strtoul(number, &end, 10) % ROOM_MAX];
    const char *rest = end + 2; /* behind `",` */
    size_t rest_bytes = bytes - (size_t)(rest - text);
    for (size_t i = 0; i < room->count; i++) {
        struct buffer *out = &connections[room->members[i]]->out;
        frame_header(out, 1, sizeof name - 1 + rest_bytes);
        append(out, name, sizeof name - 1);
        append(out, rest, rest_bytes);
        mark(room->members[i]);
    }
}

/* `42N["ack",...]`: answers `43N[...]`. */
static void on_ack(struct buffer *out, const char *text, size_t bytes)
{
    size_t digits = strspn(text + 2, "0123456789");
    const char *rest = text + 2 + digits + strlen("[\"ack\",");
    size_t rest_bytes = bytes - (size_t)(rest - text);
    frame_header(out, 1, 2 + digits + 1 + rest_bytes);
    append(out, "43", 2);
    append(out, text + 2, digits);
    append(out, "[", 1);
    append(out, rest, rest_bytes);
}

/* A whole message of a WebSocket client, unmasked. The byte after the packet type says what it is. */
static void on_message(int fd, uint8_t opcode, const char *text, size_t bytes)
{
    struct buffer *out = &connections[fd]->out;
    if (opcode == 2 || text[1] == '5' || !memcmp(text, "42[\"e", 5))
        frame(out, opcode, text, bytes); /* echo, echo-bin and its attachment come back as they are */
    else if (text[1] == '0')
        on_connect(fd, out, text + 2, bytes - 2);
    else if (text[2] != '[')
        on_ack(out, text, bytes);
    else if (text[4] == 'b') {
        frame(&broadcasts, opcode, text, bytes);
        return;
    } else {
        on_room(text, bytes);
        return;
    }
    mark(fd);
}

/* Takes whole frames from the front and returns the bytes taken. */
static size_t on_frames(int fd, uint8_t *data, size_t bytes)
{
    size_t taken = 0;
    while (bytes - taken >= 6) {
        uint8_t *p = data + taken;
        size_t header = 6, length = p[1] & 0x7f;
        if (length == 126) {
            header = 8;
            length = (size_t)p[2] << 8 | p[3];
        }
        if (bytes - taken < header + length)
            break;
        unmask(p + header, length, p + header - 4);
        if (length > 1 || (p[0] & 0x0f) == 2) /* a single byte is a pong */
            on_message(fd, p[0] & 0x0f, (char *)p + header, length);
        taken += header + length;
    }
    return taken;
}

static void respond(int fd, const void *body, size_t bytes)
{
    struct buffer *out = &connections[fd]->out;
    out->length += (size_t)sprintf((char *)reserve(out, sizeof RESPONSE + SID_DIGITS), RESPONSE, bytes);
    append(out, body, bytes);
    mark(fd);
}

static void answer_poll(struct session *session)
{
    if (session->poll && session->queue.length) {
        respond(session->poll, session->queue.data, session->queue.length);
        session->queue.length = 0;
        session->poll = 0;
    }
}

static void on_post(struct session *session, const char *body, size_t bytes)
{
    static const char connected[] = "40{\"sid\":\"00000000000000000000\"}\x1e" "42[\"auth\",{}]";
    if (bytes == 2)
        append(&session->queue, connected, sizeof connected - 1);
    else if (bytes > 2)
        append(&session->queue, body, bytes);
    answer_poll(session);
}

/* Takes one request, ended by an empty line and its body, and returns its length, or 0 if it is not complete. */
static size_t on_request(int fd, char *data, size_t bytes)
{
    char open[256], *head_end = memmem(data, bytes, "\r\n\r\n", 4);
    if (!head_end)
        return 0;
    size_t head = (size_t)(head_end - data) + 4;
    char *sid = memmem(data, head, "&sid=", 5);
    if (memmem(data, head, "transport=websocket", 19)) {
        int length = snprintf(open, sizeof open, OPEN, (unsigned)fd);
        append(&connections[fd]->out, UPGRADED, sizeof UPGRADED - 1);
        frame(&connections[fd]->out, 1, open, (size_t)length);
        connections[fd]->websocket = 1;
        mark(fd);
    } else if (!sid) {
        int length = snprintf(open, sizeof open, OPEN, session_count++);
        respond(fd, open, (size_t)length);
    } else {
        struct session *session = &sessions[strtoul(sid + 5, NULL, 10) % FD_MAX];
        if (data[0] == 'G') {
            session->poll = fd;
            answer_poll(session);
            return head;
        }
        char *length = memmem(data, head, "Content-Length: ", 16);
        size_t body = length ? strtoul(length + 16, NULL, 10) : 0;
        if (bytes < head + body)
            return 0;
        append(&connections[fd]->out, OK, sizeof OK - 1);
        mark(fd);
        on_post(session, data + head, body);
        head += body;
    }
    return head;
}

static void drop(int fd)
{
    struct connection *connection = connections[fd];
    for (size_t i = 0; connection->joined && i < joined_count; i++)
        if (joined[i] == fd)
            joined[i--] = joined[--joined_count];
    for (size_t r = 0; connection->joined && r < ROOM_MAX; r++)
        for (size_t i = 0; i < rooms[r].count; i++)
            if (rooms[r].members[i] == fd)
                rooms[r].members[i--] = rooms[r].members[--rooms[r].count];
    for (unsigned s = 0; s < session_count; s++)
        if (sessions[s].poll == fd)
            sessions[s].poll = 0;
    free(connection->out.data);
    free(connection->partial.data);
    free(connection);
    connections[fd] = NULL;
    close(fd);
}

static void on_readable(int fd)
{
    struct connection *connection = connections[fd];
    size_t kept = connection->partial.length, taken = 0, step = 1;
    if (kept)
        memcpy(input, connection->partial.data, kept);
    ssize_t count = recv(fd, input + kept, sizeof input - kept, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0) {
        drop(fd);
        return;
    }
    size_t bytes = kept + (size_t)count;
    while (!connection->websocket && taken < bytes && step) {
        step = on_request(fd, (char *)input + taken, bytes - taken);
        taken += step;
    }
    if (connection->websocket)
        taken += on_frames(fd, input + taken, bytes - taken);
    connection->partial.length = 0;
    if (taken < bytes)
        append(&connection->partial, input + taken, bytes - taken);
}

/* Writes what the connection has to say and the broadcasts of the turn; what the kernel refuses stays queued. */
static void flush(int fd)
{
    struct connection *connection = connections[fd];
    size_t shared = connection->joined ? broadcasts.length : 0;
    struct iovec parts[2] = {{connection->out.data, connection->out.length}, {broadcasts.data, shared}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t count = shared ? sendmsg(fd, &message, MSG_NOSIGNAL)
                           : send(fd, connection->out.data, connection->out.length, MSG_NOSIGNAL);
    size_t written = count < 0 ? 0 : (size_t)count, own = connection->out.length;
    if (written == own + shared) {
        connection->out.length = 0;
        return;
    }
    if (shared)
        append(&connection->out, broadcasts.data, shared);
    connection->out.length = own + shared - written;
    memmove(connection->out.data, connection->out.data + written, connection->out.length);
}

static void end_turn(void)
{
    if (broadcasts.length)
        for (size_t i = 0; i < joined_count; i++)
            mark(joined[i]);
    for (size_t i = 0; i < dirty_count; i++) {
        if (!connections[dirty[i]])
            continue; /* dropped in this turn */
        connections[dirty[i]]->dirty = 0;
        flush(dirty[i]);
    }
    dirty_count = 0;
    broadcasts.length = 0;
}

static void watch(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

static void accept_all(int epoll, int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= FD_MAX || !(connections[fd] = calloc(1, sizeof **connections))) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
}

static int listen_on(const char *host, int port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0) {
        perror("floor: listen");
        exit(1);
    }
    return fd;
}

int main(void)
{
    static struct epoll_event events[EVENTS_MAX];
    const char *host = getenv("HOST"), *port = getenv("PORT");
    int listener = listen_on(host ? host : "127.0.0.1", port ? atoi(port) : 3000);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(epoll, listener);
            else {
                if ((events[i].events & EPOLLOUT) && connections[fd]->out.length)
                    mark(fd);
                if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
                    on_readable(fd);
            }
        }
        end_turn();
    }
}
