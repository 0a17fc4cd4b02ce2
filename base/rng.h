/*
 * rng.h - a small seeded generator (splitmix64 / xoshiro256**), so that one seed is one history.
 * Not for secrets. Thread: each generator belongs to one thread.
 */
#ifndef MRD_BASE_RNG_H
#define MRD_BASE_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);              /* 0..n-1, n > 0 */
int64_t rng_between(struct rng *r, int64_t lo, int64_t hi); /* lo..hi, both included */
bool rng_chance(struct rng *r, double p);
double rng_unit(struct rng *r); /* [0, 1) */

#endif
