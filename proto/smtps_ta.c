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

/* The number of a route; equal ones are kept once. ENV_NO_ROUTE without memory. */
static uint32_t route_number(struct smtps_ta *ta, struct span bytes)
{
	uint64_t hash = span_hash(bytes);
	uint32_t n = 0;

	for (const struct smtps_route *r = ta->route; r; r = r->next, n++)
		if (r->hash == hash && span_eq(r->bytes, bytes))
			return n;
	struct smtps_route *r = arena_alloc(ta->arena, sizeof *r);
	if (!r)
		return ENV_NO_ROUTE;
	/* The bytes were copied into the arena with the verdict. */
	*r = (struct smtps_route){ .bytes = bytes, .hash = hash };
	*ta->route_end = r;
	ta->route_end = &r->next;
	ta->route_count++;
	return n;
}

static bool is_repeated(const struct smtps_ta *ta, const struct smtps_rcpt *r)
{
	for (const struct smtps_rcpt *o = ta->rcpt; o; o = o->next)
		if (o->hash == r->hash && span_eq(o->addr, r->addr) && span_eq(o->orcpt, r->orcpt) &&
		    o->notify == r->notify && !o->discard)
			return true;
	return false;
}

void smtps_ta_add_rcpt(struct smtps_ta *ta, struct smtps_rcpt *r, struct span route)
{
	r->next = NULL;
	r->hash = span_hash(r->addr);
	r->discard |= is_repeated(ta, r);
	r->idx = ta->rcpt_count;
	r->route = route.n ? route_number(ta, route) : ENV_NO_ROUTE;
	*ta->rcpt_end = r;
	ta->rcpt_end = &r->next;
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
