#include "txn/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct bytes POINT = {NULL, 0};

static struct bytes K(const char *s) {
    return bytes_str(s);
}

static struct lock_owner
owner(tstamp age)
{
    return (struct lock_owner){.age = age, .id = {age, 1, 1}};
}

struct fixture {
    struct lock_table *t;
    struct lock_owner o[6]; /* o[0] is the oldest */
    struct lock_events ev;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->t = lock_table_new(1000);
    for (int i = 0; i < 6; i++)
        f->o[i] = owner(10 + i);
}

static void end(struct fixture *f)
{
    for (int i = 0; i < 6; i++)
        lock_release(f->t, &f->o[i], &f->ev);
    lock_table_free(f->t);
}

static enum lock_answer point(struct fixture *f, int o, const char *key, enum lock_mode mode)
{
    enum lock_answer a = lock_acquire(f->t, &f->o[o], K(key), POINT, mode, &f->ev);

    lock_check(f->t);
    return a;
}

static enum lock_answer range(struct fixture *f, int o, const char *from, const char *to,
                              enum lock_mode mode)
{
    enum lock_answer a = lock_acquire(f->t, &f->o[o], K(from), K(to), mode, &f->ev);

    lock_check(f->t);
    return a;
}

static void shared_locks_go_together(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(point(&f, 0, "k", LOCK_SHARED), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "k", LOCK_SHARED), LOCK_GRANTED);
    assert_int_equal(range(&f, 2, "a", "z", LOCK_SHARED), LOCK_GRANTED);
    assert_null(f.ev.wounded);
    end(&f);
}

static void younger_waits_for_older_and_is_served(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(point(&f, 0, "k", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "k", LOCK_EXCLUSIVE), LOCK_WAITS);
    assert_null(f.ev.wounded);
    lock_release(f.t, &f.o[0], &f.ev);
    assert_ptr_equal(f.ev.granted, &f.o[1]);
    assert_null(f.o[1].next);
    assert_true(lock_holds(f.t, &f.o[1], K("k"), POINT, LOCK_EXCLUSIVE));
    end(&f);
}

static void older_wounds_younger_and_has_the_lock_at_once(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(point(&f, 1, "k", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "other", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_int_equal(point(&f, 2, "other", LOCK_SHARED), LOCK_WAITS);
    assert_int_equal(point(&f, 0, "k", LOCK_SHARED), LOCK_GRANTED);
    assert_ptr_equal(f.ev.wounded, &f.o[1]);
    assert_int_equal(f.o[1].state, LOCK_OWNER_WOUNDED);
    assert_int_equal(f.o[1].n_held, 0);
    assert_ptr_equal(f.ev.granted, &f.o[2]); /* the victim's other lock is free, too */
    end(&f);
}

static void protected_holder_is_waited_for_by_the_older(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(point(&f, 1, "k", LOCK_EXCLUSIVE), LOCK_GRANTED);
    lock_protect(&f.o[1]);
    assert_int_equal(point(&f, 0, "k", LOCK_EXCLUSIVE), LOCK_WAITS);
    assert_null(f.ev.wounded);
    lock_release(f.t, &f.o[1], &f.ev);
    assert_ptr_equal(f.ev.granted, &f.o[0]);
    end(&f);
}

static void range_and_point_inside_conflict_outside_do_not(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(range(&f, 0, "b", "d", LOCK_SHARED), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "d", LOCK_EXCLUSIVE), LOCK_GRANTED); /* the end is excluded */
    assert_int_equal(point(&f, 1, "az", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "czzz", LOCK_EXCLUSIVE), LOCK_WAITS); /* no phantom */
    lock_cancel(f.t, &f.o[1], &f.ev);
    assert_int_equal(point(&f, 1, "b", LOCK_EXCLUSIVE), LOCK_WAITS); /* the start is included */
    end(&f);
}

static void points_that_are_prefixes_do_not_conflict(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(point(&f, 0, "a", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "aa", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_int_equal(point(&f, 2, "", LOCK_EXCLUSIVE), LOCK_GRANTED);
    end(&f);
}

static void own_lock_is_granted_again_and_upgraded(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(range(&f, 0, "a", "z", LOCK_SHARED), LOCK_GRANTED);
    assert_int_equal(point(&f, 0, "k", LOCK_SHARED), LOCK_GRANTED);
    assert_int_equal(f.o[0].n_held, 1);
    assert_int_equal(point(&f, 0, "k", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "k", LOCK_SHARED), LOCK_WAITS);
    lock_cancel(f.t, &f.o[1], &f.ev);
    assert_int_equal(point(&f, 1, "m", LOCK_SHARED), LOCK_GRANTED);
    end(&f);
}

static void two_upgrades_the_older_wounds_the_younger(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(point(&f, 0, "k", LOCK_SHARED), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "k", LOCK_SHARED), LOCK_GRANTED);
    assert_int_equal(point(&f, 1, "k", LOCK_EXCLUSIVE), LOCK_WAITS);
    assert_int_equal(point(&f, 0, "k", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_ptr_equal(f.ev.wounded, &f.o[1]);
    end(&f);
}

static void waiters_are_served_by_age_whatever_their_arrival(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_int_equal(point(&f, 0, "k", LOCK_EXCLUSIVE), LOCK_GRANTED);
    assert_int_equal(point(&f, 3, "k", LOCK_EXCLUSIVE), LOCK_WAITS);
    assert_int_equal(point(&f, 1, "k", LOCK_EXCLUSIVE), LOCK_WAITS);
    assert_int_equal(point(&f, 2, "k", LOCK_SHARED), LOCK_WAITS);
    lock_release(f.t, &f.o[0], &f.ev);
    assert_ptr_equal(f.ev.granted, &f.o[1]);
    assert_null(f.o[1].next);
    /* A shared request that is younger than a waiting exclusive one does not slip in. */
    lock_release(f.t, &f.o[1], &f.ev);
    assert_ptr_equal(f.ev.granted, &f.o[2]);
    assert_int_equal(point(&f, 4, "k", LOCK_SHARED), LOCK_WAITS);
    end(&f);
}

static void too_many_locks_are_refused(void **state)
{
    struct lock_table *t = lock_table_new(2);
    struct lock_owner o = owner(1);
    struct lock_events ev;

    (void)state;
    assert_int_equal(lock_acquire(t, &o, K("a"), POINT, LOCK_SHARED, &ev), LOCK_GRANTED);
    assert_int_equal(lock_acquire(t, &o, K("b"), POINT, LOCK_SHARED, &ev), LOCK_GRANTED);
    assert_int_equal(lock_acquire(t, &o, K("c"), POINT, LOCK_SHARED, &ev), LOCK_TOO_MANY);
    assert_int_equal(lock_acquire(t, &o, K("b"), POINT, LOCK_SHARED, &ev), LOCK_GRANTED);
    lock_release(t, &o, &ev);
    lock_table_free(t);
}

/*
 * Against a model: keys are 0..KEYS-1, a lock is an interval of integers (key k is 2k, and what no key is in
 * lies between 2k and 2k + 2), a list holds all of them.
 */
enum { OWNERS = 8, KEYS = 12, MODEL_MAX = 4096, STEPS = 60000 };

struct model_lock {
    int owner, lo, hi; /* [lo, hi) */
    enum lock_mode mode;
    bool waiting;
};

struct model {
    struct model_lock l[MODEL_MAX];
    int n;
    enum lock_state st[OWNERS];
    tstamp age[OWNERS];
};

static bool clash(const struct model_lock *a, const struct model_lock *b)
{
    return a->owner != b->owner && a->lo < b->hi && b->lo < a->hi &&
           (a->mode == LOCK_EXCLUSIVE || b->mode == LOCK_EXCLUSIVE);
}

static void model_drop(struct model *m, int owner, bool only_waiting)
{
    int n = 0;

    for (int i = 0; i < m->n; i++) {
        if (m->l[i].owner != owner || (only_waiting && !m->l[i].waiting))
            m->l[n++] = m->l[i];
    }
    m->n = n;
}

static bool model_blocked(const struct model *m, const struct model_lock *want)
{
    for (int i = 0; i < m->n; i++) {
        const struct model_lock *l = &m->l[i];

        if (l != want && clash(l, want) && (!l->waiting || m->age[l->owner] < m->age[want->owner]))
            return true;
    }
    return false;
}

static void model_serve(struct model *m)
{
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < m->n; i++) {
            if (m->l[i].waiting && !model_blocked(m, &m->l[i])) {
                m->l[i].waiting = false;
                again = true;
            }
        }
    }
}

static enum lock_answer model_acquire(struct model *m, struct model_lock want)
{
    bool wait;

    for (int i = 0; i < m->n; i++) {
        const struct model_lock *l = &m->l[i];

        if (l->owner == want.owner && !l->waiting && l->lo <= want.lo && l->hi >= want.hi &&
            l->mode >= want.mode)
            return LOCK_GRANTED;
    }
    for (int i = 0; i < m->n; i++) {
        int o = m->l[i].owner;

        if (!m->l[i].waiting && clash(&m->l[i], &want) && m->age[o] > m->age[want.owner] &&
            m->st[o] == LOCK_OWNER_ACTIVE) {
            m->st[o] = LOCK_OWNER_WOUNDED;
            model_drop(m, o, false);
            i = -1;
        }
    }
    /* Waiting behind what stood there before the wounds would be the same: victims are younger. */
    wait = model_blocked(m, &want);
    want.waiting = wait;
    assert_true(m->n < MODEL_MAX);
    m->l[m->n++] = want;
    model_serve(m);
    return wait ? LOCK_WAITS : LOCK_GRANTED;
}

static struct bytes model_key(int k, char *text)
{
    return bytes_of(text, (size_t)snprintf(text, 8, "%02d", k));
}

static uint64_t next(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

static void compare(struct model *m, struct lock_owner *owners)
{
    for (int o = 0; o < OWNERS; o++) {
        size_t held = 0;
        bool waiting = false;

        for (int i = 0; i < m->n; i++) {
            held += m->l[i].owner == o && !m->l[i].waiting;
            waiting |= m->l[i].owner == o && m->l[i].waiting;
        }
        assert_int_equal(owners[o].state, m->st[o]);
        assert_int_equal(owners[o].n_held, held);
        assert_int_equal(owners[o].waiting != NULL, waiting);
    }
}

static void model_step(struct lock_table *t, struct model *m, struct lock_owner *owners, int o,
                       uint64_t *x)
{
    struct lock_events ev;
    uint64_t what = next(x) % 10;

    if (what < 7 && m->st[o] == LOCK_OWNER_ACTIVE && owners[o].waiting == NULL) {
        bool is_point = next(x) % 2 == 0;
        int from = (int)(next(x) % KEYS);
        int to = from + 1 + (int)(next(x) % (uint64_t)(KEYS - from));
        enum lock_mode mode = next(x) % 3 == 0 ? LOCK_EXCLUSIVE : LOCK_SHARED;
        char a[8];
        char b[8];
        struct model_lock l = {o, 2 * from, is_point ? 2 * from + 1 : 2 * to, mode, false};
        enum lock_answer want = model_acquire(m, l);

        assert_int_equal(lock_acquire(t, &owners[o], model_key(from, a),
                                      is_point ? POINT : model_key(to, b), mode, &ev),
                         want);
    } else if (what == 7 && m->st[o] == LOCK_OWNER_ACTIVE && owners[o].waiting == NULL) {
        m->st[o] = LOCK_OWNER_PROTECTED;
        lock_protect(&owners[o]);
    } else if (what == 8 && owners[o].waiting != NULL) {
        model_drop(m, o, true);
        model_serve(m);
        lock_cancel(t, &owners[o], &ev);
    } else if (what == 9 || m->st[o] != LOCK_OWNER_ACTIVE) {
        model_drop(m, o, false);
        model_serve(m);
        lock_release(t, &owners[o], &ev);
        m->age[o] = (tstamp)(next(x) % 1000) * OWNERS + o;
        m->st[o] = LOCK_OWNER_ACTIVE;
        owners[o] = owner(m->age[o]);
    }
}

static void random_steps_agree_with_a_model(void **state)
{
    static struct model m;
    struct lock_owner owners[OWNERS];
    struct lock_table *t = lock_table_new(100000);
    struct lock_events ev;
    uint64_t x = 42;

    (void)state;
    for (int o = 0; o < OWNERS; o++) {
        m.age[o] = o;
        m.st[o] = LOCK_OWNER_ACTIVE;
        owners[o] = owner(o);
    }
    for (int step = 0; step < STEPS; step++) {
        model_step(t, &m, owners, (int)(next(&x) % OWNERS), &x);
        compare(&m, owners);
        if (step % 16 == 0)
            lock_check(t);
    }
    for (int o = 0; o < OWNERS; o++)
        lock_release(t, &owners[o], &ev);
    lock_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_locks_go_together),
        cmocka_unit_test(younger_waits_for_older_and_is_served),
        cmocka_unit_test(older_wounds_younger_and_has_the_lock_at_once),
        cmocka_unit_test(protected_holder_is_waited_for_by_the_older),
        cmocka_unit_test(range_and_point_inside_conflict_outside_do_not),
        cmocka_unit_test(points_that_are_prefixes_do_not_conflict),
        cmocka_unit_test(own_lock_is_granted_again_and_upgraded),
        cmocka_unit_test(two_upgrades_the_older_wounds_the_younger),
        cmocka_unit_test(waiters_are_served_by_age_whatever_their_arrival),
        cmocka_unit_test(too_many_locks_are_refused),
        cmocka_unit_test(random_steps_agree_with_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
