/*
 * resolver/address.h - an envelope address in its parts, ready for lookups.
 *
 * Memory: a value; local and domain point into the text or into the struct: it must not be copied.
 * Limits: addresses of ADDRESS_MAX bytes.
 * RFC:    5321 4.1.2 (quoted local parts), 4.1.3 (address literals).
 */
#ifndef RESOLVER_ADDRESS_H
#define RESOLVER_ADDRESS_H
#include "core/addr.h"
#include "core/span.h"

enum { ADDRESS_MAX = 1024 };

struct address {
	struct span local;   /* not quoted any more; case as written */
	struct span domain;  /* without a final dot, case as written; empty: there was none */
	struct addr literal; /* of a domain in brackets; family ADDR_NONE: it is a name */
	bool odd; /* the local part holds what only quoting allows: never look it up alone */
	char plain[ADDRESS_MAX];
};

/* Takes "local@domain", without <>, apart. 0; -EINVAL: no local part, a broken quoted string, a
 * literal that is no address, too long. */
int address_split(struct span text, struct address *out);

#endif
