/*
 * server.h - one node, wired: time, store, rpc, transactions, sql and the frontend in their order of life.
 *
 * Hides that order. Several nodes can live in one process. Thread: the calls from one thread; on_fatal
 * on any.
 */
#ifndef MRD_TOOLS_MERIDIAND_SERVER_H
#define MRD_TOOLS_MERIDIAND_SERVER_H

#include "base/status.h"
#include "tools/meridiand/options.h"

struct server;

/* Clients and peers are let in when it returns. on_fatal must end the process: data is not safe to serve. */
enum status server_open(const struct options *opts, struct logger *log,
                        void (*on_fatal)(void *arg, const struct err *err), void *on_fatal_arg,
                        struct server **out, struct err *err) MRD_CHECKED;
const char *server_pg_addr(const struct server *s);
/* Clean: clients are told and ended, leases given up, data closed. NULL is fine. */
void server_close(struct server *s);

#endif
