/*
 * fake_backend.h - a backend for the frontend's tests: the calls of sql/session.h over a language of few words.
 *
 *   echo $1 $2 ...   one row of its parameters (types as declared; bigint if not)
 *   rows N           N rows of (n bigint, t text)
 *   begin | commit   transaction state
 *   fail CODE        an error with that SQLSTATE, position 6
 *   failsync         succeeds; the Sync after it fails with 40001
 *   hang             waits until it is cancelled: 57014
 *   notice           a notice, then "NOTICE"
 *   (nothing)        an empty statement
 *
 * Statements of a simple query are separated by semicolons.
 */
#ifndef MRD_TESTS_FRONTEND_FAKE_BACKEND_H
#define MRD_TESTS_FRONTEND_FAKE_BACKEND_H

#include "tools/meridiand/frontend.h"

extern const struct frontend_backend fake_backend;

/* Sessions that are open now, in the whole process. */
int fake_sessions(void);

#endif
