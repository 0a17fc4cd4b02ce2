/*
 * timestamp.h - points in time as text: PostgreSQL's ISO style, in UTC or a fixed offset.
 *
 * A timestamp is microseconds since the Unix epoch, proleptic Gregorian, 4714 BC to 294246 AD, or one of the
 * infinities. Pure functions; no threads, no clock.
 */
#ifndef MRD_SQL_TIMESTAMP_H
#define MRD_SQL_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define TIMESTAMP_INFINITY     INT64_MAX
#define TIMESTAMP_NEG_INFINITY INT64_MIN
/* 2000-01-01 UTC, from which PostgreSQL's wire counts. */
#define TIMESTAMP_PG_EPOCH_US INT64_C(946684800000000)
/* First and last microsecond that a finite timestamp may have. */
#define TIMESTAMP_MIN INT64_C(-210866803200000000)
#define TIMESTAMP_MAX INT64_C(9223371244799999999) /* 294246-12-31: days of room for zones */

enum { TIMESTAMP_TEXT_MAX = 64 };

struct civil {
    int64_t year; /* astronomical: 0 is 1 BC */
    int month;    /* 1..12 */
    int day;      /* 1..31 */
    int hour;
    int minute;
    int second;
    int us;
};

/* Calendar fields as seen zone_s seconds east of UTC. ts must be finite. */
struct civil civil_of(int64_t ts, int32_t zone_s);
/* 22008 if it is out of range. Fields beyond their range carry over. */
enum status civil_to_timestamp(const struct civil *c, int32_t zone_s, int64_t *out,
                               struct err *err) MRD_CHECKED;
int civil_weekday(const struct civil *c);     /* 0 is Sunday */
int civil_day_of_year(const struct civil *c); /* 1.. */
int civil_iso_week(const struct civil *c, int64_t *out_year);

/* Text in: ISO dates and times, with or without zone, 'now', 'today', 'epoch', 'infinity' ... `zone_s` is the
 * session's zone, for text without one. 22007, 22008, 22009. */
enum status timestamp_from_text(struct bytes text, int32_t zone_s, int64_t now_us, int64_t *out,
                                struct err *err) MRD_CHECKED;
/* "2024-02-29 12:00:00.5+00"; returns the length. */
size_t timestamp_text(int64_t ts, int32_t zone_s, char out[TIMESTAMP_TEXT_MAX]);

/* A zone as in SET TIME ZONE: "UTC", "+02", "-03:30", "GMT" ... False if it is not known. */
bool timestamp_zone(const char *name, int32_t *out_zone_s);

#endif
