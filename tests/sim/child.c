/* A run in a child process: an assertion of a core that fails is a finding like any other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"

bool sim_child(const struct sim_options *o, struct sim_result *r)
{
    int fd[2];
    pid_t pid;
    int status;
    ssize_t got = 0;

    fflush(stdout);
    if (pipe(fd) != 0)
        exit(2);
    pid = fork();
    if (pid < 0)
        exit(2);
    if (pid == 0) {
        close(fd[0]);
        sim_run(o, r);
        got = write(fd[1], r, sizeof *r);
        exit(got == (ssize_t)sizeof *r ? 0 : 2); /* not _exit: the leak checker has its say */
    }
    close(fd[1]);
    got = read(fd[0], r, sizeof *r);
    close(fd[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (got == (ssize_t)sizeof *r)
        return !r->failed;
    memset(r, 0, sizeof *r);
    r->failed = true;
    r->check = "aborted";
    snprintf(r->why, sizeof r->why, "the run was aborted by an assertion or a signal (%d)",
             WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return false;
}
