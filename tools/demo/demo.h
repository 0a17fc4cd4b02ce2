/*
 * demo.h - `meridian demo`: real nodes, real data, a leader that dies. Called once, by the command.
 */
#ifndef MRD_TOOLS_DEMO_DEMO_H
#define MRD_TOOLS_DEMO_DEMO_H

int cmd_demo(int argc, char **argv); /* returns an exit code */

#endif
