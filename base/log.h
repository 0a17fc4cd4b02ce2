/*
 * log.h - the structured log: one line an event, `time level module event key=value ...`.
 *
 * Levels: error: somebody must act. warn: it healed, but look. info: a state changed that an
 * operator knows by name. debug: off unless asked for. Nothing per row or per message above debug;
 * user data and passwords never. Thread: any thread; each line is one write(2).
 */
#ifndef MRD_BASE_LOG_H
#define MRD_BASE_LOG_H

#include "base/status.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct logger;

/* Writes to fd (borrowed; -1 discards). `node` stands in every line, NULL for none. */
struct logger *log_new(int fd, enum log_level level, const char *node);
void log_free(struct logger *log);
void log_set_level(struct logger *log, enum log_level level);

/* event is "module.noun"; fmt gives "key=value key=value". log may be NULL: nothing is written. */
void log_event(struct logger *log, enum log_level level, const char *event, const char *fmt, ...)
    MRD_PRINTF(4, 5);

/* Logs an err with its place. */
void log_err(struct logger *log, enum log_level level, const char *event, const struct err *err);

#endif
