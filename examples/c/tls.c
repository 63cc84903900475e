// Socket.IO over TLS that the program terminates itself, here with OpenSSL in an epoll loop. The engine never sees the connection's
// descriptor: the loop decrypts, and feeds what it got with sockeye_stream_input; what the engine sends comes by callback, and the loop
// encrypts it. Both sides tell each other when they have had enough, so a slow client costs a buffer and no more.
//
//   -> any event, ack?     comes back as ack(...args), binary too
//
// Build: cc -std=c11 tls.c -lsockeye -lssl -lcrypto (Debian: libssl-dev)   Run: CERT=cert.pem KEY=key.pem ./tls   (also: HOST, PORT)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sockeye.h"

#define OUT_MAX (64 * 1024) // bytes of one client that wait for its TLS; the engine keeps the rest
#define IN_MAX (16 * 1024)  // a TLS record

struct client {
    int fd, accepted, peer_ended;
    SSL *ssl;
    char remote[INET_ADDRSTRLEN], in[IN_MAX];
    size_t in_at, in_len;  // decrypted, and not taken by the engine yet
    sockeye_stream stream; // 0 before the TLS handshake is over
    // Under `lock`, because the engine's threads change them:
    char out[OUT_MAX];
    size_t out_len;
    int out_refused, closing, dropped, is_dirty;
    struct client *next_dirty;
};

static sockeye_engine *engine;
static SSL_CTX *tls;
static int loop, wake;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct client *dirty; // whom the loop has to look at

static int must(int good, const char *what) {
    if (good) return good;
    fprintf(stderr, "tls: %s: %s\n", what, *sockeye_last_error() ? sockeye_last_error() : strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(EXIT_FAILURE);
}

static const char *env(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

// ---- what the engine asks of a stream, on its threads ----------------------------------------------------------------------

// With the lock held.
static void mark(struct client *client) {
    uint64_t one = 1;
    if (client->is_dirty) return;
    client->is_dirty = 1;
    client->next_dirty = dirty;
    dirty = client;
    if (write(wake, &one, sizeof one) < 0) perror("tls: eventfd"); // only if 2^64 wakes are waiting
}

static size_t on_send(void *user, const void *data, size_t len) {
    struct client *client = user;
    pthread_mutex_lock(&lock);
    size_t taken = len < OUT_MAX - client->out_len ? len : OUT_MAX - client->out_len;
    memcpy(client->out + client->out_len, data, taken);
    client->out_len += taken;
    client->out_refused |= taken < len;
    mark(client);
    pthread_mutex_unlock(&lock);
    return taken;
}

static void tell(struct client *client, int closing, int dropped) {
    pthread_mutex_lock(&lock);
    client->closing |= closing;
    client->dropped |= dropped;
    mark(client);
    pthread_mutex_unlock(&lock);
}

static void on_room(void *user) { tell(user, 0, 0); }
static void on_close(void *user) { tell(user, 1, 0); }
static void on_drop(void *user) { tell(user, 1, 1); }

static void on_events(void *user, const sockeye_event *event, size_t count) {
    for (const sockeye_event *end = event + count; event < end; event++)
        if (event->kind == SOCKEYE_EVENT_MESSAGE && event->token) // fails if the client has left: that is fine
            sockeye_ack(engine, event->token, event->data, event->data_len, event->attachments, event->attachment_count);
    (void)user;
}

// ---- what the loop does for a client ------------------------------------------------------------------------------------------

static void end_client(struct client *client) {
    close(client->fd); // which takes it out of the epoll set
    SSL_free(client->ssl);
    free(client);
}

static int is_alive(SSL *ssl, int result) {
    int error = SSL_get_error(ssl, result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

// Goes on with the TLS handshake; after it the engine gets the stream. Returns 0 if the client is to be forgotten.
static int shake_hands(struct client *client) {
    int result = SSL_accept(client->ssl);
    if (result != 1) return is_alive(client->ssl, result);
    client->accepted = 1;
    sockeye_connection connection = {.size = sizeof connection, .flags = SOCKEYE_CONNECTION_SECURE, .fd = -1,
                                     .remote = client->remote, .remote_len = strlen(client->remote), .send = on_send,
                                     .room = on_room, .close = on_close, .user = client, .drop = on_drop};
    return sockeye_engine_adopt(engine, &connection, &client->stream) >= 0;
}

// Decrypts and feeds, until there is nothing more or the engine has had enough.
static void feed(struct client *client) {
    while (!client->peer_ended) {
        if (client->in_at < client->in_len) {
            int64_t taken = sockeye_stream_input(engine, client->stream, client->in + client->in_at, client->in_len - client->in_at);
            if (taken < 0) return; // closed by the engine: on_drop comes
            client->in_at += (size_t)taken;
            if (client->in_at < client->in_len) return; // on_room comes
        }
        int result = SSL_read(client->ssl, client->in, IN_MAX);
        client->in_at = 0;
        client->in_len = result > 0 ? (size_t)result : 0;
        if (result > 0) continue;
        if (is_alive(client->ssl, result)) return;
        client->peer_ended = 1;
        sockeye_stream_end(engine, client->stream);
    }
}

// Encrypts what the engine has sent. With the lock held.
static void drain(struct client *client) {
    size_t sent = 0;
    while (sent < client->out_len) {
        int result = SSL_write(client->ssl, client->out + sent, (int)(client->out_len - sent));
        if (result <= 0) {
            if (!is_alive(client->ssl, result)) sent = client->out_len; // nobody is there; reading tells the engine
            break;
        }
        sent += (size_t)result;
    }
    memmove(client->out, client->out + sent, client->out_len -= sent);
    if (client->closing && !client->out_len && !(SSL_get_shutdown(client->ssl) & SSL_SENT_SHUTDOWN)) {
        SSL_shutdown(client->ssl);
        shutdown(client->fd, SHUT_WR);
    }
}

// Does for a client whatever can be done now.
static void serve(struct client *client) {
    if (!client->accepted && !shake_hands(client)) {
        end_client(client);
        return;
    }
    if (!client->stream) return;
    feed(client);
    pthread_mutex_lock(&lock);
    int dropped = client->dropped && !client->is_dirty; // of the dirty ones serve_dirty knows
    if (!client->dropped) drain(client);
    int takes_more = client->out_refused && client->out_len < OUT_MAX / 2;
    client->out_refused &= !takes_more;
    pthread_mutex_unlock(&lock);
    if (takes_more) sockeye_stream_writable(engine, client->stream);
    if (dropped) end_client(client);
}

static struct client *take_dirty(void) {
    pthread_mutex_lock(&lock);
    struct client *client = dirty;
    if (client) {
        dirty = client->next_dirty;
        client->is_dirty = 0;
    }
    pthread_mutex_unlock(&lock);
    return client;
}

static void serve_dirty(void) {
    uint64_t count;
    struct client *client;
    if (read(wake, &count, sizeof count) < 0) return;
    while ((client = take_dirty())) serve(client);
}

static void accept_clients(int listener) {
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int fd;
    while ((fd = accept4(listener, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *client = calloc(1, sizeof *client);
        must(client && (client->ssl = SSL_new(tls)) && SSL_set_fd(client->ssl, fd), "memory");
        client->fd = fd;
        inet_ntop(AF_INET, &address.sin_addr, client->remote, sizeof client->remote);
        struct epoll_event interest = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
        must(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &interest) == 0, "epoll");
        len = sizeof address;
    }
}

// ---- start and end -------------------------------------------------------------------------------------------------------------

static void watch(int *fd) {
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = fd};
    must(*fd >= 0 && epoll_ctl(loop, EPOLL_CTL_ADD, *fd, &interest) == 0, "epoll");
}

static int listen_on(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(fd >= 0 && inet_pton(AF_INET, host, &address.sin_addr) == 1, "HOST");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    must(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, SOMAXCONN) == 0, "listen");
    must(getsockname(fd, (struct sockaddr *)&address, &len) == 0, "listen");
    printf("tls: https://%s:%d\n", host, ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(void) {
    sockeye_options options;
    sigset_t ends;
    sigemptyset(&ends), sigaddset(&ends, SIGINT), sigaddset(&ends, SIGTERM);
    must(sigprocmask(SIG_BLOCK, &ends, NULL) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR, "signals"); // OpenSSL writes without MSG_NOSIGNAL
    must((tls = SSL_CTX_new(TLS_server_method())) != NULL, "OpenSSL");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    must(SSL_CTX_use_certificate_chain_file(tls, env("CERT", "cert.pem")) == 1, "CERT");
    must(SSL_CTX_use_PrivateKey_file(tls, env("KEY", "key.pem"), SSL_FILETYPE_PEM) == 1, "KEY");
    must(sockeye_options_init(&options, sizeof options, SOCKEYE_ABI) >= 0 && sockeye_engine_new(&options, &engine) >= 0, "engine");
    must(sockeye_queue_deliver(sockeye_engine_queue(engine), SOCKEYE_DELIVER_INLINE, on_events, NULL, NULL) >= 0, "queue");
    must((loop = epoll_create1(EPOLL_CLOEXEC)) >= 0, "epoll");
    wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC), listener = listen_on(env("HOST", "127.0.0.1"), atoi(env("PORT", "3000")));
    watch(&wake), watch(&signals), watch(&listener);
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(loop, events, 64, -1);
        for (int i = 0; i < count; i++) {
            void *who = events[i].data.ptr;
            if (who == &signals) return must(sockeye_engine_free(engine) >= 0, "free") ? EXIT_SUCCESS : EXIT_FAILURE;
            if (who == &listener) accept_clients(listener);
            else if (who != &wake) serve(who);
        }
        serve_dirty(); // last: it may free clients, which the batch above still names
    }
}
