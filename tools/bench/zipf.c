#include "tools/bench/zipf.h"

#include <math.h>

/* Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994. */
void zipf_init(struct zipf *z, int64_t n)
{
    z->n = n;
    z->theta = 0.99;
    z->zetan = 0;
    for (int64_t i = 1; i <= n; i++)
        z->zetan += 1 / pow((double)i, z->theta);
    z->alpha = 1 / (1 - z->theta);
    z->eta = (1 - pow(2 / (double)n, 1 - z->theta)) / (1 - (1 + pow(0.5, z->theta)) / z->zetan);
}

int64_t zipf_next(const struct zipf *z, struct rng *rng)
{
    double u = rng_unit(rng), uz = u * z->zetan;
    int64_t rank;

    if (uz < 1)
        rank = 1;
    else if (uz < 1 + pow(0.5, z->theta))
        rank = 2;
    else
        rank = 1 + (int64_t)((double)z->n * pow(z->eta * u - z->eta + 1, z->alpha));
    if (rank > z->n)
        rank = z->n;
    /* Multiplying by a prime moves neighbours in rank far apart in key. */
    return 1 + (int64_t)((uint64_t)rank * 2654435761u % (uint64_t)z->n);
}
