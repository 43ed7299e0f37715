/*
 * proto/address.h - the addresses in MAIL, RCPT and EHLO.
 *
 * Memory: spans of the input. No I/O.
 * Limits: RFC 5321 4.5.3.1: local part 64, domain 255, path 256 octets with its brackets.
 * RFC:    5321 4.1.2, 4.1.3; 6531 3.3 (UTF-8).
 */
#ifndef PROTO_ADDRESS_H
#define PROTO_ADDRESS_H
#include "core/span.h"

enum { ADDRESS_LOCAL_MAX = 64, ADDRESS_DOMAIN_MAX = 255, ADDRESS_PATH_MAX = 256 };

struct address {
	struct span mailbox; /* local@domain as written; empty: <>; without "@": local part only */
	struct span local;   /* with its quotes */
	struct span domain;  /* with its brackets when it is a literal; empty: none */
	bool utf8;           /* a byte over 127 is in it */
};

enum address_error {
	ADDRESS_OK = 0,
	ADDRESS_SYNTAX,
	ADDRESS_LONG,      /* a limit of 4.5.3.1 */
	ADDRESS_NO_DOMAIN, /* well formed otherwise */
};

/* "<path>" at the begin of *in, which moves behind it. A source route is dropped. Empty: null path.
 * ADDRESS_NO_DOMAIN fills out and moves *in too. */
enum address_error address_path(struct span *in, struct address *out);

/* s is a domain name or an address literal, as EHLO wants it. */
bool address_domain_ok(struct span s, bool utf8);

/* s is well formed UTF-8 without overlong forms and surrogates (RFC 3629). */
bool address_utf8_ok(struct span s);

#endif
