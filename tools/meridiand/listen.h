/*
 * listen.h - "HOST:PORT" as people write it, and a listening TCP socket on it. Thread: any.
 */
#ifndef MRD_TOOLS_MERIDIAND_LISTEN_H
#define MRD_TOOLS_MERIDIAND_LISTEN_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/status.h"

/* "127.0.0.1:5433", "localhost:0", "[::1]:5433". 22023 if it is no address, 08006 if it cannot be bound. */
enum status listen_tcp(const char *address, int *out_fd, struct err *err) MRD_CHECKED;
/* "127.0.0.1:5433" of a bound or peer address. */
void listen_print(const struct sockaddr_storage *sa, socklen_t len, char *out, size_t out_size);
/* The address that fd is bound to. */
void listen_addr(int fd, char *out, size_t out_size);

#endif
