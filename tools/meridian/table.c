#include "tools/meridian/table.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/check.h"

struct column {
    const char *name;
    int width;  /* in screen cells */
    bool right; /* numbers */
};

/* Screen cells of one line of UTF-8; what the locale cannot tell counts as one cell a character. */
static int cells(const char *s, size_t len)
{
    mbstate_t state = {0};
    int n = 0;

    while (len > 0) {
        wchar_t wc;
        size_t used = mbrtowc(&wc, s, len, &state);
        int w = 1;

        if (used == (size_t)-1 || used == (size_t)-2 || used == 0) {
            used = 1;
            state = (mbstate_t){0};
            w = ((unsigned char)*s & 0xc0) != 0x80; /* a continuation byte takes no cell */
        } else {
            w = wcwidth(wc);
        }
        n += w > 0 ? w : 0;
        s += used;
        len -= used;
    }
    return n;
}

/* The widest line of a value. */
static int width_of(const char *s)
{
    int max = 0;

    for (;;) {
        size_t len = strcspn(s, "\n");
        int w = cells(s, len);

        max = w > max ? w : max;
        if (s[len] == '\0')
            return max;
        s += len + 1;
    }
}

static const char *value(struct mrd_rows *rows, size_t i, const struct table_options *o)
{
    return mrd_is_null(rows, i) ? o->null_text : mrd_get_text(rows, i);
}

static bool is_number(enum mrd_type t)
{
    return t == MRD_INT64 || t == MRD_DOUBLE || t == MRD_NUMERIC;
}

static struct column *measure(struct mrd_rows *rows, const struct table_options *o)
{
    size_t n = mrd_columns(rows);
    struct column *cols = xcalloc(n + 1, sizeof *cols);

    for (size_t i = 0; i < n; i++) {
        cols[i].name = mrd_column_name(rows, i);
        cols[i].width = width_of(cols[i].name);
        cols[i].right = is_number(mrd_column_type(rows, i));
    }
    while (mrd_next(rows) == MRD_OK)
        for (size_t i = 0; i < n; i++) {
            int w = width_of(value(rows, i, o));

            cols[i].width = w > cols[i].width ? w : cols[i].width;
        }
    mrd_rewind(rows);
    return cols;
}

static void pad(FILE *to, int n)
{
    if (n > 0)
        (void)fprintf(to, "%*s", n, "");
}

static void header(FILE *to, const struct column *cols, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int room = cols[i].width - width_of(cols[i].name);

        (void)fputs(i == 0 ? " " : "| ", to);
        pad(to, room / 2);
        (void)fputs(cols[i].name, to);
        pad(to, room - room / 2 + 1);
    }
    (void)fputc('\n', to);
    for (size_t i = 0; i < n; i++) {
        (void)fputs(i == 0 ? "-" : "+-", to);
        for (int k = 0; k < cols[i].width + 1; k++)
            (void)fputc('-', to);
    }
    (void)fputc('\n', to);
}

/* One screen line of a row. Returns whether a value goes on: its next line is in rest[]. */
static bool row_line(FILE *to, const struct column *cols, size_t n, const char **rest)
{
    bool more = false;

    for (size_t i = 0; i < n; i++) {
        const char *s = rest[i] == NULL ? "" : rest[i];
        size_t len = strcspn(s, "\n");
        int room = cols[i].width - cells(s, len);
        bool goes_on = s[len] == '\n', last = i + 1 == n;

        (void)fputs(i == 0 ? " " : "| ", to);
        if (cols[i].right)
            pad(to, room);
        (void)fwrite(s, 1, len, to);
        if (!cols[i].right && (!last || goes_on))
            pad(to, room);
        if (goes_on)
            (void)fputc('+', to);
        else if (!last)
            (void)fputc(' ', to);
        rest[i] = goes_on ? s + len + 1 : NULL;
        more |= goes_on;
    }
    (void)fputc('\n', to);
    return more;
}

static void footer(FILE *to, size_t n_rows, const struct table_options *o)
{
    if (!o->tuples_only)
        (void)fprintf(to, "(%zu row%s)\n", n_rows, n_rows == 1 ? "" : "s");
    (void)fputc('\n', to);
}

static enum mrd_status print_aligned(FILE *to, struct mrd_rows *rows, const struct table_options *o)
{
    size_t n = mrd_columns(rows), n_rows = 0;
    struct column *cols = measure(rows, o);
    const char **rest = xcalloc(n + 1, sizeof *rest);

    if (o->title != NULL)
        (void)fprintf(to, "%s\n", o->title);
    if (!o->tuples_only)
        header(to, cols, n);
    while (mrd_next(rows) == MRD_OK) {
        n_rows++;
        for (size_t i = 0; i < n; i++)
            rest[i] = value(rows, i, o);
        while (n != 0 && row_line(to, cols, n, rest))
            ;
    }
    footer(to, n_rows, o);
    free(rest);
    free(cols);
    return MRD_DONE;
}

static enum mrd_status print_expanded(FILE *to, struct mrd_rows *rows,
                                      const struct table_options *o)
{
    size_t n = mrd_columns(rows), n_rows = 0;
    struct column *cols = measure(rows, o);
    int name_width = 0;

    for (size_t i = 0; i < n; i++) {
        int w = width_of(cols[i].name);

        name_width = w > name_width ? w : name_width;
    }
    while (mrd_next(rows) == MRD_OK) {
        (void)fprintf(to, "-[ RECORD %zu ]\n", ++n_rows);
        for (size_t i = 0; i < n; i++) {
            const char *s = value(rows, i, o);

            (void)fputs(cols[i].name, to);
            pad(to, name_width - width_of(cols[i].name));
            for (;;) {
                size_t len = strcspn(s, "\n");

                (void)fprintf(to, " | %.*s%s\n", (int)len, s, s[len] == '\n' ? "+" : "");
                if (s[len] == '\0')
                    break;
                s += len + 1;
                pad(to, name_width);
            }
        }
    }
    if (n_rows == 0)
        (void)fputs("(0 rows)\n", to);
    (void)fputc('\n', to);
    free(cols);
    return MRD_DONE;
}

static void csv_field(FILE *to, const char *s)
{
    if (strpbrk(s, ",\"\n\r") == NULL && strcmp(s, "\\.") != 0) {
        (void)fputs(s, to);
        return;
    }
    (void)fputc('"', to);
    for (; *s != '\0'; s++) {
        if (*s == '"')
            (void)fputc('"', to);
        (void)fputc(*s, to);
    }
    (void)fputc('"', to);
}

static void plain_field(FILE *to, const char *s)
{
    (void)fputs(s, to);
}

/* CSV and unaligned: one line a row, as they come. */
static enum mrd_status print_lines(FILE *to, struct mrd_rows *rows, const struct table_options *o,
                                   char separator, void (*field)(FILE *to, const char *s))
{
    size_t n = mrd_columns(rows), n_rows = 0;
    enum mrd_status st;

    for (size_t i = 0; i < n && !o->tuples_only; i++) {
        field(to, mrd_column_name(rows, i));
        (void)fputc(i + 1 == n ? '\n' : separator, to);
    }
    while ((st = mrd_next(rows)) == MRD_OK) {
        n_rows++;
        for (size_t i = 0; i < n; i++) {
            field(to, value(rows, i, o));
            if (i + 1 < n)
                (void)fputc(separator, to);
        }
        (void)fputc('\n', to);
    }
    if (o->format == TABLE_UNALIGNED && !o->tuples_only && st == MRD_DONE)
        (void)fprintf(to, "(%zu row%s)\n", n_rows, n_rows == 1 ? "" : "s");
    return st;
}

enum mrd_status table_print(FILE *to, struct mrd_rows *rows, const struct table_options *options)
{
    switch (options->format) {
    case TABLE_ALIGNED:
        return print_aligned(to, rows, options);
    case TABLE_EXPANDED:
        return print_expanded(to, rows, options);
    case TABLE_CSV:
        return print_lines(to, rows, options, ',', csv_field);
    case TABLE_UNALIGNED:
        return print_lines(to, rows, options, '|', plain_field);
    }
    return MRD_DONE;
}
