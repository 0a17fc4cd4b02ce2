/*
 * timed.h - `meridian timed`: a daemon that publishes this machine's time, with its bound, on a page. Called once, by the command.
 */
#ifndef MRD_TOOLS_MERIDIAN_TIMED_H
#define MRD_TOOLS_MERIDIAN_TIMED_H

int cmd_timed(int argc, char **argv); /* returns an exit code */

#endif
