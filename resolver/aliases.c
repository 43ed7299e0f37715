#include "resolver/aliases.h"

#include "resolver/lookup.h"
#include "resolver/smar_options.h"

#include "core/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct aliases {
	atomic_uint refs;
	struct map *map;
	unsigned flags;
	char delimiter;
};

struct check {
	struct aliases *aliases;
	struct report *report;
};

static int check_entry(void *ctx, struct span key, struct span value)
{
	struct check *c = ctx;
	char token[REPORT_TOKEN_MAX];
	const char *why;

	if (alias_text_check(key, value, &why))
		report_warning(c->report, map_file(c->aliases->map), 0,
			       "entry \"%s\": %s; what it applies to gets a temporary error",
			       report_token(key, token), why);
	return 0;
}

struct aliases *aliases_new(struct map *own, unsigned flags, char delimiter, struct report *r)
{
	const unsigned keys = SMAR_ALIASES_F_LOCALPART | SMAR_ALIASES_F_LOCAL_DOMAINS |
			      SMAR_ALIASES_F_ALL_DOMAINS;
	struct aliases *a = xcalloc(1, sizeof *a);
	struct check c = { a, r };

	atomic_init(&a->refs, 1);
	a->map = own;
	a->flags = flags & keys ? flags : flags | SMAR_ALIASES_F_LOCALPART;
	a->delimiter = delimiter;
	int rc = map_walk(own, SPAN(""), check_entry, &c);
	if (!rc)
		return a;
	report_error(r, map_file(own), 0, "cannot read the map: %s", strerror(-rc));
	aliases_put_ref(a);
	return NULL;
}

struct aliases *aliases_get_ref(struct aliases *a)
{
	atomic_fetch_add(&a->refs, 1);
	return a;
}

void aliases_put_ref(struct aliases *a)
{
	if (!a || atomic_fetch_sub(&a->refs, 1) != 1)
		return;
	map_put_ref(a->map);
	free(a);
}

bool aliases_is_empty(const struct aliases *a)
{
	return map_is_empty(a->map);
}

unsigned aliases_flags(const struct aliases *a)
{
	return a->flags;
}

/* Prepares the lookup of a mailbox; false: no key can be its. An odd local part may hold an @:
 * alone it would look like another address. */
static bool begin(const struct aliases *a, struct lookup *l, struct span user, struct span domain,
		  bool odd, bool local, unsigned more)
{
	bool whole = a->flags & SMAR_ALIASES_F_ALL_DOMAINS ||
		     (local && a->flags & SMAR_ALIASES_F_LOCAL_DOMAINS);
	bool alone = local && !odd && a->flags & SMAR_ALIASES_F_LOCALPART;
	unsigned flags = (alone ? LOOKUP_LOCAL_PART : 0) | more;

	if (a->flags & SMAR_ALIASES_F_IMPLICITLY_MATCH_DETAIL)
		flags |= LOOKUP_MATCH_DETAIL;
	if (map_is_empty(a->map) || (!whole && !alone))
		return false;
	lookup_mailbox(l, SPAN(""), user, whole ? domain : SPAN(""), a->delimiter, flags);
	return true;
}

static int find(const struct aliases *a, struct lookup *l, struct span *value)
{
	struct span key;
	int rc = -ENOENT;

	while (rc == -ENOENT && lookup_next(l, &key))
		rc = map_get(a->map, key, value);
	return rc;
}

int aliases_find(const struct aliases *a, const struct address *box, struct span domain, bool local,
		 struct alias_hit *hit)
{
	struct lookup l;

	if (!begin(a, &l, box->local, domain, box->odd, local, 0))
		return -ENOENT;
	int rc = find(a, &l, &hit->value);
	if (rc)
		return rc;
	hit->is_local = alias_text_is_local(hit->value);
	hit->macros = (struct alias_macros){ .user = l.user,
					     .detail = l.detail,
					     .domain = domain,
					     .subdomain = span_head(domain, l.key_at),
					     .delimiter = a->delimiter,
					     .has_detail = l.has_detail };
	return 0;
}

int aliases_find_owner(const struct aliases *a, const struct alias_macros *list, bool local,
		       char *dst)
{
	static const char prefix[] = "owner-";
	size_t n = sizeof prefix - 1 + list->user.n;
	struct span value;
	struct lookup l;

	if (n + 1 + list->domain.n > ADDRESS_MAX)
		return -ENOENT;
	memcpy(dst, prefix, sizeof prefix - 1);
	memcpy(dst + sizeof prefix - 1, list->user.p, list->user.n);
	/* One that takes all of a domain is nobody's owner. */
	if (!begin(a, &l, span_of(dst, n), list->domain, false, local, LOOKUP_NO_DOMAIN))
		return -ENOENT;
	int rc = find(a, &l, &value);
	if (rc)
		return rc;
	dst[n++] = '@';
	memcpy(dst + n, list->domain.p, list->domain.n);
	return (int)(n + list->domain.n);
}
