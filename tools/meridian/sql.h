/*
 * sql.h - `meridian sql`. Called once, by main.
 */
#ifndef MRD_TOOLS_MERIDIAN_SQL_H
#define MRD_TOOLS_MERIDIAN_SQL_H

int cmd_sql(int argc, char **argv); /* returns an exit code */

#endif
