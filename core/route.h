/*
 * core/route.h - where a recipient goes: mailer and the hosts to try in order. smar makes routes,
 * qmgr groups recipients by their bytes, smtpc gets one address of it per attempt.
 *
 * Memory: a value; the encoded form is what travels and is stored (format 1).
 */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H
#include "core/addr.h"
#include "core/wire.h"

enum route_mailer {
	ROUTE_NONE = 0, /* policy is decided, the route is not: qmgr asks smar */
	ROUTE_ESMTP,
	ROUTE_LMTP,       /* over TCP, RFC 2033 */
	ROUTE_LMTP_LOCAL, /* over smtpc's LMTP_socket; no host */
	ROUTE_DISCARD,    /* accepted and dropped */
};

enum { ROUTE_HOSTS_MAX = SM_DNS_A_MAX, ROUTE_BYTES_MAX = 8 + ROUTE_HOSTS_MAX * 20 };

struct route {
	uint8_t mailer; /* enum route_mailer */
	uint8_t count;
	uint32_t ttl_sec; /* how long it may be used without asking again; not part of the encoded
			     form */
	struct addr host[ROUTE_HOSTS_MAX]; /* port 0: smtpc's remote_port, default 25 */
};

/* The encoded form in dst of ROUTE_BYTES_MAX; returns its length. Equal routes have equal bytes. */
size_t route_encode(const struct route *r, char *dst);
/* 0 or -EBADMSG. */
int route_decode(struct span s, struct route *out);

#endif
