#include "tools/meridian/time_plot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LABEL = 11 }; /* "  1.50 ms |" */

void plot_add(struct plot *p, int64_t bound_us)
{
    p->bound_us[p->n++ % PLOT_SAMPLES_MAX] = bound_us;
}

void plot_bound_text(int64_t bound_us, char out[16])
{
    if (bound_us < 0)
        (void)snprintf(out, 16, "void");
    else if (bound_us < 1000)
        (void)snprintf(out, 16, "%" PRId64 " us", bound_us);
    else if (bound_us < 1000000)
        (void)snprintf(out, 16, "%.2f ms", (double)bound_us / 1e3);
    else
        (void)snprintf(out, 16, "%.2f s", (double)bound_us / 1e6);
}

/* 1, 2 or 5 times a power of ten, so that the scale stands still while the bound moves. */
static int64_t scale_for(int64_t max)
{
    static const int64_t steps[] = {1, 2, 5};

    for (int64_t ten = 1; ten < INT64_MAX / 10; ten *= 10)
        for (size_t i = 0; i < 3; i++)
            if (steps[i] * ten >= max)
                return steps[i] * ten;
    return INT64_MAX;
}

static void put_text(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

static void put_label(struct buf *out, int64_t bound_us)
{
    char text[16], label[32];

    plot_bound_text(bound_us, text);
    (void)snprintf(label, sizeof label, "%9s |", text);
    put_text(out, label);
}

/* What stands in one cell: the column reaches into it, or the bound was void. */
static char cell(int64_t bound_us, int64_t scale, size_t row, size_t height)
{
    double reach;

    if (bound_us < 0)
        return row == 0 ? 'x' : ' ';
    reach = (double)bound_us / (double)scale * (double)height;
    if (reach >= (double)row + 0.5)
        return '#';
    return reach > (double)row ? '.' : ' ';
}

void plot_draw(const struct plot *p, size_t width, size_t height, struct buf *out)
{
    size_t kept = p->n < PLOT_SAMPLES_MAX ? p->n : PLOT_SAMPLES_MAX;
    size_t columns = width > LABEL ? width - LABEL : 1;
    size_t shown = kept < columns ? kept : columns;
    int64_t max = 1, scale;

    for (size_t i = p->n - shown; i < p->n; i++)
        if (p->bound_us[i % PLOT_SAMPLES_MAX] > max)
            max = p->bound_us[i % PLOT_SAMPLES_MAX];
    scale = scale_for(max);
    for (size_t row = height; row-- > 0;) {
        if (row == height - 1)
            put_label(out, scale);
        else if (row == height / 2 && row > 0)
            put_label(out, scale / (int64_t)height * (int64_t)(row + 1));
        else
            put_text(out, "          |");
        for (size_t i = shown; i < columns; i++)
            buf_put_u8(out, ' ');
        for (size_t i = p->n - shown; i < p->n; i++)
            buf_put_u8(out, (uint8_t)cell(p->bound_us[i % PLOT_SAMPLES_MAX], scale, row, height));
        buf_put_u8(out, '\n');
    }
    put_text(out, "        0 +");
    for (size_t i = 0; i < columns; i++)
        buf_put_u8(out, '-');
    buf_put_u8(out, '\n');
}
