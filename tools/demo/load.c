#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "tools/demo/demo_int.h"

enum { LOADERS = 4, BATCH = 250, BAR_WIDTH = 32, BAR_MS = 100, TRIES = 100 };

static const char *const schema[] = {
    "CREATE TABLE namespaces (ns_id BIGINT PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, "
    "files BIGINT NOT NULL, bytes BIGINT NOT NULL)",
    "CREATE TABLE files (ns_id BIGINT NOT NULL, file_id BIGINT NOT NULL, path TEXT NOT NULL, dir "
    "TEXT "
    "NOT NULL, size BIGINT NOT NULL, mtime TIMESTAMPTZ NOT NULL, mode TEXT NOT NULL, owner TEXT "
    "NOT "
    "NULL, PRIMARY KEY (ns_id, file_id))",
    "CREATE INDEX files_by_dir ON files (dir, path)",
    "CREATE INDEX files_by_mtime ON files (mtime)",
    "CREATE TABLE journal (ns_id BIGINT NOT NULL, seq BIGINT NOT NULL, op TEXT NOT NULL, files "
    "BIGINT "
    "NOT NULL, bytes BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL, PRIMARY KEY (ns_id, seq))",
};

/* Files [first, first + n): one transaction, and one line in the journal of the first one's namespace. */
struct batch {
    size_t first, n;
    int64_t seq; /* in that journal */
};

struct load {
    const struct tree *tree;
    struct batch *batches;
    size_t n_batches;
    _Atomic size_t next;   /* batch to take */
    _Atomic size_t n_done; /* files */
    _Atomic bool failed;
    char where[LOADERS][DEMO_WHERE_MAX];
};

struct loader {
    struct load *load;
    int number;
    pthread_t thread;
};

static void put(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

static void put_literal(struct buf *b, const char *s, size_t len)
{
    buf_put_u8(b, '\'');
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\'')
            buf_put_u8(b, '\'');
        buf_put_u8(b, (uint8_t)s[i]);
    }
    buf_put_u8(b, '\'');
}

static void put_number(struct buf *b, int64_t v)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRId64, v);
    put(b, text);
}

static void put_time(struct buf *b, int64_t s)
{
    time_t t = (time_t)s;
    struct tm tm;
    char text[48];

    (void)gmtime_r(&t, &tm);
    (void)strftime(text, sizeof text, "'%Y-%m-%d %H:%M:%S+00'", &tm);
    put(b, text);
}

static void put_file(struct buf *b, const struct tree_file *f)
{
    char owner[64], mode[24];

    put(b, "(");
    put_number(b, f->ns + 1);
    put(b, ",");
    put_number(b, f->file_id);
    put(b, ",");
    put_literal(b, f->path, strlen(f->path));
    put(b, ",");
    put_literal(b, f->path, f->dir_len);
    put(b, ",");
    put_number(b, f->size);
    put(b, ",");
    put_time(b, f->mtime_s);
    (void)snprintf(mode, sizeof mode, ",'%04o'", f->mode);
    put(b, mode);
    put(b, ",");
    tree_owner(f->uid, owner, sizeof owner);
    put_literal(b, owner, strlen(owner));
    put(b, ")");
}

/* The files and the journal's line about them: two statements in one text are one transaction. Run again after an
 * unknown outcome, it changes nothing that is there. */
static void batch_text(struct buf *b, const struct tree *t, const struct batch *batch)
{
    int64_t bytes = 0;

    buf_reset(b);
    put(b, "INSERT INTO files (ns_id, file_id, path, dir, size, mtime, mode, owner) VALUES ");
    for (size_t i = batch->first; i < batch->first + batch->n; i++) {
        put(b, i == batch->first ? "" : ",");
        put_file(b, &t->files[i]);
        bytes += t->files[i].size;
    }
    put(b,
        " ON CONFLICT DO NOTHING; INSERT INTO journal (ns_id, seq, op, files, bytes, at) VALUES (");
    put_number(b, t->files[batch->first].ns + 1);
    put(b, ",");
    put_number(b, batch->seq);
    put(b, ",'import',");
    put_number(b, (int64_t)batch->n);
    put(b, ",");
    put_number(b, bytes);
    put(b, ",");
    put_time(b, time(NULL));
    put(b, ") ON CONFLICT DO NOTHING");
    buf_put_u8(b, 0);
}

static enum mrd_status run_until_known(struct mrd_conn *c, const char *sql)
{
    enum mrd_status st;
    int tries = 0;

    do
        st = mrd_run(c, sql, NULL);
    while ((st == MRD_RETRY || st == MRD_LOST || st == MRD_UNKNOWN) && ++tries < TRIES);
    return st;
}

static void *loader_main(void *arg)
{
    struct loader *lo = arg;
    struct load *l = lo->load;
    struct mrd_conn *c = NULL;
    struct mrd_error err = {0};
    struct buf sql = {0};

    if (mrd_connect(l->where[lo->number], &c, &err) != MRD_OK) {
        (void)fprintf(stderr, "demo: %s\n", err.message);
        l->failed = true;
        return NULL;
    }
    while (!l->failed) {
        size_t i = l->next++;

        if (i >= l->n_batches)
            break;
        batch_text(&sql, l->tree, &l->batches[i]);
        if (run_until_known(c, (char *)sql.ptr) == MRD_OK)
            l->n_done += l->batches[i].n;
        else
            l->failed = !demo_failed(c, "loading files");
    }
    buf_fini(&sql);
    mrd_close(c);
    return NULL;
}

/* A batch ends where the namespace does. */
static void cut_batches(struct load *l)
{
    const struct tree *t = l->tree;
    int64_t seq[TREE_NAMESPACES_MAX] = {0};

    l->batches = xcalloc(t->n_files, sizeof *l->batches);
    for (size_t i = 0; i < t->n_files;) {
        uint32_t ns = t->files[i].ns;
        struct batch *b = &l->batches[l->n_batches++];

        b->first = i;
        b->seq = ++seq[ns];
        while (i < t->n_files && i - b->first < BATCH && t->files[i].ns == ns)
            i++;
        b->n = i - b->first;
    }
}

static void draw_bar(size_t done, size_t total, double seconds, bool terminal)
{
    int filled = (int)(done * BAR_WIDTH / total);
    char bar[BAR_WIDTH + 1];

    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    (void)printf("%s  [%s] %3zu%%  %zu of %zu files  %.0f files/s%s", terminal ? "\r" : "", bar,
                 done * 100 / total, done, total, seconds > 0 ? (double)done / seconds : 0,
                 terminal ? "   " : "\n");
    (void)fflush(stdout);
}

/* On a terminal the bar moves; in a file there is a line for every tenth. */
static void watch(struct load *l)
{
    bool terminal = isatty(STDOUT_FILENO) == 1;
    size_t total = l->tree->n_files, shown = 0;
    int64_t start = mono_now();

    while (l->n_done < total && !l->failed) {
        size_t done = l->n_done;

        if (terminal || done * 10 / total > shown * 10 / total) {
            draw_bar(done, total, (double)(mono_now() - start) / NS_PER_S, terminal);
            shown = done;
        }
        mono_sleep_until(mono_now() + BAR_MS * (int64_t)NS_PER_MS);
    }
    draw_bar(l->n_done, total, (double)(mono_now() - start) / NS_PER_S, terminal);
    (void)printf("%s", terminal ? "\n" : "");
}

static bool load_files(const struct local_cluster *lc, const struct tree *tree)
{
    struct load l = {.tree = tree};
    struct loader loaders[LOADERS];
    int made = 0;

    cut_batches(&l);
    for (; made < LOADERS; made++) {
        loaders[made] = (struct loader){.load = &l, .number = made};
        local_cluster_where(lc, 1 + made % local_cluster_nodes(lc), l.where[made],
                            sizeof l.where[made]);
        if (pthread_create(&loaders[made].thread, NULL, loader_main, &loaders[made]) != 0)
            break;
    }
    if (made == 0)
        l.failed = true;
    watch(&l);
    for (int i = 0; i < made; i++)
        (void)pthread_join(loaders[i].thread, NULL); /* joinable, and joined once */
    free(l.batches);
    return !l.failed;
}

static bool load_namespaces(struct mrd_conn *c, const struct tree *t)
{
    for (size_t i = 0; i < t->n_namespaces; i++) {
        const struct tree_namespace *ns = &t->namespaces[i];
        char owner[64];
        struct mrd_value values[5] = {mrd_int64((int64_t)i + 1), mrd_text(ns->name)};

        tree_owner(ns->uid, owner, sizeof owner);
        values[2] = mrd_text(owner);
        values[3] = mrd_int64(ns->n_files);
        values[4] = mrd_int64(ns->bytes);
        if (mrd_run_values(c, "INSERT INTO namespaces VALUES ($1, $2, $3, $4, $5)", values, 5,
                           NULL) != MRD_OK)
            return demo_failed(c, "filling namespaces");
    }
    return true;
}

bool demo_load(const struct local_cluster *lc, const struct tree *tree)
{
    char where[DEMO_WHERE_MAX];
    struct mrd_conn *c = NULL;
    struct mrd_error err = {0};
    bool ok = true;

    local_cluster_where(lc, 1, where, sizeof where);
    if (mrd_connect(where, &c, &err) != MRD_OK) {
        (void)fprintf(stderr, "demo: %s\n", err.message);
        return false;
    }
    for (size_t i = 0; ok && i < sizeof schema / sizeof schema[0]; i++)
        if (mrd_run(c, schema[i], NULL) != MRD_OK)
            ok = demo_failed(c, schema[i]);
    ok = ok && load_namespaces(c, tree) && load_files(lc, tree);
    mrd_close(c);
    return ok;
}
