/*
 * bench/endpoint.h - where to connect or listen: inet:HOST:PORT, HOST:PORT, [IPv6]:PORT, unix:PATH.
 *
 * endpoint_parse may block in name resolution and belongs to start-up; the rest never blocks.
 */
#ifndef BENCH_ENDPOINT_H
#define BENCH_ENDPOINT_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum { ENDPOINT_TEXT = 192 };

struct endpoint {
	struct sockaddr_storage sa;
	socklen_t sa_n;
	char text[ENDPOINT_TEXT]; /* for people */
};

/*
 * family: AF_UNSPEC, AF_INET or AF_INET6. passive: to listen, where HOST may be empty for all
 * addresses. Without a port 25. 0, or -EINVAL and the reason in why (at least 128 bytes).
 */
int endpoint_parse(const char *text, int family, bool passive, struct endpoint *out, char *why,
		   size_t why_n);

/* A listening, non-blocking socket. A unix socket that nobody listens on is replaced. device: NULL,
 * or only what comes in through this network interface (inet). fd or -errno. */
int endpoint_listen(const struct endpoint *e, int backlog, const char *device);

/* Starts a connection; the socket is non-blocking and what goes wrong later comes with the first
 * read. fd or -errno (-EAGAIN: the unix listener's backlog is full, -EADDRNOTAVAIL: no free port;
 * try later). */
int endpoint_connect(const struct endpoint *e);

/* Port that a bound socket has; 0 for a unix socket. */
unsigned endpoint_port(int fd);

/* For tests of descriptors: is this a unix endpoint. */
bool endpoint_is_unix(const struct endpoint *e);

#endif
