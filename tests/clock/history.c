#include "tests/clock/history.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void history_init(struct history *h)
{
    *h = (struct history){0};
    for (int k = 0; k < HISTORY_KEYS_MAX; k++)
        h->counters[k] = -1;
}

void history_fini(struct history *h)
{
    free(h->writes.items);
    free(h->reads.items);
    free(h->rows.items);
    free(h->windows.items);
    history_init(h);
}

static void append(struct h_list *list, const void *item, size_t size)
{
    if (list->n == list->room) {
        list->room = list->room == 0 ? 1024 : 2 * list->room;
        list->items = xrealloc(list->items, list->room * size);
    }
    memcpy((char *)list->items + list->n++ * size, item, size);
}

static bool key_ok(struct history *h, int key)
{
    if (key < 0 || key >= HISTORY_KEYS_MAX)
        return false;
    if (key >= h->n_keys)
        h->n_keys = key + 1;
    return true;
}

static bool read_write(struct history *h, const char *line)
{
    struct h_write w;
    char outcome;

    if (sscanf(line,
               "W %d %d %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %d %" SCNd64 " %c %" SCNd64
               " %" SCNd64 " %5s",
               &w.client, &w.port, &w.begin, &w.end, &w.begin_wall, &w.end_wall, &w.key, &w.id,
               &outcome, &w.ts, &w.n, w.sqlstate) != 12)
        return false;
    if (outcome != OUTCOME_ACKED && outcome != OUTCOME_NOT_DONE && outcome != OUTCOME_IN_DOUBT)
        return false;
    w.outcome = (enum outcome)outcome;
    append(&h->writes, &w, sizeof w);
    return key_ok(h, w.key) && w.begin <= w.end;
}

static bool read_read(struct history *h, const char *line)
{
    struct h_read r = {0};
    int at = 0, key = 0;

    if (sscanf(line, "R %d %d %" SCNd64 " %" SCNd64 " %5s%n", &r.client, &r.port, &r.begin, &r.end,
               r.sqlstate, &at) != 5)
        return false;
    for (const char *p = line + at;;) {
        char *end;
        int64_t n = strtoll(p, &end, 10);

        if (end == p)
            break;
        if (!key_ok(h, key))
            return false;
        r.n[key++] = n;
        p = end;
    }
    append(&h->reads, &r, sizeof r);
    return r.begin <= r.end && (key > 0) == (strcmp(r.sqlstate, "-") == 0);
}

static bool read_line(struct history *h, const char *line)
{
    struct h_row row;
    struct h_window f;
    int64_t n;
    int key;

    switch (line[0]) {
    case 'W':
        return read_write(h, line);
    case 'R':
        return read_read(h, line);
    case 'L':
        if (sscanf(line, "L %d %" SCNd64 " %" SCNd64, &row.key, &row.n, &row.id) != 3)
            return false;
        append(&h->rows, &row, sizeof row);
        return key_ok(h, row.key);
    case 'C':
        if (sscanf(line, "C %d %" SCNd64, &key, &n) != 2 || !key_ok(h, key))
            return false;
        h->counters[key] = n;
        return true;
    case 'F':
        if (sscanf(line, "F %d %" SCNd64 " %" SCNd64, &f.port, &f.begin, &f.end) != 3)
            return false;
        if (f.end == 0)
            f.end = INT64_MAX;
        append(&h->windows, &f, sizeof f);
        return true;
    default:
        return false;
    }
}

bool history_read(struct history *h, FILE *from, FILE *complaints)
{
    char line[512];

    while (fgets(line, sizeof line, from) != NULL) {
        if (strchr(line, '\n') == NULL || !read_line(h, line)) {
            fprintf(complaints, "not a line of a history: %s\n", line);
            return false;
        }
    }
    return ferror(from) == 0;
}
