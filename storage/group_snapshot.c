#include "storage/group_int.h"

#include "base/check.h"
#include "base/clock.h"
#include "storage/snapshot.h"
#include "storage/snapshot_shell.h"
#include "storage/store_int.h"

/* What Paxos must know of the log up to a snapshot: u64 slot of the configuration, the configuration. */

static bool encode_config(struct group *g, slot_no at, struct buf *out)
{
    slot_no config_slot = 0;
    const struct paxos_config *config = paxos_config_at(g->paxos, at, &config_slot);

    if (config == NULL)
        return false;
    buf_put_u64(out, config_slot);
    paxos_config_encode(out, config);
    return true;
}

enum status group_take_installed(struct group *g, struct err *err)
{
    struct tablet_base base = tablet_base(g->tablet);
    struct rd r = rd_of(base.config);
    struct paxos_in in = {.kind = PAXOS_IN_INSTALLED};
    struct paxos_config config;

    in.installed.slot = base.slot;
    in.installed.ballot = base.ballot;
    in.installed.config_slot = rd_u64(&r);
    in.installed.config = &config;
    if (!paxos_config_decode(&r, &config) || r.bad || rd_left(&r) != 0)
        return err_set(err, ST_FATAL, SQLSTATE_DATA_CORRUPTED,
                       "group %llu: malformed configuration of a snapshot",
                       (unsigned long long)g->number);
    group_step(g, &in);
    group_settle_role(g);
    return ST_OK;
}

/* Sending. */

static void offer(struct group *g, node_id to)
{
    struct snapshots *sh = g->store->snapshots;
    slot_no slot = tablet_applied(g->tablet);
    struct buf config = {0};

    if (!snapshots_claim(sh, to))
        return;
    if (slot == 0 || !tablet_usable(g->tablet) || !encode_config(g, slot, &config))
        snapshots_unclaim(sh);
    else
        snapshots_offer(
            sh, g, to,
            snapshot_take(g->tablet, paxos_ballot_of(g->paxos, slot), buf_bytes(&config)));
    buf_fini(&config);
}

void group_want_snapshots(struct group *g, const struct paxos_out *out)
{
    ASSERT(out->n_snapshot <= PAXOS_MEMBERS_MAX);
    g->n_behind = out->n_snapshot;
    for (size_t i = 0; i < out->n_snapshot; i++)
        g->behind[i] = out->snapshot[i];
}

static void offer_snapshots(struct group *g)
{
    node_id asked = atomic_load(&g->snapshot_asked);

    for (size_t i = 0; i < g->n_behind; i++)
        offer(g, g->behind[i]);
    if (asked != 0) {
        offer(g, asked);
        atomic_store(&g->snapshot_asked, 0); /* it asks again */
    }
}

/* Receiving. */

bool group_install_ask(struct group *g, slot_no slot)
{
    int none = GROUP_INSTALL_NONE;

    if (atomic_load(&g->install) == GROUP_INSTALL_GRANTED)
        return true;
    atomic_store(&g->install_slot, slot);
    if (!atomic_compare_exchange_strong(&g->install, &none, GROUP_INSTALL_ASKED))
        return false;
    worker_call(g->worker, g);
    return true;
}

enum group_install group_install_state(struct group *g)
{
    return (enum group_install)atomic_load(&g->install);
}

void group_install_end(struct group *g, bool installed)
{
    atomic_store(&g->install, installed ? GROUP_INSTALL_READY : GROUP_INSTALL_NONE);
    worker_call(g->worker, g);
}

/* A leader has all there is; and what is chosen up to the slot here, is better applied. */
static bool of_use(const struct group *g, slot_no slot)
{
    return g->stage == GROUP_SERVING && g->view.role == PAXOS_FOLLOWER && g->up_term == 0 &&
           g->view.apply < slot;
}

void group_settle_install(struct group *g)
{
    struct err err;

    switch (group_install_state(g)) {
    case GROUP_INSTALL_ASKED:
        atomic_store(&g->install, of_use(g, atomic_load(&g->install_slot)) ? GROUP_INSTALL_GRANTED
                                                                           : GROUP_INSTALL_REFUSED);
        snapshots_wake(g->store->snapshots);
        break;
    case GROUP_INSTALL_READY: /* the data is durable: now the log may begin behind it */
        atomic_store(&g->install, GROUP_INSTALL_NONE);
        if (group_take_installed(g, &err) == ST_OK)
            group_tell_applied(g);
        else
            store_fatal(g->store, &err);
        break;
    case GROUP_INSTALL_NONE:
    case GROUP_INSTALL_REFUSED:
    case GROUP_INSTALL_GRANTED:
        break;
    }
    offer_snapshots(g);
}
