/*
 * resolver/mailertable.h - which mailer and hosts serve a domain, R 3.9.3: a text file or a map.
 *
 * Owner:  made by one thread, then read by any; never changed. A reload makes a new one.
 * Memory: reference counted.
 * Limits: text of MAILERTABLE_TEXT_MAX bytes, ROUTE_HOSTS_MAX hosts an entry.
 * Form:   DOMAIN, .DOMAIN (subdomains) or . (default), then `[PORT^][esmtp:]HOST...`, `lmtp:` (the
 *         local socket of smtpc) or `PORT^lmtp:HOST...`. HOST is `[192.0.2.1]` or
 *         `[IPv6:2001:db8::1]`.
 */
#ifndef RESOLVER_MAILERTABLE_H
#define RESOLVER_MAILERTABLE_H
#include "resolver/address.h"

#include "core/map.h"
#include "core/route.h"

enum { MAILERTABLE_TEXT_MAX = 64 << 20, MAILERTABLE_WHY_MAX = 200 };

struct mailertable;

struct mailertable_hit {
	uint8_t mailer;    /* enum route_mailer */
	struct span route; /* encoded; in the table or in bytes */
	char bytes[ROUTE_BYTES_MAX];
};

/* From the text of a file, called name in messages. NULL: r has the errors. */
struct mailertable *mailertable_from_text(const char *name, struct span text, struct report *r);
/* From a file: an absent one is an empty table and a warning. NULL: r has the errors. Blocks. */
struct mailertable *mailertable_from_file(const char *path, struct report *r);
/* From a declared map, on which it takes a reference; checks all entries. NULL: r has the errors.
 */
struct mailertable *mailertable_from_map(struct map *m, struct report *r);

/* Another reference; any thread that has one. */
struct mailertable *mailertable_get_ref(struct mailertable *t);
/* Any thread; frees it with the last reference. t may be NULL. */
void mailertable_put_ref(struct mailertable *t);

/* Entries of a text; 0 for a map. */
size_t mailertable_count(const struct mailertable *t);

/* The entry for a domain in the order sub.dom.tld, .dom.tld, .tld, `.`; without regard to case. 0
 * and *hit, -ENOENT, or another -errno when a map cannot be read or the entry is broken. Any
 * thread; no allocation. */
int mailertable_find(const struct mailertable *t, struct span domain, struct mailertable_hit *hit);

/* The same for a mailbox: its domain, or hostname when it has none; an address literal goes to that
 * address, R 3.9.3 knows no keys for it. t may be NULL. */
int mailertable_route(const struct mailertable *t, const struct address *box, struct span hostname,
		      struct mailertable_hit *hit);

/* One value. 0, or -EINVAL and the reason: "expected ..., found ...". */
int mailertable_parse_value(struct span value, struct route *out,
			    char why[static MAILERTABLE_WHY_MAX]);

#endif
