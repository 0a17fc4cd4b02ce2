/*
 * frame.h - versioned, checksummed, length-prefixed frames: the unit on every wire and in records
 * that must be believed.
 *
 * Layout, little-endian: u32 length of the payload; u32 crc32c of all that follows
 * these 8 bytes; u16 magic 'MF'; u8 version; u8 kind; then the payload. A reader refuses another magic, a version
 * outside [FRAME_VERSION_MIN, FRAME_VERSION], a length above its limit, a wrong checksum: each with
 * its own message, SQLSTATE 08P01, and the connection is over.
 */
#ifndef MRD_BASE_FRAME_H
#define MRD_BASE_FRAME_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

enum { FRAME_HEADER = 12, FRAME_VERSION_MIN = 1, FRAME_VERSION = 1 };

uint32_t crc32c(uint32_t crc, const void *ptr, size_t len); /* Castagnoli; start with 0 */

/* Begin a frame in b; returns where it starts. Append the payload to b, then end it. */
size_t frame_begin(struct buf *b, uint8_t kind);
void frame_end(struct buf *b, size_t at);

struct frame {
    uint8_t version;
    uint8_t kind;
    struct bytes payload; /* points into the input */
    size_t size;          /* whole frame, header included */
};

/* ST_OK: *out is filled. ST_RETRY: more bytes are needed (err untouched). ST_REJECT: damaged. */
enum status frame_parse(struct bytes in, size_t max_payload, struct frame *out,
                        struct err *err) MRD_CHECKED;

#endif
