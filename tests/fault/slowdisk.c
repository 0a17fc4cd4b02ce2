/* libslowdisk.so, preloaded: a disk that is slow to sync, or fails to. The file SLOWDISK_CONTROL says how, at each
 * sync anew: a number of milliseconds that every fsync and fdatasync takes, or `fail`: they return EIO. No file: as
 * fast as the disk is. A preloaded library has one instance, so what it remembers is global: nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* True: the sync is to fail. Otherwise the time it is to take has passed. */
static bool suffer(void)
{
    const char *path = getenv("SLOWDISK_CONTROL");
    char text[32] = "";
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    long ms;

    if (fd < 0)
        return false;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    (void)close(fd);
    if (strncmp(text, "fail", 4) == 0)
        return true;
    ms = strtol(text, NULL, 10);
    if (ms > 0)
        (void)nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    return false;
}

static int sync_through(int fd, long number)
{
    if (suffer()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(number, fd);
}

int fsync(int fd)
{
    return sync_through(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_through(fd, SYS_fdatasync);
}
