/*
 * tree.h - the files under a directory, as the demo puts them into its tables. Thread: constant after tree_read.
 */
#ifndef MRD_TOOLS_DEMO_TREE_H
#define MRD_TOOLS_DEMO_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TREE_NAMESPACES_MAX = 256 };

struct tree_file {
    char *path;       /* heap; UTF-8, bytes that are none became '?' */
    uint32_t ns;      /* index into namespaces */
    uint32_t dir_len; /* the path's directory */
    int64_t file_id;  /* 1.. within the namespace */
    uint32_t mode;
    uid_t uid;
    int64_t size, mtime_s;
};

/* One for each entry of the root directory that has files, and one for the root's own. */
struct tree_namespace {
    char *name; /* "/usr/share" */
    uid_t uid;
    int64_t n_files, bytes;
};

struct tree {
    struct tree_file *files; /* those of a directory are neighbours */
    size_t n_files;
    struct tree_namespace namespaces[TREE_NAMESPACES_MAX];
    size_t n_namespaces;
};

/* Regular files and links of one file system, at most `max` (0: all). False: there are none. */
bool tree_read(const char *root, size_t max, struct tree *out);
void tree_free(struct tree *t);
/* The user's name, or the number as text. */
void tree_owner(uid_t uid, char *out, size_t size);

#endif
