/*
 * numeric.h - exact decimal numbers: NUMERIC with PostgreSQL's scale rules.
 *
 * A value is an integer times 10^-scale, or NaN, or an infinity; `scale` is also the number of digits shown
 * after the point. Limits are PostgreSQL's: 131072 digits before the point, 16383 after; beyond is 22003.
 * Values are immutable and live in the arena of their maker. Pure functions; no threads.
 */
#ifndef MRD_SQL_NUMERIC_H
#define MRD_SQL_NUMERIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"

struct numeric;

enum { NUMERIC_SCALE_MAX = 16383, NUMERIC_INT_DIGITS_MAX = 131072, NUMERIC_PRECISION_MAX = 1000 };

/* Blanks around, sign, digits, point, exponent, NaN, Infinity. 22P02, 22003. */
enum status numeric_from_text(struct bytes text, struct arena *mem, const struct numeric **out,
                              struct err *err) MRD_CHECKED;
struct bytes numeric_text(const struct numeric *v, struct arena *mem);

const struct numeric *numeric_from_int(int64_t v, struct arena *mem);
const struct numeric *numeric_from_int128(__int128 v, struct arena *mem);
/* 15 significant digits, as PostgreSQL (6 for real). */
enum status numeric_from_double(double v, int digits, struct arena *mem, const struct numeric **out,
                                struct err *err) MRD_CHECKED;
/* Rounds half away from zero. 22003 if it does not fit, 0A000 for NaN and infinity; `type` is for the message. */
enum status numeric_to_int(const struct numeric *v, const char *type, int64_t min, int64_t max,
                           int64_t *out, struct err *err) MRD_CHECKED;
/* 22003 beyond the range of a double, or of a float (which is rounded to once). */
enum status numeric_to_double(const struct numeric *v, double *out, struct err *err) MRD_CHECKED;
enum status numeric_to_single(const struct numeric *v, double *out, struct err *err) MRD_CHECKED;

bool numeric_is_nan(const struct numeric *v);
bool numeric_is_inf(const struct numeric *v); /* either */
int numeric_sign(const struct numeric *v);    /* -1, 0, 1; NaN is 1 */
int numeric_scale(const struct numeric *v);   /* digits after the point */
/* NaN is above everything and equals itself. */
int numeric_cmp(const struct numeric *a, const struct numeric *b);
uint64_t numeric_hash(const struct numeric *v); /* 1.0 and 1.00 hash equal */
/* A value is one block of so many bytes, without pointers: it may be copied to any place aligned for it. */
size_t numeric_size(const struct numeric *v);
const struct numeric *numeric_copy(const struct numeric *v, struct arena *mem);

enum status numeric_add(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err) MRD_CHECKED;
enum status numeric_sub(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err) MRD_CHECKED;
enum status numeric_mul(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err) MRD_CHECKED;
enum status numeric_div(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err) MRD_CHECKED;
enum status numeric_mod(const struct numeric *a, const struct numeric *b, struct arena *mem,
                        const struct numeric **out, struct err *err) MRD_CHECKED;
const struct numeric *numeric_neg(const struct numeric *v, struct arena *mem);
const struct numeric *numeric_abs(const struct numeric *v, struct arena *mem);

/* To a number of digits after the point, which may be negative. */
enum numeric_rounding { NUMERIC_ROUND, NUMERIC_TRUNC, NUMERIC_FLOOR, NUMERIC_CEIL };
enum status numeric_round(const struct numeric *v, int64_t digits, enum numeric_rounding how,
                          struct arena *mem, const struct numeric **out,
                          struct err *err) MRD_CHECKED;
/* Fit numeric(precision, scale), whatever the sign of scale: rounds, 22003 if too large. */
enum status numeric_fit(const struct numeric *v, int precision, int scale, struct arena *mem,
                        const struct numeric **out, struct err *err) MRD_CHECKED;

enum status numeric_sqrt(const struct numeric *v, struct arena *mem, const struct numeric **out,
                         struct err *err) MRD_CHECKED;
/* Within the scale PostgreSQL would choose, the last digit included. */
enum status numeric_power(const struct numeric *a, const struct numeric *b, struct arena *mem,
                          const struct numeric **out, struct err *err) MRD_CHECKED;
enum status numeric_exp(const struct numeric *v, struct arena *mem, const struct numeric **out,
                        struct err *err) MRD_CHECKED;
enum status numeric_ln(const struct numeric *v, struct arena *mem, const struct numeric **out,
                       struct err *err) MRD_CHECKED;
enum status numeric_log(const struct numeric *base, const struct numeric *v, struct arena *mem,
                        const struct numeric **out, struct err *err) MRD_CHECKED;

/* A running sum that needs no new memory for each value. Zeroed memory is 0. */
struct numeric_sum {
    uint64_t *limbs; /* magnitude, least first; in the arena given to numeric_sum_add */
    uint32_t n;
    uint32_t cap;
    int32_t scale;
    bool neg;
    bool nan;
    bool pos_inf;
    bool neg_inf;
};
void numeric_sum_add(struct numeric_sum *s, const struct numeric *v, struct arena *mem);
enum status numeric_sum_value(const struct numeric_sum *s, struct arena *mem,
                              const struct numeric **out, struct err *err) MRD_CHECKED;

/* Self-contained form for rows and the wire of the house (not PostgreSQL's): sign, scale, magnitude. */
void numeric_encode(const struct numeric *v, struct buf *out);
enum status numeric_decode(struct bytes in, struct arena *mem, const struct numeric **out,
                           struct err *err) MRD_CHECKED;
/* PostgreSQL's binary form: base-10000 digits. */
void numeric_to_wire(const struct numeric *v, struct buf *out);
enum status numeric_from_wire(struct bytes wire, struct arena *mem, const struct numeric **out,
                              struct err *err) MRD_CHECKED;

#endif
