/*
 * proto/ehlo.h - the extensions of SMTP: what a server offers in its reply to EHLO, what a client
 * reads there.
 *
 * Memory: values only; nothing is kept of what is parsed.
 * RFC:    5321 4.1.1.1 (form), 1870 SIZE, 2920 PIPELINING, 2034, 6152, 3030, 3461, 6531, 9422,
 *         3207, 4954.
 */
#ifndef PROTO_EHLO_H
#define PROTO_EHLO_H
#include "core/buf.h"
#include "core/span.h"

enum ehlo_cap {
	EHLO_PIPELINING = 1u << 0,
	EHLO_SIZE = 1u << 1,
	EHLO_8BITMIME = 1u << 2,
	EHLO_ENHANCED = 1u << 3, /* ENHANCEDSTATUSCODES */
	EHLO_CHUNKING = 1u << 4,
	EHLO_BINARYMIME = 1u << 5, /* counts only beside CHUNKING */
	EHLO_DSN = 1u << 6,
	EHLO_SMTPUTF8 = 1u << 7,
	EHLO_LIMITS = 1u << 8,
	EHLO_STARTTLS = 1u << 9,
	EHLO_AUTH = 1u << 10,
	EHLO_XCLIENT = 1u << 11,
};

enum { EHLO_AUTH_MAX = 256 };

struct ehlo {
	uint32_t caps;     /* enum ehlo_cap */
	uint64_t size_max; /* SIZE; 0: no fixed limit */
	uint32_t mail_max; /* LIMITS; 0: not said */
	uint32_t rcpt_max;
	uint32_t rcpt_domain_max;
	char auth[EHLO_AUTH_MAX]; /* mechanisms, separated by one space; those that do not fit are
				     left out */
};

/* Client: takes in one line behind the first of a 250 reply, without code and separator ("SIZE
 * 1000"). Unknown and malformed lines change nothing. */
void ehlo_take(struct ehlo *e, struct span line);

/* Server: the whole reply, "250-HOST", a line per capability, in `caps`. 0 or -ENOMEM. */
int ehlo_write(const struct ehlo *e, struct span hostname, struct buf *out);

#endif
