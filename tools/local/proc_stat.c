#include "tools/local/proc_stat.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Name, user and system seconds of a stat file; false if the thread is gone. */
static bool read_stat(const char *path, struct proc_kind *out)
{
    FILE *f = fopen(path, "re");
    char line[1024], *open_paren, *close_paren;
    unsigned long long user = 0, sys = 0;
    double hz = (double)sysconf(_SC_CLK_TCK);
    bool ok = f != NULL && fgets(line, sizeof line, f) != NULL;

    if (f != NULL)
        (void)fclose(f);
    if (!ok)
        return false;
    open_paren = strchr(line, '(');
    close_paren = strrchr(line, ')');
    if (open_paren == NULL || close_paren == NULL ||
        sscanf(close_paren + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
               &sys) != 2)
        return false;
    (void)snprintf(out->name, sizeof out->name, "%.*s", (int)(close_paren - open_paren - 1),
                   open_paren + 1);
    out->user_s = (double)user / hz;
    out->sys_s = (double)sys / hz;
    return true;
}

/* schedstat counts nanoseconds; stat only ticks of 10 ms, too coarse for many short threads. */
static double exact_cpu_s(const char *task)
{
    char path[352];
    unsigned long long ns = 0;
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/schedstat", task);
    f = fopen(path, "re");
    if (f == NULL)
        return -1;
    if (fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    (void)fclose(f);
    return (double)ns / 1e9;
}

static struct proc_kind *kind_of(struct proc_usage *u, const char *name)
{
    for (size_t i = 0; i < u->n_kinds; i++)
        if (strcmp(u->kind[i].name, name) == 0)
            return &u->kind[i];
    if (u->n_kinds == PROC_KINDS_MAX)
        return &u->kind[PROC_KINDS_MAX - 1];
    u->kind[u->n_kinds] = (struct proc_kind){0};
    (void)snprintf(u->kind[u->n_kinds].name, sizeof u->kind[0].name, "%s", name);
    return &u->kind[u->n_kinds++];
}

/* "worker-3" and "worker-4" are one kind. */
static void strip_number(char *name)
{
    size_t n = strlen(name);

    while (n > 1 && isdigit((unsigned char)name[n - 1]))
        n--;
    while (n > 1 && (name[n - 1] == '-' || name[n - 1] == '/' || name[n - 1] == ':'))
        n--;
    name[n] = '\0';
}

static void add_thread(struct proc_usage *u, const char *task)
{
    char path[352];
    struct proc_kind t = {0}, *k;
    double exact;

    (void)snprintf(path, sizeof path, "%s/stat", task);
    if (!read_stat(path, &t))
        return;
    strip_number(t.name);
    exact = exact_cpu_s(task);
    k = kind_of(u, t.name);
    k->cpu_s += exact >= 0 ? exact : t.user_s + t.sys_s;
    k->user_s += t.user_s;
    k->sys_s += t.sys_s;
}

static void add_threads(struct proc_usage *u, pid_t pid)
{
    char dir[64], task[320];
    struct dirent *e;
    DIR *d;

    (void)snprintf(dir, sizeof dir, "/proc/%d/task", (int)pid);
    d = opendir(dir);
    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL) {
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        (void)snprintf(task, sizeof task, "%s/%s", dir, e->d_name);
        add_thread(u, task);
    }
    (void)closedir(d);
}

static void add_memory(struct proc_usage *u, pid_t pid)
{
    char path[64], line[256];
    FILE *f;
    long kib = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return;
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "Pss: %ld kB", &kib) == 1)
            u->pss_mib += (double)kib / 1024;
        else if (sscanf(line, "Rss: %ld kB", &kib) == 1)
            u->rss_mib += (double)kib / 1024;
    }
    (void)fclose(f);
}

void proc_usage_of(const pid_t *pids, size_t n, struct proc_usage *out)
{
    *out = (struct proc_usage){0};
    for (size_t i = 0; i < n; i++) {
        struct proc_kind whole = {0};
        char path[64];

        (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pids[i]);
        if (read_stat(path, &whole))
            out->cpu_s += whole.user_s + whole.sys_s;
        add_threads(out, pids[i]);
        add_memory(out, pids[i]);
    }
}

/* The exact sum, split as the ticks say; by halves if there were none. */
static void split_exact(struct proc_kind *k)
{
    double ticks = k->user_s + k->sys_s;
    double user = ticks > 0 ? k->user_s / ticks : 0.5;

    k->user_s = k->cpu_s * user;
    k->sys_s = k->cpu_s - k->user_s;
}

struct proc_usage proc_usage_since(const struct proc_usage *a, const struct proc_usage *b)
{
    struct proc_usage d = *a;

    d.cpu_s -= b->cpu_s;
    for (size_t i = 0; i < d.n_kinds; i++) {
        for (size_t j = 0; j < b->n_kinds; j++)
            if (strcmp(d.kind[i].name, b->kind[j].name) == 0) {
                d.kind[i].cpu_s -= b->kind[j].cpu_s;
                d.kind[i].user_s -= b->kind[j].user_s;
                d.kind[i].sys_s -= b->kind[j].sys_s;
            }
        split_exact(&d.kind[i]);
    }
    return d;
}

struct disk_usage disk_usage_of(const char *path)
{
    struct disk_usage d = {0};
    struct stat sb;
    char file[96];
    unsigned long long sectors = 0, flushes = 0;
    FILE *f;

    if (stat(path, &sb) != 0)
        return d;
    (void)snprintf(file, sizeof file, "/sys/dev/block/%u:%u/stat", major(sb.st_dev),
                   minor(sb.st_dev));
    f = fopen(file, "re");
    if (f == NULL)
        return d;
    if (fscanf(f, "%*u %*u %*u %*u %*u %*u %llu %*u %*u %*u %*u %*u %*u %*u %*u %llu", &sectors,
               &flushes) == 2)
        d = (struct disk_usage){.flushes = (int64_t)flushes, .sectors_written = (int64_t)sectors};
    (void)fclose(f);
    return d;
}
