/*
 * time_plot.h - a bound over time, drawn into a terminal with plain characters.
 *
 * Keeps the last samples and draws them as columns of a scale that begins at zero. Thread: one.
 */
#ifndef MRD_TOOLS_MERIDIAN_TIME_PLOT_H
#define MRD_TOOLS_MERIDIAN_TIME_PLOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { PLOT_SAMPLES_MAX = 512, PLOT_VOID = -1 };

/* Zeroed memory is an empty plot. */
struct plot {
    int64_t bound_us[PLOT_SAMPLES_MAX]; /* ring; PLOT_VOID: no bound then */
    size_t n;                           /* ever */
};

void plot_add(struct plot *p, int64_t bound_us);
/* Lines of `width` characters, `height` of them and an axis below; the newest sample is at the right edge. */
void plot_draw(const struct plot *p, size_t width, size_t height, struct buf *out);
/* "205 us", "1.50 ms", "void": at most 15 characters. */
void plot_bound_text(int64_t bound_us, char out[16]);

#endif
