/*
 * where.h - which nodes a command talks to, from its flags and the environment.
 */
#ifndef MRD_TOOLS_MERIDIAN_WHERE_H
#define MRD_TOOLS_MERIDIAN_WHERE_H

#include "base/bytes.h"

/* As given on the command line; NULL: not given. */
struct where {
    const char *host, *port, *user, *database;
    const char *url;
};

/* A zero-terminated text for mrd_connect. A URL stands alone; without any flag the environment's MERIDIAN_URL decides;
 * else the flags over our own defaults. */
void where_put(const struct where *w, struct buf *out);

#endif
