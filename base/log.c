#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum { LINE_MAX_BYTES = 1024 };

struct logger {
    int fd; /* borrowed */
    _Atomic int level;
    char node[32];
};

struct logger *log_new(int fd, enum log_level level, const char *node)
{
    struct logger *log = xcalloc(1, sizeof *log);

    log->fd = fd;
    log->level = (int)level;
    if (node != NULL)
        (void)snprintf(log->node, sizeof log->node, "%s", node); /* a long name is cut */
    return log;
}

void log_free(struct logger *log)
{
    free(log);
}

void log_set_level(struct logger *log, enum log_level level)
{
    log->level = (int)level;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR:
        return "error";
    case LOG_WARN:
        return "warn";
    case LOG_INFO:
        return "info";
    case LOG_DEBUG:
        return "debug";
    }
    return "invalid";
}

static int put_time(char *out, size_t size)
{
    struct timespec ts;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    return snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", tm.tm_year + 1900,
                    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000);
}

static size_t clamp(int n, size_t room)
{
    return n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

void log_event(struct logger *log, enum log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    size_t n;
    va_list ap;

    if (log == NULL || log->fd < 0 ||
        (int)level > atomic_load_explicit(&log->level, memory_order_relaxed))
        return;
    n = clamp(put_time(line, sizeof line), sizeof line);
    n += clamp(snprintf(line + n, sizeof line - n, " %s %s%s%s ", level_name(level),
                        log->node[0] != '\0' ? log->node : "", log->node[0] != '\0' ? " " : "",
                        event),
               sizeof line - n);
    va_start(ap, fmt);
    n += clamp(vsnprintf(line + n, sizeof line - n, fmt, ap), sizeof line - n);
    va_end(ap);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = ' '; /* one event is one line */
    line[n < sizeof line - 1 ? n++ : n - 1] = '\n';
    if (write(log->fd, line, n) < 0)
        return; /* a log that cannot be written has nowhere to say so */
}

void log_err(struct logger *log, enum log_level level, const char *event, const struct err *err)
{
    const char *file = err->file == NULL ? "?" : err->file;
    const char *base = strrchr(file, '/');

    log_event(log, level, event, "status=%s sqlstate=%s at=%s:%d what=\"%s\"%s%s%s",
              status_name(err->st), err->sqlstate, base == NULL ? file : base + 1, err->line,
              err->msg, err->detail[0] != '\0' ? " detail=\"" : "", err->detail,
              err->detail[0] != '\0' ? "\"" : "");
}
