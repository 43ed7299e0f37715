/*
 * resolver/aliases.h - the aliases map: which addresses stand for others, and which local ones exist.
 *
 * Owner:  made by one thread, then read by any; never changed. A reload makes a new one.
 * Memory: reference counted. Values point into the map.
 * Keys:   by the flags of aliases.flags: local parts for local addresses (also without flags), whole
 *         addresses for local ones, or for all. Order: R 3.12.1.
 */
#ifndef RESOLVER_ALIASES_H
#define RESOLVER_ALIASES_H
#include "resolver/alias_text.h"
#include "core/map.h"

struct aliases;

struct alias_hit {
	struct span value;
	bool is_local; /* "local:": it exists, and stands for nobody else */
	struct alias_macros macros;
};

/* Takes the map over (also when it fails); flags: enum of smar_options.h. Looks at all entries
 * once: values that mean nothing are warnings in r. NULL: the map cannot be read. */
struct aliases *aliases_new(struct map *own, unsigned flags, char delimiter, struct report *r);
struct aliases *aliases_get_ref(struct aliases *a);
/* a may be NULL. */
void aliases_put_ref(struct aliases *a);

/* Without any entry: it says nothing of which addresses exist. */
bool aliases_is_empty(const struct aliases *a);
unsigned aliases_flags(const struct aliases *a);

/* domain: of the box, or what counts for it when there is none; local: it is a local one. Both must
 * live as long as the hit. 0 and *hit, -ENOENT, or another -errno when the map cannot be read. */
int aliases_find(const struct aliases *a, const struct address *box, struct span domain, bool local,
		 struct alias_hit *hit);

/* The owner of a list, R 3.9.3: "owner-USER@DOMAIN" into dst of ADDRESS_MAX when there is such an
 * alias. macros: of the hit of the list. Its length, -ENOENT, or another -errno. */
int aliases_find_owner(const struct aliases *a, const struct alias_macros *list, bool local,
		       char *dst);

#endif
