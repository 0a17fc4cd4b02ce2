/*
 * fault.h - named fault points, for tests and drills: FAULT(faults, "store.sync").
 *
 * A fault set belongs to one node. A point fires on chosen hits: the Nth, every Nth, or from the
 * Nth on; what it does is the caller's (return an error, drop a message, wait) with an integer
 * argument. A set without armed points costs one relaxed load per hit. Thread: any.
 */
#ifndef MRD_BASE_FAULT_H
#define MRD_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct faults;

struct faults *faults_new(void);
void faults_free(struct faults *f);

/* spec: "point=N" the Nth hit; "point=N+" from the Nth on; "point=every:N"; each with an optional
 * ":ARG" integer ("store.sync=1+:200"). Several are separated by commas. Replaces an armed point of
 * the same name. ST_REJECT, 22023 on a malformed spec. */
enum status faults_arm(struct faults *f, const char *spec, struct err *err) MRD_CHECKED;
void faults_clear(struct faults *f);

/* True if the point fires now; *out_arg (may be NULL) gets its ARG, 0 if none. f may be NULL. */
bool faults_hit(struct faults *f, const char *point, int64_t *out_arg);
uint64_t faults_hits(struct faults *f, const char *point); /* hits seen while armed */

#define FAULT(f, point) faults_hit((f), (point), NULL)

#endif
