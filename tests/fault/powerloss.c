/* libpowerloss.so, preloaded: keeps a journal of how to undo every write, and every change of names, that
 * has not been synced. See README.md. A preloaded library has one instance, so its state is global. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "powerloss_journal.h"

enum { FDS_MAX = 65536, BUCKETS = 1024, RECORD_BYTES_MAX = 1 << 30 };

/* A file or directory below the root, by inode: its name may change. Never freed. */
struct file {
    ino_t ino;
    dev_t dev;
    bool is_dir;
    pthread_mutex_t mu; /* a write with its record, a sync with its forgetting: one at a time */
    int undo_fd;        /* -1: not open yet */
    struct file *next;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char root[PATH_MAX], journal[PATH_MAX]; /* empty root: nothing is watched */
static _Atomic(struct file *) by_fd[FDS_MAX];
/* Order: names_mu before a file's mu before files_mu. */
static pthread_mutex_t names_mu =
    PTHREAD_MUTEX_INITIALIZER; /* names below the root, and .ops files */
static pthread_mutex_t files_mu = PTHREAD_MUTEX_INITIALIZER; /* guards buckets */
static struct file *buckets[BUCKETS];
static atomic_uint n_victims;

/* The kernel is called directly: the library's wrappers are the very names defined below. */
static int sys_open(int dir, const char *path, int flags, mode_t mode)
{
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static void sys_close(int fd)
{
    syscall(SYS_close, fd);
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "powerloss: %s: %s\n", what, strerror(errno));
    abort();
}

/* -- where things are -- */

/* Absolute, without links or dots; the last component need not exist. False: no such directory. */
static bool canonical(int dir, const char *path, char out[PATH_MAX])
{
    char full[PATH_MAX], *slash;
    int n = 0;

    if (path[0] != '/' && dir == AT_FDCWD)
        n = getcwd(full, sizeof full) == NULL ? -1 : (int)strlen(full);
    else if (path[0] != '/') {
        char link[64];

        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        n = (int)readlink(link, full, sizeof full - 1);
    }
    if (n < 0 || (size_t)snprintf(full + n, sizeof full - (size_t)n, "%s%s", n > 0 ? "/" : "",
                                  path) >= sizeof full - (size_t)n)
        return false;
    if (realpath(full, out) != NULL)
        return true;
    slash = strrchr(full, '/');
    *slash = '\0';
    if (slash[1] == '\0' || realpath(slash == full ? "/" : full, out) == NULL)
        return false;
    n = (int)strlen(out);
    return (size_t)snprintf(out + n, PATH_MAX - (size_t)n, "/%s", slash + 1) < PATH_MAX - (size_t)n;
}

static void start(void)
{
    const char *dir = getenv("POWERLOSS_DIR"), *side = getenv("POWERLOSS_JOURNAL");

    if (dir == NULL || side == NULL)
        return;
    if (syscall(SYS_mkdir, side, 0700) != 0 && errno != EEXIST)
        give_up(side);
    if (!canonical(AT_FDCWD, side, journal) || !canonical(AT_FDCWD, dir, root))
        give_up(dir);
}

/* Path below the root (or the root itself): its canonical form in out. */
static bool watched(int dir, const char *path, char out[PATH_MAX])
{
    size_t n;

    pthread_once(&once, start);
    n = strlen(root);
    return n > 0 && canonical(dir, path, out) && strncmp(out, root, n) == 0 &&
           (out[n] == '/' || out[n] == '\0');
}

static void journal_path(char out[PATH_MAX], const char *name)
{
    if ((size_t)snprintf(out, PATH_MAX, "%s/%s", journal, name) >= PATH_MAX)
        give_up("journal path");
}

static void undo_path(char out[PATH_MAX], const struct file *f)
{
    char name[64];

    snprintf(name, sizeof name, "f%lu.undo", f->ino);
    journal_path(out, name);
}

static void ops_path(char out[PATH_MAX], const struct file *dir)
{
    char name[64];

    snprintf(name, sizeof name, "d%lu.ops", dir->ino);
    journal_path(out, name);
}

static struct file *file_of(const struct stat *sb)
{
    struct file *f;

    pthread_mutex_lock(&files_mu);
    for (f = buckets[sb->st_ino % BUCKETS]; f != NULL; f = f->next)
        if (f->ino == sb->st_ino && f->dev == sb->st_dev)
            break;
    if (f == NULL) {
        f = calloc(1, sizeof *f);
        if (f == NULL)
            give_up("memory");
        f->ino = sb->st_ino;
        f->dev = sb->st_dev;
        f->is_dir = S_ISDIR(sb->st_mode);
        f->undo_fd = -1;
        pthread_mutex_init(&f->mu, NULL);
        f->next = buckets[f->ino % BUCKETS];
        buckets[f->ino % BUCKETS] = f;
    }
    pthread_mutex_unlock(&files_mu);
    return f;
}

/* The watched file behind fd; sb tells its size. A descriptor may have been closed behind our back and
 * come to mean something else: the inode decides. */
static struct file *file_at(int fd, struct stat *sb)
{
    struct file *f = fd < 0 || fd >= FDS_MAX ? NULL : atomic_load(&by_fd[fd]);

    if (f == NULL || fstat(fd, sb) != 0)
        return NULL;
    if (f->ino == sb->st_ino && f->dev == sb->st_dev)
        return f;
    atomic_store(&by_fd[fd], NULL);
    return NULL;
}

/* -- undo of content -- */

/* Cuts off a record that a killed process left half written. */
static void mend_tail(int fd)
{
    struct undo_record r;
    struct stat sb;
    off_t at = 0;

    if (fstat(fd, &sb) != 0)
        give_up("undo file");
    while (pread(fd, &r, sizeof r, at) == sizeof r && r.magic == UNDO_MAGIC &&
           at + (off_t)sizeof r + r.old_len <= sb.st_size)
        at += (off_t)sizeof r + r.old_len;
    if (at != sb.st_size && syscall(SYS_ftruncate, fd, at) != 0)
        give_up("undo file");
}

static int undo_fd_locked(struct file *f)
{
    char path[PATH_MAX];

    if (f->undo_fd < 0) {
        undo_path(path, f);
        f->undo_fd = sys_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (f->undo_fd < 0)
            give_up(path);
        mend_tail(f->undo_fd);
    }
    return f->undo_fd;
}

/* Notes what stands at [offset, offset + len) before it changes. */
static void note_change_locked(struct file *f, int fd, const struct stat *sb, off_t offset,
                               size_t len)
{
    char link[64];
    size_t old_len = offset >= sb->st_size                  ? 0
                     : len < (size_t)(sb->st_size - offset) ? len
                                                            : (size_t)(sb->st_size - offset);
    struct undo_record r = {.magic = UNDO_MAGIC,
                            .old_len = (uint32_t)old_len,
                            .offset = (uint64_t)offset,
                            .len = len,
                            .old_size = (uint64_t)sb->st_size};
    void *old = malloc(old_len + 1);
    struct iovec parts[2] = {{&r, sizeof r}, {old, old_len}};
    int reader = fd;

    if (old == NULL || old_len > RECORD_BYTES_MAX)
        give_up("memory");
    if (old_len > 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        reader = sys_open(AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    }
    if (old_len > 0 && pread(reader, old, old_len, offset) != (ssize_t)old_len)
        give_up("reading old bytes");
    if (syscall(SYS_writev, undo_fd_locked(f), parts, 2) != (long)(sizeof r + old_len))
        give_up("writing old bytes");
    if (reader != fd)
        sys_close(reader);
    free(old);
}

static ssize_t write_at(struct file *f, int fd, const struct stat *seen, const void *buf, size_t n,
                        off_t offset)
{
    struct stat sb = *seen;
    ssize_t done = -1;

    pthread_mutex_lock(&f->mu);
    if (fstat(fd, &sb) == 0) {
        note_change_locked(f, fd, &sb, offset, n);
        done = syscall(SYS_pwrite64, fd, buf, n, offset);
    }
    pthread_mutex_unlock(&f->mu);
    return done;
}

static int truncate_to(struct file *f, int fd, off_t size)
{
    struct stat sb;
    int ret = -1;

    pthread_mutex_lock(&f->mu);
    if (fstat(fd, &sb) == 0) {
        if (size < sb.st_size)
            note_change_locked(f, fd, &sb, size, (size_t)(sb.st_size - size));
        else
            note_change_locked(f, fd, &sb, sb.st_size, 0);
        ret = (int)syscall(SYS_ftruncate, fd, size);
    }
    pthread_mutex_unlock(&f->mu);
    return ret;
}

static int allocate(struct file *f, int fd, int mode, off_t offset, off_t len)
{
    struct stat sb;
    int ret = -1;

    pthread_mutex_lock(&f->mu);
    if (fstat(fd, &sb) == 0) {
        /* Anything but room asked for (punching, zeroing) changes what stands there. */
        note_change_locked(f, fd, &sb, offset,
                           (mode & ~FALLOC_FL_KEEP_SIZE) == 0 ? 0 : (size_t)len);
        ret = (int)syscall(SYS_fallocate, fd, mode, offset, len);
    }
    pthread_mutex_unlock(&f->mu);
    return ret;
}

/* -- undo of names -- */

static struct file *parent_of(const char *path, const char **out_name)
{
    char dir[PATH_MAX];
    struct stat sb;
    const char *slash = strrchr(path, '/');

    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    if (stat(dir, &sb) != 0 || strchr(slash, '\n') != NULL)
        give_up(path);
    *out_name = slash + 1;
    return file_of(&sb);
}

static void note_names_locked(const struct file *dir, const char *op, const char *a, const char *b,
                              const char *c)
{
    char path[PATH_MAX], line[3 * NAME_MAX + 16];
    int n = snprintf(line, sizeof line, "%s/%s%s%s%s%s\n", op, a, b == NULL ? "" : "/",
                     b == NULL ? "" : b, c == NULL ? "" : "/", c == NULL ? "" : c);
    int fd;

    ops_path(path, dir);
    fd = sys_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || n >= (int)sizeof line || syscall(SYS_write, fd, line, n) != n)
        give_up(path);
    sys_close(fd);
}

/* Gives a file about to lose its name a second one in the journal. An empty victim: there is no such file. */
static void save_victim_locked(const char *path, char victim[64])
{
    char side[PATH_MAX];

    for (;;) {
        snprintf(victim, 64, "v%d.%u", (int)getpid(), atomic_fetch_add(&n_victims, 1));
        journal_path(side, victim);
        if (link(path, side) == 0)
            return;
        if (errno == ENOENT) {
            victim[0] = '\0';
            return;
        }
        if (errno != EEXIST)
            give_up(side);
    }
}

static void forget_names_locked(const struct file *dir)
{
    char path[PATH_MAX], line[3 * NAME_MAX + 16], side[PATH_MAX];
    FILE *ops;

    ops_path(path, dir);
    ops = fopen(path, "r");
    if (ops == NULL)
        return;
    while (fgets(line, sizeof line, ops) != NULL) {
        const char *victim = strrchr(line, '/') + 1;
        bool has_one = strncmp(line, "unlink/", 7) == 0 || strncmp(line, "rename/", 7) == 0;

        line[strcspn(line, "\n")] = '\0';
        if (has_one && victim[0] != '\0') {
            journal_path(side, victim);
            syscall(SYS_unlink, side);
        }
    }
    fclose(ops);
    if (syscall(SYS_unlink, path) != 0)
        give_up(path);
}

static int sync_through(int fd, long call)
{
    struct stat sb;
    struct file *f = file_at(fd, &sb);
    pthread_mutex_t *mu;
    int ret;

    if (f == NULL)
        return (int)syscall(call, fd);
    mu = f->is_dir ? &names_mu : &f->mu;
    pthread_mutex_lock(mu);
    ret = (int)syscall(call, fd);
    if (ret == 0 && f->is_dir)
        forget_names_locked(f);
    else if (ret == 0 && syscall(SYS_ftruncate, undo_fd_locked(f), 0) != 0)
        give_up("undo file");
    pthread_mutex_unlock(mu);
    return ret;
}

/* -- opening -- */

/* A new file begins without a past, though its inode number may have had one. */
static void begin_anew(struct file *f)
{
    pthread_mutex_lock(&f->mu);
    if (syscall(SYS_ftruncate, undo_fd_locked(f), 0) != 0)
        give_up("undo file");
    pthread_mutex_unlock(&f->mu);
}

static int open_watched_locked(int dir, const char *path, const char *full, int flags, mode_t mode)
{
    struct stat sb;
    struct file *f;
    const char *name;
    bool is_new = (flags & O_CREAT) != 0 && lstat(full, &sb) != 0;
    int fd;

    if ((flags & O_DSYNC) != 0) {
        fprintf(stderr, "powerloss: %s: files opened for synchronous writes are not supported\n",
                full);
        errno = EINVAL;
        return -1;
    }
    if (is_new) {
        f = parent_of(full, &name);
        note_names_locked(f, "create", name, NULL, NULL);
    }
    fd = sys_open(dir, path, flags & ~O_TRUNC, mode);
    if (fd < 0 || fd >= FDS_MAX || fstat(fd, &sb) != 0 ||
        !(S_ISREG(sb.st_mode) || S_ISDIR(sb.st_mode)))
        return fd;
    f = file_of(&sb);
    atomic_store(&by_fd[fd], f);
    if (is_new)
        begin_anew(f);
    else if ((flags & O_TRUNC) != 0 && (flags & O_ACCMODE) != O_RDONLY &&
             truncate_to(f, fd, 0) != 0)
        give_up(full);
    return fd;
}

static int open_any(int dir, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    int fd;

    if (!watched(dir, path, full)) {
        fd = sys_open(dir, path, flags, mode);
        if (fd >= 0 && fd < FDS_MAX)
            atomic_store(&by_fd[fd], NULL);
        return fd;
    }
    pthread_mutex_lock(&names_mu);
    fd = open_watched_locked(dir, path, full, flags, mode);
    pthread_mutex_unlock(&names_mu);
    return fd;
}

static mode_t mode_of(int flags, va_list ap)
{
    return (flags & (O_CREAT | O_TMPFILE)) == 0 ? 0 : (mode_t)va_arg(ap, int);
}

/* -- the calls -- */

int open(const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    return open_any(dir, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int close(int fd)
{
    if (fd >= 0 && fd < FDS_MAX)
        atomic_store(&by_fd[fd], NULL);
    return (int)syscall(SYS_close, fd);
}

static int adopt(int fd, int copy)
{
    if (copy >= 0 && copy < FDS_MAX)
        atomic_store(&by_fd[copy], fd < FDS_MAX ? atomic_load(&by_fd[fd]) : NULL);
    return copy;
}

int dup(int fd)
{
    return adopt(fd, (int)syscall(SYS_dup, fd));
}

int dup2(int fd, int copy)
{
    return fd == copy ? fd : adopt(fd, (int)syscall(SYS_dup3, fd, copy, 0));
}

int dup3(int fd, int copy, int flags)
{
    return adopt(fd, (int)syscall(SYS_dup3, fd, copy, flags));
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    struct stat sb;
    struct file *f = file_at(fd, &sb);

    return f == NULL ? syscall(SYS_pwrite64, fd, buf, n, offset)
                     : write_at(f, fd, &sb, buf, n, offset);
}

ssize_t write(int fd, const void *buf, size_t n)
{
    struct stat sb;
    struct file *f = file_at(fd, &sb);
    off_t at;
    ssize_t done;

    if (f == NULL)
        return syscall(SYS_write, fd, buf, n);
    at = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? sb.st_size : lseek(fd, 0, SEEK_CUR);
    done = write_at(f, fd, &sb, buf, n, at);
    if (done > 0 && lseek(fd, at + done, SEEK_SET) < 0)
        give_up("seek");
    return done;
}

static ssize_t refuse(const char *call)
{
    fprintf(stderr, "powerloss: %s on a watched file is not supported\n", call);
    errno = ENOSYS;
    return -1;
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    struct stat sb;

    return file_at(fd, &sb) == NULL ? syscall(SYS_writev, fd, parts, n) : refuse("writev");
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
    struct stat sb;

    return file_at(fd, &sb) == NULL ? syscall(SYS_pwritev, fd, parts, n, offset, 0)
                                    : refuse("pwritev");
}

int ftruncate(int fd, off_t size)
{
    struct stat sb;
    struct file *f = file_at(fd, &sb);

    return f == NULL ? (int)syscall(SYS_ftruncate, fd, size) : truncate_to(f, fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    struct stat sb;
    struct file *f = file_at(fd, &sb);

    return f == NULL ? (int)syscall(SYS_fallocate, fd, mode, offset, len)
                     : allocate(f, fd, mode, offset, len);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
    return fallocate(fd, 0, offset, len) == 0 ? 0 : errno;
}

int fsync(int fd)
{
    return sync_through(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_through(fd, SYS_fdatasync);
}

int rename(const char *from, const char *to)
{
    char full_from[PATH_MAX], full_to[PATH_MAX], victim[64];
    const char *name_from, *name_to;
    struct file *dir;
    int ret;

    if (!watched(AT_FDCWD, from, full_from) || !watched(AT_FDCWD, to, full_to))
        return (int)syscall(SYS_rename, from, to);
    pthread_mutex_lock(&names_mu);
    dir = parent_of(full_from, &name_from);
    if (dir != parent_of(full_to, &name_to)) {
        pthread_mutex_unlock(&names_mu);
        return (int)refuse("rename to another directory");
    }
    save_victim_locked(full_to, victim);
    note_names_locked(dir, "rename", name_from, name_to, victim);
    ret = (int)syscall(SYS_rename, from, to);
    pthread_mutex_unlock(&names_mu);
    return ret;
}

int unlink(const char *path)
{
    char full[PATH_MAX], victim[64];
    const char *name;
    struct file *dir;
    int ret;

    if (!watched(AT_FDCWD, path, full))
        return (int)syscall(SYS_unlink, path);
    pthread_mutex_lock(&names_mu);
    save_victim_locked(full, victim);
    if (victim[0] != '\0') {
        dir = parent_of(full, &name);
        note_names_locked(dir, "unlink", name, victim, NULL);
    }
    ret = (int)syscall(SYS_unlink, path);
    pthread_mutex_unlock(&names_mu);
    return ret;
}

int remove(const char *path)
{
    struct stat sb;

    return lstat(path, &sb) == 0 && S_ISDIR(sb.st_mode) ? rmdir(path) : unlink(path);
}

int mkdir(const char *path, mode_t mode)
{
    char full[PATH_MAX];
    const char *name;
    struct file *dir;
    struct stat sb;
    int ret;

    if (!watched(AT_FDCWD, path, full) || strcmp(full, root) == 0 || lstat(full, &sb) == 0)
        return (int)syscall(SYS_mkdir, path, mode);
    pthread_mutex_lock(&names_mu);
    dir = parent_of(full, &name);
    note_names_locked(dir, "mkdir", name, NULL, NULL);
    ret = (int)syscall(SYS_mkdir, path, mode);
    pthread_mutex_unlock(&names_mu);
    return ret;
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    struct stat sb;

    if ((prot & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0 && file_at(fd, &sb) != NULL) {
        (void)refuse("a shared writable mapping");
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

/* The same calls under the names that large-file and fortified builds use. */
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));
int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));
ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t offset)
    __attribute__((alias("pwrite")));
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset)
    __attribute__((alias("pwritev")));
int ftruncate64(int fd, off64_t size) __attribute__((alias("ftruncate")));
int fallocate64(int fd, int mode, off64_t offset, off64_t len) __attribute__((alias("fallocate")));
int posix_fallocate64(int fd, off64_t offset, off64_t len)
    __attribute__((alias("posix_fallocate")));
void *mmap64(void *at, size_t len, int prot, int flags, int fd, off64_t offset)
    __attribute__((alias("mmap")));
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}
int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
