/*
 * exhaust.h - small worlds, searched whole: every order of messages, syncs, crashes and timeouts up to a depth.
 *
 * Three replicas made of the server's own core and support, perfect clocks that move only when an action says so, a
 * handful of ballots and values. exhaust_world.c: what a world is, what can happen in it, what must hold;
 * exhaust_core.c: copies and fingerprints of the cores; exhaust.c: the search.
 */
#ifndef MRD_TESTS_SIM_EXHAUST_H
#define MRD_TESTS_SIM_EXHAUST_H

#ifndef MRD_MUTANTS
#define MRD_MUTANTS 1 /* as all that it is linked with is compiled */
#endif

#include "storage/mutant.h"
#include "storage/paxos/paxos.h"

enum {
    XNODES = 3,
    XSLOTS = 16,   /* of a log */
    XPACKETS = 40, /* on their way at once */
    XWRITES = 6,   /* not synced, of one node */
    XHELD = 12,    /* messages of one node that wait for a sync */
    XLEADS = 6,
    XDEPTH_MAX = 64
};

/* -------- copies of the cores -------- */

struct paxos *core_clone(const struct paxos *p);
uint64_t core_fingerprint(const struct paxos *p, const struct support *s);
void core_reseed(struct paxos *p); /* chance is the same in every step: no part of the state */
uint64_t xhash(uint64_t h, const void *ptr, size_t len);

/* -------- a world -------- */

struct xentry {
    struct ballot ballot;
    uint8_t value; /* 0: the empty entry of a new leader */
};

struct xlog { /* slots 1..n */
    struct paxos_hard hard;
    size_t n;
    struct xentry e[XSLOTS];
};

struct xwrite {
    uint64_t seq;
    bool has_hard;
    struct paxos_hard hard;
    slot_no cut_from, first;
    size_t n;
    struct xentry e[4];
};

struct xheld {
    struct paxos_msg msg;
    uint64_t after_write;
};

/* Shared between worlds in which it is in the same state. */
struct xnode {
    size_t refs;
    node_id id;
    struct paxos *paxos;
    struct support *support;
    uint64_t incarnation, durable_seq;
    struct xlog cur, durable;
    struct xwrite writes[XWRITES];
    size_t n_writes;
    struct xheld held[XHELD];
    size_t n_held;
    enum paxos_role role;
    bool room;
    slot_no chosen;
    size_t lead;          /* index in xworld.leads while it leads */
    uint64_t fingerprint; /* 0: not known */
};

struct xpacket {
    size_t refs;
    node_id from, to;
    uint64_t hash;
    size_t len;
    uint8_t body[];
};

struct xbudget {
    uint8_t campaigns, values, crashes, lapses, renewals, ticks, duplicates;
};

struct xlead {
    struct ballot ballot;
    tstamp start, end;
};

struct xworld {
    struct xnode *nodes[XNODES];
    struct xpacket *packets[XPACKETS];
    size_t n_packets;
    int64_t now; /* true time, and every clock's */
    struct xbudget left;
    uint8_t truth[XSLOTS]; /* 1 + value that somebody holds as chosen; 0 unknown */
    struct xlead leads[XLEADS];
    size_t n_leads;
    enum mutant mutant;
    char why[200]; /* what does not hold; empty: all does */
};

enum xaction_kind {
    X_DELIVER,   /* a: packet */
    X_DUPLICATE, /* the same, and it stays on its way */
    X_SYNC,      /* a: node. While nothing can crash any more, syncs are immediate */
    X_CRASH,     /* a: node; what was not synced is lost; it starts again at once */
    X_CAMPAIGN,  /* a: node. ASK and its answers write nothing and are delivered at once */
    X_PROPOSE,   /* a: node */
    X_RENEW,     /* a: set of nodes that exchange support */
    X_TICK,      /* time for retries passes, everybody's timer runs */
    X_LAPSE      /* all support lapses, nobody's timer runs */
};

struct xaction {
    uint8_t kind, a;
};

enum xscene { XSCENE_COLD, XSCENE_LED, XSCENE_DIVERGED, XSCENES };

void xworld_begin(struct xworld *w, enum xscene scene, struct xbudget budget, enum mutant mutant);
void xworld_copy(struct xworld *to, const struct xworld *from);
void xworld_drop(struct xworld *w);
uint64_t xworld_fingerprint(struct xworld *w);
/* What can happen next; returns how many. */
size_t xworld_actions(const struct xworld *w, struct xaction *out, size_t max);
void xworld_act(struct xworld *w, struct xaction a);
void xaction_describe(const struct xworld *w, struct xaction a, char *out, size_t len);
const char *xscene_name(enum xscene scene);

/* -------- the search -------- */

/* depth_cut is taken off each scene's depth, 0: the full search. Returns the process's exit code: 0 all holds (or, with a
 * mutant, it was found). */
int exhaust_run(unsigned depth_cut, enum mutant mutant);
/* Without a word on the way. True: something does not hold; out_why says what, out_steps after how many actions. */
bool exhaust_finds(unsigned depth_cut, enum mutant mutant, char *out_why, size_t len,
                   unsigned *out_steps);

#endif
