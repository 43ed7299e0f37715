#include "proto/smtps_ta.h"

#include "core/route.h"
#include "proto/smtps_data.h"
#include "proto/smtps_members.h"

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
	ta->owner_end = &ta->owner;
	return ta;
}

void smtps_ta_free(struct smtps_ta *ta)
{
	if (!ta)
		return;
	ta->host->rcpt_count -= ta->rcpt_count;
	ta->host->member_count -= ta->held_count;
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

/* Equal ones are kept once. */
uint32_t smtps_ta_route(struct smtps_ta *ta, struct span bytes)
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
	ta->kept_bytes += (uint32_t)bytes.n + 4;
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

int smtps_ta_owner(struct smtps_ta *ta, struct span addr)
{
	int n = 1;

	for (struct smtps_owner *o = ta->owner; o; o = o->next, n++)
		if (span_eq(o->addr, addr))
			return n;
	struct smtps_owner *o =
		ta->owner_count < ENV_OWNERS_MAX ? arena_alloc(ta->arena, sizeof *o) : NULL;
	if (!o)
		return -1;
	*o = (struct smtps_owner){ .addr = addr };
	*ta->owner_end = o;
	ta->owner_end = &o->next;
	ta->owner_count++;
	ta->kept_bytes += (uint32_t)addr.n + 4;
	return n;
}

/* What an entry of the envelope takes beside its strings. */
enum { ENTRY_BYTES = 24 };

static size_t entry_bytes(const struct smtps_to *t, struct span orcpt)
{
	return ENTRY_BYTES + t->addr.n + orcpt.n;
}

bool smtps_ta_has_room(const struct smtps_ta *ta, uint32_t count, size_t bytes)
{
	size_t all = ta->kept_bytes + bytes + (size_t)count * ENTRY_BYTES;

	return count <= ENV_RCPTS_MAX - ta->kept_count && all <= ENV_BYTES_MAX;
}

static void keep(struct smtps_ta *ta, struct smtps_to *t, struct span orcpt)
{
	ta->kept_count++;
	ta->kept_bytes += (uint32_t)entry_bytes(t, orcpt);
	index_add(ta->arena, &ta->rcpt_index, &t->node);
}

/* A member that gets its copy as somebody else. */
static void drop_member(struct smtps_ta *ta, struct smtps_to *t)
{
	t->discard = true;
	ta->kept_count--;
}

/* Whether a RCPT was there already, word for word and with the same parameters; a member with its
 * address is it from now on. */
static bool is_repeated(struct smtps_ta *ta, const struct smtps_rcpt *r)
{
	struct smtps_node *n = first_of(&ta->rcpt_index, r->to.node.hash);

	for (; n; n = n->next) {
		struct smtps_to *t = (struct smtps_to *)n;
		const struct smtps_rcpt *o = (const struct smtps_rcpt *)n;

		if (n->hash != r->to.node.hash || t->discard || !same_address(t->addr, r->to.addr))
			continue;
		if (t->member)
			drop_member(ta, t);
		else if (span_eq(o->orcpt, r->orcpt) && o->notify == r->notify)
			return true;
	}
	return false;
}

void smtps_ta_add_member(struct smtps_ta *ta, struct smtps_to *m, struct span orcpt)
{
	struct smtps_node *n;

	m->node.hash = span_casehash(m->addr);
	for (n = first_of(&ta->rcpt_index, m->node.hash); n; n = n->next) {
		struct smtps_to *t = (struct smtps_to *)n;

		if (n->hash != m->node.hash || t->discard || !same_address(t->addr, m->addr))
			continue;
		if (t->member && t->owner && !m->owner) {
			drop_member(ta, t);
			continue;
		}
		m->discard = true;
		return;
	}
	keep(ta, m, orcpt);
}

enum smtps_reply smtps_ta_room(struct smtps_ta *ta, const struct smtps_rcpt *r)
{
	if (r->members)
		return smtps_members_room(ta, r);
	return smtps_ta_has_room(ta, 1, r->to.addr.n + r->orcpt.n) ? SMTPS_R_OK
								   : SMTPS_R_TOO_MANY_RCPTS;
}

void smtps_ta_add_rcpt(struct smtps_ta *ta, struct smtps_rcpt *r, struct span route)
{
	r->next = NULL;
	r->to.node.hash = span_casehash(r->to.addr);
	r->idx = ta->rcpt_count;
	r->to.route = route.n ? smtps_ta_route(ta, route) : ENV_NO_ROUTE;
	*ta->rcpt_end = r;
	ta->rcpt_end = &r->next;
	ta->rcpt_count++;
	/* Members are not counted against the credit: who opens a transaction with a long list
	 * must not stop all others. */
	ta->host->rcpt_count++;
	if (r->members && !r->to.discard) {
		smtps_members_add(ta, r);
		return;
	}
	r->to.discard |= is_repeated(ta, r);
	if (!r->to.discard)
		keep(ta, &r->to, r->orcpt);
}

/* ---- the envelope */

static void put_rcpt(struct envelope *e, struct env_rcpt r)
{
	r.idx = e->rcpt_count;
	e->rcpt[e->rcpt_count++] = r;
}

static void put_rcpts(const struct smtps_ta *ta, struct envelope *e)
{
	for (const struct smtps_rcpt *r = ta->rcpt; r; r = r->next) {
		if (r->to.discard)
			continue;
		if (r->members)
			smtps_members_put(r, e, put_rcpt);
		else
			put_rcpt(e, (struct env_rcpt){ .addr = r->to.addr,
						       .orcpt = r->orcpt,
						       .route = r->to.route,
						       .notify = r->notify });
	}
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
			      .flags = ta->smtputf8 || ta->utf8_members ? ENV_SMTPUTF8 : 0,
			      .envid = ta->envid,
			      .route_count = ta->route_count,
			      .owner_count = ta->owner_count,
			      .rcpt_count = 0 };
	uint32_t i = 0, k = 0;

	e.rcpt = arena_alloc(ta->arena, ta->kept_count * sizeof *e.rcpt);
	e.route = arena_alloc(ta->arena, ta->route_count * sizeof *e.route);
	e.owner = arena_alloc(ta->arena, ta->owner_count * sizeof *e.owner);
	if (!e.rcpt || !e.route || !e.owner)
		return -ENOMEM;
	for (const struct smtps_route *r = ta->route; r; r = r->next)
		e.route[i++] = r->bytes;
	for (const struct smtps_owner *o = ta->owner; o; o = o->next)
		e.owner[k++] = o->addr;
	put_rcpts(ta, &e);
	return envelope_encode(&e, out);
}
