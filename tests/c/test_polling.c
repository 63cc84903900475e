/* Sessions on long-polling: what an answer that is not read counts for, and how those end that the server closes. */
#include "client.h"

/* More than the kernel keeps for a client that does not read. */
#define LARGE_BYTES 12000000

static struct server server;
static char target[128];
static sockeye_socket peer;
static char *large;

static void begin(uint32_t ping_interval_ms, uint32_t ping_timeout_ms)
{
    char body[512], sid[32];
    sockeye_options options = default_options();
    options.ping_interval_ms = ping_interval_ms;
    options.ping_timeout_ms = ping_timeout_ms;
    options.flags = SOCKEYE_OPT_NO_HTTP_COMPRESSION;
    server = server_new(&options);
    server_listen(&server);
    NEED(http_request(server.port, "GET", "/socket.io/?EIO=4&transport=polling", NULL, body, sizeof body) == 200);
    NEED(sscanf(body, "0{\"sid\":\"%20[^\"]", sid) == 1);
    snprintf(target, sizeof target, "/socket.io/?EIO=4&transport=polling&sid=%s", sid);
    NEED(http_request(server.port, "POST", target, "40", body, sizeof body) == 200);
    peer = server_next(&server, SOCKEYE_EVENT_CONNECT).socket;
    NEED(http_request(server.port, "GET", target, NULL, body, sizeof body) == 200 && strncmp(body, "40{\"sid\":", 9) == 0);
}

static uint64_t sessions(void)
{
    sockeye_metrics metrics;
    memset(&metrics, 0, sizeof metrics);
    metrics.size = sizeof metrics;
    NEED(sockeye_engine_metrics(server.engine, &metrics) == SOCKEYE_OK);
    return metrics.sessions_polling;
}

static int is_over_in(int64_t ms)
{
    for (int64_t until = now_ms() + ms; sessions() != 0 && now_ms() < until;)
        sleep_ms(5);
    return sessions() == 0;
}

static sockeye_socket_info info(void)
{
    sockeye_socket_info info;
    NEED(sockeye_socket_get_info(server.engine, peer, &info, sizeof info) == SOCKEYE_OK);
    return info;
}

/* Sends a poll whose answer is large, and does not read it. */
static int poll_unread(void)
{
    char head[256];
    int small = 65536;
    sockeye_emission e = emission_of("x", large);
    int fd = tcp_open(server.port);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", target);
    NEED(fd >= 0 && send_all(fd, head, (size_t)n) == 0);
    NEED(sockeye_emit(server.engine, peer, &e, NULL) == SOCKEYE_OK);
    for (int64_t until = now_ms() + PATIENCE_MS; now_ms() < until && (recv(fd, head, 12, MSG_PEEK) < 12 || info().buffered_bytes == 0);)
        sleep_ms(1);
    return fd;
}

static int falls_below(uint64_t bytes)
{
    for (int64_t until = now_ms() + PATIENCE_MS; info().buffered_bytes >= bytes && now_ms() < until;)
        sleep_ms(5);
    return info().buffered_bytes < bytes;
}

static int falls_to_0(void)
{
    return falls_below(1) && info().buffered_packets == 0;
}

static void an_unread_answer_still_waits(void)
{
    char head[1024];
    begin(600000, 600000);
    CHECK("nothing waits at first", info().buffered_bytes == 0);
    int fd = poll_unread();
    sockeye_socket_info waits = info();
    CHECK("an answer that is not read counts", waits.buffered_bytes > LARGE_BYTES / 4 && waits.buffered_bytes < LARGE_BYTES + 1000);
    GIVES("with its packets", 1, waits.buffered_packets);
    NEED(http_head(fd, head, sizeof head) == 200);
    for (size_t left = LARGE_BYTES / 2; left > 0; left -= sizeof head < left ? sizeof head : left)
        NEED(recv_all(fd, head, sizeof head < left ? sizeof head : left) == 0);
    CHECK("less when some was read", falls_below(waits.buffered_bytes));
    while (recv(fd, head, sizeof head, 0) > 0 && info().buffered_bytes != 0) {
    }
    CHECK("and nothing when all was", falls_to_0());
    close(fd);
    fd = poll_unread();
    CHECK("another counts again", info().buffered_bytes > LARGE_BYTES / 4);
    close(fd);
    CHECK("until its connection is gone", falls_to_0());
    server_end(&server);
}

static void a_client_that_says_goodbye_is_not_waited_for(void)
{
    char body[512];
    begin(600000, 600000);
    NEED(sockeye_socket_disconnect(server.engine, peer, SOCKEYE_CLOSE_TRANSPORT) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("a closed session waits for a poll", !is_over_in(50));
    NEED(http_request(server.port, "POST", target, "1", body, sizeof body) == 200);
    CHECK("but not for one that will not come", is_over_in(PATIENCE_MS));
    server_end(&server);
}

static void a_silent_client_is_waited_for_no_longer_than_ever(void)
{
    begin(1000, 2000);
    int64_t start = now_ms();
    NEED(sockeye_socket_disconnect(server.engine, peer, SOCKEYE_CLOSE_TRANSPORT) == SOCKEYE_OK);
    server_next(&server, SOCKEYE_EVENT_DISCONNECT);
    CHECK("its session ends by the heartbeat", is_over_in(PATIENCE_MS) && now_ms() - start < 15000);
    server_end(&server);
}

int main(void)
{
    large = (char *)malloc(LARGE_BYTES + 8);
    NEED(large);
    memset(large, 'x', LARGE_BYTES);
    memcpy(large, "[\"", 2);
    memcpy(large + LARGE_BYTES - 2, "\"]", 3);
    an_unread_answer_still_waits();
    a_client_that_says_goodbye_is_not_waited_for();
    a_silent_client_is_waited_for_no_longer_than_ever();
    free(large);
    return contract_report();
}
