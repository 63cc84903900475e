/* WebSocket handshakes that are taken from a connection before Node has made anything of it.
 *
 * A connection that Node makes costs a socket, a parser and a request, some ten kilobytes of objects that the engine has no use for. What
 * is already there of a new connection is looked at, and taken only if it is a whole handshake of the engine's; all else stays unread. */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Heads of handshakes are some hundred bytes, with cookies a few thousand; what is longer goes through Node. */
#define HEAD_MAX 4096
/* The header that lib/client.js finds a handshake by, which nobody else may write. */
#define GUEST_HEADER "x-sockeye-guest"
#define GUEST_LINE_MAX 48

/* The length of the head if `text` begins with a handshake under `path` that names no session, else 0. */
static size_t handshake_len(const char *text, size_t len, const char *path, size_t path_len)
{
    if (len < 4 + path_len || memcmp(text, "GET ", 4) != 0 || memcmp(text + 4, path, path_len) != 0 || memchr(text, 0, len))
        return 0;
    const char *line_end = strstr(text, "\r\n"), *end = strstr(text, "\r\n\r\n"), *sid = strstr(text, "sid=");
    const char *upgrade = strcasestr(text, "\r\nupgrade: websocket\r\n"), *guest = strcasestr(text, GUEST_HEADER);
    if (!end || !upgrade || upgrade > end || (guest && guest < end) || (sid && sid < line_end))
        return 0;
    return (size_t)(end - text) + 4;
}

/* Hands the connection over, with `taken` bytes that were read from it and their head's last line set to the number. */
static sockeye_result hand_over(struct host *host, int of, const char *taken, size_t len)
{
    int fd = fcntl(of, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return SOCKEYE_ERR_IO;
    sockeye_connection connection = {.size = sizeof connection, .fd = fd, .head = taken, .head_len = len};
    sockeye_result result = sockeye_engine_adopt(host->engine, &connection, NULL);
    if (result < 0)
        close(fd);
    return result;
}

/* divert(engine, descriptor, path, number) → 1 if the connection is not Node's any more, and the caller is to close its descriptor; 0 if it
 * is Node's; -1 if nothing has come yet */
static napi_value divert(napi_env env, napi_callback_info info)
{
    napi_value args[4];
    struct host *host;
    char text[HEAD_MAX + GUEST_LINE_MAX + 1], path[256];
    size_t path_len = 0;
    if (!arguments(env, info, 4, args) || !(host = host_of(env, args[0])))
        return NULL;
    int fd = (int)number_of(env, args[1]);
    uint32_t guest = number_of(env, args[3]);
    if (napi_get_value_string_latin1(env, args[2], path, sizeof path, &path_len) != napi_ok || path_len + 1 >= sizeof path)
        return number(env, 0);
    ssize_t len = recv(fd, text, HEAD_MAX, MSG_PEEK | MSG_DONTWAIT);
    if (len <= 0)
        return number(env, len < 0 && errno == EAGAIN ? -1 : 0);
    text[len] = 0;
    size_t head_len = handshake_len(text, (size_t)len, path, path_len);
    if (head_len == 0)
        return number(env, 0);
    if (recv(fd, text, (size_t)len, MSG_DONTWAIT) != len)
        return number(env, 1); /* it broke */
    char line[GUEST_LINE_MAX];
    size_t line_len = (size_t)snprintf(line, sizeof line, GUEST_HEADER ": %u\r\n", guest);
    memmove(text + head_len - 2 + line_len, text + head_len - 2, (size_t)len - head_len + 2);
    memcpy(text + head_len - 2, line, line_len);
    hand_over(host, fd, text, (size_t)len + line_len);
    return number(env, 1);
}

void door_exports(napi_env env, napi_value exports)
{
    export_function(env, exports, "divert", divert);
}
