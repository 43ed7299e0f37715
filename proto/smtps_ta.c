#include "proto/smtps_ta.h"

#include "proto/smtps_data.h"

#include <errno.h>

struct smtps_ta *smtps_ta_new(struct smtps_host *h)
{
	uint64_t id = h->up->ops->id(h->up);
	struct arena *a = id ? arena_new() : NULL;
	struct smtps_ta *ta = a ? arena_alloc(a, sizeof *ta) : NULL;

	if (!ta) {
		arena_free(a);
		return NULL;
	}
	*ta = (struct smtps_ta){ .arena = a, .host = h, .id = id };
	ta->rcpt_end = &ta->rcpt;
	ta->route_end = &ta->route;
	return ta;
}

void smtps_ta_free(struct smtps_ta *ta)
{
	if (!ta)
		return;
	ta->host->rcpt_count -= ta->rcpt_count;
	if (ta->content)
		smtps_content_drop(ta->host, &ta->content->content);
	arena_free(ta->arena);
}

void smtps_ta_leave(struct smtps_session *s)
{
	struct smtps_ta *ta = s->ta;

	if (!ta)
		return;
	s->ta = NULL;
	if (ta->sending)
		ta->sending->s = NULL;
	else
		smtps_ta_free(ta);
}

/* ---- equal recipients and routes */

enum { BUCKETS_FIRST = 16 };

static struct smtps_node **bucket(const struct smtps_index *x, uint64_t hash)
{
	return &x->bucket[hash & (x->buckets - 1)];
}

static struct smtps_node *first_of(const struct smtps_index *x, uint64_t hash)
{
	return x->buckets ? *bucket(x, hash) : NULL;
}

/* Room for one more; the old buckets stay in the arena. False without memory. */
static bool index_grow(struct arena *a, struct smtps_index *x)
{
	struct smtps_index more = { .buckets = x->buckets ? x->buckets * 4 : BUCKETS_FIRST };
	struct smtps_node *next;

	if (x->count < x->buckets)
		return true;
	more.bucket = arena_alloc(a, more.buckets * sizeof(struct smtps_node *));
	if (!more.bucket)
		return x->buckets != 0;
	memset(more.bucket, 0, more.buckets * sizeof(struct smtps_node *));
	for (uint32_t i = 0; i < x->buckets; i++)
		for (struct smtps_node *n = x->bucket[i]; n; n = next) {
			struct smtps_node **to = bucket(&more, n->hash);

			next = n->next;
			n->next = *to;
			*to = n;
		}
	more.count = x->count;
	*x = more;
	return true;
}

/* Without memory what is equal later is not found: one copy or one route more. */
static void index_add(struct arena *a, struct smtps_index *x, struct smtps_node *n)
{
	if (!index_grow(a, x))
		return;
	struct smtps_node **to = bucket(x, n->hash);

	n->next = *to;
	*to = n;
	x->count++;
}

/* The number of a route; equal ones are kept once. ENV_NO_ROUTE without memory. */
static uint32_t route_number(struct smtps_ta *ta, struct span bytes)
{
	uint64_t hash = span_hash(bytes);

	for (struct smtps_node *n = first_of(&ta->route_index, hash); n; n = n->next) {
		const struct smtps_route *r = (const struct smtps_route *)n;

		if (n->hash == hash && span_eq(r->bytes, bytes))
			return r->number;
	}
	struct smtps_route *r = arena_alloc(ta->arena, sizeof *r);
	if (!r)
		return ENV_NO_ROUTE;
	/* The bytes were copied into the arena with the verdict. */
	*r = (struct smtps_route){ .node.hash = hash, .bytes = bytes, .number = ta->route_count++ };
	*ta->route_end = r;
	ta->route_end = &r->next;
	index_add(ta->arena, &ta->route_index, &r->node);
	return r->number;
}

/* Where the domain begins, which is compared without case; RFC 5321 2.4 leaves the local part to
 * its host. */
static size_t domain_at(struct span addr)
{
	size_t at = span_rchr(addr, '@');

	return at == addr.n ? at : at + 1;
}

static bool same_address(struct span a, struct span b)
{
	size_t at = domain_at(a);

	return at == domain_at(b) && span_eq(span_head(a, at), span_head(b, at)) &&
	       span_caseeq(span_from(a, at), span_from(b, at));
}

static bool is_repeated(const struct smtps_ta *ta, const struct smtps_rcpt *r)
{
	for (struct smtps_node *n = first_of(&ta->rcpt_index, r->node.hash); n; n = n->next) {
		const struct smtps_rcpt *o = (const struct smtps_rcpt *)n;

		if (n->hash == r->node.hash && same_address(o->addr, r->addr) &&
		    span_eq(o->orcpt, r->orcpt) && o->notify == r->notify && !o->discard)
			return true;
	}
	return false;
}

void smtps_ta_add_rcpt(struct smtps_ta *ta, struct smtps_rcpt *r, struct span route)
{
	r->next = NULL;
	r->node.hash = span_casehash(r->addr);
	r->discard |= is_repeated(ta, r);
	r->idx = ta->rcpt_count;
	r->route = route.n ? route_number(ta, route) : ENV_NO_ROUTE;
	*ta->rcpt_end = r;
	ta->rcpt_end = &r->next;
	index_add(ta->arena, &ta->rcpt_index, &r->node);
	ta->rcpt_count++;
	ta->kept_count += !r->discard;
	ta->host->rcpt_count++;
}

int smtps_ta_envelope(const struct smtps_ta *ta, const struct addr *client, struct buf *out)
{
	struct smtps_host *h = ta->host;
	struct envelope e = { .ta = ta->id,
			      .wall_arrival = h->ops->wall(h),
			      .sender = ta->sender,
			      .client = *client,
			      .body = ta->body,
			      .ret = ta->ret,
			      .flags = ta->smtputf8 ? ENV_SMTPUTF8 : 0,
			      .envid = ta->envid,
			      .route_count = ta->route_count,
			      .rcpt_count = 0 };
	uint32_t i = 0;

	e.rcpt = arena_alloc(ta->arena, ta->kept_count * sizeof *e.rcpt);
	e.route = arena_alloc(ta->arena, ta->route_count * sizeof *e.route);
	if (!e.rcpt || !e.route)
		return -ENOMEM;
	for (const struct smtps_route *r = ta->route; r; r = r->next)
		e.route[i++] = r->bytes;
	for (const struct smtps_rcpt *r = ta->rcpt; r; r = r->next)
		if (!r->discard) {
			e.rcpt[e.rcpt_count] = (struct env_rcpt){ .addr = r->addr,
								  .orcpt = r->orcpt,
								  .idx = e.rcpt_count,
								  .route = r->route,
								  .notify = r->notify };
			e.rcpt_count++;
		}
	return envelope_encode(&e, out);
}
