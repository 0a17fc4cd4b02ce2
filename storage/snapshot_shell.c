#include "storage/snapshot_shell.h"

#include <stdlib.h>

#include "base/check.h"
#include "storage/group_int.h"
#include "storage/snapshot_shell_int.h"

enum {
    INBOX_MAX = 32 * 1024 * 1024, /* more is dropped: the receiver asks again */
    IDLE_NS = 1 * NS_PER_S
};

/* In front of each message of the inbox. */
struct arrival {
    node_id from;
    uint32_t len;
};

struct snapshots *snapshots_new(struct store *s)
{
    struct snapshots *sh = xcalloc(1, sizeof *sh);

    sh->store = s;
    sh->n_streams = s->identity.incarnation << 32; /* numbers of other starts are never met again */
    pthread_mutex_init(&sh->mu, NULL);
    return sh;
}

void snapshots_wake(struct snapshots *sh)
{
    waker_call(&sh->waker);
}

/* The worker's side of sending. */

bool snapshots_claim(struct snapshots *sh, node_id to)
{
    int64_t mono;
    bool room = true;

    if (atomic_load(&sh->sending) || atomic_exchange(&sh->sending, true))
        return false;
    mono = store_mono(sh->store);
    pthread_mutex_lock(&sh->mu);
    for (size_t i = 0; i < SNAPSHOT_PAUSES; i++)
        if (sh->pauses[i].node == to && sh->pauses[i].until_mono > mono)
            room = false;
    pthread_mutex_unlock(&sh->mu);
    if (!room)
        snapshots_unclaim(sh);
    return room;
}

void snapshots_unclaim(struct snapshots *sh)
{
    atomic_store(&sh->sending, false);
}

void snapshots_offer(struct snapshots *sh, struct group *g, node_id to,
                     struct snapshot_reader *reader_take)
{
    atomic_store(&g->snapshot_hold, snapshot_reader_head(reader_take)->slot);
    pthread_mutex_lock(&sh->mu);
    sh->offered = (struct snapshot_send){.group = g, .to = to, .reader = reader_take};
    pthread_mutex_unlock(&sh->mu);
    snapshots_wake(sh);
}

/* Messages. */

void snapshot_send_msg(struct snapshots *sh, node_id to, const struct snapshot_msg *m)
{
    const struct store_hand *hand = sh->store->o.hand;

    buf_reset(&sh->out);
    snapshot_msg_encode(&sh->out, m);
    if (hand != NULL)
        hand->send(hand->arg, to, RPC_BULK, STORE_RPC_SNAPSHOT, buf_bytes(&sh->out));
    else if (sh->store->rpc != NULL)
        rpc_send(sh->store->rpc, to, RPC_BULK, STORE_RPC_SNAPSHOT, buf_bytes(&sh->out));
}

void snapshots_deliver(void *arg, const struct rpc_msg *msg)
{
    struct snapshots *sh = arg;
    struct arrival a = {msg->from, (uint32_t)msg->payload.len};

    if (msg->type != STORE_RPC_SNAPSHOT || msg->wants_reply)
        return;
    pthread_mutex_lock(&sh->mu);
    if (sh->inbox.len + sizeof a + msg->payload.len <= INBOX_MAX) {
        buf_put(&sh->inbox, &a, sizeof a);
        buf_put(&sh->inbox, msg->payload.ptr, msg->payload.len);
    }
    pthread_mutex_unlock(&sh->mu);
    snapshots_wake(sh);
}

static void on_message(struct snapshots *sh, node_id from, struct bytes payload)
{
    struct snapshot_msg m;

    if (!snapshot_msg_decode(payload, &m)) {
        log_event(sh->store->o.log, LOG_WARN, "snapshot.malformed", "from=%u bytes=%zu", from,
                  payload.len);
        return;
    }
    switch (m.kind) {
    case SNAPSHOT_ASK:
    case SNAPSHOT_FETCH:
        send_on_msg(sh, from, &m);
        break;
    case SNAPSHOT_OFFER:
    case SNAPSHOT_CHUNK:
        fetch_on_msg(sh, from, &m);
        break;
    case SNAPSHOT_END:
        if (m.why == SNAPSHOT_GONE)
            fetch_on_msg(sh, from, &m);
        else
            send_on_msg(sh, from, &m);
        break;
    }
}

static void take_inbox(struct snapshots *sh)
{
    struct buf t = sh->reading;
    size_t at = 0;

    buf_reset(&t);
    pthread_mutex_lock(&sh->mu);
    sh->reading = sh->inbox;
    sh->inbox = t;
    pthread_mutex_unlock(&sh->mu);
    while (at < sh->reading.len && !sh->frozen) {
        struct arrival a;

        memcpy(&a, sh->reading.ptr + at, sizeof a);
        at += sizeof a;
        on_message(sh, a.from, bytes_of(sh->reading.ptr + at, a.len));
        at += a.len;
    }
}

/* Rounds. */

int64_t snapshots_round(struct snapshots *sh)
{
    int64_t mono, wake, other;

    take_inbox(sh);
    mono = store_mono(sh->store);
    if (sh->frozen)
        return mono + IDLE_NS;
    wake = send_round(sh, mono);
    other = fetch_round(sh, mono);
    wake = other < wake ? other : wake;
    return wake < mono + IDLE_NS ? wake : mono + IDLE_NS;
}

static void *run(void *arg)
{
    struct snapshots *sh = arg;

    pthread_setname_np(pthread_self(), "mrd-snapshot");
    while (!atomic_load(&sh->stop) && !store_failed(sh->store)) {
        int64_t wake = snapshots_round(sh), mono = mono_now();

        if (wake > mono)
            waker_wait(&sh->waker, wake - mono);
    }
    return NULL;
}

void snapshots_start(struct snapshots *sh)
{
    store_thread(&sh->thread, run, sh);
    sh->started = true;
}

void snapshots_stop(struct snapshots *sh)
{
    atomic_store(&sh->stop, true);
    snapshots_wake(sh);
    if (sh->started)
        pthread_join(sh->thread, NULL);
    sh->started = false;
}

void snapshots_free(struct snapshots *sh)
{
    if (sh == NULL)
        return;
    ASSERT(!sh->started);
    snapshot_reader_free(sh->offered.reader);
    send_stop(sh);
    fetch_stop(sh);
    buf_fini(&sh->inbox);
    buf_fini(&sh->reading);
    buf_fini(&sh->out);
    pthread_mutex_destroy(&sh->mu);
    free(sh);
}
