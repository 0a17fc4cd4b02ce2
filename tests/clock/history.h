/*
 * history.h - what clients did and were told while clocks lied, and whether it can have happened.
 *
 * A history is lines of text, written by `clock_history record` and by the test that bends clocks:
 *
 *     W client port begin end begin_wall end_wall key id outcome ts n sqlstate
 *     R client port begin end sqlstate n0 n1 ...    a strong read of every key's counter ("-": answered)
 *     L key n id                                    a row of the log as it stood at the end
 *     C key n                                       a counter as it stood at the end
 *     F port begin end text                         clock of that node is bent; end 0: to the end of the history
 *
 * One write raises the counter of `key` from n - 1 to n and adds the log row (key, n, id), in one transaction; ids
 * are never used twice. begin and end are mono_now() around it, *_wall the machine's clock, which is true time here:
 * all nodes and clients share a machine. outcome: A acknowledged, N surely not done, U in doubt.
 * Thread: a history belongs to one thread.
 */
#ifndef MRD_TESTS_CLOCK_HISTORY_H
#define MRD_TESTS_CLOCK_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { HISTORY_KEYS_MAX = 16 };

enum outcome { OUTCOME_ACKED = 'A', OUTCOME_NOT_DONE = 'N', OUTCOME_IN_DOUBT = 'U' };

struct h_write {
    int64_t begin, end, begin_wall, end_wall;
    int64_t id, ts, n; /* ts and n: of acknowledged ones */
    enum outcome outcome;
    int client, port, key;
    char sqlstate[6]; /* "-": none */
};

struct h_read {
    int64_t begin, end;
    int64_t n[HISTORY_KEYS_MAX]; /* per key; answered reads only */
    int client, port;
    char sqlstate[6];
};

struct h_row {
    int64_t n, id;
    int key;
};

struct h_window {
    int64_t begin, end;
    int port; /* 0: every node */
};

/* A growing array; the element type is the caller's. */
struct h_list {
    void *items;
    size_t n, room;
};

struct history {
    struct h_list writes, reads, rows, windows; /* of the four structs above */
    int64_t counters[HISTORY_KEYS_MAX];         /* -1: not seen */
    int n_keys;
};

void history_init(struct history *h);
void history_fini(struct history *h);
/* Adds the lines of a file. False: the line that is no line of a history is printed to `complaints`. */
bool history_read(struct history *h, FILE *from, FILE *complaints);

struct h_check {
    int64_t
        bound_ns; /* every clock's bound is at least this: commits wait for it; 0 checks order alone */
    int64_t tolerance_ns; /* of comparisons with the machine's clock */
    FILE *complaints;
};

struct h_verdict {
    long violations;
    long acked, not_done, in_doubt, reads, reads_refused;
    long unexplained;                 /* operations that ended without a SQLSTATE */
    long admitted;                    /* stale, early or torn reads inside windows */
    long early_stamps;                /* timestamps below their operation's begin, inside windows */
    int64_t wait_min_ns, wait_max_ns; /* from timestamp to answer, acknowledged writes */
};

/*
 * Sorts the history and applies the rules that README.md numbers (H1..H9); each breach is a line in
 * `complaints` (the first of a kind, the rest are counted).
 */
struct h_verdict history_check(struct history *h, const struct h_check *how);

#endif
