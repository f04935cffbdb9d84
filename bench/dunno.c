/* dunno: a policy service that always says DUNNO: what loopback and policyload allow at most.
 *
 *   cc -O2 -o dunno dunno.c && ./dunno 12345
 *
 * One thread, epoll; looks for the empty line that ends a request, and at nothing else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
static const char reply[] = "action=DUNNO\n\n";

struct conn {
    int fd;
    char last; /* the byte before what is read next */
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void serve(struct conn *c) {
    char in[8192];
    ssize_t n = read(c->fd, in + 1, sizeof in - 1);
    if (n <= 0) {
        close(c->fd);
        free(c);
        return;
    }
    in[0] = c->last;
    c->last = in[n];
    for (char *p = in; (p = memmem(p, in + n + 1 - p, "\n\n", 2)); p += 2)
        if (write(c->fd, reply, sizeof reply - 1) < 0) return;
}

int main(int argc, char **argv) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (argc != 2) return fprintf(stderr, "usage: dunno PORT\n"), 2;
    a.sin_port = htons(atoi(argv[1]));
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&a, sizeof a) || listen(listener, 1024)) die("bind");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ev[EVENTS];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(ep, ev, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr) {
                serve(ev[i].data.ptr);
                continue;
            }
            struct conn *c = calloc(1, sizeof *c);
            if (!c) die("calloc");
            if ((c->fd = accept(listener, NULL, NULL)) < 0) {
                free(c);
                continue;
            }
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            e.data.ptr = c;
            epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
        }
    }
}
