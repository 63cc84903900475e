/* The POLL mode: batches and how long they live, the packed form, the descriptor and the wake callback. */
#include "client.h"

static struct server server;
static int fd;

/* A message with two attachments, and one with none. */
static void send_two(void)
{
    ws_send(fd, "452-[\"pair\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]");
    ws_send_bytes(fd, FRAME_BINARY, "\x01\x02\x03", 3);
    ws_send_bytes(fd, FRAME_BINARY, "", 0);
    ws_send(fd, "429[\"plain\",\"\xc3\xa4\"]");
}

/* Waits until so many events wait. */
static void wait_for(uint64_t events)
{
    sockeye_queue_metrics metrics;
    int64_t deadline = now_ms() + PATIENCE_MS;
    do {
        NEED(now_ms() < deadline);
        sleep_ms(2);
        memset(&metrics, 0, sizeof metrics);
        metrics.size = sizeof metrics;
        NEED(sockeye_queue_get_metrics(server.queue, &metrics) == SOCKEYE_OK);
    } while (metrics.events < events);
}

static int readable(ptrdiff_t descriptor, int wait_ms)
{
    struct pollfd p;
    p.fd = (int)descriptor;
    p.events = POLLIN;
    p.revents = 0;
    return poll(&p, 1, wait_ms) == 1;
}

static void waiting(void)
{
    sockeye_event event;
    int64_t start = now_ms();
    GIVES("an empty queue gives nothing", 0, sockeye_queue_poll(server.queue, &event, sizeof event, 1, 0));
    GIVES("also after a wait", 0, sockeye_queue_poll(server.queue, &event, sizeof event, 1, 60));
    int64_t took = now_ms() - start;
    CHECK("which takes as long as was said", took >= 55 && took < PATIENCE_MS);
    CHECK("an event size of 0 is refused", sockeye_queue_poll(server.queue, &event, 0, 1, 0) < 0);
    GIVES("a capacity of 0 gives nothing", 0, sockeye_queue_poll(server.queue, &event, sizeof event, 0, 0));
}

static void another_structs_size(void)
{
    struct {
        sockeye_event known;
        uint64_t later[2];
    } longer[2];
    memset(longer, 0xff, sizeof longer);
    send_two();
    wait_for(2);
    int64_t count = sockeye_queue_poll(server.queue, (sockeye_event *)longer, sizeof longer[0], 2, PATIENCE_MS);
    GIVES("a longer record of a newer header is filled", 2, count);
    CHECK("at the right stride",
          is_text(longer[0].known.name_ptr, longer[0].known.name_len, "pair") && is_text(longer[1].known.name_ptr, longer[1].known.name_len, "plain"));
    CHECK("and what the library does not know is 0", longer[0].later[0] == 0 && longer[1].later[1] == 0);
}

static void a_retained_event_outlives_its_batch(void)
{
    sockeye_buffer *kept = NULL;
    sockeye_bytes attachments[2];
    char copy[128];
    size_t len = 0;
    send_two();
    sockeye_event event = server_next(&server, SOCKEYE_EVENT_MESSAGE);
    NEED(event.attachment_count == 2 && event.data_len < sizeof copy);
    memcpy(copy, event.data, event.data_len);
    memcpy(attachments, event.attachments, sizeof attachments);
    GIVES("retain", SOCKEYE_OK, sockeye_event_retain(&event, &kept));
    GIVES("release", SOCKEYE_OK, sockeye_queue_release(server.queue));
    GIVES("release again", SOCKEYE_OK, sockeye_queue_release(server.queue));
    for (int i = 0; i < 100; i++)
        ws_send(fd, "42[\"noise\",\"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\"]");
    for (int i = 0; i < 101; i++)
        server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("the event's pointers are still good", event.data_len && memcmp(event.data, copy, event.data_len) == 0);
    CHECK("those of its attachments too", is_text(attachments[0].ptr, attachments[0].len, "\x01\x02\x03") && attachments[1].len == 0);
    const void *data = sockeye_buffer_data(kept, &len);
    CHECK("the buffer is the event's data", len == event.data_len && memcmp(data, copy, len) == 0);
    sockeye_buffer_free(kept);
}

static uint32_t u32_at(const unsigned char *buf, size_t at)
{
    return (uint32_t)buf[at] | (uint32_t)buf[at + 1] << 8 | (uint32_t)buf[at + 2] << 16 | (uint32_t)buf[at + 3] << 24;
}

static uint64_t u64_at(const unsigned char *buf, size_t at)
{
    return (uint64_t)u32_at(buf, at) | (uint64_t)u32_at(buf, at + 4) << 32;
}

/* Whether the packed record at `at` says what `event` said; tokens are new each time. */
static int same(const unsigned char *buf, size_t at, const sockeye_event *event)
{
    uint32_t name_at = u32_at(buf, at + 40), data_at = u32_at(buf, at + 48), next = u32_at(buf, at + 56);
    int good = (u32_at(buf, at) & 0xffff) == event->kind && u32_at(buf, at) >> 16 == event->flags && u32_at(buf, at + 4) == event->nsp &&
               u32_at(buf, at + 8) == event->name && (int32_t)u32_at(buf, at + 12) == event->status && u64_at(buf, at + 16) == event->socket &&
               u64_at(buf, at + 24) == event->user && (u64_at(buf, at + 32) != 0) == (event->token != 0);
    good = good && u32_at(buf, at + 44) == event->name_len && memcmp(buf + name_at, event->name_ptr, event->name_len) == 0;
    good = good && u32_at(buf, at + 52) == event->data_len && memcmp(buf + data_at, event->data, event->data_len) == 0;
    good = good && u32_at(buf, at + 60) == event->attachment_count;
    for (uint32_t i = 0; good && i < event->attachment_count; i++) {
        uint32_t len = u32_at(buf, next);
        good = len == event->attachments[i].len && memcmp(buf + next + 4, event->attachments[i].ptr, len) == 0;
        next += 4 + len;
    }
    return good;
}

static void packed_says_the_same(void)
{
    static unsigned char buf[65536], joined[65536];
    sockeye_event events[4];
    size_t used = 0;
    send_two();
    wait_for(2);
    int64_t count = sockeye_queue_poll(server.queue, events, sizeof events[0], 4, PATIENCE_MS);
    NEED(count == 2);
    sockeye_buffer *kept[2];
    sockeye_bytes attachments[2];
    NEED(events[0].attachment_count == 2);
    memcpy(attachments, events[0].attachments, sizeof attachments);
    events[0].attachments = attachments;
    NEED(sockeye_event_retain(&events[0], &kept[0]) == SOCKEYE_OK && sockeye_event_retain(&events[1], &kept[1]) == SOCKEYE_OK);
    send_two();
    wait_for(2);
    GIVES("too small a buffer takes nothing", SOCKEYE_ERR_TOO_BIG, sockeye_queue_poll_packed(server.queue, buf, 20, &used, 0, PATIENCE_MS));
    CHECK("and tells what is needed", used > 20 && used < sizeof buf);
    GIVES("a packed poll", 2, sockeye_queue_poll_packed(server.queue, buf, sizeof buf, &used, 0, PATIENCE_MS));
    CHECK("its head has count and length", u32_at(buf, 0) == 2 && u32_at(buf, 4) == used);
    CHECK("the first record is the event", same(buf, 16, &events[0]));
    CHECK("the second too", same(buf, 16 + 64, &events[1]));
    send_two();
    wait_for(2);
    GIVES("a packed poll with the joined text", 2, sockeye_queue_poll_packed(server.queue, joined, sizeof joined, &used, SOCKEYE_PACK_JOINED, PATIENCE_MS));
    CHECK("the records are the same", same(joined, 16, &events[0]) && same(joined, 16 + 64, &events[1]));
    CHECK("the joined text is an array of the arguments",
          is_text(joined + u32_at(joined, 8), u32_at(joined, 12), "[[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}],[\"\xc3\xa4\"]]"));
    GIVES("an empty queue", 0, sockeye_queue_poll_packed(server.queue, buf, sizeof buf, &used, 0, 0));
    CHECK("an unknown flag is refused", sockeye_queue_poll_packed(server.queue, buf, sizeof buf, &used, 0x8000, 0) == SOCKEYE_ERR_INVALID);
    sockeye_buffer_free(kept[0]);
    sockeye_buffer_free(kept[1]);
}

static void the_descriptor_is_level_triggered(void)
{
    ptrdiff_t descriptor = -1;
    GIVES("queue_fd", SOCKEYE_OK, sockeye_queue_fd(server.queue, &descriptor));
    CHECK("an empty queue is not readable", !readable(descriptor, 0));
    send_two();
    CHECK("an event makes it readable", readable(descriptor, PATIENCE_MS));
    wait_for(2);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    CHECK("one of two taken: still readable", readable(descriptor, 0));
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    sockeye_event event;
    sockeye_queue_poll(server.queue, &event, sizeof event, 1, 0);
    CHECK("all taken: not readable", !readable(descriptor, 0));
}

/* An event that arrives while the host polls must not leave the descriptor raised behind it: a loop would spin. */
static void the_descriptor_does_not_stay_readable(void)
{
    ptrdiff_t descriptor = -1;
    sockeye_event event;
    int stuck = 0;
    NEED(sockeye_queue_fd(server.queue, &descriptor) == SOCKEYE_OK);
    for (int round = 0; round < 2000 && !stuck; round++) {
        int64_t count = 0, deadline = now_ms() + PATIENCE_MS;
        ws_send(fd, "42[\"r\"]");
        while (count == 0 && now_ms() < deadline)
            count = sockeye_queue_poll(server.queue, &event, sizeof event, 1, 0);
        NEED(count == 1);
        /* The engine may raise it a moment late; then the next poll, which finds nothing, must lower it. */
        deadline = now_ms() + PATIENCE_MS;
        while (readable(descriptor, 0) && now_ms() < deadline)
            sockeye_queue_poll(server.queue, &event, sizeof event, 1, 0);
        stuck += now_ms() >= deadline;
    }
    GIVES("the descriptor never stays readable on an empty queue", 0, stuck);
}

struct waker {
    int woken, dropped;
};

static void on_wake(void *user)
{
    __atomic_add_fetch(&((struct waker *)user)->woken, 1, __ATOMIC_SEQ_CST);
}

static void on_drop(void *user)
{
    __atomic_add_fetch(&((struct waker *)user)->dropped, 1, __ATOMIC_SEQ_CST);
}

static int woken(struct waker *waker, int at_least)
{
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (__atomic_load_n(&waker->woken, __ATOMIC_SEQ_CST) < at_least && now_ms() < deadline)
        sleep_ms(2);
    return __atomic_load_n(&waker->woken, __ATOMIC_SEQ_CST);
}

static void the_wake_callback_is_an_edge(struct waker *first, struct waker *second)
{
    sockeye_event event;
    GIVES("set_wake", SOCKEYE_OK, sockeye_queue_set_wake(server.queue, on_wake, first, on_drop));
    CHECK("an empty queue wakes nobody", woken(first, 0) == 0);
    ws_send(fd, "42[\"a\"]");
    GIVES("from empty to not empty", 1, woken(first, 1));
    ws_send(fd, "42[\"b\"]");
    sleep_ms(50);
    GIVES("not again while it is not empty", 1, woken(first, 1));
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
    sockeye_queue_poll(server.queue, &event, sizeof event, 1, 0);
    ws_send(fd, "42[\"c\"]");
    GIVES("again after it was drained", 2, woken(first, 2));
    GIVES("another callback", SOCKEYE_OK, sockeye_queue_set_wake(server.queue, on_wake, second, on_drop));
    GIVES("drops the first", 1, first->dropped);
    GIVES("and is called, as the queue is not empty", 1, woken(second, 1));
    server_next(&server, SOCKEYE_EVENT_MESSAGE);
}

int main(void)
{
    struct waker first = {0, 0}, second = {0, 0};
    server = server_start();
    fd = sio_open(server.port);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    waiting();
    another_structs_size();
    a_retained_event_outlives_its_batch();
    packed_says_the_same();
    the_descriptor_is_level_triggered();
    the_descriptor_does_not_stay_readable();
    the_wake_callback_is_an_edge(&first, &second);
    close(fd);
    server_end(&server);
    CHECK("each drop ran once", first.dropped == 1 && second.dropped == 1);
    return contract_report();
}
