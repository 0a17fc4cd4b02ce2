/*
 * bench_txn [CLIENTS [SECONDS]] - strong reads and commits a second, three nodes in this process.
 *
 * First on memory engines and a memory network: what transactions themselves cost. Then on WiredTiger and nng over
 * loopback, every commit synced by a majority. Clients sit on the leader's node, then one on each of three.
 */
#include <sys/resource.h>

#include "tests/unit/txn/txn_world.h"

enum { READ_KEYS = 10000, CLIENTS_MAX = 256 };

struct client {
    pthread_t thread;
    struct txn_space *s;
    unsigned number;
    int64_t until_mono, cpu_ns;
    uint64_t n_ok, n_other;
    struct hist *latency;
};

static void load(struct world *w)
{
    struct txn_space *s = world_space(w, world_leader(w));

    for (unsigned at = 0; at < READ_KEYS; at += 1000) {
        struct txn *t = begin_rw(s);
        struct err err;

        for (unsigned i = at; i < at + 1000; i++) {
            char key[16];

            (void)snprintf(key, sizeof key, "r%07u", i);
            assert_int_equal(put_str(t, key, "a value of some forty bytes, as rows have it"),
                             ST_OK);
        }
        must(commit(t, NULL, &err), &err);
    }
}

static void *read_strong(void *arg)
{
    struct client *c = arg;
    struct rng r;
    struct arena mem;
    int64_t cpu = thread_cpu_ns();

    rng_seed(&r, c->number + 1);
    arena_init(&mem, 0);
    while (mono_now() < c->until_mono) {
        char key[16];
        struct txn *t = begin_ro(c->s, 0);
        struct bytes value;
        struct err err;

        (void)snprintf(key, sizeof key, "r%07u", (unsigned)rng_below(&r, READ_KEYS));
        arena_reset(&mem);
        if (txn_get(t, bytes_str(key), TXN_LOCK_NONE, &mem, &value, NULL, &err) == ST_OK &&
            txn_answer(t, &err) == ST_OK)
            c->n_ok++;
        else
            c->n_other++;
        txn_free(t);
    }
    arena_fini(&mem);
    c->cpu_ns = thread_cpu_ns() - cpu;
    return NULL;
}

static void *upsert(void *arg)
{
    struct client *c = arg;
    struct rng r;

    rng_seed(&r, c->number + 1);
    while (mono_now() < c->until_mono) {
        int64_t began = mono_now();
        char key[24];
        struct txn *t = begin_rw(c->s);
        struct err err;
        enum status st;

        (void)snprintf(key, sizeof key, "w%07u", (unsigned)rng_below(&r, 1000000));
        st = put_str(t, key, "a value of some forty bytes, as rows have it");
        if (st == ST_OK)
            st = commit(t, NULL, &err);
        c->n_ok += st == ST_OK;
        c->n_other += st != ST_OK;
        hist_add(c->latency, mono_now() - began);
    }
    return NULL;
}

/* Read, then write: what an UPDATE of one row does. */
static void *update(void *arg)
{
    struct client *c = arg;
    struct rng r;

    rng_seed(&r, c->number + 1);
    while (mono_now() < c->until_mono) {
        int64_t began = mono_now();
        char key[24], value[256];
        struct txn *t = begin_rw(c->s);
        struct err err;
        enum status st;

        (void)snprintf(key, sizeof key, "r%07u", (unsigned)rng_below(&r, READ_KEYS));
        st = get_str(t, key, TXN_LOCK_EXCLUSIVE, value, sizeof value);
        if (st == ST_OK)
            st = put_str(t, key, "another value of forty bytes, as rows have it");
        if (st == ST_OK)
            st = txn_commit_wait(t, NULL, &err);
        txn_free(t);
        c->n_ok += st == ST_OK;
        c->n_other += st != ST_OK;
        hist_add(c->latency, mono_now() - began);
    }
    return NULL;
}

static double cpu_us(void)
{
    struct rusage ru;

    (void)getrusage(RUSAGE_SELF, &ru); /* cannot fail for ourselves */
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
           (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static void run(struct world *w, const char *what, void *(*fn)(void *), unsigned n, int seconds,
                bool spread)
{
    static struct client c[CLIENTS_MAX];
    struct metrics *m = metrics_new();
    struct hist *latency = metrics_hist(m, "latency", "of one transaction");
    size_t leader = world_leader(w);
    double began_cpu = cpu_us(), sum = 0, other = 0, cpu = 0;

    for (unsigned i = 0; i < n; i++) {
        c[i] = (struct client){.s = world_space(w, spread ? i % WORLD_NODES : leader),
                               .number = i,
                               .until_mono = mono_now() + seconds * (int64_t)NS_PER_S,
                               .latency = latency};
        pthread_create(&c[i].thread, NULL, fn, &c[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(c[i].thread, NULL);
        sum += (double)c[i].n_ok;
        other += (double)c[i].n_other;
        cpu += (double)c[i].cpu_ns;
    }
    printf("%-34s clients=%-3u %8.0f/s other=%.0f p50=%lld us p99=%lld us cpu=%.1f us each", what,
           n, sum / seconds, other, (long long)(hist_quantile(latency, 0.5) / NS_PER_US),
           (long long)(hist_quantile(latency, 0.99) / NS_PER_US), (cpu_us() - began_cpu) / sum);
    if (cpu > 0)
        printf(" own=%.2f us", cpu / sum / 1000);
    printf("\n");
    (void)fflush(stdout);
    metrics_free(m);
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 32;
    int seconds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2;

    if (n == 0 || n > CLIENTS_MAX || seconds < 1)
        return 2;
    for (int real = 0; real < 2; real++) {
        struct world w;

        world_open_on(&w, "fixed:200us", real != 0);
        printf(real ? "WiredTiger, nng, synced\n" : "memory\n");
        load(&w);
        run(&w, "strong read at the leader", read_strong, 1, seconds, false);
        run(&w, "strong read at the leader", read_strong, 4, seconds, false);
        run(&w, "strong read, clients on all nodes", read_strong, 6, seconds, true);
        run(&w, "upsert at the leader", upsert, 1, seconds, false);
        run(&w, "upsert at the leader", upsert, n, seconds, false);
        run(&w, "upsert, clients on all nodes", upsert, n, seconds, true);
        run(&w, "update at the leader", update, n, seconds, false);
        world_close(&w);
    }
    return 0;
}
