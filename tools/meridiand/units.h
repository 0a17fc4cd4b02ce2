/*
 * units.h - durations and sizes as people write them in flags, files and settings: 200us, 2s, 64MB.
 * Pure functions; any thread.
 */
#ifndef MRD_TOOLS_MERIDIAND_UNITS_H
#define MRD_TOOLS_MERIDIAND_UNITS_H

#include <stdint.h>

#include "base/status.h"

/* ns, us, ms, s, min, h; a bare number is in units of bare_ns (0: a unit is required unless the number is 0).
 * 22023 if it is no duration or does not fit. */
enum status units_duration(const char *text, int64_t bare_ns, int64_t *out_ns,
                           struct err *err) MRD_CHECKED;
/* B, KB, MB, GB, TB in powers of 1024 (kB too); a bare number is bytes. */
enum status units_size(const char *text, int64_t *out_bytes, struct err *err) MRD_CHECKED;
/* A decimal number in [min, max]; `what` names it in the error. */
enum status units_number(const char *what, const char *text, int64_t min, int64_t max, int64_t *out,
                         struct err *err) MRD_CHECKED;

#endif
