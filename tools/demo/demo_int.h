/*
 * demo_int.h - what the files of the demo share: demo.c (the story), load.c (the tree into tables), outage.c (the
 * leader's death under load).
 */
#ifndef MRD_TOOLS_DEMO_DEMO_INT_H
#define MRD_TOOLS_DEMO_DEMO_INT_H

#include <stdbool.h>

#include "meridian.h"
#include "tools/demo/tree.h"
#include "tools/local/local_cluster.h"

enum { DEMO_WHERE_MAX = 512 };

/* Makes the tables and fills them, with a progress bar. False: it has been said why not. */
bool demo_load(const struct local_cluster *lc, const struct tree *tree);

/* Kills the leader under a write load, restarts it, checks every acknowledged write and the replicas. False: a
 * promise was broken, or the cluster did not come back. */
bool demo_outage(struct local_cluster *lc);

void demo_say(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* a line of the story */
bool demo_failed(const struct mrd_conn *c, const char *what); /* prints the error; returns false */

#endif
