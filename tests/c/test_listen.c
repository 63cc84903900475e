/* Listening: addresses that cannot be, ports that are taken, an inherited socket, and two engines in one process. */
#include "client.h"

#include <sys/un.h>

static void addresses_that_cannot_be(void)
{
    static const char *const bad[] = {"", "nowhere", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "256.0.0.1:80", "[::1", ":0:0"};
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    char name[64];
    uint16_t port = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(name, sizeof name, "address '%s'", bad[i]);
        GIVES(name, SOCKEYE_ERR_ADDR, sockeye_engine_listen(server.engine, bad[i], strlen(bad[i]), &port));
    }
    CHECK("port_out is untouched on failure", port == 7);
    CHECK("an address that is not UTF-8", sockeye_engine_listen(server.engine, "\xff:1", 3, &port) < 0);
    GIVES("an address of another machine", SOCKEYE_ERR_ADDR, sockeye_engine_listen(server.engine, "192.0.2.1:4711", 14, &port));
    CHECK("and it is named", error_mentions("192.0.2.1:4711"));
    server_listen(&server);
    CHECK("the engine can still listen", server.port != 0);
    server_end(&server);
}

static void a_busy_port(void)
{
    struct server first = server_start();
    sockeye_options options = default_options();
    struct server second = server_new(&options);
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", first.port);
    GIVES("a busy port", SOCKEYE_ERR_ADDR, sockeye_engine_listen(second.engine, address, strlen(address), NULL));
    CHECK("the message names the address", error_mentions(address));
    CHECK("and has the system's reason", error_mentions("in use"));
    server_end(&second);
    server_end(&first);
}

static void an_inherited_socket(void)
{
    sockeye_options options = default_options();
    struct server server = server_new(&options);
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), plain = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    NEED(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 16) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    CHECK("a descriptor that is closed", sockeye_engine_listen_fd(server.engine, 987654) < 0);
    CHECK("a socket that does not listen", sockeye_engine_listen_fd(server.engine, plain) < 0);
    GIVES("listen_fd", SOCKEYE_OK, sockeye_engine_listen_fd(server.engine, listener));
    close(plain);
    int fd = sio_open(ntohs(address.sin_port));
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    CHECK("clients come through it", 1);
    close(fd);
    server_end(&server);
}

static int unix_listener(struct sockaddr_un *address, int type)
{
    int listener = socket(AF_UNIX, type, 0);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, P_tmpdir "/sockeye-test-%d", (int)getpid());
    unlink(address->sun_path);
    NEED(listener >= 0 && bind(listener, (struct sockaddr *)address, sizeof *address) == 0 && listen(listener, 16) == 0);
    return listener;
}

static void a_socket_of_the_file_system(void)
{
    sockeye_options options = default_options();
    sockeye_limits limits;
    struct sockaddr_un address;
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    sockeye_buffer *buffer = NULL;
    char answer[1024];
    const char *at;
    size_t len, part_len;
    int fds[3];
    memset(&limits, 0, sizeof limits);
    limits.size = sizeof limits;
    limits.connections_per_address_max = 1;
    limits.handshakes_per_second = limits.handshakes_burst = 1;
    options.limits = &limits;
    options.shards = 2;
    struct server server = server_new(&options);
    int listener = unix_listener(&address, SOCK_SEQPACKET);
    CHECK("one of packets instead of a stream", sockeye_engine_listen_fd(server.engine, listener) < 0);
    close(listener);
    listener = unix_listener(&address, SOCK_STREAM);
    GIVES("listen_fd of a Unix socket", SOCKEYE_OK, sockeye_engine_listen_fd(server.engine, listener));
    close(listener);
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        NEED(fds[i] >= 0 && connect(fds[i], (struct sockaddr *)&address, sizeof address) == 0);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        NEED(ws_open_on(fds[i], "/socket.io/?EIO=4&transport=websocket") >= 0);
        NEED(ws_recv(fds[i], answer, sizeof answer) > 0 && ws_send(fds[i], "40") == 0 && ws_recv(fds[i], answer, sizeof answer) > 0);
        CHECK("a client comes through it, which bounds for addresses do not concern", strncmp(answer, "40{\"sid\":", 9) == 0);
    }
    sockeye_socket socket = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    NEED(sockeye_socket_handshake(server.engine, socket, &buffer) == SOCKEYE_OK);
    const char *json = (const char *)sockeye_buffer_data(buffer, &len);
    CHECK("its address is none", sockeye_json_get(json, len, "/address", 8, &at, &part_len) == SOCKEYE_OK && is_text(at, part_len, "\"\""));
    sockeye_buffer_free(buffer);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    unlink(address.sun_path);
    server_end(&server);
}

static void two_engines_do_not_meet(void)
{
    struct server a = server_start(), b = server_start();
    sockeye_emission e = emission_of("x", "[\"only a\"]");
    sockeye_target all = target_of(1);
    sockeye_atom in_a = 0, in_b = 0;
    char answer[256];
    int to_a = sio_open(a.port), to_b = sio_open(b.port);
    server_next(&a, SOCKEYE_EVENT_CONNECT);
    server_next(&b, SOCKEYE_EVENT_CONNECT);
    NEED(sockeye_atom_of(a.engine, "one", 3, &in_a) == SOCKEYE_OK && sockeye_atom_of(b.engine, "other", 5, &in_b) == SOCKEYE_OK);
    size_t len = 0;
    const char *text = sockeye_atom_text(a.engine, in_a, &len);
    CHECK("atoms are each engine's own", is_text(text, len, "one"));
    GIVES("a broadcast in one", SOCKEYE_OK, sockeye_broadcast(a.engine, &all, &e, NULL));
    ws_recv(to_a, answer, sizeof answer);
    CHECK("reaches its client", strcmp(answer, "42[\"x\",\"only a\"]") == 0);
    close(to_a);
    server_end(&a);
    e = emission_of("x", "[\"only b\"]");
    GIVES("the other lives on", SOCKEYE_OK, sockeye_broadcast(b.engine, &all, &e, NULL));
    ws_recv(to_b, answer, sizeof answer);
    CHECK("and never saw the first's", strcmp(answer, "42[\"x\",\"only b\"]") == 0);
    close(to_b);
    server_end(&b);
}

int main(void)
{
    addresses_that_cannot_be();
    a_busy_port();
    an_inherited_socket();
    a_socket_of_the_file_system();
    two_engines_do_not_meet();
    return contract_report();
}
