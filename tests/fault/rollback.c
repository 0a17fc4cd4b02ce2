/* powerloss-rollback DIR JOURNAL [--seed N]: turns DIR into what a disk could hold after the power failed at the moment
 * when the processes under libpowerloss.so were killed. Without a seed nothing unsynced is left; with one, a random
 * part of it is. See README.md. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "powerloss_journal.h"

enum { SECTOR = 512 };
#define FILE_BYTES_MAX ((uint64_t)1 << 30)

struct disk {
    const char *dir, *journal;
    bool has_seed;
    struct rng rng;
    size_t n_writes, n_undone, n_names, n_names_undone;
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "powerloss-rollback: %s: %s\n", what, errno == 0 ? "damaged" : strerror(errno));
    exit(2);
}

static void join(char out[PATH_MAX], const char *dir, const char *name)
{
    if ((size_t)snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
        give_up(name);
}

/* Of n changes in a row, how many the disk had written: all earlier ones as well. */
static size_t survivors(struct disk *d, size_t n)
{
    return d->has_seed ? (size_t)rng_below(&d->rng, n + 1) : 0;
}

/* The whole file, with a zero behind it. */
static struct buf slurp(const char *path)
{
    struct buf b = {0};
    struct stat sb;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &sb) != 0)
        give_up(path);
    buf_reserve(&b, (size_t)sb.st_size + 1);
    while (b.len < (size_t)sb.st_size) {
        ssize_t n = read(fd, b.ptr + b.len, (size_t)sb.st_size - b.len);

        if (n <= 0)
            give_up(path);
        b.len += (size_t)n;
    }
    b.ptr[b.len] = '\0';
    close(fd);
    return b;
}

/* -- content -- */

struct change {
    struct undo_record r;
    const uint8_t *old;
};

/* The changes of one file since its last sync. Sector s of it ends as it was after the first keep[s] of them:
 * a disk writes sectors in any order, but no old state of a sector over a newer one. */
struct history {
    struct change *changes;
    size_t n;
    uint32_t *keep;
    size_t n_sectors;
    size_t size_keep; /* likewise for the size */
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static struct history parse(const struct buf *undo, uint64_t size)
{
    struct history h = {0};
    const uint8_t *at = undo->ptr, *end = undo->ptr + undo->len;
    struct change c;

    h.changes = calloc(undo->len / sizeof c.r + 1, sizeof *h.changes);
    while (h.changes != NULL && (size_t)(end - at) >= sizeof c.r) {
        memcpy(&c.r, at, sizeof c.r);
        c.old = at + sizeof c.r;
        if ((size_t)(end - c.old) < c.r.old_len)
            break; /* half written: its change was never made */
        if (c.r.magic != UNDO_MAGIC || c.r.offset > FILE_BYTES_MAX || c.r.len > FILE_BYTES_MAX ||
            c.r.old_size > FILE_BYTES_MAX || c.r.old_len > c.r.len) {
            errno = 0;
            give_up("undo record");
        }
        size = larger(size, larger(c.r.offset + c.r.len, c.r.old_size));
        h.changes[h.n++] = c;
        at = c.old + c.r.old_len;
    }
    h.n_sectors = (size_t)(size / SECTOR + 1);
    h.keep = calloc(h.n_sectors, sizeof *h.keep);
    if (h.keep == NULL)
        give_up("memory");
    return h;
}

/* What the disk had written: nothing, everything up to some change, or each sector for itself. */
static void choose(struct disk *d, struct history *h)
{
    bool scattered = d->has_seed && rng_chance(&d->rng, 0.5);
    size_t all = survivors(d, h->n);

    h->size_keep = all;
    for (size_t s = 0; s < h->n_sectors; s++)
        h->keep[s] = (uint32_t)(scattered ? survivors(d, h->n) : all);
}

/* Puts back what stood at [offset, offset + len) before change i, but in sectors that had got further. */
static void undo_change(const struct history *h, size_t i, uint8_t *content)
{
    const struct undo_record *r = &h->changes[i].r;
    const uint8_t *old = h->changes[i].old;

    for (uint64_t at = r->offset, end = r->offset + r->len; at < end;) {
        uint64_t stop = (at / SECTOR + 1) * SECTOR, rel = at - r->offset;
        size_t n = (size_t)((stop < end ? stop : end) - at);
        size_t n_old = rel >= r->old_len      ? 0
                       : r->old_len - rel < n ? (size_t)(r->old_len - rel)
                                              : n;

        if (h->keep[at / SECTOR] <= i) {
            memcpy(content + at, old + rel, n_old);
            memset(content + at + n_old, 0, n - n_old);
        }
        at += n;
    }
}

static void write_back(const char *path, const uint8_t *content, uint64_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    size_t done = 0;

    if (fd < 0)
        give_up(path);
    while (done < size) {
        ssize_t n = write(fd, content + done, (size_t)size - done);

        if (n <= 0)
            give_up(path);
        done += (size_t)n;
    }
    if (close(fd) != 0)
        give_up(path);
}

static void restore_content(struct disk *d, const char *path, const char *undo_path)
{
    struct buf undo = slurp(undo_path), now = slurp(path);
    struct history h = parse(&undo, now.len);
    uint64_t size = now.len;
    uint8_t *content = calloc(h.n_sectors, SECTOR);

    if (content == NULL)
        give_up("memory");
    memcpy(content, now.ptr, now.len);
    choose(d, &h);
    for (size_t i = h.n; i-- > 0;) {
        undo_change(&h, i, content);
        if (i >= h.size_keep)
            size = h.changes[i].r.old_size;
    }
    d->n_writes += h.n;
    d->n_undone += h.n - h.size_keep;
    if (h.n > 0)
        write_back(path, content, size);
    free(content);
    free(h.keep);
    free(h.changes);
    buf_fini(&undo);
    buf_fini(&now);
}

/* Every file below dir has a second name in the journal if it was changed: its number. */
static void restore_below(struct disk *d, const char *dir)
{
    DIR *list = opendir(dir);
    struct dirent *entry;

    if (list == NULL)
        give_up(dir);
    while ((entry = readdir(list)) != NULL) {
        char path[PATH_MAX], undo[PATH_MAX], name[64];
        struct stat sb;

        join(path, dir, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(path, &sb) != 0)
            continue;
        snprintf(name, sizeof name, "f%lu.undo", (unsigned long)sb.st_ino);
        join(undo, d->journal, name);
        if (S_ISDIR(sb.st_mode))
            restore_below(d, path);
        else if (S_ISREG(sb.st_mode) && access(undo, F_OK) == 0) {
            restore_content(d, path, undo);
            unlink(undo); /* a victim in the journal may be the same file */
        }
    }
    closedir(list);
}

/* -- names -- */

static int remove_entry(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
    (void)sb;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void bring_back(struct disk *d, const char *victim, const char *path)
{
    char side[PATH_MAX];

    if (victim[0] == '\0')
        return;
    join(side, d->journal, victim);
    if (link(side, path) != 0 && errno != EEXIST) /* it stands: the change was never made */
        give_up(path);
}

/* `line` is one of powerloss_journal.h, and is cut up. */
static void undo_name(struct disk *d, const char *dir, char *line)
{
    char *word[4] = {NULL};
    char a[PATH_MAX], b[PATH_MAX];

    for (size_t i = 0; i < 4 && line != NULL; i++)
        word[i] = strsep(&line, "/");
    if (word[1] == NULL)
        give_up("names");
    join(a, dir, word[1]);
    if (strcmp(word[0], "create") == 0) {
        if (unlink(a) != 0 && errno != ENOENT)
            give_up(a);
    } else if (strcmp(word[0], "mkdir") == 0) {
        if (nftw(a, remove_entry, 8, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
            give_up(a);
    } else if (strcmp(word[0], "unlink") == 0 && word[2] != NULL) {
        bring_back(d, word[2], a);
    } else if (strcmp(word[0], "rename") == 0 && word[3] != NULL) {
        join(b, dir, word[2]);
        if (access(a, F_OK) == 0)
            return; /* never made */
        if (rename(b, a) != 0)
            give_up(b);
        bring_back(d, word[3], b);
    } else {
        errno = 0;
        give_up(word[0]);
    }
}

static void restore_names_in(struct disk *d, const char *dir, const char *ops_path)
{
    struct buf ops = slurp(ops_path);
    char *text = (char *)ops.ptr, *end = strrchr(text, '\n');
    size_t n = 0, keep;

    if (end != NULL)
        end[1] = '\0'; /* a torn line is a change never made */
    for (char *c = text; end != NULL && *c != '\0'; c++)
        n += *c == '\n';
    keep = survivors(d, n);
    d->n_names += n;
    d->n_names_undone += n - keep;
    while (n-- > keep) {
        char *line;

        *strrchr(text, '\n') = '\0';
        line = strrchr(text, '\n');
        line = line == NULL ? text : line + 1;
        undo_name(d, dir, line);
        *line = '\0';
    }
    buf_fini(&ops);
}

/* Deepest last: a directory that goes takes its content along. */
static void restore_names(struct disk *d, const char *dir)
{
    char path[PATH_MAX], name[64];
    struct stat sb;
    struct dirent *entry;
    DIR *list;

    if (stat(dir, &sb) != 0)
        give_up(dir);
    snprintf(name, sizeof name, "d%lu.ops", (unsigned long)sb.st_ino);
    join(path, d->journal, name);
    if (access(path, F_OK) == 0)
        restore_names_in(d, dir, path);
    list = opendir(dir);
    if (list == NULL)
        give_up(dir);
    while ((entry = readdir(list)) != NULL) {
        join(path, dir, entry->d_name);
        if (entry->d_name[0] != '.' && lstat(path, &sb) == 0 && S_ISDIR(sb.st_mode))
            restore_names(d, path);
    }
    closedir(list);
}

static void empty_journal(const struct disk *d)
{
    DIR *list = opendir(d->journal);
    struct dirent *entry;

    if (list == NULL)
        give_up(d->journal);
    while ((entry = readdir(list)) != NULL)
        if (entry->d_name[0] != '.' && unlinkat(dirfd(list), entry->d_name, 0) != 0)
            give_up(entry->d_name);
    closedir(list);
}

int main(int argc, char **argv)
{
    struct disk d = {0};

    if ((argc != 3 && argc != 5) || (argc == 5 && strcmp(argv[3], "--seed") != 0)) {
        fprintf(stderr, "usage: powerloss-rollback DIR JOURNAL [--seed N]\n");
        return 2;
    }
    d.dir = argv[1];
    d.journal = argv[2];
    d.has_seed = argc == 5;
    if (d.has_seed)
        rng_seed(&d.rng, strtoull(argv[4], NULL, 10));
    restore_below(&d, d.dir);
    restore_below(&d, d.journal); /* files that have lost their names */
    restore_names(&d, d.dir);
    empty_journal(&d);
    printf("undone: %zu of %zu writes, %zu of %zu names\n", d.n_undone, d.n_writes,
           d.n_names_undone, d.n_names);
    return 0;
}
