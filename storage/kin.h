/*
 * kin.h - which store stands behind each node's number, as this one remembers it.
 *
 * A node's promises live in its store. A store that was wiped, or another one under the same number, has forgotten
 * them: its votes must never count with those of the old one. Every bundle says which store it comes from (a tag made of
 * its uuid); the first one that is heard under a number is remembered durably, and no other one is listened to under that
 * number again. It is told so, and stops. Thread: the worker's.
 */
#ifndef MRD_STORAGE_KIN_H
#define MRD_STORAGE_KIN_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"

struct engine;
struct kin;

/* Reads what was remembered. */
enum status kin_open(struct engine *e, const uint8_t uuid[16], struct kin **out,
                     struct err *err) MRD_CHECKED;
void kin_close(struct kin *k); /* NULL is fine */

uint64_t kin_own_tag(const struct kin *k);
/* True: it is the store that we know under this number, or the first; then what must be written goes to *rows (plog.h),
 * before anything else that this message leads to. */
bool kin_is(struct kin *k, node_id node, uint64_t tag, struct buf *rows);

#endif
