/*
 * test_txn_soak [ROUNDS [SEED]] - a bank under failure: three nodes in one process, clients on each, and every round a node
 * that loses power, stops, or cannot be heard.
 *
 * Each transfer moves money between two accounts and adds one to its client's own row. Checked: every snapshot, strong or
 * old, on any node, has the same sum; a strong read sees whatever was acknowledged before it began; no transfer is
 * lost or done twice, however its commit ended.
 */
#include "tests/unit/txn/txn_world.h"

enum { ACCOUNTS = 8, START = 1000, PER_NODE = 3, CLIENTS = WORLD_NODES * PER_NODE, TEXT = 24 };

struct client {
    struct soak *k;
    pthread_t thread;
    bool running; /* the main thread's */
    unsigned number;
    size_t node;
    struct rng r;
    _Atomic long acked; /* increments of its row that were acknowledged */
    long least, most;   /* what its row may hold: they differ after a commit in doubt */
    long n_aborts, n_unknown, n_reads;
    enum status last_st; /* of its last commit, with why */
    struct err last_err;
};

struct soak {
    struct world w;
    struct client client[CLIENTS];
    _Atomic bool stop[WORLD_NODES];
    _Atomic tstamp last_ts; /* of some acknowledged commit */
};

static void fatal(const char *what, const struct client *c, long a, long b)
{
    (void)fprintf(stderr, "client %u on node %zu: %s: %ld, %ld; its last commit: %s %s\n",
                  c->number, c->node + 1, what, a, b, status_name(c->last_st),
                  c->last_st != ST_OK ? c->last_err.msg : "");
    abort();
}

static void account_key(unsigned i, char out[TEXT])
{
    (void)snprintf(out, TEXT, "account%u", i);
}

static void own_key(unsigned i, char out[TEXT])
{
    (void)snprintf(out, TEXT, "own%u", i);
}

static enum status get_long(struct txn *t, const char *key, enum txn_lock lock, long *out)
{
    char text[256];
    enum status st = get_str(t, key, lock, text, sizeof text);

    *out = st == ST_OK ? strtol(text, NULL, 10) : 0;
    return st == ST_NOTFOUND ? ST_OK : st;
}

static enum status put_long(struct txn *t, const char *key, long value)
{
    char text[TEXT];

    (void)snprintf(text, sizeof text, "%ld", value);
    return put_str(t, key, text);
}

/* The money moves; the client's own row gets the number of this transfer. */
static enum status transfer_in(struct client *c, struct txn *t)
{
    char from[TEXT], to[TEXT], own[TEXT];
    unsigned a = (unsigned)rng_below(&c->r, ACCOUNTS);
    long amount = (long)rng_below(&c->r, 100), left, right, number;
    enum txn_lock lock = rng_chance(&c->r, 0.5) ? TXN_LOCK_SHARED : TXN_LOCK_EXCLUSIVE;
    enum status st;

    account_key(a, from);
    account_key((a + 1 + (unsigned)rng_below(&c->r, ACCOUNTS - 1)) % ACCOUNTS, to);
    own_key(c->number, own);
    TRY(get_long(t, from, lock, &left));
    TRY(get_long(t, to, lock, &right));
    TRY(get_long(t, own, TXN_LOCK_EXCLUSIVE, &number));
    if (number < c->least || number > c->most)
        fatal("the own row is not what it may be", c, number, c->least);
    c->least = c->most = number;
    TRY(put_long(t, from, left - amount));
    TRY(put_long(t, to, right + amount));
    TRY(put_long(t, own, number + 1));
    c->most = number + 1;
out:
    return st;
}

static enum status commit_transfer(struct client *c, struct txn *t)
{
    tstamp ts;
    enum status st = txn_commit_wait(t, &ts, &c->last_err);

    c->last_st = st;
    if (st == ST_OK) {
        c->least = c->most;
        atomic_store(&c->acked, c->most);
        atomic_store(&c->k->last_ts, ts);
    } else if (st != ST_UNKNOWN) {
        c->most = c->least;
    }
    return st;
}

static void transfer(struct client *c, struct txn_space *s, tstamp age)
{
    struct txn_options o = {.mode = TXN_READ_WRITE, .age = age};
    struct txn *t;
    struct err err;
    enum status st = txn_begin(s, &o, &t, &err);

    if (st != ST_OK)
        return;
    st = transfer_in(c, t);
    if (st == ST_OK)
        st = commit_transfer(c, t);
    c->n_aborts += st == ST_ABORT;
    c->n_unknown += st == ST_UNKNOWN;
    if (st == ST_REJECT || st == ST_FATAL)
        fatal("refused", c, 0, 0);
    txn_free(t);
}

static enum status sum_accounts(struct txn *t, bool reverse, long *out_sum, long *out_n)
{
    struct txn_scan_options o = {
        .start = bytes_str("account"), .end = bytes_str("accounu"), .reverse = reverse};
    struct txn_scan *sc;
    struct bytes key, value;
    struct err err;
    enum status st = txn_scan_open(t, &o, &sc, &err);

    *out_sum = *out_n = 0;
    if (st != ST_OK)
        return st;
    while ((st = txn_scan_next(sc, &key, &value, &err)) == ST_OK) {
        char text[TEXT];

        (void)snprintf(text, sizeof text, "%.*s", (int)value.len, (const char *)value.ptr);
        *out_sum += strtol(text, NULL, 10);
        ++*out_n;
    }
    txn_scan_close(sc);
    return st == ST_NOTFOUND ? ST_OK : st;
}

static void read_all(struct client *c, struct txn_space *s)
{
    bool strong = rng_chance(&c->r, 0.6);
    unsigned who = (unsigned)rng_below(&c->r, CLIENTS);
    long known = atomic_load(&c->k->client[who].acked), sum, n, number;
    struct txn_options o = {.mode = TXN_READ_ONLY,
                            .read_ts = strong ? 0 : atomic_load(&c->k->last_ts)};
    char own[TEXT];
    struct txn *t;
    struct err err;

    if (txn_begin(s, &o, &t, &err) != ST_OK)
        return;
    own_key(who, own);
    if (sum_accounts(t, rng_chance(&c->r, 0.5), &sum, &n) == ST_OK &&
        get_long(t, own, TXN_LOCK_NONE, &number) == ST_OK && txn_answer(t, &err) == ST_OK) {
        if (n != ACCOUNTS || sum != ACCOUNTS * START)
            fatal("a snapshot has another sum", c, n, sum);
        if (strong && number < known)
            fatal("a strong read misses an acknowledged commit", c, number, known);
        c->n_reads++;
    }
    txn_free(t);
}

static void *run_client(void *arg)
{
    struct client *c = arg;
    struct soak *k = c->k;

    while (!atomic_load(&k->stop[c->node])) {
        struct txn_space *s = k->w.node[c->node].space;

        if (rng_chance(&c->r, 0.5))
            transfer(c, s, tt_now(k->w.tt).latest);
        else
            read_all(c, s);
    }
    return NULL;
}

static void start_clients(struct soak *k, size_t node)
{
    atomic_store(&k->stop[node], false);
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *c = &k->client[i];

        if (c->node != node)
            continue;
        pthread_create(&c->thread, NULL, run_client, c);
        c->running = true;
    }
}

static void join_clients(void *arg, size_t node)
{
    struct soak *k = arg;

    atomic_store(&k->stop[node], true);
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *c = &k->client[i];

        if (c->node == node && c->running)
            pthread_join(c->thread, NULL);
        if (c->node == node)
            c->running = false;
    }
}

static void wait_ms(int64_t ms)
{
    mono_sleep_until(mono_now() + ms * NS_PER_MS);
}

static void hurt(struct soak *k, struct rng *r)
{
    struct rpc_fault cut = {.cut = true},
                     slow = {.delay_ns = 20 * (int64_t)NS_PER_MS, .drop = 0.02}, none = {0};
    size_t i = (size_t)rng_below(r, WORLD_NODES);
    struct world_node *n = &k->w.node[i];

    switch (rng_below(r, 4)) {
    case 0:
        world_crash(&k->w, i);
        wait_ms((int64_t)rng_below(r, 1500));
        world_start(&k->w, i);
        start_clients(k, i);
        break;
    case 1:
        world_stop(&k->w, i);
        wait_ms((int64_t)rng_below(r, 500));
        world_start(&k->w, i);
        start_clients(k, i);
        break;
    case 2: /* it hears, and is not heard: by one, or by all */
        rpc_set_fault(n->rpc, (node_id)rng_below(r, WORLD_NODES + 1), &cut);
        wait_ms((int64_t)rng_below(r, 3000));
        break;
    default:
        rpc_set_fault(n->rpc, 0, &slow);
        wait_ms((int64_t)rng_below(r, 1500));
        break;
    }
    for (node_id to = 0; to <= WORLD_NODES; to++)
        rpc_set_fault(n->rpc, to, &none);
}

static void open_bank(struct soak *k)
{
    struct txn *t;
    struct err err;
    char key[TEXT];
    tstamp ts;

    t = begin_rw(world_space(&k->w, world_leader(&k->w)));
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        account_key(i, key);
        assert_int_equal(put_long(t, key, START), ST_OK);
    }
    must(commit(t, &ts, &err), &err);
    atomic_store(&k->last_ts, ts);
}

static void check_end(struct soak *k)
{
    struct mvcc_digest d[WORLD_NODES];
    struct txn *t;
    struct err err;
    long acked = 0, aborts = 0, unknown = 0, reads = 0;
    tstamp ts;

    t = begin_ro(world_space(&k->w, 0), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &k->client[i];
        char own[TEXT];
        long number;

        own_key(i, own);
        assert_int_equal(get_long(t, own, TXN_LOCK_NONE, &number), ST_OK);
        if (number < c->least || number > c->most)
            fatal("transfers were lost or doubled", c, number, c->least);
        acked += number;
        aborts += c->n_aborts;
        unknown += c->n_unknown;
        reads += c->n_reads;
    }
    txn_free(t);
    must(txn_stable_ts(world_space(&k->w, 1), &ts, &err), &err);
    for (size_t i = 0; i < WORLD_NODES; i++)
        must(txn_digest(world_space(&k->w, 2), k->w.node[i].id, bytes_str(""), bytes_of(NULL, 0),
                        ts, &d[i], &err),
             &err);
    for (size_t i = 1; i < WORLD_NODES; i++)
        assert_memory_equal(&d[0], &d[i], sizeof d[0]);
    printf("transfers=%ld aborts=%ld unknown=%ld snapshots=%ld\n", acked, aborts, unknown, reads);
    assert_true(acked > 0 && reads > 0);
}

static int rounds = 6;
static uint64_t seed = 1;

static void bank_under_failure_stays_whole(void **state)
{
    struct soak *k = xcalloc(1, sizeof *k);
    struct rng r;

    (void)state;
    rng_seed(&r, seed);
    world_open(&k->w, "fixed:200us");
    k->w.on_stopped = join_clients;
    k->w.on_stopped_arg = k;
    open_bank(k);
    for (unsigned i = 0; i < CLIENTS; i++) {
        k->client[i] = (struct client){.k = k, .number = i, .node = i % WORLD_NODES};
        rng_seed(&k->client[i].r, seed * 1000 + i);
    }
    for (size_t i = 0; i < WORLD_NODES; i++)
        start_clients(k, i);
    for (int i = 0; i < rounds; i++) {
        wait_ms((int64_t)rng_below(&r, 400));
        hurt(k, &r);
    }
    wait_ms(300);
    for (size_t i = 0; i < WORLD_NODES; i++)
        join_clients(k, i);
    check_end(k);
    world_close(&k->w);
    free(k);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bank_under_failure_stays_whole),
    };

    if (argc > 1)
        rounds = (int)strtol(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
