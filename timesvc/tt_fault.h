/*
 * tt_fault.h - lying to one node about time, live: offset, rate, bound, status. Tests and drills.
 *
 * A fault is a small versioned file that a node maps (tt_options.fault_path) and a test or a tool
 * writes; the node obeys at its next reading. It acts behind the source: an offset moves the
 * interval without widening it, which makes the bound a lie, as a broken clock does. Whoever
 * comes first makes the file. It must not be truncated while a node maps it.
 * Thread: tt_fault_set and tt_fault_get on one file handle belong to one thread; files may be shared.
 */
#ifndef MRD_TIMESVC_TT_FAULT_H
#define MRD_TIMESVC_TT_FAULT_H

#include <stdint.h>

#include "base/status.h"
#include "timesvc/tt.h"

struct tt_fault_file;

enum tt_fault_status {
    TT_FAULT_AS_IS, /* the source decides */
    TT_FAULT_VOID   /* this node cannot tell the time */
};

struct tt_fault {
    int64_t offset_ns; /* added to both ends, from now on */
    int64_t rate_ppb;  /* and growing so fast from the moment of tt_fault_set */
    int64_t bound_ns;  /* instead of the source's bound; negative: the source's */
    enum tt_fault_status status;
};

#define TT_FAULT_NONE ((struct tt_fault){.bound_ns = -1})

/* ST_REJECT: the file cannot be made or mapped (58030), or is something else (XX001). */
enum status tt_fault_open(const char *path, struct tt_fault_file **out,
                          struct err *err) MRD_CHECKED;
void tt_fault_close(struct tt_fault_file *file);
/* Offset and rate are limited to a century and to a factor of two. */
void tt_fault_set(struct tt_fault_file *file, const struct tt_fault *fault);
struct tt_fault tt_fault_get(const struct tt_fault_file *file);

/* For the reader: what the fault makes of an interval read at raw_ns. */
struct tt_interval tt_fault_apply(const struct tt_fault_file *file, struct tt_interval iv,
                                  int64_t raw_ns);

#endif
