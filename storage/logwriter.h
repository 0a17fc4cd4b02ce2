/*
 * logwriter.h - the one thread of a node that makes the consensus log durable.
 *
 * Whatever all groups want written while a sync is under way becomes one engine transaction and one sync. A
 * full disk turns the node read-only and the batch is tried again; a failed sync is fatal. Threads:
 * logwriter_put from the worker; start, stop from the thread that wires the store.
 */
#ifndef MRD_STORAGE_LOGWRITER_H
#define MRD_STORAGE_LOGWRITER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/status.h"
#include "storage/waker.h"

struct logwriter;
struct store;

/* Once the batch is synced, *durable is set to seq. */
struct log_mark {
    _Atomic uint64_t *durable;
    uint64_t seq;
};

/* What one round of the worker wants written. */
struct log_batch {
    struct buf rows;        /* plog.h */
    struct log_mark *marks; /* owned */
    size_t n_marks, cap_marks;
};

void log_batch_mark(struct log_batch *b, _Atomic uint64_t *durable, uint64_t seq);
void log_batch_fini(struct log_batch *b);

/* `done` is called after each sync. */
struct logwriter *logwriter_new(struct store *s, struct waker *done);
void logwriter_start(struct logwriter *lw);
/* Takes what the batch holds; the batch is empty afterwards. */
void logwriter_put(struct logwriter *lw, struct log_batch *batch);
uint64_t logwriter_syncs(struct logwriter *lw); /* successful ones so far */

/* What the thread does; for whoever steps the store by hand (store_step.h). Take moves what waits to where it is
 * written from, false if there is nothing; write then makes it durable and tells the worker. ST_RETRY, ST_REJECT (a
 * full disk): try again later. Else the node must end. */
bool logwriter_take(struct logwriter *lw);
enum status logwriter_write(struct logwriter *lw, struct err *err) MRD_CHECKED;

void logwriter_stop(struct logwriter *lw); /* writes what waits, and ends */
void logwriter_halt(struct logwriter *lw); /* ends where it stands */
void logwriter_free(struct logwriter *lw); /* NULL is fine */

#endif
