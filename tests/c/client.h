/* A tiny Socket.IO client on blocking sockets, for the contract tests: HTTP requests, and WebSocket connections with one packet for each
 * frame. It checks nothing of the protocol beyond what it needs to go on. */
#ifndef CLIENT_H
#define CLIENT_H

#include "contract.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#define FRAME_TEXT 1
#define FRAME_BINARY 2
#define FRAME_CLOSE 8

static inline int tcp_open(uint16_t port)
{
    struct sockaddr_in address;
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static inline int send_all(int fd, const void *data, size_t len)
{
    const char *at = (const char *)data;
    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static inline int recv_all(int fd, void *data, size_t len)
{
    char *at = (char *)data;
    while (len) {
        ssize_t n = recv(fd, at, len, 0);
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Reads a head up to its empty line; returns the status. */
static inline int http_head(int fd, char *head, size_t cap)
{
    size_t len = 0;
    while (len + 1 < cap && recv_all(fd, head + len, 1) == 0) {
        head[++len] = 0;
        if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0)
            return len > 12 ? atoi(head + 9) : -1;
    }
    return -1;
}

/* One request on a connection of its own; `out` gets the zero-terminated body. Returns the status. */
static inline int http_request(uint16_t port, const char *method, const char *target, const char *body, char *out, size_t cap)
{
    char head[4096];
    int fd = tcp_open(port), status;
    size_t len = 0;
    if (fd < 0)
        return -1;
    int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", method, target, body ? strlen(body) : 0);
    send_all(fd, head, (size_t)n);
    send_all(fd, body, body ? strlen(body) : 0);
    status = http_head(fd, head, sizeof head);
    const char *length = strcasestr(head, "content-length:");
    size_t expected = length ? (size_t)atoi(length + 15) : cap - 1;
    while (len < expected && len + 1 < cap && recv_all(fd, out + len, 1) == 0)
        len++;
    out[len] = 0;
    close(fd);
    return status;
}

/* ---- WebSocket ---------------------------------------------------------------------------------------------------------------------- */

/* Makes a connection a WebSocket; gives it back, or -1 with the connection closed. */
static inline int ws_open_on(int fd, const char *target)
{
    char head[4096];
    if (fd < 0)
        return -1;
    int n = snprintf(head, sizeof head,
                     "GET %s HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     target);
    if (send_all(fd, head, (size_t)n) != 0 || http_head(fd, head, sizeof head) != 101) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline int ws_open(uint16_t port, const char *target)
{
    return ws_open_on(tcp_open(port), target);
}

/* Sends one masked frame; the mask is 0, which leaves the payload as it is. */
static inline int ws_send_bytes(int fd, int opcode, const void *data, size_t len)
{
    unsigned char head[14];
    size_t at = 2;
    head[0] = (unsigned char)(0x80 | opcode);
    if (len < 126) {
        head[1] = (unsigned char)(0x80 | len);
    } else if (len < 65536) {
        head[1] = 0x80 | 126;
        head[at++] = (unsigned char)(len >> 8);
        head[at++] = (unsigned char)len;
    } else {
        head[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            head[at++] = (unsigned char)((uint64_t)len >> shift);
    }
    memset(head + at, 0, 4);
    return send_all(fd, head, at + 4) != 0 || send_all(fd, data, len) != 0 ? -1 : 0;
}

static inline int ws_send(int fd, const char *text)
{
    return ws_send_bytes(fd, FRAME_TEXT, text, strlen(text));
}

/* Receives one frame into `out`, zero-terminated. Returns its length, or -1 at the end, after a close frame, or if it does not fit. */
static inline int64_t ws_recv(int fd, char *out, size_t cap)
{
    unsigned char head[2], more[8];
    uint64_t len;
    if (recv_all(fd, head, 2) != 0)
        return -1;
    len = head[1] & 127;
    if (len >= 126) {
        size_t bytes = len == 126 ? 2 : 8;
        if (recv_all(fd, more, bytes) != 0)
            return -1;
        len = 0;
        for (size_t i = 0; i < bytes; i++)
            len = len << 8 | more[i];
    }
    if ((head[0] & 15) == FRAME_CLOSE || len >= cap || recv_all(fd, out, len) != 0)
        return -1;
    out[len] = 0;
    return (int64_t)len;
}

#define SIO_TARGET "/socket.io/?EIO=4&transport=websocket"

/* Joins `/` on a connection; `connect` is the CONNECT packet. -1 if it was refused; the refusal is in `answer`. */
static inline int sio_join(int fd, const char *connect, char *answer, size_t cap)
{
    fd = ws_open_on(fd, SIO_TARGET);
    if (fd < 0)
        return -1;
    if (ws_recv(fd, answer, cap) < 0 || ws_send(fd, connect) != 0 || ws_recv(fd, answer, cap) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline int sio_open_as(uint16_t port, const char *connect, char *answer, size_t cap)
{
    return sio_join(tcp_open(port), connect, answer, cap);
}

/* A connection whose `/` is joined. */
static inline int sio_open_on(int fd)
{
    char answer[1024];
    fd = sio_join(fd, "40", answer, sizeof answer);
    NEED(fd >= 0 && strncmp(answer, "40{\"sid\":", 9) == 0);
    return fd;
}

static inline int sio_open(uint16_t port)
{
    return sio_open_on(tcp_open(port));
}

#endif
