#include "tools/meridian/where.h"

#include <stdlib.h>
#include <string.h>

/* name='value' of libpq's connection string. */
static void put_keyword(struct buf *b, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buf_put(b, name, strlen(name));
    buf_put(b, "='", 2);
    for (; *value != '\0'; value++) {
        if (*value == '\'' || *value == '\\')
            buf_put_u8(b, '\\');
        buf_put_u8(b, (uint8_t)*value);
    }
    buf_put(b, "' ", 2);
}

void where_put(const struct where *w, struct buf *out)
{
    bool flags = w->host != NULL || w->port != NULL || w->user != NULL || w->database != NULL;

    if (w->url != NULL) {
        buf_put(out, w->url, strlen(w->url));
    } else if (flags || getenv("MERIDIAN_URL") == NULL) {
        const char *user = w->user != NULL ? w->user : getenv("PGUSER");

        put_keyword(out, "host", w->host != NULL ? w->host : "127.0.0.1");
        put_keyword(out, "port", w->port != NULL ? w->port : "5433");
        put_keyword(out, "user", user != NULL ? user : getenv("USER"));
        put_keyword(out, "dbname", w->database != NULL ? w->database : "meridian");
    }
    buf_put_u8(out, 0);
}
