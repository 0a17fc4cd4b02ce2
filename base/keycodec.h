/*
 * keycodec.h - order-preserving key codec: order of codes = order of values.
 *
 * A key is a row of parts, each self-delimiting: no code is a proper prefix of another code of the
 * same type, and no part begins with 0x00 (0x00 ends a user key and starts its version, see
 * storage/mvcc.h). A descending part is the ascending code with every byte inverted, behind a tag
 * that keeps the first-byte rule. NULLs sort last ascending and first descending, as PostgreSQL does.
 * Decoding input from a disk or a wire is checked: a malformed part sets rd.bad.
 * Pure functions; no threads.
 */
#ifndef MRD_BASE_KEYCODEC_H
#define MRD_BASE_KEYCODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"

enum key_dir { KEY_ASC, KEY_DESC };

/* Ids of databases, tables and indexes: order-preserving varint, 1-9 bytes, never begins with 0x00. */
void key_put_id(struct buf *b, uint64_t id);
uint64_t key_get_id(struct rd *r);

void key_put_null(struct buf *b, enum key_dir dir);
void key_put_bool(struct buf *b, bool v, enum key_dir dir);
void key_put_int(struct buf *b, int64_t v, enum key_dir dir); /* ints and timestamps alike */
/* -0.0 is stored as 0.0; NaN sorts above infinity and equals itself, as in PostgreSQL. */
void key_put_double(struct buf *b, double v, enum key_dir dir);
/* Text and bytea: any content, 0x00 included. */
void key_put_bytes(struct buf *b, struct bytes v, enum key_dir dir);

/* True and consumed if the next part is NULL; otherwise nothing is consumed. */
bool key_get_null(struct rd *r, enum key_dir dir);
bool key_get_bool(struct rd *r, enum key_dir dir);
int64_t key_get_int(struct rd *r, enum key_dir dir);
double key_get_double(struct rd *r, enum key_dir dir);
/* Points into the input where nothing is escaped there, otherwise into mem. */
struct bytes key_get_bytes(struct rd *r, enum key_dir dir, struct arena *mem);

/* The smallest key above every key that begins with b's content: b is changed in place. False if
 * there is none (all bytes 0xff); b then is unchanged. */
bool key_prefix_end(struct buf *b);

#endif
