/* libmodsecurity's side of `cargo xtask bench waf`; the commands and answers are those of Ringwall's own driver
 * (crates/waf/examples/waf_bench.rs): `libmodsecurity LIBRARY CONF`, then `run FILE FROM COUNT`, `check FILE`.
 * The library is opened by name, so that one program serves each version of it; only its C functions are used. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct intervention { int status, pause; char *url, *log; int disruptive; };
struct field { const char *name, *value; };
struct request {
    const char *method, *target, *version;
    struct field fields[64];
    int count;
    const unsigned char *body;
    size_t length;
};

static void *library;
static void *function(const char *name) {
    void *found = dlsym(library, name);
    if (!found) { fprintf(stderr, "the library has no %s\n", name); exit(2); }
    return found;
}
#define CALL(result, name, arguments, ...) ((result (*) arguments)functions.name)(__VA_ARGS__)
static struct {
    void *init, *rules, *add_file, *log, *begin, *connection, *uri, *field, *headers, *append, *body;
    void *answer_field, *answer_headers, *answer_append, *answer_body, *logging, *intervention, *end;
} functions;

static uint64_t cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static long resident(void) {
    char line[256];
    long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "VmRSS: %ld", &kilobytes);
    if (status) fclose(status);
    return kilobytes;
}

/* The ids in a line of the log, while they are asked for. */
static int asked, first_id;
static void log_line(void *data, const void *line) {
    (void)data;
    if (!asked) return;
    for (const char *at = line; at && (at = strstr(at, "[id \"")); at += 5) {
        printf("%s%ld", first_id ? "" : ",", atol(at + 5));
        first_id = 0;
    }
}

static struct request *read_requests(const char *name, size_t *count) {
    FILE *file = fopen(name, "rb");
    if (!file) { perror(name); exit(2); }
    struct request *all = NULL;
    unsigned char size[4];
    *count = 0;
    while (fread(size, 1, 4, file) == 4) {
        size_t length = size[0] | size[1] << 8 | size[2] << 16 | (size_t)size[3] << 24;
        char *raw = calloc(length + 1, 1);
        if (fread(raw, 1, length, file) != length) exit(2);
        all = realloc(all, (*count + 1) * sizeof *all);
        struct request *one = &all[(*count)++];
        memset(one, 0, sizeof *one);
        char *end = memmem(raw, length, "\r\n\r\n", 4);
        one->body = (unsigned char *)end + 4;
        one->length = length - (size_t)(end + 4 - raw);
        *end = 0;
        char *line = raw, *next = strstr(raw, "\r\n");
        if (next) { *next = 0; next += 2; }
        one->method = line;
        char *target = strchr(line, ' ');
        *target++ = 0;
        one->target = target;
        char *version = strrchr(target, ' ');
        *version++ = 0;
        one->version = version + strlen("HTTP/");
        while (next && *next && one->count < 64) {
            line = next;
            next = strstr(line, "\r\n");
            if (next) { *next = 0; next += 2; }
            char *colon = strchr(line, ':');
            *colon++ = 0;
            while (*colon == ' ') colon++;
            one->fields[one->count++] = (struct field){line, colon};
        }
    }
    fclose(file);
    return all;
}

static int refused(void *tx) {
    struct intervention it = {200, 0, NULL, NULL, 0};
    CALL(int, intervention, (void *, struct intervention *), tx, &it);
    free(it.url);
    free(it.log);
    return it.disruptive ? it.status : 0;
}

static int judge(void *engine, void *rules, const struct request *one) {
    static const unsigned char answer[] = "{\"ok\":true,\"items\":[]}";
    void *tx = CALL(void *, begin, (void *, void *, void *), engine, rules, NULL);
    CALL(int, connection, (void *, const char *, int, const char *, int), tx, "127.0.0.1", 40000, "127.0.0.1", 80);
    CALL(int, uri, (void *, const char *, const char *, const char *), tx, one->target, one->method, one->version);
    for (int at = 0; at < one->count; at++)
        CALL(int, field, (void *, const char *, const char *), tx, one->fields[at].name, one->fields[at].value);
    CALL(int, headers, (void *), tx);
    int status = refused(tx);
    if (!status) {
        CALL(int, append, (void *, const unsigned char *, size_t), tx, one->body, one->length);
        CALL(int, body, (void *), tx);
        status = refused(tx);
    }
    if (!status) {
        CALL(int, answer_field, (void *, const char *, const char *), tx, "Content-Type", "application/json");
        CALL(int, answer_field, (void *, const char *, const char *), tx, "Server", "x");
        CALL(int, answer_headers, (void *, int, const char *), tx, 200, "HTTP 1.1");
        status = refused(tx);
    }
    if (!status) {
        CALL(int, answer_append, (void *, const unsigned char *, size_t), tx, answer, sizeof answer - 1);
        CALL(int, answer_body, (void *), tx);
        status = refused(tx);
    }
    CALL(int, logging, (void *), tx);
    CALL(void, end, (void *), tx);
    return status;
}

static void run(void *engine, void *rules, const char *file, size_t from, size_t count) {
    size_t held;
    struct request *all = read_requests(file, &held);
    uint64_t *samples = calloc(count, sizeof *samples);
    int *verdicts = calloc(count, sizeof *verdicts);
    for (size_t at = 0; at < count; at++) {
        uint64_t start = cpu();
        verdicts[at] = judge(engine, rules, &all[(from + at) % held]);
        samples[at] = cpu() - start;
    }
    printf("{\"ns\":[");
    for (size_t at = 0; at < count; at++) printf("%s%lu", at ? "," : "", (unsigned long)samples[at]);
    printf("],\"verdicts\":[");
    for (size_t at = 0; at < count; at++) printf("%s%d", at ? "," : "", verdicts[at]);
    printf("]}\n");
    for (size_t at = 0; at < held; at++) free((char *)all[at].method);
    free(all), free(samples), free(verdicts);
}

static void check(void *engine, void *rules, const char *file, size_t count) {
    size_t held;
    struct request *all = read_requests(file, &held);
    asked = 1;
    printf("{\"matched\":[");
    for (size_t at = 0; at < held && at < count; at++) {
        printf("%s[", at ? "," : "");
        first_id = 1;
        judge(engine, rules, &all[at]);
        printf("]");
    }
    printf("]}\n");
    asked = 0;
}

int main(int count, char **words) {
    if (count != 3) { fprintf(stderr, "usage: libmodsecurity LIBRARY CONF\n"); return 2; }
    library = dlopen(words[1], RTLD_NOW);
    if (!library) { fprintf(stderr, "%s\n", dlerror()); return 2; }
    static const char *names[] = {
        "msc_init", "msc_create_rules_set", "msc_rules_add_file", "msc_set_log_cb", "msc_new_transaction",
        "msc_process_connection", "msc_process_uri", "msc_add_request_header", "msc_process_request_headers",
        "msc_append_request_body", "msc_process_request_body", "msc_add_response_header",
        "msc_process_response_headers", "msc_append_response_body", "msc_process_response_body",
        "msc_process_logging", "msc_intervention", "msc_transaction_cleanup"};
    for (size_t at = 0; at < sizeof names / sizeof *names; at++) ((void **)&functions)[at] = function(names[at]);
    long empty = resident();
    uint64_t start = cpu();
    void *engine = CALL(void *, init, (void));
    CALL(void, log, (void *, void (*)(void *, const void *)), engine, log_line);
    void *rules = CALL(void *, rules, (void));
    const char *error = NULL;
    int loaded = CALL(int, add_file, (void *, const char *, const char **), rules, words[2], &error);
    if (loaded < 0) { fprintf(stderr, "%s\n", error ? error : "the rules were not taken"); return 2; }
    uint64_t took = cpu() - start;
    printf("{\"load_ns\":%lu,\"rss_kb\":%ld,\"rss_net_kb\":%ld,\"rules\":%d}\n", (unsigned long)took, resident(),
           resident() - empty, loaded);
    fflush(stdout);
    char command[16], file[4096];
    size_t from = 0, times = 0;
    while (scanf("%15s %4095s %zu %zu", command, file, &from, &times) == 4) {
        if (!strcmp(command, "run")) run(engine, rules, file, from, times);
        else check(engine, rules, file, times);
        fflush(stdout);
    }
    return 0;
}
