/*
 * proto/proxyhdr.h - the PROXY protocol header, versions 1 and 2, in front of a connection.
 *
 * Memory: values; no I/O.
 * Limits: 107 bytes (v1), 16 + 4096 bytes (v2).
 */
#ifndef PROTO_PROXYHDR_H
#define PROTO_PROXYHDR_H
#include "core/addr.h"

enum proxyhdr_result {
	PROXYHDR_MORE = 0, /* incomplete */
	PROXYHDR_ADDR,     /* *client is filled in */
	PROXYHDR_SAME,     /* valid, but says nothing: UNKNOWN, LOCAL, a unix socket */
	PROXYHDR_BAD
};

/* Looks at the begin of *in, which moves behind a complete header. */
enum proxyhdr_result proxyhdr_take(struct span *in, struct addr *client);

#endif
