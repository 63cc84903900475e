/* A forked child has no threads of the engine: it is told so, and does not hang or disturb its parent. */
#include "client.h"

#include <sys/wait.h>

int main(void)
{
    struct server server = server_start();
    sockeye_emission e = emission_of("x", "[]");
    sockeye_target t = target_of(1);
    sockeye_event event;
    int said[2], status = -1, fd;
    unsigned char wrong = 255;
    NEED(pipe(said) == 0);
    fflush(stdout);
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        wrong = 0;
        wrong += sockeye_broadcast(server.engine, &t, &e, NULL) != SOCKEYE_ERR_FORKED;
        wrong += sockeye_engine_listen(server.engine, "127.0.0.1:0", 11, NULL) != SOCKEYE_ERR_FORKED;
        wrong += sockeye_queue_poll(server.queue, &event, sizeof event, 1, -1) != SOCKEYE_ERR_FORKED;
        wrong += sockeye_engine_close(server.engine, 0) != SOCKEYE_ERR_FORKED;
        wrong += sockeye_engine_free(server.engine) != SOCKEYE_ERR_FORKED;
        /* Through a pipe, as checkers of memory have their own idea of an exit status. */
        _exit(write(said[1], &wrong, 1) != 1);
    }
    NEED(waitpid(child, &status, 0) == child && WIFEXITED(status));
    close(said[1]);
    NEED(read(said[0], &wrong, 1) == 1);
    close(said[0]);
    GIVES("each call in the child says FORKED", 0, wrong);
    fd = sio_open(server.port);
    server_next(&server, SOCKEYE_EVENT_CONNECT);
    CHECK("the parent goes on", 1);
    close(fd);
    server_end(&server);
    return contract_report();
}
