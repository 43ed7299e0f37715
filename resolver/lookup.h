/*
 * resolver/lookup.h - the keys of a domain, an address or a mailbox, most specific first.
 *
 * Owner:  the caller. A struct lookup holds its place: a caller that must wait can go on later.
 * Memory: no allocation. Domain and local part must live as long as the lookup; keys until the next
 *         call.
 * Limits: keys over LOOKUP_KEY_MAX bytes are left out, no map holds them. Orders: R 3.12.1; IPv6 at
 *         steps of 16 bits.
 */
#ifndef RESOLVER_LOOKUP_H
#define RESOLVER_LOOKUP_H
#include "core/addr.h"
#include "core/span.h"

enum { LOOKUP_KEY_MAX = 511 };

enum lookup_flags {
	LOOKUP_DEFAULT = 1u << 0,      /* end with "." (domains) */
	LOOKUP_LOCAL_PART = 1u << 1,   /* end with the local part alone (mailboxes) */
	LOOKUP_MATCH_DETAIL = 1u << 2, /* user@domain matches user+detail too */
	LOOKUP_NO_DOMAIN = 1u << 3,    /* without @domain alone (mailboxes) */
};

/* Lengths of CIDR keys that a map holds, so that no others are tried. */
struct lookup_nets {
	uint64_t v4;    /* bit n: a key "a.b.c.d/n" exists, 0 to 32 */
	uint64_t v6[3]; /* the same for IPv6, 0 to 128 */
};

struct lookup {
	enum { LOOKUP_DOMAIN = 0, LOOKUP_ADDR, LOOKUP_MAILBOX } kind;
	unsigned flags;
	struct span tag; /* put in front of each key: "to:" */
	struct span domain, user, detail;
	bool has_detail;
	char delimiter;
	size_t at;     /* where the current subdomain begins in domain */
	size_t key_at; /* where that of the last key did (mailboxes) */
	bool done;     /* no subdomain is left */
	unsigned step;
	struct addr addr;
	const struct lookup_nets *nets;
	int bits;
	char key[LOOKUP_KEY_MAX + 1];
};

/* sub.dom.tld, .dom.tld, .tld, then "." when flags ask for it. A domain in brackets has no parts.
 * Domains are turned to lower case. */
void lookup_domain(struct lookup *l, struct span tag, struct span domain, unsigned flags);

/* IPv4: A.B.C.D, A.B.C, A.B, A. IPv6: the address as RFC 5952 writes it and with all its groups,
 * then 7 groups to 1 behind "IPv6:". CIDR keys of the lengths in nets (may be NULL) come between
 * them; nets must live. */
void lookup_addr(struct lookup *l, struct span tag, const struct addr *a,
		 const struct lookup_nets *nets);

/* For each subdomain: user+detail@, user++@, user+*@, user*@, user@, @; then the local part alone.
 * delimiter begins the detail. local is not quoted any more. */
void lookup_mailbox(struct lookup *l, struct span tag, struct span local, struct span domain,
		    char delimiter, unsigned flags);

/* The next key; false when there is none. */
bool lookup_next(struct lookup *l, struct span *key);

/* Remembers the length of a CIDR key (without its tag) in nets. 0: noted, or the key has no slash;
 * -EINVAL: it has one, but is not the text that lookup_addr() makes ("10.1.0.0/16",
 * "IPv6:2001:db8::/32"). */
int lookup_nets_add(struct lookup_nets *nets, struct span key);

#endif
