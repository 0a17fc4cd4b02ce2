/*
 * bench_store [PROPOSERS [SECONDS [VALUE_BYTES]]] - commits a second through group_propose.
 *
 * Three stores in this process, on WiredTiger and nng over loopback, every commit synced by a majority. Each
 * proposer waits for `done` before it proposes again. CPU is of the whole process: proposers and all
 * three nodes.
 */
#include <stdio.h>
#include <stdlib.h>

#include <sys/resource.h>

#include "base/clock.h"
#include "tests/store/cluster.h"

struct bench {
    struct cluster *c;
    size_t leader;
    size_t value_len;
    int64_t until_mono;
    atomic_uint next_proposer;
    _Atomic uint64_t n_ok, n_other;
    struct hist *latency;
};

static void *propose(void *arg)
{
    struct bench *b = arg;
    unsigned me = atomic_fetch_add(&b->next_proposer, 1);
    uint8_t *value = calloc(1, b->value_len + 1);
    char key[CLUSTER_KEY_MAX];

    for (unsigned i = 0; mono_now() < b->until_mono; i++) {
        int64_t began = mono_now();

        (void)snprintf(key, sizeof key, "k%u.%08u", me, i * 2654435761u);
        if (cluster_put(b->c, b->leader, key, bytes_of(value, b->value_len)) == ST_OK) {
            atomic_fetch_add(&b->n_ok, 1);
            hist_add(b->latency, mono_now() - began);
        } else {
            atomic_fetch_add(&b->n_other, 1);
        }
    }
    free(value);
    return NULL;
}

static double cpu_us(void)
{
    struct rusage ru;

    (void)getrusage(RUSAGE_SELF, &ru); /* cannot fail for ourselves */
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
           (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static void print_metric(void *arg, const char *name, int64_t value)
{
    (void)arg;
    printf("  %-44s %lld\n", name, (long long)value);
}

int main(int argc, char **argv)
{
    enum { PROPOSERS_MAX = 512 };
    size_t n = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 32;
    int64_t seconds = argc > 2 ? strtol(argv[2], NULL, 10) : 5;
    struct metrics *own = metrics_new();
    struct bench b = {.value_len = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 100};
    struct cluster c;
    pthread_t threads[PROPOSERS_MAX];
    double cpu;
    int64_t began;

    n = n < PROPOSERS_MAX ? n : PROPOSERS_MAX;
    cluster_open(&c, &(struct cluster_options){.real = true, .lease_ns = 2LL * NS_PER_S});
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        cluster_start(&c, i);
    b.c = &c;
    b.leader = cluster_leader(&c);
    b.latency = metrics_hist(own, "latency", "of a commit");
    began = mono_now();
    b.until_mono = began + seconds * NS_PER_S;
    cpu = cpu_us();
    for (size_t i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, propose, &b) != 0)
            abort();
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (n == 0)
        mono_sleep_until(b.until_mono); /* what the nodes cost at rest */
    cpu = cpu_us() - cpu;
    if (n == 0)
        printf("at rest: %.2f %% of a core\n", cpu / ((double)seconds * 1e4));
    printf("%zu proposers, %zu-byte values: %.0f commits/s, p50 %lld us, p99 %lld us, "
           "%.1f us of CPU each (3 nodes and proposers), %llu not ok\n",
           n, b.value_len, (double)b.n_ok / ((double)(mono_now() - began) / 1e9),
           (long long)hist_quantile(b.latency, 0.5) / 1000,
           (long long)hist_quantile(b.latency, 0.99) / 1000, b.n_ok == 0 ? 0 : cpu / (double)b.n_ok,
           (unsigned long long)b.n_other);
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        printf("node %zu%s\n", i + 1, i == b.leader ? " (leader)" : "");
        metrics_each(c.nodes[i].metrics, print_metric, NULL);
    }
    cluster_close(&c);
    metrics_free(own);
    return 0;
}
