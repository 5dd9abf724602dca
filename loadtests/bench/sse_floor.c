/* What the kernel costs when everything else costs nothing: an event server with one send() per subscriber and
 * event, the denominator of the figures. GET /sub/<channel> subscribes, POST /pub/<channel> publishes its body
 * as one `data:` line; a comment every 15 s on each stream. Loopback only, ends on SIGTERM.
 *
 * usage: sse_floor PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FILES = 32768, CHANNELS = 8192, REQUEST = 65536, TURNS = 150 };

struct channel {
    int *files, count, room;
};
struct connection {
    char *request;
    int length, channel, place; /* channel -1: not a stream */
};
static struct channel channels[CHANNELS];
static struct connection *connections[FILES];
static volatile sig_atomic_t leaving;

static void leave(int signal) {
    (void)signal;
    leaving = 1;
}

static void drop(int file) {
    struct connection *c = connections[file];
    if (c->channel >= 0) { /* the last one takes its place */
        struct channel *h = &channels[c->channel];
        int last = h->files[--h->count];
        h->files[c->place] = last;
        connections[last]->place = c->place;
    }
    free(c->request);
    free(c);
    connections[file] = NULL;
    close(file);
}

static void tell(int file, const char *text, size_t length) {
    /* A client that does not keep up would be measured by nobody: it is left behind. */
    if (send(file, text, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length && errno == EAGAIN)
        shutdown(file, SHUT_RDWR);
}

static bool answer(int file) {
    struct connection *c = connections[file];
    char *end = memmem(c->request, (size_t)c->length, "\r\n\r\n", 4);
    if (!end) return true;
    *end = 0;
    char *length = strcasestr(c->request, "\r\ncontent-length:"), *path = strchr(c->request, ' ');
    int body = length ? atoi(length + 17) : 0, head = (int)(end + 4 - c->request);
    *end = '\r';
    if (c->length < head + body) return true;
    int channel = path && strlen(path) > 6 ? atoi(path + 6) : -1;
    if (channel < 0 || channel >= CHANNELS) {
        drop(file);
        return false;
    }
    struct channel *h = &channels[channel];
    if (*c->request == 'G') {
        static const char ok[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        if (h->count == h->room) h->files = realloc(h->files, sizeof(int) * (size_t)(h->room = h->room * 2 + 2));
        c->channel = channel;
        c->place = h->count;
        h->files[h->count++] = file;
        free(c->request);
        c->request = NULL;
        tell(file, ok, sizeof ok - 1);
        return true;
    }
    static const char done[] = "HTTP/1.1 204 No Content\r\n\r\n";
    static char text[REQUEST + 64];
    tell(file, done, sizeof done - 1);
    int n = sprintf(text, "%x\r\ndata: ", body + 8);
    memcpy(text + n, end + 4, (size_t)body);
    memcpy(text + n + body, "\n\n\r\n", 4);
    for (int i = 0; i < h->count; i++) tell(h->files[i], text, (size_t)(n + body + 4));
    c->length = 0;
    return true;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    int port = argc == 2 ? atoi(argv[1]) : 0, one = 1, turn = 0;
    if (port < 1) return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096)) return perror("listen"), 2;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
    double next = now() + 15.0 / TURNS;
    while (!leaving) {
        double left = next - now();
        int count = epoll_wait(epoll, events, 256, left > 0 ? (int)(left * 1000) + 1 : 0);
        for (int i = 0; i < count; i++) {
            int file = events[i].data.fd;
            if (file == listening) {
                int made;
                while ((made = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    if (made >= FILES) {
                        close(made);
                        continue;
                    }
                    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    connections[made] = calloc(1, sizeof **connections);
                    connections[made]->channel = -1;
                    event = (struct epoll_event){.events = EPOLLIN, .data.fd = made};
                    epoll_ctl(epoll, EPOLL_CTL_ADD, made, &event);
                }
                continue;
            }
            struct connection *c = connections[file];
            char aside[4096];
            if (!c) continue;
            if (c->channel < 0 && !c->request) c->request = malloc(REQUEST);
            char *to = c->channel < 0 ? c->request + c->length : aside;
            ssize_t n = recv(file, to, c->channel < 0 ? (size_t)(REQUEST - 1 - c->length) : sizeof aside, 0);
            if (n < 0 && errno == EAGAIN) continue;
            if (n <= 0) {
                drop(file);
                continue;
            }
            if (c->channel < 0) {
                c->length += (int)n;
                c->request[c->length] = 0;
                answer(file);
            }
        }
        if (now() >= next) {
            for (int file = turn; file < FILES; file += TURNS)
                if (connections[file] && connections[file]->channel >= 0) tell(file, "6\r\n: hb\n\n\r\n", 11);
            turn = (turn + 1) % TURNS;
            next += 15.0 / TURNS;
        }
    }
    return 0;
}
