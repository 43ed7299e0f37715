#include "resolver/expand.h"

#include "resolver/smar_options.h"

#include "core/envelope.h"
#include "core/log.h"
#include "core/members.h"

#include <errno.h>
#include <stdlib.h>

/* An alias that is being followed; never moved, it points into itself. */
struct frame {
	struct span rest;  /* of its value, in the map */
	const char *entry; /* where that begins: the same entry, the same alias */
	struct alias_macros macros;
	uint16_t owner; /* of its members */
	struct span addr;
	struct address box;
	char text[ADDRESS_MAX];
};

enum { ROUTE_SLOTS = 64 };

/* A route that was handed out; the last one of its hash. */
struct known_route {
	uint32_t number;
	uint16_t n;
	char bytes[ROUTE_BYTES_MAX];
};

struct expand {
	struct aliases *aliases;
	struct mailertable *mailertable;
	struct span hostname;
	bool owners;
	unsigned depth, steps;
	uint32_t parts, count, routes;
	uint16_t owner_count;
	struct buf part;
	struct known_route *route[ROUTE_SLOTS];
	struct mailertable_hit hit;
	struct frame frame[EXPAND_DEPTH_MAX];
	struct span culprit; /* for the log; in text */
	char text[ADDRESS_MAX];
};

static struct frame *top(struct expand *x)
{
	return &x->frame[x->depth - 1];
}

static enum expand_state put(struct expand *x, uint8_t type, struct span text, uint32_t route,
			     uint16_t owner)
{
	struct members_item m = { .type = type, .text = text, .route = route, .owner = owner };

	return members_add(&x->part, &m) ? EXPAND_NO_MEMORY : EXPAND_MORE;
}

/* ---- going down */

/* The owner of the list that is on top, else the one above it. */
static enum expand_state set_owner(struct expand *x, bool local)
{
	struct frame *f = top(x);
	char owner[ADDRESS_MAX];

	f->owner = x->depth > 1 ? f[-1].owner : 0;
	if (!x->owners)
		return EXPAND_MORE;
	int n = aliases_find_owner(x->aliases, &f->macros, local, owner);
	if (n == -ENOENT)
		return EXPAND_MORE;
	if (n < 0)
		return EXPAND_BROKEN;
	if (x->owner_count == ENV_OWNERS_MAX)
		return EXPAND_MANY;
	f->owner = ++x->owner_count;
	return put(x, MEMBERS_OWNER, span_of(owner, (size_t)n), 0, 0);
}

/* addr, with a domain, stands for hit. */
static enum expand_state push(struct expand *x, struct span addr, bool local,
			      const struct alias_hit *hit)
{
	if (x->depth == EXPAND_DEPTH_MAX)
		return EXPAND_DEEP;
	struct frame *f = &x->frame[x->depth++];
	f->rest = hit->value;
	f->entry = hit->value.p;
	memcpy(f->text, addr.p, addr.n);
	f->addr = span_of(f->text, addr.n);
	if (address_split(f->addr, &f->box))
		return EXPAND_BROKEN;
	/* Parts of the address, in this copy of it. */
	f->macros = hit->macros;
	f->macros.user = span_head(f->box.local, hit->macros.user.n);
	f->macros.detail = span_from(f->box.local, hit->macros.user.n + 1);
	f->macros.domain = f->box.domain;
	f->macros.subdomain = span_head(f->box.domain, hit->macros.subdomain.n);
	return set_owner(x, local);
}

struct expand *expand_new(const struct expand_setup *s, struct span addr, bool local,
			  const struct alias_hit *hit, enum expand_state *state)
{
	struct expand *x = calloc(1, sizeof *x);
	char whole[ADDRESS_MAX];

	if (!x)
		return NULL;
	x->aliases = aliases_get_ref(s->aliases);
	x->mailertable = s->mailertable ? mailertable_get_ref(s->mailertable) : NULL;
	x->hostname = s->hostname;
	x->owners = s->owners;
	int n = alias_text_make(addr, NULL, s->hostname, whole);
	*state = n < 0 ? EXPAND_BROKEN : push(x, span_of(whole, (size_t)n), local, hit);
	return x;
}

void expand_free(struct expand *own)
{
	if (!own)
		return;
	aliases_put_ref(own->aliases);
	mailertable_put_ref(own->mailertable);
	for (unsigned i = 0; i < ROUTE_SLOTS; i++)
		free(own->route[i]);
	buf_release(&own->part);
	free(own);
}

uint32_t expand_count(const struct expand *x)
{
	return x->count;
}

/* ---- members */

/* The number of a route. Of those that share a slot only the last is known: one that comes again
 * gets another number then. */
static enum expand_state number_of(struct expand *x, struct span route, uint32_t *number)
{
	struct known_route **at = &x->route[span_hash(route) % ROUTE_SLOTS], *k = *at;

	if (!k)
		k = *at = calloc(1, sizeof *k);
	if (!k)
		return EXPAND_NO_MEMORY;
	if (!k->n || !span_eq(span_of(k->bytes, k->n), route)) {
		memcpy(k->bytes, route.p, route.n);
		k->n = (uint16_t)route.n;
		k->number = x->routes++;
		*number = k->number;
		return put(x, MEMBERS_ROUTE, route, 0, 0);
	}
	*number = k->number;
	return EXPAND_MORE;
}

/* routed: x->hit is its route. */
static enum expand_state add_member(struct expand *x, struct span addr, bool routed)
{
	uint32_t number = ENV_NO_ROUTE;
	enum expand_state rc = routed ? number_of(x, x->hit.route, &number) : EXPAND_MORE;

	if (rc != EXPAND_MORE)
		return rc;
	if (++x->count > ENV_RCPTS_MAX)
		return EXPAND_MANY;
	return put(x, MEMBERS_TO, addr, number, top(x)->owner);
}

/* Whether an entry is on the way already, above the top. */
static bool is_above(const struct expand *x, const char *entry)
{
	for (unsigned i = 0; i + 1 < x->depth; i++)
		if (x->frame[i].entry == entry)
			return true;
	return false;
}

/* An address out of the value on top. */
static enum expand_state one_address(struct expand *x, struct span addr)
{
	struct address box;
	struct alias_hit hit;
	int rc = address_split(addr, &box);

	if (rc)
		return EXPAND_BROKEN;
	rc = mailertable_route(x->mailertable, &box, x->hostname, &x->hit);
	if (rc && rc != -ENOENT)
		return EXPAND_BROKEN;
	bool routed = !rc, local = routed && x->hit.mailer == ROUTE_LMTP_LOCAL;
	rc = aliases_find(x->aliases, &box, box.domain, local, &hit);
	if (rc && rc != -ENOENT)
		return EXPAND_BROKEN;
	/* An alias that contains itself keeps the address. */
	if (rc || hit.is_local || hit.value.p == top(x)->entry)
		return add_member(x, addr, routed);
	return is_above(x, hit.value.p) ? EXPAND_LOOP : push(x, addr, local, &hit);
}

static enum expand_state step(struct expand *x)
{
	unsigned flags = aliases_flags(x->aliases);
	struct frame *f = top(x);
	struct span word;
	const char *why;
	int rc = alias_text_next(&f->rest, &word, &why);

	if (rc == 0) {
		x->depth--;
		return EXPAND_MORE;
	}
	if (rc < 0)
		return EXPAND_BROKEN;
	if (++x->steps > EXPAND_STEPS_MAX)
		return EXPAND_MANY;
	rc = alias_text_make(word, flags & SMAR_ALIASES_F_REPLACE_MACROS ? &f->macros : NULL,
			     flags & SMAR_ALIASES_F_PRESERVE_DOMAIN ? f->box.domain : x->hostname,
			     x->text);
	if (rc < 0) {
		x->culprit = span_of(x->text, 0);
		return EXPAND_BROKEN;
	}
	x->culprit = span_of(x->text, (size_t)rc);
	return one_address(x, x->culprit);
}

enum expand_state expand_run(struct expand *x, unsigned steps,
			     void (*part)(void *ctx, uint32_t number, struct span list), void *ctx)
{
	enum expand_state rc = EXPAND_MORE;

	while (rc == EXPAND_MORE && x->depth && steps--) {
		rc = step(x);
		if (rc == EXPAND_MORE && !x->depth)
			rc = x->count ? EXPAND_DONE : EXPAND_BROKEN;
		if (rc == EXPAND_DONE ||
		    (rc == EXPAND_MORE && buf_len(&x->part) >= EXPAND_PART_BYTES)) {
			part(ctx, x->parts++, buf_span(&x->part));
			x->part.r = x->part.w = 0;
		}
	}
	return rc;
}

void expand_log(const struct expand *x, enum expand_state state)
{
	static const char *const why[] = {
		[EXPAND_MORE] = "",
		[EXPAND_DONE] = "",
		[EXPAND_LOOP] = "the alias stands for itself in a circle",
		[EXPAND_DEEP] = "aliases are nested too deep",
		[EXPAND_MANY] = "the alias has too many members",
		[EXPAND_BROKEN] = "an entry has no valid value, or a map cannot be read",
		[EXPAND_NO_MEMORY] = "out of memory",
	};
	struct log_line l;

	log_begin(&l, LOG_LV_ERROR, LOG_SEV_ERR);
	log_word(&l, "func", "aliases");
	for (unsigned i = 0; i < x->depth; i++)
		log_addr(&l, i ? "by" : "alias", x->frame[i].addr);
	if (x->culprit.n)
		log_addr(&l, "member", x->culprit);
	log_word(&l, "stat", why[state]);
	log_end(&l);
}
