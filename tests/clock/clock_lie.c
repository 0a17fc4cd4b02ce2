/*
 * clock_lie.c - bends one node's clock, live, through its fault file (meridiand --time-fault FILE).
 *
 *     clock_lie FILE [offset=US] [rate=PPM] [bound=US] [void]    nothing but FILE: the truth again
 *
 * Prints the monotonic time at which the lie stood. Exit 0, 2 on trouble.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "timesvc/tt_fault.h"

static bool parse(struct tt_fault *f, const char *word)
{
    if (strncmp(word, "offset=", 7) == 0)
        f->offset_ns = strtoll(word + 7, NULL, 10) * NS_PER_US;
    else if (strncmp(word, "rate=", 5) == 0)
        f->rate_ppb = strtoll(word + 5, NULL, 10) * 1000;
    else if (strncmp(word, "bound=", 6) == 0)
        f->bound_ns = strtoll(word + 6, NULL, 10) * NS_PER_US;
    else if (strcmp(word, "void") == 0)
        f->status = TT_FAULT_VOID;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct tt_fault fault = TT_FAULT_NONE;
    struct tt_fault_file *file;
    struct err err;

    for (int i = 2; i < argc; i++) {
        if (!parse(&fault, argv[i])) {
            fprintf(stderr, "clock_lie: bad word \"%s\"\n", argv[i]);
            return 2;
        }
    }
    if (argc < 2 || tt_fault_open(argv[1], &file, &err) != ST_OK) {
        fprintf(stderr, "clock_lie: %s\n", argc < 2 ? "no file" : err.msg);
        return 2;
    }
    tt_fault_set(file, &fault);
    tt_fault_close(file);
    printf("%" PRId64 "\n", mono_now());
    return 0;
}
