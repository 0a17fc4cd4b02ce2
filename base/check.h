/*
 * check.h - assertions: what we can prove, said where it holds.
 *
 * ASSERT is always on; a failure prints the condition with its place and aborts the process.
 * DCHECK is for proofs that cost more than a few compares: debug and sanitizer builds only.
 */
#ifndef MRD_BASE_CHECK_H
#define MRD_BASE_CHECK_H

#define ASSERT(x) ((x) ? (void)0 : check_failed(#x, __FILE__, __LINE__))

#ifdef NDEBUG
#define DCHECK(x) ((void)sizeof((x) ? 1 : 0))
#else
#define DCHECK(x) ASSERT(x)
#endif

_Noreturn void check_failed(const char *what, const char *file, int line);

/* Allocation that ends the process when memory runs out: a restart is a case that is handled. */
void *xmalloc(unsigned long size) __attribute__((malloc, returns_nonnull));
void *xcalloc(unsigned long count, unsigned long size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *ptr, unsigned long size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));

#endif
