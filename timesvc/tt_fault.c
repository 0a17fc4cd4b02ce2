#include "timesvc/tt_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "timesvc/tt_page.h"

enum { FAULT_MAGIC = 0x4c464d54, FAULT_VERSION = 1 }; /* "TMFL" */

/* In the page: base_raw is the moment of tt_fault_set, base_utc the offset then, rate and bound as
 * they say; void_after 0 makes time void, anything else leaves that to the source. */
struct fault_file {
    uint32_t magic;
    uint32_t version;
    struct tt_page page;
};

static const int64_t offset_max_ns = INT64_C(100) * 366 * 86400 * NS_PER_S;

struct tt_fault_file {
    struct fault_file *map;
};

static int64_t clamp(int64_t v, int64_t limit)
{
    return v > limit ? limit : v < -limit ? -limit : v;
}

static enum status set_size(int fd, const char *path, struct err *err)
{
    struct stat sb;

    if (fstat(fd, &sb) != 0 || (sb.st_size == 0 && ftruncate(fd, sizeof(struct fault_file)) != 0))
        return err_set(err, ST_REJECT, SQLSTATE_IO_ERROR, "cannot make fault file \"%s\": %s", path,
                       strerror(errno));
    if (sb.st_size != 0 && sb.st_size != (off_t)sizeof(struct fault_file))
        return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                       "\"%s\" is not a clock fault file: %lld bytes", path, (long long)sb.st_size);
    return ST_OK;
}

/* A file of zeroes is a new one; the caller's lock lets one opener fill it. */
static enum status make_or_check(struct fault_file *map, const char *path, struct err *err)
{
    static const struct tt_map none = {.bound_ns = -1, .void_after_ns = INT64_MAX};

    if (map->magic == 0) {
        tt_page_init(&map->page);
        tt_page_write(&map->page, &none);
        map->version = FAULT_VERSION;
        map->magic = FAULT_MAGIC;
    }
    if (map->magic != FAULT_MAGIC || map->version != FAULT_VERSION ||
        map->page.magic != TT_PAGE_MAGIC || map->page.version != TT_PAGE_VERSION)
        return err_set(err, ST_REJECT, SQLSTATE_DATA_CORRUPTED,
                       "\"%s\" is not a clock fault file of version %d", path, FAULT_VERSION);
    return ST_OK;
}

enum status tt_fault_open(const char *path, struct tt_fault_file **out, struct err *err)
{
    enum status st = ST_OK;
    struct tt_fault_file *file = NULL;
    void *mem = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        st = err_set(err, ST_REJECT, SQLSTATE_IO_ERROR, "cannot open fault file \"%s\": %s", path,
                     strerror(errno));
        goto out;
    }
    TRY(set_size(fd, path, err));
    mem = mmap(NULL, sizeof(struct fault_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED) {
        st = err_set(err, ST_REJECT, SQLSTATE_IO_ERROR, "cannot map fault file \"%s\": %s", path,
                     strerror(errno));
        goto out;
    }
    TRY(make_or_check(mem, path, err));
    file = xmalloc(sizeof *file);
    file->map = mem;
    *out = file;
out:
    if (st != ST_OK && mem != MAP_FAILED)
        munmap(mem, sizeof(struct fault_file));
    if (fd >= 0) {
        (void)flock(fd, LOCK_UN); /* closing is not enough: the mapping keeps the open file */
        close(fd);
    }
    return st;
}

void tt_fault_close(struct tt_fault_file *file)
{
    if (file == NULL)
        return;
    munmap(file->map, sizeof *file->map);
    free(file);
}

void tt_fault_set(struct tt_fault_file *file, const struct tt_fault *fault)
{
    struct tt_map map = {
        .base_raw_ns = mono_now(),
        .base_utc_ns = clamp(fault->offset_ns, offset_max_ns),
        .rate_q = tt_q_of_ppb(clamp(fault->rate_ppb, NS_PER_S)),
        .bound_ns = fault->bound_ns < 0 ? -1 : clamp(fault->bound_ns, offset_max_ns),
        .void_after_ns = fault->status == TT_FAULT_VOID ? 0 : INT64_MAX,
    };

    tt_page_write(&file->map->page, &map);
}

struct tt_fault tt_fault_get(const struct tt_fault_file *file)
{
    struct tt_map map;

    tt_page_read(&file->map->page, &map);
    return (struct tt_fault){
        .offset_ns = map.base_utc_ns,
        .rate_ppb = tt_ppb_of_q(map.rate_q),
        .bound_ns = map.bound_ns,
        .status = map.void_after_ns == 0 ? TT_FAULT_VOID : TT_FAULT_AS_IS,
    };
}

struct tt_interval tt_fault_apply(const struct tt_fault_file *file, struct tt_interval iv,
                                  int64_t raw_ns)
{
    struct tt_map map;
    int64_t shift, mid;

    tt_page_read(&file->map->page, &map);
    if (map.void_after_ns == 0 || tt_is_void(iv))
        return TT_VOID;
    /* Another process wrote this: no value of it may overflow. */
    shift = clamp(map.base_utc_ns, offset_max_ns) +
            clamp(tt_q_scale(raw_ns - clamp(map.base_raw_ns, INT64_MAX / 2),
                             clamp(map.rate_q, INT64_C(1) << TT_Q)),
                  offset_max_ns);
    iv.earliest += shift;
    iv.latest += shift;
    if (map.bound_ns >= 0) {
        mid = iv.earliest + (iv.latest - iv.earliest) / 2;
        iv.earliest = mid - clamp(map.bound_ns, offset_max_ns / 4);
        iv.latest = mid + clamp(map.bound_ns, offset_max_ns / 4);
    }
    return iv;
}
