/* What the tests of take-over share: connections that the host has, and requests to put on them. */
#ifndef TAKEOVER_H
#define TAKEOVER_H

#include "client.h"

#include <fcntl.h>

#define POLL_TARGET "/socket.io/?EIO=4&transport=polling"
static const char get_polling[] = "GET " POLL_TARGET " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
static const char open_websocket[] =
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static inline sockeye_connection connection_of(int fd)
{
    sockeye_connection connection;
    memset(&connection, 0, sizeof connection);
    connection.size = sizeof connection;
    connection.fd = fd;
    return connection;
}

/* Two ends of a TCP connection. */
static inline void tcp_pair(int ends[2])
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    NEED(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    ends[0] = tcp_open(ntohs(address.sin_port));
    ends[1] = accept(listener, NULL, NULL);
    NEED(ends[0] >= 0 && ends[1] >= 0);
    close(listener);
}

static inline void unix_pair(int ends[2])
{
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

static inline int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Reads to the end of the connection; returns the length. */
static inline size_t read_to_end(int fd, char *out, size_t cap)
{
    size_t len = 0;
    ssize_t n;
    while (len + 1 < cap && (n = recv(fd, out + len, cap - 1 - len, 0)) > 0)
        len += (size_t)n;
    out[len] = 0;
    return len;
}

#endif
