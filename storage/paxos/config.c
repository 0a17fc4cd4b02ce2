#include "storage/paxos/config.h"

#include "base/check.h"

enum { FORMAT = 1, FLAG_JOINT = 1, FLAG_WITNESS = 1 };

void paxos_config_of(struct paxos_config *out, const node_id *voters, size_t n_voters)
{
    ASSERT(n_voters <= PAXOS_VOTERS_MAX);
    *out = (struct paxos_config){.n = n_voters};
    for (size_t i = 0; i < n_voters; i++)
        out->members[i] = (struct paxos_member){.node = voters[i], .part = PAXOS_PART_VOTER};
}

const struct paxos_member *paxos_config_find(const struct paxos_config *c, node_id node)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->members[i].node == node)
            return &c->members[i];
    return NULL;
}

bool paxos_config_votes(const struct paxos_config *c, node_id node)
{
    const struct paxos_member *m = paxos_config_find(c, node);

    return m != NULL && (m->part == PAXOS_PART_VOTER || m->old_part == PAXOS_PART_VOTER);
}

size_t paxos_config_voters(const struct paxos_config *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++)
        n += c->members[i].part == PAXOS_PART_VOTER;
    return n;
}

static bool same_member(const struct paxos_member *a, const struct paxos_member *b)
{
    return a->node == b->node && a->part == b->part && a->old_part == b->old_part &&
           a->witness == b->witness && a->preference == b->preference;
}

bool paxos_config_equal(const struct paxos_config *a, const struct paxos_config *b)
{
    if (a->joint != b->joint || a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!same_member(&a->members[i], &b->members[i]))
            return false;
    return true;
}

static const char *side_flaw(size_t voters, size_t with_data)
{
    if (voters > PAXOS_VOTERS_MAX)
        return "it has more voters than a group may have";
    if (with_data == 0)
        return "it has no voter with data";
    return NULL;
}

const char *paxos_config_flaw(const struct paxos_config *c)
{
    size_t voters = 0, with_data = 0, old_voters = 0, old_with_data = 0;
    const char *flaw;

    if (c->n > PAXOS_MEMBERS_MAX)
        return "it has more members than a group may have";
    for (size_t i = 0; i < c->n; i++) {
        const struct paxos_member *m = &c->members[i];
        bool is = m->part == PAXOS_PART_VOTER, was = m->old_part == PAXOS_PART_VOTER;

        if (m->node == 0 || m->part > PAXOS_PART_VOTER || m->old_part > PAXOS_PART_VOTER)
            return "a member is malformed";
        if (m->part == PAXOS_PART_NONE && m->old_part == PAXOS_PART_NONE)
            return "a member has no part in it";
        if (!c->joint && m->old_part != PAXOS_PART_NONE)
            return "a member has an old part, but it is not joint";
        if (paxos_config_find(c, m->node) != m)
            return "a node stands in it twice";
        voters += is;
        with_data += is && !m->witness;
        old_voters += was;
        old_with_data += was && !m->witness;
    }
    flaw = side_flaw(voters, with_data);
    return flaw == NULL && c->joint ? side_flaw(old_voters, old_with_data) : flaw;
}

void paxos_config_encode(struct buf *out, const struct paxos_config *c)
{
    buf_put_u8(out, FORMAT);
    buf_put_u8(out, c->joint ? FLAG_JOINT : 0);
    buf_put_u8(out, (uint8_t)c->n);
    for (size_t i = 0; i < c->n; i++) {
        const struct paxos_member *m = &c->members[i];

        buf_put_u32(out, m->node);
        buf_put_u8(out, m->part);
        buf_put_u8(out, m->old_part);
        buf_put_u8(out, m->witness ? FLAG_WITNESS : 0);
        buf_put_u8(out, m->preference);
    }
}

bool paxos_config_decode(struct rd *r, struct paxos_config *out)
{
    uint8_t format = rd_u8(r), flags = rd_u8(r);
    size_t n = rd_u8(r);

    *out = (struct paxos_config){.joint = (flags & FLAG_JOINT) != 0};
    if (r->bad || format != FORMAT || (flags & ~FLAG_JOINT) != 0 || n > PAXOS_MEMBERS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct paxos_member *m = &out->members[i];
        uint8_t member_flags;

        m->node = rd_u32(r);
        m->part = rd_u8(r);
        m->old_part = rd_u8(r);
        member_flags = rd_u8(r);
        m->preference = rd_u8(r);
        m->witness = (member_flags & FLAG_WITNESS) != 0;
        if ((member_flags & ~FLAG_WITNESS) != 0)
            return false;
    }
    out->n = n;
    return !r->bad && (n == 0 ? !out->joint : paxos_config_flaw(out) == NULL);
}
