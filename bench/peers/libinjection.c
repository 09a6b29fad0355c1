/* The SQL side of libinjection's C for `cargo xtask bench waf`: `libinjection FILE` prints the nanoseconds of
 * `libinjection_sqli` for each text of the file, the least of five, and the verdicts, as Ringwall's driver does
 * (crates/waf/examples/waf_bench.rs, `sqli FILE`). Built together with the library's own sources. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "libinjection.h"

static uint64_t cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int count, char **words) {
    FILE *file = count == 2 ? fopen(words[1], "rb") : NULL;
    if (!file) return 2;
    unsigned char size[4];
    static int verdicts[1 << 16];
    int texts = 0;
    char fingerprint[16];
    printf("{\"ns\":[");
    while (texts < 1 << 16 && fread(size, 1, 4, file) == 4) {
        size_t length = size[0] | size[1] << 8 | size[2] << 16 | (size_t)size[3] << 24;
        char *text = malloc(length + 1);
        if (fread(text, 1, length, file) != length) return 2;
        uint64_t least = UINT64_MAX;
        int found = 0;
        for (int turn = 0; turn < 5; turn++) {
            uint64_t start = cpu();
            for (int times = 0; times < 20; times++) found = libinjection_sqli(text, length, fingerprint);
            uint64_t took = (cpu() - start) / 20;
            if (took < least) least = took;
        }
        verdicts[texts] = found;
        printf("%s%lu", texts++ ? "," : "", (unsigned long)least);
        free(text);
    }
    printf("],\"verdicts\":[");
    for (int at = 0; at < texts; at++) printf("%s%d", at ? "," : "", verdicts[at]);
    printf("]}\n");
    return 0;
}
