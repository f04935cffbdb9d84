/* policyload: a closed-loop load generator for Postfix access policy services.
 *
 * It behaves as Postfix does: every connection carries one request at a time and waits for the reply before
 * it sends the next one; a connection that the service closes is opened anew. One thread, epoll, no
 * dependencies:   cc -O2 -o policyload policyload.c
 *
 *   policyload -p 12345 -c 50 -n 100000            TCP 127.0.0.1:12345, 100,000 requests
 *   policyload -u /run/policy.sock -c 100 -d 10    UNIX socket, 10 seconds
 *
 *   -c CONNS   connections (default 50; Postfix's default smtpd limit is 100)
 *   -n COUNT   stop after COUNT requests         -d SECS  or after SECS seconds
 *   -w COUNT   so many requests on each connection before the clock starts (default 0)
 *   -g         one connection after the other does so, instead of all at the same time
 *   -t SECS    give up when no connection has had a reply for so long (default 30)
 *   -U USERS   distinct sasl_username values (default 1000), drawn at random
 *   -i         each user in turn instead of at random
 *   -P PREFIX  of the logins, which are PREFIX<number>@example.org (default "user")
 *   -R RCPTS   recipients of a message at the RCPT stage (default 1)
 *   -E         END-OF-MESSAGE stage with recipient_count=RCPTS instead of RCPT
 *   -f EVERY   each EVERYth message comes from abroad (default 0: none)
 *   -k         leave sasl_username empty (mail from outside)
 *   -H         when done, keep the connections open until standard input ends
 *
 * Messages come from 84.128.0.0/10 (Germany in every country data that was looked at), one address for each
 * user, or with -f from 12.0.0.0/9 (USA).
 *
 * Prints one JSON object:
 *   requests, replies       sent, and answered with a well-formed reply; warm-up included
 *   lost                    requests whose connection the service closed
 *   malformed               replies that are not exactly one line "action=..." and an empty one
 *   unanswered              requests without a reply within -t
 *   seconds, rate           length of the measured window, and replies a second in it
 *   p50_us .. max_us        time from the request to its whole reply, warm-up excluded
 *   home, abroad            replies by the action's first word, in capitals
 *   texts                   the first action of each word, as it came
 * Exit code: 0, 1 when a request was lost, malformed or unanswered, 2 when it cannot run.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BUF 4096
#define VERBS 16
#define EVENTS 256
#define HOME_BASE 0x54800000u   /* 84.128.0.0/10 */
#define HOME_MASK 0x003fffffu
#define ABROAD_BASE 0x0c000000u /* 12.0.0.0/9 */
#define ABROAD_MASK 0x007fffffu

struct conn {
    int fd, busy, abroad, rcpt;
    size_t in;
    long warm, user;
    uint32_t address, mails;
    double sent;
    char instance[64];
    char buf[BUF];
};

struct verb {
    char name[24];
    char text[160];
    long count[2]; /* home, abroad */
};

static const char *host = "127.0.0.1", *upath, *prefix = "user";
static int port = 12345, nconn = 50, rcpts = 1, eom, anon, in_turn, gentle, hold;
static long users = 1000, warm_up, every, limit = -1;
static double seconds, patience = 30;

static long started, replies, lost, malformed, mails, in_flight, in_window;
static double window_end;
static int measuring, ep;
static uint32_t *lat;
static size_t latcap, latn;
static struct verb verbs[VERBS];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

/* splitmix64: spreads message numbers over users, the same in every run. */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int dial(void) {
    int fd, one = 1;
    if (upath) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        strncpy(a.sun_path, upath, sizeof a.sun_path - 1);
        if ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) < 0) return -1;
        if (connect(fd, (void *)&a, sizeof a)) return close(fd), -1;
    } else {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
        if (inet_pton(AF_INET, host, &a.sin_addr) != 1) return errno = EINVAL, -1;
        if ((fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) return -1;
        if (connect(fd, (void *)&a, sizeof a)) return close(fd), -1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return fd;
}

static int join(struct conn *c) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if ((c->fd = dial()) < 0) return -1;
    c->in = 0;
    return epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void leave(struct conn *c) {
    close(c->fd);
    c->fd = -1;
    if (c->busy) in_flight--;
    c->busy = 0;
}

/* A new message, with the instance of Postfix: pid.seconds.microseconds.count in hexadecimal. */
static void new_mail(struct conn *c, int index) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    long mail = mails++;
    c->user = in_turn ? mail % users : (long)(mix(mail) % users);
    c->abroad = every > 0 && mail % every == every - 1;
    uint32_t where = (uint32_t)mix(c->user + 1);
    c->address = c->abroad ? ABROAD_BASE | (where & ABROAD_MASK) : HOME_BASE | (where & HOME_MASK);
    snprintf(c->instance, sizeof c->instance, "%x.%lx.%lx.%x", 0x1000 + index, (long)t.tv_sec,
             t.tv_nsec / 1000, c->mails++);
}

static int ask(struct conn *c, int index) {
    char m[BUF], user[128] = "";
    if (c->rcpt == 0) new_mail(c, index);
    if (!anon) snprintf(user, sizeof user, "%s%ld@example.org", prefix, c->user);
    uint32_t a = c->address;
    int n = snprintf(m, sizeof m,
        "request=smtpd_access_policy\nprotocol_state=%s\nprotocol_name=ESMTP\n"
        "helo_name=client.example.org\nqueue_id=%s\nsender=%s\nrecipient=rcpt%d@example.net\n"
        "recipient_count=%d\nclient_address=%u.%u.%u.%u\nclient_name=client.example.org\n"
        "reverse_client_name=client.example.org\ninstance=%s\n"
        "sasl_method=%s\nsasl_username=%s\nsasl_sender=\nsize=%d\nccert_subject=\n"
        "ccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n"
        "encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n"
        "encryption_keysize=256\netrn_domain=\nstress=\npolicy_context=\n"
        "server_address=192.0.2.1\nserver_port=587\nclient_port=40000\n\n",
        eom ? "END-OF-MESSAGE" : "RCPT", eom ? "4XyZ12abcd" : "",
        anon ? "someone@example.com" : user, c->rcpt, eom ? rcpts : 0,
        a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, c->instance,
        anon ? "" : "PLAIN", user, eom ? 12345 : 0);
    if (eom || ++c->rcpt >= rcpts) c->rcpt = 0;
    started++;
    in_flight++;
    c->busy = 1;
    c->sent = now();
    if (write(c->fd, m, n) == n) return 0;
    lost++;
    leave(c);
    return -1;
}

static struct verb *verb_of(const char *action, size_t length) {
    char name[sizeof verbs[0].name];
    size_t i = 0;
    while (i < sizeof name - 1 && i < length && action[i] != ' ') {
        name[i] = toupper((unsigned char)action[i]);
        if (!isalnum((unsigned char)name[i]) && name[i] != '_') name[i] = '?';
        i++;
    }
    name[i] = 0;
    struct verb *v = verbs;
    while (v < verbs + VERBS - 1 && v->name[0] && strcmp(v->name, name)) v++;
    if (!v->name[0]) {
        strcpy(v->name, name);
        for (i = 0; i < length && i < sizeof v->text - 1; i++)
            v->text[i] = isprint((unsigned char)action[i]) && !strchr("\"\\", action[i]) ? action[i] : '?';
    }
    return v;
}

/* 0: a whole reply; 1: more is to come; -1: this is no reply. */
static int take(struct conn *c) {
    char *end = memchr(c->buf, '\n', c->in);
    size_t known = c->in < 7 ? c->in : 7;
    if (memcmp(c->buf, "action=", known)) return -1;
    if (!end) return c->in < BUF ? 1 : -1;
    size_t line = end - c->buf + 1;
    if (c->in == line) return 1;
    if (c->in != line + 1 || c->buf[line] != '\n' || line < 9) return -1;
    verb_of(c->buf + 7, line - 8)->count[c->abroad]++;
    return 0;
}

static void record(double t, double took) {
    if (!measuring) return;
    if (!window_end || t <= window_end) in_window++;
    if (latn == latcap && !(lat = realloc(lat, (latcap = latcap ? 2 * latcap : 1 << 20) * sizeof *lat)))
        die("realloc");
    lat[latn++] = took * 1e6;
}

/* Whether this connection is to send one more request. */
static int more(struct conn *c, double t) {
    if (!measuring) return c->warm-- > 0;
    return (limit < 0 || started < limit) && (!window_end || t < window_end);
}

/* Ask on the connections from `first` to before `last` until they are done; -1: a reply did not come. */
static int run(struct conn *cs, int first, int last) {
    struct epoll_event ev[EVENTS];
    for (int i = first; i < last; i++)
        if (cs[i].fd >= 0 && more(&cs[i], now())) ask(&cs[i], i);
    while (in_flight > 0) {
        int n = epoll_wait(ep, ev, EVENTS, patience * 1000);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) die("epoll_wait");
        if (n == 0) return -1;
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            if (c->fd < 0) continue;
            ssize_t r = read(c->fd, c->buf + c->in, BUF - c->in);
            double t = now();
            if (r > 0 && c->busy) {
                c->in += r;
                int state = take(c);
                if (state == 1) continue;
                if (state == 0) {
                    replies++;
                    record(t, t - c->sent);
                    c->in = 0;
                    c->busy = 0;
                    in_flight--;
                    if (more(c, t)) ask(c, c - cs);
                    continue;
                }
                malformed++;
            } else if (r > 0) {
                malformed++; /* it speaks without being asked */
            } else if (c->busy) {
                lost++;
            }
            leave(c);
            if (join(c) == 0 && more(c, t)) ask(c, c - cs);
        }
    }
    return 0;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static unsigned quantile(double p) { return latn ? lat[(size_t)((latn - 1) * p)] : 0; }

static void print_counts(const char *name, int abroad) {
    const char *comma = "";
    printf("\"%s\": {", name);
    for (struct verb *v = verbs; v < verbs + VERBS && v->name[0]; v++)
        if (v->count[abroad]) {
            printf("%s\"%s\": %ld", comma, v->name, v->count[abroad]);
            comma = ", ";
        }
    printf("}, ");
}

int main(int argc, char **argv) {
    int o;
    while ((o = getopt(argc, argv, "h:p:u:c:n:d:w:gt:U:iP:R:Ef:kH")) != -1) switch (o) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'u': upath = optarg; break;
        case 'c': nconn = atoi(optarg); break;
        case 'n': limit = atol(optarg); break;
        case 'd': seconds = atof(optarg); break;
        case 'w': warm_up = atol(optarg); break;
        case 'g': gentle = 1; break;
        case 't': patience = atof(optarg); break;
        case 'U': users = atol(optarg); break;
        case 'i': in_turn = 1; break;
        case 'P': prefix = optarg; break;
        case 'R': rcpts = atoi(optarg); break;
        case 'E': eom = 1; break;
        case 'f': every = atol(optarg); break;
        case 'k': anon = 1; break;
        case 'H': hold = 1; break;
        default: return 2;
    }
    if (nconn < 1 || users < 1 || rcpts < 1 || (limit < 0 && seconds <= 0)) {
        fprintf(stderr, "policyload: -n or -d is needed; -c, -U and -R are at least 1\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct conn *cs = calloc(nconn, sizeof *cs);
    if (!cs || (ep = epoll_create1(0)) < 0) die("start");
    for (int i = 0; i < nconn; i++) {
        if (join(&cs[i])) die("connect");
        cs[i].warm = warm_up;
    }
    int in_time = gentle ? 0 : run(cs, 0, nconn);
    for (int i = 0; gentle && in_time == 0 && i < nconn; i++) in_time = run(cs, i, i + 1);
    measuring = 1;
    double t0 = now();
    long before = started;
    if (limit >= 0) limit += before;
    if (seconds > 0) window_end = t0 + seconds;
    if (in_time == 0) in_time = run(cs, 0, nconn);
    double window = seconds > 0 ? seconds : now() - t0;
    if (lat) qsort(lat, latn, sizeof *lat, by_value);
    printf("{\"requests\": %ld, \"replies\": %ld, \"lost\": %ld, \"malformed\": %ld, \"unanswered\": %ld, "
           "\"connections\": %d, \"seconds\": %.3f, \"rate\": %.1f, \"p50_us\": %u, \"p90_us\": %u, "
           "\"p99_us\": %u, \"p999_us\": %u, \"max_us\": %u, ",
           started, replies, lost, malformed, in_flight, nconn, window, window > 0 ? in_window / window : 0, quantile(.5),
           quantile(.9), quantile(.99), quantile(.999), quantile(1));
    print_counts("home", 0);
    print_counts("abroad", 1);
    printf("\"texts\": {");
    for (struct verb *v = verbs; v < verbs + VERBS && v->name[0]; v++)
        printf("%s\"%s\": \"%s\"", v == verbs ? "" : ", ", v->name, v->text);
    printf("}}\n");
    fflush(stdout);
    if (hold)
        while (getchar() != EOF) continue;
    return lost + malformed + in_flight != 0;
}
