/*
 * record.h - clients that write and read across nodes and note what they were told, in the lines of history.h.
 *
 * Client i talks to node i mod the number of nodes, and to no other. It takes turns between one write and one strong read of all
 * counters; each is tried once, and noted whatever came of it.
 * Thread: one call at a time; it makes a thread per client.
 */
#ifndef MRD_TESTS_CLOCK_RECORD_H
#define MRD_TESTS_CLOCK_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { RECORD_HOSTS_MAX = 9, RECORD_CLIENTS_MAX = 64 };

struct record_options {
    const char *hosts; /* HOST:PORT[,HOST:PORT...] */
    int clients;
    int keys; /* at most HISTORY_KEYS_MAX */
    uint64_t seed;
    int64_t pause_ns; /* mean, between operations of a client */
    int stop_fd;      /* end of file there ends the load */
    FILE *out;
};

/* Makes the tables and the counters anew. False: it could not, for a minute; it said why on stderr. */
bool record_prepare(const struct record_options *o);
/* Runs the clients, then notes what the tables hold. False: that could not be read. */
bool record_run(const struct record_options *o);

#endif
