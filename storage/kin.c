#include "storage/kin.h"

#include <stdlib.h>

#include "base/check.h"
#include "storage/plog.h"

enum { KIN_MAX = 256 };

struct kin {
    uint64_t tag;
    struct plog_kin known[KIN_MAX];
    size_t n;
};

enum status kin_open(struct engine *e, const uint8_t uuid[16], struct kin **out, struct err *err)
{
    struct kin *k = xcalloc(1, sizeof *k);
    enum status st;

    memcpy(&k->tag, uuid, sizeof k->tag);
    if (k->tag == 0)
        k->tag = 1; /* 0 is nobody */
    TRY(plog_kin_load(e, k->known, KIN_MAX, &k->n, err));
    *out = k;
    k = NULL;
out:
    kin_close(k);
    return st;
}

void kin_close(struct kin *k)
{
    free(k);
}

uint64_t kin_own_tag(const struct kin *k)
{
    return k->tag;
}

bool kin_is(struct kin *k, node_id node, uint64_t tag, struct buf *rows)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->known[i].node == node)
            return k->known[i].tag == tag;
    if (tag == 0 || k->n == KIN_MAX)
        return false;
    k->known[k->n] = (struct plog_kin){node, tag};
    plog_add_kin(rows, &k->known[k->n++]);
    return true;
}
