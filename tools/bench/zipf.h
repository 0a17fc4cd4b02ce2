/*
 * zipf.h - keys drawn with a zipfian distribution, as YCSB draws them: theta 0.99, hot keys spread over the space.
 * Thread: the struct is constant after zipf_init; the generator is the caller's.
 */
#ifndef MRD_TOOLS_BENCH_ZIPF_H
#define MRD_TOOLS_BENCH_ZIPF_H

#include "base/rng.h"

struct zipf {
    int64_t n;
    double theta, alpha, eta, zetan;
};

void zipf_init(struct zipf *z, int64_t n);
int64_t zipf_next(const struct zipf *z, struct rng *rng); /* 1..n */

#endif
