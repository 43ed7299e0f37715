/*
 * supervisor/listen.h - listening sockets, made by mcp before anything is started.
 *
 * Owner:  the caller's only thread.
 * Memory: the specs' strings stay the caller's; a set holds only descriptors, all close-on-exec.
 * Limits: FDPASS_MAX sockets in a set; a spec without address makes two (IPv4, IPv6).
 */
#ifndef SUPERVISOR_LISTEN_H
#define SUPERVISOR_LISTEN_H
#include "core/fdpass.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct listen_spec {
	const char *path;    /* unix socket; NULL: TCP */
	const char *address; /* NULL: all of this host */
	uint16_t port;
	mode_t mode; /* unix: of the socket file, its owner and group; -1 leaves these */
	uid_t uid;
	gid_t gid;
};

enum { LISTEN_WHY_BYTES = 256 };

/*
 * listen_open - bind and listen on all of them, or on none. blocking: the sockets are for programs
 * that call accept(2) on them; otherwise they are non-blocking. Returns 0; -EADDRINUSE, -EACCES,
 * -E2BIG and so on with a text for people in why. A host without IPv6 is no error where no address
 * is given.
 */
int listen_open(const struct listen_spec *spec, unsigned count, bool blocking, struct fdpass *out,
		char why[static LISTEN_WHY_BYTES]);

/* Close the set and remove the files of its unix sockets. */
void listen_close(const struct listen_spec *spec, unsigned count, struct fdpass *set);

/* One unix socket; returns the descriptor. A dead socket file there is replaced. */
int listen_unix(const struct listen_spec *spec, char why[static LISTEN_WHY_BYTES]);

#endif
