/*
 * Where the log begins: truncation, and a snapshot that takes the place of the log's beginning.
 *
 * What a snapshot covers is chosen, so whatever this replica had accepted up to its slot is either equal to it or was never
 * chosen, and the promise stands as it is. An entry behind the slot stays only if the log agrees with the snapshot at
 * the slot: otherwise it followed on something that was not chosen.
 */
#include "base/check.h"
#include "storage/paxos/paxos_int.h"

static slot_no least(slot_no a, slot_no b)
{
    return a < b ? a : b;
}

static void move_head(struct paxos *p)
{
    px_begin_write(p);
    p->head = (struct paxos_head){p->log.first, p->log.before};
    p->moved_head = true;
    px_config_forget(p);
}

void px_truncate(struct paxos *p, slot_no slot)
{
    slot = least(slot, least(p->chosen, p->durable));
    /* A configuration goes only after the hard state that carries it is durable. */
    slot = least(slot, px_config_apply_limit(p));
    if (p->self->witness &&
        !MUTATED(
            &p->o,
            truncate_witness_early)) /* P15: what a voter with data may still need to replay, others must have */
        slot = least(slot, p->kept_all);
    if (slot < p->log.first)
        return;
    plog_truncate(&p->log, slot);
    move_head(p);
}

/* Writes under way say how far the log will be durable: behind the new beginning that is the beginning itself. */
static void lift_durable(struct paxos *p, slot_no slot)
{
    if (p->durable < slot)
        p->durable = slot;
    for (size_t i = 0; i < p->n_pending; i++)
        if (p->pending[i].last < slot)
            p->pending[i].last = slot;
}

static void begin_behind(struct paxos *p, slot_no slot, struct ballot ballot)
{
    if (plog_has(&p->log, slot) && ballot_cmp(plog_ballot(&p->log, slot), ballot) == 0) {
        plog_truncate(&p->log, slot);
        return;
    }
    ASSERT(slot > p->chosen); /* P4: what is chosen is equal everywhere */
    if (p->log.last >= p->log.first) {
        p->cut_from = p->log.first;
        px_config_cut(p, p->log.first);
        plog_cut(&p->log, p->log.first);
        for (size_t i = 0; i < p->n_pending; i++)
            p->pending[i].last = slot;
    }
    p->durable = slot;
    plog_restart(&p->log, slot, ballot);
}

static void ask_for_the_rest(struct paxos *p)
{
    struct paxos_msg m = {.kind = PAXOS_NACK, .ballot = p->hard.promised, .slot = p->log.last};

    if (p->leader == 0 || p->leader == p->o.self || p->hard.promised.node != p->leader)
        return;
    px_send(p, p->leader, m, p->hard_seq > p->durable_seq ? p->hard_seq : 0);
}

void px_on_installed(struct paxos *p, const struct paxos_in *in)
{
    slot_no slot = in->installed.slot;

    if (slot < p->log.first)
        return;
    px_step_down(p, "a snapshot was installed", 0);
    px_trace(p, "n%u installs a snapshot of slot %llu", p->o.self, (unsigned long long)slot);
    px_begin_write(p);
    begin_behind(p, slot, in->installed.ballot);
    if (p->chosen < slot)
        p->chosen = slot;
    lift_durable(p, slot);
    px_config_install(p, slot, in->installed.config_slot, in->installed.config);
    move_head(p);
    /* Acks must wait for this write: until then the stored log still ends before them. */
    p->wrote_hard = true;
    p->hard_seq = p->step_write;
    ask_for_the_rest(p);
}
