#include "timesvc/tt_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "timesvc/tt_bound.h"

enum { SHM_MAGIC = 0x5348544d, SHM_VERSION = 1, BOOT_LEN = 40, PATH_LEN_MAX = 240 }; /* "MTHS" */

struct shm_file {
    uint32_t magic;
    uint32_t version;
    uint32_t size;
    uint32_t unused;
    char boot[BOOT_LEN]; /* the kernel's boot id: MONOTONIC_RAW begins anew with each */
    uint64_t reserved;
    struct tt_page page; /* at byte 64 */
    _Atomic uint64_t facts_seq;
    _Atomic uint64_t facts[2 * TT_FACTS_WORDS];
};

_Static_assert(offsetof(struct shm_file, page) == 64, "a layout is a layout");
_Static_assert(sizeof(struct tt_facts) % sizeof(uint64_t) == 0, "words only");

struct tt_shm {
    struct shm_file *map;
    int fd; /* the publisher's, for its lock; -1 */
    dev_t dev;
    ino_t ino;
};

static enum status io_error(struct err *err, enum status st, const char *what, const char *path)
{
    return err_set(err, st, SQLSTATE_IO_ERROR, "cannot %s the page of time \"%s\": %s", what, path,
                   strerror(errno));
}

static enum status read_boot(char boot[BOOT_LEN], struct err *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, boot, BOOT_LEN - 1);

    if (fd >= 0)
        close(fd);
    if (n < 0)
        return io_error(err, ST_REJECT, "tell the boot of", path);
    memset(boot + n, 0, (size_t)(BOOT_LEN - n));
    return ST_OK;
}

static bool head_is_ours(const struct shm_file *f)
{
    return f->magic == SHM_MAGIC && f->version == SHM_VERSION && f->size == sizeof *f &&
           f->page.magic == TT_PAGE_MAGIC && f->page.version == TT_PAGE_VERSION;
}

static enum status map_file(int fd, int prot, const char *path, struct tt_shm *shm, struct err *err)
{
    struct stat sb;
    void *mem;

    if (fstat(fd, &sb) != 0)
        return io_error(err, ST_REJECT, "look at", path);
    if (!S_ISREG(sb.st_mode) || sb.st_size != (off_t)sizeof(struct shm_file))
        return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                       "\"%s\" is not a page of time of version %d", path, SHM_VERSION);
    mem = mmap(NULL, sizeof(struct shm_file), prot, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED)
        return io_error(err, ST_REJECT, "map", path);
    shm->map = mem;
    shm->dev = sb.st_dev;
    shm->ino = sb.st_ino;
    return ST_OK;
}

/* A new file is filled under another name, so that nobody ever sees half of one. It takes the place of a file that
 * the caller has locked; where there is none, only one of two publishers comes to make it. */
static enum status make_file(const char *path, const char *boot, bool replace, struct err *err)
{
    enum status st = ST_OK;
    char fresh[PATH_LEN_MAX + 16];
    struct shm_file *f = xcalloc(1, sizeof *f);
    int fd;

    f->magic = SHM_MAGIC;
    f->version = SHM_VERSION;
    f->size = sizeof *f;
    memcpy(f->boot, boot, BOOT_LEN);
    tt_page_init(&f->page);
    (void)snprintf(fresh, sizeof fresh, "%s.%d", path,
                   (int)getpid()); /* fits: see tt_shm_publish */
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || fchmod(fd, 0644) != 0 || write(fd, f, sizeof *f) != (ssize_t)sizeof *f ||
        (replace ? rename(fresh, path) : link(fresh, path)) != 0)
        st = io_error(err, ST_REJECT, "make", path);
    if (fd >= 0) {
        (void)unlink(fresh); /* renamed: gone already */
        close(fd);
    }
    free(f);
    return st;
}

/* Opens the file at path and locks it; a publisher that replaced it meanwhile holds the lock of another. */
static enum status open_locked(const char *path, struct tt_shm *shm, struct err *err)
{
    shm->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (shm->fd < 0)
        return io_error(err, errno == ENOENT ? ST_NOTFOUND : ST_REJECT, "open", path);
    if (flock(shm->fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, ST_REJECT, SQLSTATE_OBJECT_IN_USE,
                       "another publisher holds the page of time \"%s\"", path);
    return ST_OK;
}

static void reset(struct tt_shm *shm)
{
    if (shm->map != NULL)
        munmap(shm->map, sizeof *shm->map);
    if (shm->fd >= 0)
        close(shm->fd);
    shm->map = NULL;
    shm->fd = -1;
}

/* A file of an earlier boot is this boot's from now on, with a mapping that is void. */
static void adopt(struct shm_file *f, const char *boot)
{
    static const struct tt_map none = {.bound_ns = -1};

    if (memcmp(f->boot, boot, BOOT_LEN) == 0)
        return; /* what the last publisher left is good until it ends by itself */
    tt_page_write(&f->page, &none);
    memcpy(f->boot, boot, BOOT_LEN);
}

enum status tt_shm_publish(const char *path, struct tt_shm **out, struct err *err)
{
    enum status st;
    struct tt_shm *shm = xcalloc(1, sizeof *shm);
    char boot[BOOT_LEN];

    shm->fd = -1;
    if (strlen(path) > PATH_LEN_MAX) {
        st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                     "the path of a page of time is longer than %d bytes", PATH_LEN_MAX);
        goto out;
    }
    TRY(read_boot(boot, err));
    st = open_locked(path, shm, err);
    if (st == ST_OK)
        st = map_file(shm->fd, PROT_READ | PROT_WRITE, path, shm, NULL);
    else if (st != ST_NOTFOUND)
        goto out;
    if (st != ST_OK || !head_is_ours(shm->map)) {
        TRY(make_file(path, boot, shm->fd >= 0, err));
        reset(shm);
        TRY(open_locked(path, shm, err));
        TRY(map_file(shm->fd, PROT_READ | PROT_WRITE, path, shm, err));
    }
    adopt(shm->map, boot);
    *out = shm;
out:
    if (st != ST_OK)
        tt_shm_close(shm);
    return st;
}

static enum status check_owner(int fd, const char *path, struct err *err)
{
    struct stat sb;

    if (fstat(fd, &sb) != 0)
        return io_error(err, ST_REJECT, "look at", path);
    if ((sb.st_uid != 0 && sb.st_uid != geteuid()) || (sb.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return err_set(err, ST_REJECT, SQLSTATE_INSUFFICIENT_PRIVILEGE,
                       "the page of time \"%s\" may be written by others than root and this user",
                       path);
    return ST_OK;
}

enum status tt_shm_open(const char *path, struct tt_shm **out, struct err *err)
{
    enum status st = ST_OK;
    struct tt_shm *shm = xcalloc(1, sizeof *shm);
    char boot[BOOT_LEN];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    shm->fd = -1;
    if (fd < 0) {
        st = io_error(err, errno == ENOENT ? ST_RETRY : ST_REJECT, "open", path);
        goto out;
    }
    TRY(check_owner(fd, path, err));
    TRY(read_boot(boot, err));
    TRY(map_file(fd, PROT_READ, path, shm, err));
    if (!head_is_ours(shm->map) || memcmp(shm->map->boot, boot, BOOT_LEN) != 0) {
        st = err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                     "\"%s\" is not a page of time of version %d and of this boot", path,
                     SHM_VERSION);
        goto out;
    }
    *out = shm;
out:
    if (fd >= 0)
        close(fd);
    if (st != ST_OK)
        tt_shm_close(shm);
    return st;
}

void tt_shm_close(struct tt_shm *shm)
{
    if (shm == NULL)
        return;
    if (shm->fd >= 0)
        (void)flock(shm->fd, LOCK_UN); /* closing is not enough: the mapping keeps the open file */
    reset(shm);
    free(shm);
}

struct tt_page *tt_shm_page(struct tt_shm *shm)
{
    return &shm->map->page;
}

bool tt_shm_is_replaced(const struct tt_shm *shm, const char *path)
{
    struct stat sb;

    return stat(path, &sb) == 0 && (sb.st_dev != shm->dev || sb.st_ino != shm->ino);
}

void tt_shm_put_facts(struct tt_shm *shm, const struct tt_facts *facts)
{
    uint64_t words[TT_FACTS_WORDS];

    memcpy(words, facts, sizeof words);
    tt_latch_write(&shm->map->facts_seq, shm->map->facts, TT_FACTS_WORDS, words);
}

void tt_shm_get_facts(const struct tt_shm *shm, struct tt_facts *out)
{
    uint64_t words[TT_FACTS_WORDS];

    tt_latch_read(&shm->map->facts_seq, shm->map->facts, TT_FACTS_WORDS, words);
    memcpy(out, words, sizeof words);
    out->via[sizeof out->via - 1] = '\0';
    out->note[sizeof out->note - 1] = '\0';
    if (out->verdict < 0 || out->verdict >= TT_N_VERDICTS)
        out->verdict = TT_VOID_GARBAGE;
}
