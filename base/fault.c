#include "base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { POINTS_MAX = 32, NAME_MAX_BYTES = 48 };

enum firing { FIRE_NTH, FIRE_FROM, FIRE_EVERY };

struct point {
    char name[NAME_MAX_BYTES];
    enum firing firing;
    uint64_t n;
    int64_t arg;
    uint64_t hits;
};

struct faults {
    _Atomic int n_armed; /* 0: a hit costs this load only */
    pthread_mutex_t mu;  /* guards points */
    struct point points[POINTS_MAX];
    int n_points;
};

struct faults *faults_new(void)
{
    struct faults *f = xcalloc(1, sizeof *f);

    pthread_mutex_init(&f->mu, NULL);
    return f;
}

void faults_free(struct faults *f)
{
    if (f == NULL)
        return;
    pthread_mutex_destroy(&f->mu);
    free(f);
}

static bool parse_number(const char **p, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(*p, &end, 10);
    if (end == *p || errno != 0)
        return false;
    *p = end;
    return true;
}

/* One "name=..." up to a comma or the end. */
static bool parse_point(const char **p, struct point *out)
{
    const char *eq = strchr(*p, '=');
    int64_t n;

    memset(out, 0, sizeof *out);
    if (eq == NULL || eq == *p || (size_t)(eq - *p) >= sizeof out->name)
        return false;
    memcpy(out->name, *p, (size_t)(eq - *p));
    *p = eq + 1;
    if (strncmp(*p, "every:", 6) == 0) {
        *p += 6;
        out->firing = FIRE_EVERY;
    }
    if (!parse_number(p, &n) || n < 1)
        return false;
    out->n = (uint64_t)n;
    if (**p == '+' && out->firing == FIRE_NTH) {
        out->firing = FIRE_FROM;
        (*p)++;
    }
    if (**p == ':') {
        (*p)++;
        if (!parse_number(p, &out->arg))
            return false;
    }
    return **p == '\0' || **p == ',';
}

static struct point *find_locked(struct faults *f, const char *name)
{
    for (int i = 0; i < f->n_points; i++)
        if (strcmp(f->points[i].name, name) == 0)
            return &f->points[i];
    return NULL;
}

enum status faults_arm(struct faults *f, const char *spec, struct err *err)
{
    const char *p = spec;
    enum status st = ST_OK;

    pthread_mutex_lock(&f->mu);
    while (st == ST_OK && *p != '\0') {
        struct point parsed;
        struct point *at;

        if (!parse_point(&p, &parsed)) {
            st = err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                         "malformed fault specification \"%s\"", spec);
            break;
        }
        at = find_locked(f, parsed.name);
        if (at == NULL && f->n_points == POINTS_MAX) {
            st = err_set(err, ST_REJECT, SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED,
                         "more than %d fault points are armed", POINTS_MAX);
            break;
        }
        if (at == NULL)
            at = &f->points[f->n_points++];
        *at = parsed;
        if (*p == ',')
            p++;
    }
    atomic_store(&f->n_armed, f->n_points);
    pthread_mutex_unlock(&f->mu);
    return st;
}

void faults_clear(struct faults *f)
{
    pthread_mutex_lock(&f->mu);
    f->n_points = 0;
    atomic_store(&f->n_armed, 0);
    pthread_mutex_unlock(&f->mu);
}

static bool fires(const struct point *p)
{
    switch (p->firing) {
    case FIRE_NTH:
        return p->hits == p->n;
    case FIRE_FROM:
        return p->hits >= p->n;
    case FIRE_EVERY:
        return p->hits % p->n == 0;
    }
    return false;
}

bool faults_hit(struct faults *f, const char *point, int64_t *out_arg)
{
    struct point *p;
    bool fire = false;

    if (f == NULL || atomic_load_explicit(&f->n_armed, memory_order_relaxed) == 0)
        return false;
    pthread_mutex_lock(&f->mu);
    p = find_locked(f, point);
    if (p != NULL) {
        p->hits++;
        fire = fires(p);
        if (fire && out_arg != NULL)
            *out_arg = p->arg;
    }
    pthread_mutex_unlock(&f->mu);
    return fire;
}

uint64_t faults_hits(struct faults *f, const char *point)
{
    struct point *p;
    uint64_t hits;

    pthread_mutex_lock(&f->mu);
    p = find_locked(f, point);
    hits = p == NULL ? 0 : p->hits;
    pthread_mutex_unlock(&f->mu);
    return hits;
}
