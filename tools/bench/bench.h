/*
 * bench.h - `meridian bench`: measured through the driver, as users would. Called once, by the command.
 */
#ifndef MRD_TOOLS_BENCH_BENCH_H
#define MRD_TOOLS_BENCH_BENCH_H

int cmd_bench(int argc, char **argv); /* returns an exit code */

#endif
