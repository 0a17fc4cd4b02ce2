#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "error check assertion file=%s line=%d what=\"%s\"\n", file, line, what);
    fflush(stderr);
    abort();
}

static void *checked(void *p)
{
    if (p == NULL) {
        fputs("error check out_of_memory\n", stderr);
        abort();
    }
    return p;
}

void *xmalloc(unsigned long size)
{
    return checked(malloc(size == 0 ? 1 : size));
}

void *xcalloc(unsigned long count, unsigned long size)
{
    return checked(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *xrealloc(void *ptr, unsigned long size)
{
    return checked(realloc(ptr, size == 0 ? 1 : size));
}

char *xstrdup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(xmalloc(n), s, n);
}
