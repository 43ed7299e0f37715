/*
 * proto/trace.h - the Received field that the server puts in front of each message.
 *
 * Memory: appends to a buffer of the caller. All that came from the client is printable ASCII
 *         before it gets here, or is left out.
 * RFC:    5321 4.4; 3848 and 6531 4.3 (with).
 */
#ifndef PROTO_TRACE_H
#define PROTO_TRACE_H
#include "core/addr.h"
#include "core/buf.h"
#include "core/clock.h"

enum trace_flags {
	TRACE_EHLO = 1u << 0,
	TRACE_TLS = 1u << 1,
	TRACE_AUTH = 1u << 2,
	TRACE_UTF8 = 1u << 3, /* the transaction has SMTPUTF8 */
};

struct trace {
	struct span helo;
	struct span name; /* verified name of the client, empty: none */
	struct addr client;
	struct span hostname;
	struct span tls;  /* "TLS=..., cipher=..., bits=..., verify=...", empty: none */
	struct span rcpt; /* the only recipient, empty: no "for" */
	uint64_t ta;
	usec_t wall_usec;
	unsigned flags; /* enum trace_flags */
};

/* "SMTP", "ESMTP", "ESMTPSA", "UTF8SMTPS" and so on. */
const char *trace_protocol(unsigned flags);

/* The field with its last CRLF. 0 or -ENOMEM. */
int trace_received(const struct trace *t, struct buf *out);

#endif
