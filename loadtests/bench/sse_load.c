/* A load client for servers of Server-Sent Events on the loopback interface.
 *
 * One thread, epoll. It opens subscribers, waits until each has its answer, publishes over keep-alive
 * connections (closed loop, or at a fixed rate), checks every delivery, and prints one JSON object.
 *
 * With --awake it looks again instead of sleeping while it publishes. On a virtual machine a sleeping client's core is
 * halted, and waking it is work of the server's (an interrupt to another processor, several microseconds): a server
 * that is a little slower than the client pays that for each delivery, a faster one for none. Real clients are elsewhere.
 *
 * A payload is "q=<number>;t=<nanoseconds>;" and padding. At a fixed rate the time is the one at which the
 * message was due, so a server that stalls cannot hide it. Every loop ends at --timeout.
 *
 * In paths, headers and bodies {c} stands for the channel's number, in bodies {p} for the payload.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SUBSCRIBERS = 20000, MAX_PUBLISHERS = 256, REQUEST_BYTES = 1 << 20, READ_BYTES = 1 << 18, ANSWER_BYTES = 1 << 18 };

static int port, subscribers = 100, channels = 1, messages = 100, inflight = 1, batch = 1, payload_bytes = 200;
static int at_once = 64, expect_each = 0, pid = 0, awake = 0;
static double rate = 0, idle_s = 0, timeout_s = 60, settle_s = 0.5;
static const char *sub_path = "/", *pub_path = "/", *item = "{p}", *open_text = "", *close_text = "";
static const char *sub_header = "", *pub_header = "", *tokens_file = NULL;
static char **tokens;
static int token_count;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

/* First trouble, told in the result. */
static char trouble[160];
static void note(const char *format, ...) {
    if (trouble[0]) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trouble, sizeof trouble, format, arguments);
    va_end(arguments);
    for (char *p = trouble; *p; p++)
        if (*p < ' ' || *p == '"' || *p == '\\') *p = ' ';
}

/* ---- what the server process uses ------------------------------------------------------------------------ */

static double cpu_of(int process) { /* seconds on a CPU, all threads, from the scheduler's own clock */
    char path[64];
    double total = 0;
    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *folder = opendir(path);
    if (!folder) return 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[400];
        unsigned long long ns;
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "/proc/%d/task/%s/schedstat", process, entry->d_name);
        FILE *file = fopen(name, "r");
        if (!file) continue;
        if (fscanf(file, "%llu", &ns) == 1) total += (double)ns / 1e9;
        fclose(file);
    }
    closedir(folder);
    return total;
}

static int family(int root, int *out, int room) { /* the process and its children */
    int count = 0;
    out[count++] = root;
    for (int i = 0; i < count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", out[i], out[i]);
        FILE *file = fopen(path, "r");
        int child;
        if (!file) continue;
        while (count < room && fscanf(file, "%d", &child) == 1) out[count++] = child;
        fclose(file);
    }
    return count;
}

static double cpu_s(void) {
    int all[64];
    double total = 0;
    if (!pid) return 0;
    for (int i = family(pid, all, 64); i-- > 0;) total += cpu_of(all[i]);
    return total;
}

static long memory_kb(void) { /* proportional set size */
    int all[64];
    long total = 0;
    if (!pid) return 0;
    for (int i = family(pid, all, 64); i-- > 0;) {
        char path[64], line[200];
        long kb;
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", all[i]);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        while (fgets(line, sizeof line, file))
            if (sscanf(line, "Pss: %ld", &kb) == 1) total += kb;
        fclose(file);
    }
    return total;
}

/* ---- latencies: 32 steps per power of two, so less than 3.2 % off ---------------------------------------- */

static uint64_t steps[64 * 32], samples, slowest;

static void sample(uint64_t ns) {
    int power = ns < 32 ? 0 : 58 - __builtin_clzll(ns);
    steps[(ns < 32 ? 0 : power * 32 + 32) + (int)((ns >> power) & 31)]++;
    samples++;
    if (ns > slowest) slowest = ns;
}

static double percentile_ms(double share) {
    uint64_t wanted = (uint64_t)(share * (double)samples), seen = 0;
    for (int i = 0; i < 64 * 32; i++) {
        seen += steps[i];
        if (steps[i] && seen >= wanted) {
            int power = i < 32 ? 0 : i / 32 - 1;
            return (double)(((uint64_t)(i % 32) | (i < 32 ? 0 : 32)) << power) / 1e6;
        }
    }
    return 0;
}

/* ---- templates ------------------------------------------------------------------------------------------- */

static size_t put(char *to, size_t at, const char *text, int channel, const char *payload) {
    for (const char *p = text; *p;) {
        if (at + 4096 > REQUEST_BYTES) fail("a request is too long");
        if (!strncmp(p, "{c}", 3)) {
            at += (size_t)sprintf(to + at, "%d", channel);
            p += 3;
        } else if (payload && !strncmp(p, "{p}", 3)) {
            size_t length = strlen(payload);
            memcpy(to + at, payload, length);
            at += length;
            p += 3;
        } else
            to[at++] = *p++;
    }
    to[at] = 0;
    return at;
}

static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (fd < 0) fail("socket: %s", strerror(errno));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- subscribers ----------------------------------------------------------------------------------------- */

enum phase { UNUSED, CONNECTING, HEAD, BODY, CLOSED };
enum framing { SIZE, EXTENSION, DATA, AFTER, WHOLE };

struct subscriber {
    int fd, channel;
    enum phase phase;
    enum framing framing;
    bool has_data;
    uint64_t left;       /* bytes of this chunk, or its size while it is read */
    char *rest;          /* an unfinished head or line */
    uint32_t rest_bytes, rest_room;
    uint32_t got;
    uint64_t number, sent_at, order;
    uint8_t *seen;
};
static struct subscriber *all;
static int epoll_fd, publisher_epoll;
static int begun, opening, open_now, refused, lost, done;
static uint64_t delivered, doubled, foreign, comments, reads, bytes_in, last_delivery;
static char *buffer;

static void keep(struct subscriber *s, const char *p, size_t n) {
    if (s->rest_bytes + n > s->rest_room) {
        s->rest_room = (uint32_t)(s->rest_bytes + n) * 2 + 256;
        if (s->rest_room > 64u << 20 || !(s->rest = realloc(s->rest, s->rest_room))) fail("a line is too long");
    }
    memcpy(s->rest + s->rest_bytes, p, n);
    s->rest_bytes += (uint32_t)n;
}

static void gone(struct subscriber *s, const char *why) {
    if (s->phase == CLOSED) return;
    if (s->phase == BODY) lost++, open_now--;
    else refused++, opening--;
    note("subscriber: %s", why);
    close(s->fd);
    s->phase = CLOSED;
}

static void arrived(struct subscriber *s, uint64_t at) {
    uint64_t q = s->number;
    if (q >= (uint64_t)messages || (int)(q % (uint64_t)channels) != s->channel) {
        foreign++;
        return;
    }
    if (s->seen[q >> 3] & 1 << (q & 7)) {
        doubled++;
        return;
    }
    s->seen[q >> 3] |= (uint8_t)(1 << (q & 7));
    s->order = (s->order ^ (q + 1)) * 1099511628211u;
    s->got++;
    delivered++;
    last_delivery = at;
    sample(at > s->sent_at ? at - s->sent_at : 0);
    if (expect_each && s->got == (uint32_t)expect_each) done++;
}

static void line(struct subscriber *s, const char *p, size_t n, uint64_t at) {
    if (n && p[n - 1] == '\r') n--;
    if (!n) {
        if (s->has_data) arrived(s, at);
        s->has_data = false;
    } else if (*p == ':')
        comments++;
    else if (n > 5 && !memcmp(p, "data:", 5)) {
        const char *end = p + n, *q = memmem(p, n < 100 ? n : 100, "q=", 2);
        uint64_t number = 0, time = 0;
        if (!q) return; /* an event of the server's own */
        for (q += 2; q < end && *q >= '0' && *q <= '9'; q++) number = number * 10 + (uint64_t)(*q - '0');
        if (end - q < 4 || memcmp(q, ";t=", 3)) return;
        for (q += 3; q < end && *q >= '0' && *q <= '9'; q++) time = time * 10 + (uint64_t)(*q - '0');
        s->number = number, s->sent_at = time, s->has_data = true;
    }
}

static void text(struct subscriber *s, const char *p, size_t n, uint64_t at) {
    for (const char *end = p + n; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) {
            keep(s, p, (size_t)(end - p));
            return;
        }
        if (s->rest_bytes) {
            keep(s, p, (size_t)(stop - p));
            line(s, s->rest, s->rest_bytes, at);
            s->rest_bytes = 0;
        } else
            line(s, p, (size_t)(stop - p), at);
        p = stop + 1;
    }
}

static void body(struct subscriber *s, const char *p, size_t n, uint64_t at) {
    if (s->framing == WHOLE) {
        text(s, p, n, at);
        return;
    }
    for (const char *end = p + n; p < end && s->phase == BODY;) {
        if (s->framing == DATA) {
            size_t part = (size_t)(end - p) < s->left ? (size_t)(end - p) : s->left;
            text(s, p, part, at);
            p += part;
            if (!(s->left -= part)) s->framing = AFTER;
            continue;
        }
        int c = *p++;
        if (s->framing == AFTER) {
            if (c == '\n') s->framing = SIZE, s->left = 0;
        } else if (c == '\n') {
            if (!s->left) gone(s, "the stream ended");
            s->framing = DATA;
        } else if (c == ';')
            s->framing = EXTENSION;
        else if (s->framing == SIZE && c != '\r') {
            int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
            if (digit < 0) gone(s, "a chunk size is malformed");
            s->left = s->left * 16 + (uint64_t)digit;
        }
    }
}

static void head(struct subscriber *s, uint64_t at) {
    char *end = memmem(s->rest, s->rest_bytes, "\r\n\r\n", 4);
    if (!end) return;
    *end = 0;
    int status = s->rest_bytes > 12 ? atoi(s->rest + 9) : 0;
    if (status != 200) {
        note("subscriber: status %d %.90s", status, end + 4);
        gone(s, "status");
        return;
    }
    s->framing = strcasestr(s->rest, "\r\ntransfer-encoding: chunked") ? SIZE : WHOLE;
    s->phase = BODY;
    s->left = 0;
    opening--, open_now++;
    size_t rest = s->rest_bytes - (size_t)(end + 4 - s->rest);
    s->rest_bytes = 0;
    if (rest) {
        char *copy = malloc(rest);
        memcpy(copy, end + 4, rest);
        body(s, copy, rest, at);
        free(copy);
    }
    if (s->phase == BODY && !s->rest_bytes) { /* 20,000 heads need not stay */
        free(s->rest);
        s->rest = NULL;
        s->rest_room = 0;
    }
}

static void readable(struct subscriber *s) {
    ssize_t n = recv(s->fd, buffer, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        gone(s, n ? strerror(errno) : "closed by the server");
        return;
    }
    uint64_t at = now_ns();
    reads++;
    bytes_in += (uint64_t)n;
    if (s->phase == BODY) body(s, buffer, (size_t)n, at);
    else {
        keep(s, buffer, (size_t)n);
        head(s, at);
    }
}

static void begin(int i) {
    struct subscriber *s = &all[i];
    s->channel = i % channels;
    s->seen = calloc(1, (size_t)messages / 8 + 1);
    s->phase = CONNECTING;
    opening++;
    if ((s->fd = dial()) < 0) {
        s->fd = 0;
        s->phase = CLOSED;
        refused++, opening--;
        note("connect: %s", strerror(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)i};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event);
}

static char *scratch;

static void ask(int i) {
    struct subscriber *s = &all[i];
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        gone(s, strerror(error));
        return;
    }
    size_t n = put(scratch, 0, "GET ", 0, NULL);
    n = put(scratch, n, sub_path, s->channel, NULL);
    n = put(scratch, n, " HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n", 0, NULL);
    if (token_count) n += (size_t)sprintf(scratch + n, "Authorization: Bearer %s\r\n", tokens[i % token_count]);
    if (*sub_header) {
        n = put(scratch, n, sub_header, s->channel, NULL);
        n = put(scratch, n, "\r\n", 0, NULL);
    }
    n = put(scratch, n, "\r\n", 0, NULL);
    if (send(s->fd, scratch, n, MSG_NOSIGNAL) != (ssize_t)n) {
        gone(s, "the request was not taken");
        return;
    }
    s->phase = HEAD;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &event);
}

/* ---- publishers ------------------------------------------------------------------------------------------ */

struct publisher {
    int fd, count; /* messages in the request under way */
    bool up, busy;
    char *out, *answer;
    size_t out_bytes, out_at, answer_bytes;
};
static struct publisher crowd[MAX_PUBLISHERS];
static int next_message, acknowledged, refused_publishes, redials;
static uint64_t began_at, last_answer;
static bool publishing;
static uint64_t nothing_to_do; /* nanoseconds */

static void want(int i, uint32_t events, int how) {
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)i};
    epoll_ctl(publisher_epoll, how, crowd[i].fd, &event);
}

static void dial_publisher(int i) {
    struct publisher *p = &crowd[i];
    if ((p->fd = dial()) < 0) fail("a publisher cannot connect: %s", strerror(errno));
    p->up = p->busy = false;
    p->answer_bytes = 0;
    want(i, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

static void push_out(int i) {
    struct publisher *p = &crowd[i];
    while (p->out_at < p->out_bytes) {
        ssize_t n = send(p->fd, p->out + p->out_at, p->out_bytes - p->out_at, MSG_NOSIGNAL);
        if (n < 0) break;
        p->out_at += (size_t)n;
    }
    if (p->out_at < p->out_bytes) want(i, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void publish(int i, uint64_t time) {
    static char text[REQUEST_BYTES];
    struct publisher *p = &crowd[i];
    char payload[4200], path[1024];
    size_t n = put(text, 0, open_text, 0, NULL);
    put(path, 0, pub_path, next_message % channels, NULL);
    p->count = 0;
    while (p->count < batch && next_message < messages) {
        int q = next_message++, length = snprintf(payload, sizeof payload, "q=%d;t=%" PRIu64 ";", q, time);
        if (length < payload_bytes) memset(payload + length, 'x', (size_t)(payload_bytes - length));
        payload[length < payload_bytes ? payload_bytes : length] = 0;
        if (p->count++) text[n++] = ',';
        n = put(text, n, item, q % channels, payload);
    }
    n = put(text, n, close_text, 0, NULL);
    if (!p->out && !(p->out = malloc(REQUEST_BYTES + 4096))) fail("no memory");
    int head_bytes = sprintf(p->out, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%sContent-Length: %zu\r\n\r\n", path,
                             pub_header, *pub_header ? "\r\n" : "", n);
    memcpy(p->out + head_bytes, text, n);
    p->out_bytes = (size_t)head_bytes + n;
    p->out_at = 0;
    p->busy = true;
    p->answer_bytes = 0;
    push_out(i);
}

static int answered(struct publisher *p) { /* the status of a complete answer, else 0 */
    p->answer[p->answer_bytes] = 0;
    char *end = strstr(p->answer, "\r\n\r\n");
    if (!end) return 0;
    int status = atoi(p->answer + 9);
    size_t have = p->answer_bytes - (size_t)(end + 4 - p->answer);
    char *length = strcasestr(p->answer, "\r\ncontent-length:");
    if (status == 204) return status;
    if (length && length < end) return have >= strtoul(length + 17, NULL, 10) ? status : 0;
    return memmem(end, have + 4, "0\r\n\r\n", 5) ? status : 0;
}

static void publisher_event(int i, uint32_t events) {
    struct publisher *p = &crowd[i];
    if (events & EPOLLOUT) {
        p->up = true;
        want(i, EPOLLIN, EPOLL_CTL_MOD);
        if (p->busy) push_out(i);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    if (!p->answer && !(p->answer = malloc(ANSWER_BYTES))) fail("no memory");
    ssize_t n = recv(p->fd, p->answer + p->answer_bytes, ANSWER_BYTES - 1 - p->answer_bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        if (p->busy) refused_publishes += p->count, note("publish: the connection was closed");
        close(p->fd);
        if (++redials > 100000) fail("publishers are turned away again and again");
        dial_publisher(i);
        return;
    }
    p->answer_bytes += (size_t)n;
    int status = answered(p);
    if (!status) return;
    if (status > 299) {
        refused_publishes += p->count;
        note("publish: status %d %.120s", status, strstr(p->answer, "\r\n\r\n") + 4);
    }
    acknowledged += p->count;
    last_answer = now_ns();
    p->busy = false;
}

static uint64_t publish_due(void) { /* nanoseconds until the next one is due */
    if (!publishing || next_message >= messages) return UINT64_MAX;
    for (int i = 0; i < inflight && next_message < messages; i++) {
        if (!crowd[i].up || crowd[i].busy) continue;
        uint64_t time = now_ns();
        if (rate > 0) {
            uint64_t due = began_at + (uint64_t)(next_message * 1e9 / rate);
            if (due > time) return due - time;
            time = due;
        }
        publish(i, time);
    }
    return rate > 0 ? 500000 : UINT64_MAX;
}

static void turn(uint64_t longest_ns) {
    struct epoll_event events[64];
    int count = epoll_wait(publisher_epoll, events, 64, 0);
    for (int i = 0; i < count; i++) publisher_event((int)events[i].data.u32, events[i].events);
    uint64_t due = publish_due();
    if (due < longest_ns) longest_ns = due;
    if (count || (publishing && awake)) longest_ns = 0;
    uint64_t looked_at = publishing && awake && !count ? now_ns() : 0;
    struct timespec wait = {(time_t)(longest_ns / 1000000000u), (long)(longest_ns % 1000000000u)};
    count = epoll_pwait2(epoll_fd, events, 64, &wait, NULL);
    if (looked_at && !count) nothing_to_do += now_ns() - looked_at;
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == UINT32_MAX) continue; /* publishers have something; next turn */
        struct subscriber *s = &all[events[i].data.u32];
        if (s->phase == CONNECTING) ask((int)events[i].data.u32);
        else if (s->phase != CLOSED) readable(s);
    }
}

static void read_tokens(void) {
    static char text[16384];
    FILE *file = fopen(tokens_file, "r");
    if (!file) fail("%s: %s", tokens_file, strerror(errno));
    tokens = calloc(MAX_SUBSCRIBERS, sizeof *tokens);
    while (token_count < MAX_SUBSCRIBERS && fgets(text, sizeof text, file)) {
        text[strcspn(text, "\n")] = 0;
        tokens[token_count++] = strdup(text);
    }
    fclose(file);
}

static void arguments(int argc, char **argv) {
    static const struct option known[] = {
        {"port", 1, 0, 'P'},    {"sub", 1, 0, 's'},        {"pub", 1, 0, 'p'},     {"subscribers", 1, 0, 'n'},
        {"channels", 1, 0, 'c'}, {"messages", 1, 0, 'm'},  {"inflight", 1, 0, 'k'}, {"batch", 1, 0, 'b'},
        {"rate", 1, 0, 'r'},    {"payload", 1, 0, 'y'},    {"idle", 1, 0, 'i'},    {"tokens", 1, 0, 't'},
        {"header", 1, 0, 'h'},  {"pub-header", 1, 0, 'H'}, {"item", 1, 0, 'I'},    {"open", 1, 0, 'o'},
        {"close", 1, 0, 'e'},   {"pid", 1, 0, 'd'},        {"expect", 1, 0, 'x'},  {"timeout", 1, 0, 'T'},
        {"at-once", 1, 0, 'a'}, {"settle", 1, 0, 'S'},     {"awake", 1, 0, 'w'},   {0, 0, 0, 0}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (option) {
        case 'P': port = atoi(optarg); break;
        case 's': sub_path = optarg; break;
        case 'p': pub_path = optarg; break;
        case 'n': subscribers = atoi(optarg); break;
        case 'c': channels = atoi(optarg); break;
        case 'm': messages = atoi(optarg); break;
        case 'k': inflight = atoi(optarg); break;
        case 'b': batch = atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'y': payload_bytes = atoi(optarg); break;
        case 'i': idle_s = atof(optarg); break;
        case 't': tokens_file = optarg; break;
        case 'h': sub_header = optarg; break;
        case 'H': pub_header = optarg; break;
        case 'I': item = optarg; break;
        case 'o': open_text = optarg; break;
        case 'e': close_text = optarg; break;
        case 'd': pid = atoi(optarg); break;
        case 'x': expect_each = atoi(optarg); break;
        case 'T': timeout_s = atof(optarg); break;
        case 'a': at_once = atoi(optarg); break;
        case 'w': awake = atoi(optarg); break;
        case 'S': settle_s = atof(optarg); break;
        default: exit(2);
        }
    if (port < 1 || subscribers < 0 || subscribers > MAX_SUBSCRIBERS || channels < 1 || messages < 1 ||
        messages > 1000000 || inflight < 1 || inflight > MAX_PUBLISHERS || batch < 1 || batch > 500 ||
        payload_bytes < 48 || payload_bytes > 4000 || at_once < 1 || timeout_s > 300)
        fail("an option is out of range");
}

int main(int argc, char **argv) {
    arguments(argc, argv);
    if (tokens_file) read_tokens();
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < (rlim_t)(subscribers + inflight + 32)) fail("too few open files are allowed (ulimit -n)");
    buffer = malloc(READ_BYTES);
    scratch = malloc(REQUEST_BYTES);
    all = calloc((size_t)subscribers + 1, sizeof *all);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    publisher_epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event nested = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, publisher_epoll, &nested);

    uint64_t start = now_ns(), limit = start + (uint64_t)(timeout_s * 1e9);
    long memory_before = memory_kb();
    double cpu_before = cpu_s();
    while (open_now + refused + lost < subscribers && now_ns() < limit) {
        while (begun < subscribers && opening < at_once) begin(begun++);
        turn(50000000);
    }
    double open_s = (double)(now_ns() - start) / 1e9;
    while (expect_each && done < open_now && now_ns() < limit) turn(50000000);
    double live_s = (double)(now_ns() - start) / 1e9;
    double open_cpu = cpu_s() - cpu_before;
    for (uint64_t until = now_ns() + (uint64_t)(settle_s * 1e9); now_ns() < until;) turn(20000000);
    long memory_open = memory_kb();

    uint64_t expected = 0, comments_before = comments;
    if (!idle_s && !expect_each) {
        for (int i = 0; i < inflight; i++) dial_publisher(i);
        for (int up = 0; up < inflight && now_ns() < limit;) {
            turn(5000000);
            for (up = 0; up < inflight && crowd[up].up; up++) continue;
        }
        for (int c = 0; c < channels; c++)
            expected += (uint64_t)(subscribers / channels + (c < subscribers % channels)) *
                        (uint64_t)(messages / channels + (c < messages % channels));
    }
    struct rusage self_before, self_after;
    getrusage(RUSAGE_SELF, &self_before);
    reads = bytes_in = 0;
    cpu_before = cpu_s();
    began_at = now_ns();
    if (idle_s) {
        for (uint64_t until = began_at + (uint64_t)(idle_s * 1e9); now_ns() < until && now_ns() < limit;) turn(100000000);
    } else if (!expect_each) {
        publishing = true;
        last_delivery = began_at;
        while (now_ns() < limit && (delivered < expected || acknowledged < messages)) {
            turn(50000000);
            uint64_t latest = last_answer > last_delivery ? last_answer : last_delivery;
            if (now_ns() > latest + 5000000000u) break; /* silence: the rest does not come */
        }
    }
    uint64_t end = now_ns();
    double cpu = cpu_s() - cpu_before, wall = (double)(end - began_at) / 1e9;
    getrusage(RUSAGE_SELF, &self_after);
    double client = (double)(self_after.ru_utime.tv_sec - self_before.ru_utime.tv_sec) +
                    (double)(self_after.ru_stime.tv_sec - self_before.ru_stime.tv_sec) +
                    (double)(self_after.ru_utime.tv_usec - self_before.ru_utime.tv_usec +
                             self_after.ru_stime.tv_usec - self_before.ru_stime.tv_usec) / 1e6 - (double)nothing_to_do / 1e9;
    if (client < 0) client = 0;
    int diverging = 0; /* subscribers of one channel must have seen one order */
    for (int i = channels; i < subscribers && !expect_each; i++)
        if (all[i].phase == BODY && all[i % channels].phase == BODY && all[i].order != all[i % channels].order) diverging++;
    double took = last_delivery > began_at ? (double)(last_delivery - began_at) / 1e9 : wall;
    double publish_took = last_answer > began_at ? (double)(last_answer - began_at) / 1e9 : wall;
    printf("{\"open\":%d,\"refused\":%d,\"lost_streams\":%d,\"open_s\":%.4f,\"live_s\":%.4f,\"live\":%d,\"open_cpu_s\":%.4f,",
           open_now, refused, lost, open_s, live_s, done, open_cpu);
    printf("\"expected\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"foreign\":%" PRIu64
           ",\"diverging\":%d,\"refused_publishes\":%d,\"redials\":%d,",
           expected, delivered, doubled, foreign, diverging, refused_publishes, redials);
    printf("\"deliveries_per_s\":%.1f,\"publishes_per_s\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,",
           took > 0 ? (double)delivered / took : 0, publish_took > 0 ? acknowledged / publish_took : 0,
           percentile_ms(0.5), percentile_ms(0.99), (double)slowest / 1e6);
    printf("\"cpu_s\":%.4f,\"cpu_us_per_delivery\":%.4f,\"client_share\":%.3f,\"server_share\":%.3f,", cpu,
           delivered ? cpu * 1e6 / (double)delivered : 0, client / wall, cpu / wall);
    printf("\"memory_before_kb\":%ld,\"memory_open_kb\":%ld,\"kb_per_stream\":%.3f,\"comments\":%" PRIu64
           ",\"deliveries_per_read\":%.2f,\"bytes_in\":%" PRIu64 ",\"trouble\":\"%s\"}\n",
           memory_before, memory_open, open_now ? (double)(memory_open - memory_before) / open_now : 0,
           comments - comments_before, reads ? (double)delivered / (double)reads : 0, bytes_in, trouble);
    return 0;
}
