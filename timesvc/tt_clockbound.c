#include "timesvc/tt_clockbound.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

/* The writer's own byte order, which is ours. Version 1: as below, with 4 bytes unused between drift and status. */
enum {
    OFF_MAGIC = 0, /* two u32 */
    OFF_SIZE = 8,
    OFF_VERSION = 12,    /* u16 */
    OFF_GENERATION = 14, /* u16, odd while the daemon writes, 0 before it first did */
    OFF_AS_OF = 16,      /* seconds i64, ns i64 */
    OFF_VOID_AFTER = 32,
    OFF_BOUND = 48,     /* i64 ns */
    V1_OFF_DRIFT = 56,  /* u32 ppb */
    V1_OFF_STATUS = 64, /* i32 */
    V2_OFF_MARKER = 56, /* u64: of the last disruption that the daemon knows of */
    V2_OFF_DRIFT = 64,
    V2_OFF_STATUS = 68,
    V1_LEN = 68,
    V2_LEN = 73
};
enum { SYNCHRONIZED = 1, FREE_RUNNING = 2, DISRUPTED = 3 };
static const uint32_t magic[2] = {0x414d5a4e, 0x43420200};

static uint64_t word(const uint8_t *p, size_t len)
{
    uint64_t v64;
    uint32_t v32;
    uint16_t v16;

    switch (len) {
    case 2:
        memcpy(&v16, p, 2);
        return v16;
    case 4:
        memcpy(&v32, p, 4);
        return v32;
    default:
        memcpy(&v64, p, 8);
        return v64;
    }
}

static bool instant(const uint8_t *p, int64_t *out_ns)
{
    int64_t s = (int64_t)word(p, 8), ns = (int64_t)word(p + 8, 8);

    if (s < 0 || s > INT64_MAX / NS_PER_S / 4 || ns < 0 || ns >= NS_PER_S)
        return false;
    *out_ns = s * NS_PER_S + ns;
    return true;
}

static bool head_is_sane(const uint8_t *page, size_t len)
{
    uint64_t version, size;

    if (len < V1_LEN || word(page + OFF_MAGIC, 4) != magic[0] ||
        word(page + OFF_MAGIC + 4, 4) != magic[1])
        return false;
    version = word(page + OFF_VERSION, 2);
    size = word(page + OFF_SIZE, 4);
    return (version == 1 && size >= V1_LEN) || (version == 2 && size >= V2_LEN && len >= V2_LEN);
}

static enum tt_answer answer_of(int64_t status)
{
    if (status == SYNCHRONIZED || status == FREE_RUNNING)
        return TT_SAYS_BOUND;
    return status == DISRUPTED ? TT_SAYS_DISRUPTED : TT_SAYS_UNSYNC;
}

void tt_clockbound_decode(const uint8_t *page, size_t len, int64_t monotonic_ns, int64_t raw_ns,
                          struct tt_said *out)
{
    const int64_t coarse_ns =
        10 * NS_PER_MS; /* no tick is longer; as_of may seem to be ahead of now by rounding */
    int64_t as_of, void_after, status;
    bool v2;

    *out = (struct tt_said){.answer = TT_SAYS_GARBAGE};
    if (!head_is_sane(page, len))
        return;
    v2 = word(page + OFF_VERSION, 2) == 2;
    status = (int32_t)word(page + (v2 ? V2_OFF_STATUS : V1_OFF_STATUS), 4);
    if (word(page + OFF_GENERATION, 2) == 0 || !instant(page + OFF_AS_OF, &as_of) ||
        !instant(page + OFF_VOID_AFTER, &void_after) || as_of > monotonic_ns + coarse_ns ||
        status < 0 || status > DISRUPTED)
        return;
    if (as_of > monotonic_ns)
        as_of = monotonic_ns;
    out->answer = answer_of(status);
    /* The two clocks differ in rate by what the kernel corrects: nothing, over the age of a report. */
    out->as_of_raw_ns = raw_ns - (monotonic_ns - as_of);
    out->bound_ns = (int64_t)word(page + OFF_BOUND, 8);
    out->drift_ppb = (int64_t)word(page + (v2 ? V2_OFF_DRIFT : V1_OFF_DRIFT), 4);
    if (out->answer == TT_SAYS_BOUND) {
        if (void_after <= as_of)
            out->answer = TT_SAYS_UNSYNC;
        out->good_for_ns = void_after - as_of;
    }
    out->has_ref = true;
    out->update_id = (uint64_t)as_of;
    out->ref_age_ns = monotonic_ns - as_of;
    out->ref_every_ns = NS_PER_S;
}

struct tt_clockbound {
    char path[TT_CLOCKBOUND_MAX + 16];
};

enum status tt_clockbound_open(const char *path, struct tt_clockbound **out, struct err *err)
{
    struct tt_clockbound *c;

    if (strlen(path) >= sizeof c->path)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "the path of the ClockBound page is longer than %zu bytes",
                       sizeof c->path - 1);
    c = xcalloc(1, sizeof *c);
    memcpy(c->path, path, strlen(path) + 1);
    *out = c;
    return ST_OK;
}

void tt_clockbound_close(struct tt_clockbound *c)
{
    free(c);
}

static int64_t monotonic_now(void)
{
    struct timespec ts;

    ASSERT(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* Reads the file, four times a second: unlike a mapping it cannot be cut from under us. Whole if the generation was
 * even before and is the same after; a call each, so that the three are read in this order. */
static bool read_whole(int fd, uint8_t *page, size_t *out_len)
{
    for (int i = 0; i < 100; i++) {
        uint8_t after[OFF_AS_OF];
        ssize_t n;

        if (pread(fd, page, sizeof after, 0) != (ssize_t)sizeof after)
            return false;
        n = pread(fd, page + sizeof after, TT_CLOCKBOUND_MAX - sizeof after, sizeof after);
        if (n < 0 || pread(fd, after, sizeof after, 0) != (ssize_t)sizeof after)
            return false;
        if (word(page + OFF_GENERATION, 2) % 2 == 0 && memcmp(after, page, sizeof after) == 0) {
            *out_len = (size_t)n + sizeof after;
            return true;
        }
    }
    return false; /* a daemon that died while it wrote leaves an odd generation */
}

void tt_clockbound_ask(struct tt_clockbound *c, struct tt_said *out, const char **out_note)
{
    uint8_t page[TT_CLOCKBOUND_MAX];
    size_t len;
    int fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    *out_note = NULL;
    if (fd < 0) {
        *out = (struct tt_said){.answer = errno == EACCES ? TT_SAYS_REFUSED : TT_SAYS_NOTHING};
        *out_note = errno == EACCES ? "the page may not be read" : "there is no page";
        return;
    }
    if (read_whole(fd, page, &len)) {
        int64_t raw =
            mono_now(); /* first: time between the two makes the report older, not younger */

        tt_clockbound_decode(page, len, monotonic_now(), raw, out);
        if (out->answer == TT_SAYS_GARBAGE)
            *out_note = "not a ClockBound page of version 1 or 2";
    } else {
        *out = (struct tt_said){.answer = TT_SAYS_GARBAGE};
        *out_note = "not a page, or never whole";
    }
    close(fd);
}
