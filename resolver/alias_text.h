/*
 * resolver/alias_text.h - keys and values of the aliases map, R 3.9.3, 3.12.3, 4.3.2.
 *
 * Pure: no I/O, no memory of its own; createmap and smar share it.
 * Key:    user, user+detail, user++, user+*, user*, the same with @domain or @.domain, or @domain.
 * Value:  one address, or several in <> with white space between them; a local part alone gets a
 *         domain. `local:`: the key is a valid local address. Macros ${user} and so on may stand
 *         in addresses.
 */
#ifndef RESOLVER_ALIAS_TEXT_H
#define RESOLVER_ALIAS_TEXT_H
#include "resolver/address.h"

/* What macros stand for. */
struct alias_macros {
	struct span user, detail, domain;
	struct span subdomain; /* of domain, in front of the dot of a key @.domain */
	char delimiter;
	bool has_detail;
};

/* "local:" */
bool alias_text_is_local(struct span value);

/* The next address of a value, without <>: 1, 0 at the end, -EINVAL and *why. *rest is the value at
 * first. */
int alias_text_next(struct span *rest, struct span *addr, const char **why);

/* The address with its macros replaced (m NULL: as it is) and with `@domain` when it has none, into
 * dst of ADDRESS_MAX. Its length, or -EINVAL: it is none (any more). */
int alias_text_make(struct span addr, const struct alias_macros *m, struct span domain, char *dst);

/* One entry: 0, or -EINVAL and *why. */
int alias_text_check(struct span key, struct span value, const char **why);

#endif
