/*
 * group.h - `meridian group list|show|log`: the consensus groups of a node. Called once, by main.
 */
#ifndef MRD_TOOLS_MERIDIAN_GROUP_H
#define MRD_TOOLS_MERIDIAN_GROUP_H

int cmd_group(int argc, char **argv); /* returns an exit code */

#endif
