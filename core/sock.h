/*
 * core/sock.h - sockets: non-blocking, close-on-exec. Any thread. All return -errno on failure.
 */
#ifndef CORE_SOCK_H
#define CORE_SOCK_H
#include "core/addr.h"

#include <sys/types.h>

/* Listening unix stream socket at path; a dead socket file there is replaced, a live one is
 * -EADDRINUSE. */
int sock_listen_unix(const char *path, mode_t mode);
/* Connected unix stream socket. */
int sock_connect_unix(const char *path);
/* Begins a TCP connection; ready or failed when writable (sock_error()). */
int sock_connect(const struct addr *to);
/* Listening TCP socket, for tests and tools; port 0: picked by the system, see sock_local(). */
int sock_listen(const struct addr *at, int backlog);
int sock_local(int fd, struct addr *out);
/* The pending error of a socket as -errno, or 0. */
int sock_error(int fd);
/* Who is at the other end of a unix socket. */
int sock_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid);
void sock_nodelay(int fd);

/* accept() or socket() failed with this errno for lack of descriptors or memory: trying again at
 * once helps nobody, and a listening socket stays ready, so its owner must stop looking at it for a
 * while. */
bool sock_is_shortage(int error);

#endif
