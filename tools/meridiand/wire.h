/*
 * wire.h - one PostgreSQL v3 connection as bytes: buffered messages in, buffered messages out.
 *
 * Hides the socket and the byte order. Reading takes as much as the socket has in one call and hands out whole
 * messages; writing gathers messages and sends them in one call at wire_flush(). Lengths that the peer
 * claims are checked before memory is taken for them. Thread: a wire belongs to one connection thread.
 */
#ifndef MRD_TOOLS_MERIDIAND_WIRE_H
#define MRD_TOOLS_MERIDIAND_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    WIRE_IN_SIZE = 16 * 1024,     /* read buffer of a quiet connection */
    WIRE_IN_KEEP = 256 * 1024,    /* a read buffer larger than this is given back when empty */
    WIRE_OUT_SOFT = 64 * 1024,    /* a result longer than this is sent in parts */
    WIRE_OUT_KEEP = 128 * 1024,   /* a write buffer larger than this is given back */
    WIRE_STARTUP_MAX = 10 * 1024, /* a start-up packet, as PostgreSQL limits it */
    WIRE_MESSAGE_MAX = 64 * 1024 * 1024
};

struct wire {
    int fd;      /* borrowed */
    bool broken; /* a send failed: the rest is dropped, the next read ends the connection */
    uint8_t *in;
    size_t in_cap, in_at, in_end; /* unread bytes are in[in_at, in_end) */
    struct buf out;
    int64_t deadline_mono_ns;    /* of reading, 0 none: a client that drips bytes ends too */
    int64_t bytes_in, bytes_out; /* for the metrics */
};

struct wire_msg {
    uint8_t type;      /* 0 for a start-up packet */
    struct bytes body; /* good until the next read */
};

enum wire_result {
    WIRE_OK,
    WIRE_EOF,     /* the peer is gone, orderly or not */
    WIRE_TIMEOUT, /* nothing came within the socket's receive timeout */
    WIRE_BAD,     /* a length that no message can have */
    WIRE_TOO_BIG  /* longer than this server takes */
};

void wire_init(struct wire *w, int fd);
void wire_fini(struct wire *w);

enum wire_result wire_read_startup(struct wire *w, struct wire_msg *out);
enum wire_result wire_read(struct wire *w, struct wire_msg *out);
/* Bytes have been received that no message has taken yet. */
bool wire_has_input(const struct wire *w);

/* Sends what has gathered. False (and broken) if the peer is gone. */
bool wire_flush(struct wire *w);
/* Sends only if much has gathered: for the middle of a result. */
bool wire_flush_if_full(struct wire *w);

/* A message: begin, put, end. Begin returns the handle that end wants. */
size_t wire_begin(struct wire *w, char type);
void wire_end(struct wire *w, size_t handle);
void wire_put_u8(struct wire *w, uint8_t v);
void wire_put_u16(struct wire *w, uint16_t v);
void wire_put_u32(struct wire *w, uint32_t v);
void wire_put_str(struct wire *w, const char *s); /* with its terminating zero */
void wire_set_u32(struct buf *out, size_t at, uint32_t v);

/* Reads a body front to back; after the first thing that is wrong, `bad` is set and all reads give zero. */
struct wire_rd {
    const uint8_t *ptr, *end;
    bool bad;
};
struct wire_rd wire_rd_of(struct bytes body);
uint8_t wire_get_u8(struct wire_rd *r);
uint16_t wire_get_u16(struct wire_rd *r);
uint32_t wire_get_u32(struct wire_rd *r);
const char *wire_get_str(struct wire_rd *r); /* "" if bad; points into the body */
struct bytes wire_get_raw(struct wire_rd *r, size_t len);
/* All was there, and nothing is left over. */
bool wire_rd_done(const struct wire_rd *r);

#endif
