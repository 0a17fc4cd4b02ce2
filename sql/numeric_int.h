/*
 * numeric_int.h - what the files of NUMERIC share: the representation, and the way to GMP's integers.
 */
#ifndef MRD_SQL_NUMERIC_INT_H
#define MRD_SQL_NUMERIC_INT_H

#include <gmp.h>

#include "sql/numeric.h"

/* PostgreSQL's bounds for the scales of results that it chooses itself. */
enum { NUMERIC_MIN_SIG_DIGITS = 16, NUMERIC_DISPLAY_SCALE_MAX = 1000 };

enum numeric_kind {
    NUMERIC_NINF,
    NUMERIC_FINITE,
    NUMERIC_PINF,
    NUMERIC_NAN
}; /* in order of value */

struct numeric {
    enum numeric_kind kind;
    int32_t scale;
    int32_t n; /* limbs; 0 is zero */
    bool neg;
    mp_limb_t limb[]; /* magnitude times 10^scale, least first */
};

/* A read-only view of the integer; valid as long as v. */
static inline mpz_srcptr numeric_mpz(const struct numeric *v, mpz_t view)
{
    return mpz_roinit_n(view, v->limb, v->neg ? -v->n : v->n);
}

const struct numeric *numeric_special(enum numeric_kind kind, struct arena *mem);
/* Without a check of the limits. */
const struct numeric *numeric_make(mpz_srcptr z, int32_t scale, struct arena *mem);
/* With: 22003. */
enum status numeric_make_checked(mpz_srcptr z, int32_t scale, struct arena *mem,
                                 const struct numeric **out, struct err *err) MRD_CHECKED;
void numeric_pow10(mpz_t out, uint64_t n);
/* out = v * 10^(scale - v.scale), scale >= v.scale. */
void numeric_scaled(mpz_t out, const struct numeric *v, int32_t scale);
/* z = round(z / 10^digits) in the given way. */
void numeric_drop_digits(mpz_t z, uint64_t digits, enum numeric_rounding how);
/* Position of the first digit, base 10^4 (PostgreSQL's weight), and that digit; 0 and 0 for zero. */
void numeric_leading(const struct numeric *v, int64_t *out_weight, int *out_digit);
size_t numeric_n_digits(mpz_srcptr z); /* decimal digits; 0 for zero */

#endif
