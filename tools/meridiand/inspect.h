/*
 * inspect.h - `meridiand --inspect`: what the groups of a node that does not run hold, from its directory.
 *
 * The engine recovers as at a start; nothing else is changed, no incarnation is taken. A running node's directory
 * is refused by the engine's lock. Rows go to standard output, a tab between cells, names of the columns first.
 */
#ifndef MRD_TOOLS_MERIDIAND_INSPECT_H
#define MRD_TOOLS_MERIDIAND_INSPECT_H

#include "base/status.h"

/* Topics: group_info.h. */
enum status inspect_directory(const char *dir, const char *topic, struct err *err) MRD_CHECKED;

#endif
