/*
 * time.h - `meridian time`. Called once, by main.
 */
#ifndef MRD_TOOLS_MERIDIAN_TIME_H
#define MRD_TOOLS_MERIDIAN_TIME_H

int cmd_time(int argc, char **argv); /* returns an exit code */

#endif
