#include "tools/demo/tree.h"

#include <fts.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"

/* Bytes that the first byte of a UTF-8 character announces, 0 if none starts with it. */
static size_t utf8_announced(unsigned char c)
{
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c < 0xe0)
        return 2;
    if (c >= 0xe0 && c < 0xf0)
        return 3;
    return c >= 0xf0 && c < 0xf5 ? 4 : 0;
}

/* Length of the UTF-8 character at s, 0 if there is none: overlong forms and surrogates are none. */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = utf8_announced(s[0]);

    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)))
        return 0;
    if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)))
        return 0;
    return n;
}

/* A file's name is bytes; a column of text is not. */
static char *clean_path(const char *path)
{
    char *copy = xstrdup(path);

    for (char *p = copy; *p != '\0';) {
        size_t n = utf8_length((unsigned char *)p);

        if (n == 0)
            *p = '?';
        p += n == 0 ? 1 : n;
    }
    return copy;
}

/* Length of the namespace's name at the front of the path. */
static size_t namespace_length(const FTSENT *e, size_t root_len)
{
    const char *rest = e->fts_path + root_len;

    if (e->fts_level <= 1)
        return root_len;
    rest += strspn(rest, "/");
    return (size_t)(rest - e->fts_path) + strcspn(rest, "/");
}

/* The root's own files come between the others', so every namespace is looked at. */
static uint32_t namespace_of(struct tree *t, const FTSENT *e, size_t root_len)
{
    size_t len = namespace_length(e, root_len);
    struct tree_namespace *ns;

    for (size_t i = t->n_namespaces; i > 0; i--) {
        ns = &t->namespaces[i - 1];
        if (strlen(ns->name) == len && strncmp(ns->name, e->fts_path, len) == 0)
            return (uint32_t)(i - 1);
    }
    if (t->n_namespaces == TREE_NAMESPACES_MAX)
        return TREE_NAMESPACES_MAX - 1; /* what is left shares the last */
    ns = &t->namespaces[t->n_namespaces++];
    ns->uid = e->fts_statp->st_uid;
    ns->name = xmalloc(len + 1);
    memcpy(ns->name, e->fts_path, len);
    ns->name[len] = '\0';
    return (uint32_t)(t->n_namespaces - 1);
}

static void add_file(struct tree *t, size_t *cap, const FTSENT *e, size_t root_len)
{
    uint32_t ns = namespace_of(t, e, root_len);
    struct tree_file *f;
    const char *slash;

    if (t->n_files == *cap) {
        *cap = *cap == 0 ? 4096 : *cap * 2;
        t->files = xrealloc(t->files, *cap * sizeof *t->files);
    }
    f = &t->files[t->n_files++];
    *f = (struct tree_file){.path = clean_path(e->fts_path),
                            .ns = ns,
                            .file_id = ++t->namespaces[ns].n_files,
                            .mode = e->fts_statp->st_mode & 07777,
                            .uid = e->fts_statp->st_uid,
                            .size = e->fts_statp->st_size,
                            .mtime_s = e->fts_statp->st_mtime};
    slash = strrchr(f->path, '/');
    f->dir_len = slash == NULL ? 0 : (uint32_t)(slash - f->path);
    t->namespaces[ns].bytes += f->size;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

bool tree_read(const char *root, size_t max, struct tree *out)
{
    char *root_copy = xstrdup(root), *paths[] = {root_copy, NULL};
    size_t cap = 0, root_len = strlen(root);
    FTSENT *e;
    FTS *fts;

    *out = (struct tree){0};
    while (root_len > 1 && root_copy[root_len - 1] == '/')
        root_copy[--root_len] = '\0';
    fts = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, by_name);
    while (fts != NULL && (max == 0 || out->n_files < max) && (e = fts_read(fts)) != NULL)
        if (e->fts_info == FTS_F || e->fts_info == FTS_SL || e->fts_info == FTS_SLNONE)
            add_file(out, &cap, e, root_len);
    if (fts != NULL)
        (void)fts_close(fts);
    free(root_copy);
    return out->n_files != 0;
}

void tree_free(struct tree *t)
{
    for (size_t i = 0; i < t->n_files; i++)
        free(t->files[i].path);
    for (size_t i = 0; i < t->n_namespaces; i++)
        free(t->namespaces[i].name);
    free(t->files);
}

void tree_owner(uid_t uid, char *out, size_t size)
{
    char mem[1024];
    struct passwd pw, *found = NULL;

    if (getpwuid_r(uid, &pw, mem, sizeof mem, &found) == 0 && found != NULL)
        (void)snprintf(out, size, "%s", pw.pw_name);
    else
        (void)snprintf(out, size, "%u", (unsigned)uid);
}
