/*
 * group_info.h - what a node's groups hold, as rows for people: all of them, one, or the end of one's log.
 *
 * Topics: "groups" a row for each group; "group_N" names and values of group N; "log_N" its last entries, a row a
 * slot. From a running store, or from the engine of one that does not run. Thread: any.
 */
#ifndef MRD_TOOLS_MERIDIAND_GROUP_INFO_H
#define MRD_TOOLS_MERIDIAND_GROUP_INFO_H

#include <stddef.h>

#include "base/status.h"
#include "storage/store.h"

enum { GROUP_INFO_LOG_MAX = 1000 }; /* slots that "log_N" gives, the last ones */

typedef void (*group_row_fn)(void *row_arg, const char *const *values, size_t n);

/* Ends with NULL; NULL: it is no such topic. */
const char *const *group_info_columns(const char *topic);
void group_info_rows(struct store *s, const char *topic, group_row_fn fn, void *row_arg);
/* ST_FATAL: the log is damaged, and err says where. */
enum status group_info_offline(struct engine *e, const char *topic, group_row_fn fn, void *row_arg,
                               struct err *err) MRD_CHECKED;

#endif
