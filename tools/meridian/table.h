/*
 * table.h - rows for people: aligned tables, expanded records, CSV. Thread: the rows' owner.
 */
#ifndef MRD_TOOLS_MERIDIAN_TABLE_H
#define MRD_TOOLS_MERIDIAN_TABLE_H

#include <stdio.h>

#include "meridian.h"

enum table_format { TABLE_ALIGNED, TABLE_EXPANDED, TABLE_CSV, TABLE_UNALIGNED };

struct table_options {
    enum table_format format;
    bool tuples_only;      /* no header, no footer */
    const char *null_text; /* how NULL is shown; "" as psql */
    const char *title;     /* above an aligned table, or NULL */
};

/* Prints all rows that are left. MRD_DONE, or the error of a stream. */
enum mrd_status table_print(FILE *to, struct mrd_rows *rows, const struct table_options *options);

#endif
