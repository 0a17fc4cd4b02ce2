/*
 * mutant.h - deliberate bugs, in the simulator's build only.
 *
 * Each line of mutant.def and mutant_members.def is one wrong turn of a rule that safety rests on. tests/sim compiles the cores and the store
 * once more with MRD_MUTANTS, chooses one of them for a run, and must find every one. Without MRD_MUTANTS, so in
 * every library and program that is installed, none of this exists: MUTATED() is the constant false.
 */
#ifndef MRD_STORAGE_MUTANT_H
#define MRD_STORAGE_MUTANT_H

#include <stdbool.h>

#ifdef MRD_MUTANTS

enum mutant {
    MUTANT_NONE,
#define MUTANT(name, what) MUTANT_##name,
#include "storage/mutant.def"
#undef MUTANT
    MUTANT_COUNT, /* the rest is for tests/members */
#define MUTANT(name, what) MUTANT_##name,
#include "storage/mutant_members.def"
#undef MUTANT
    MUTANT_END
};

#define MUTATED(options, name) ((options)->mutant == MUTANT_##name)
#define MUTANT_FIELD           enum mutant mutant; /* the bug of this run */
#define MUTANT_COPY(to, from)  ((to)->mutant = (from)->mutant)

#else

#define MUTATED(options, name) ((void)(options), false)
#define MUTANT_FIELD
#define MUTANT_COPY(to, from) ((void)(to), (void)(from))

#endif

#endif
