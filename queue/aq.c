#include "queue/aq.h"

#include "core/err.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_BUCKETS_MAX = 1 << 22 };

static struct cds_lfht *table;
static atomic_uint count;
static unsigned max_count;

void aq_init(unsigned max_recipients)
{
	unsigned buckets = max_recipients / 4;

	table = lfht_new(buckets < FIRST_BUCKETS_MAX ? buckets : FIRST_BUCKETS_MAX);
	max_count = max_recipients;
}

static int match(struct cds_lfht_node *node, const void *key)
{
	RCU_TSAN_ACQUIRE(node);
	return caa_container_of(node, struct ta, node)->id == *(const uint64_t *)key;
}

struct ta *aq_ta_new(struct span envelope, const struct cdb_ref *ref, int *error)
{
	struct arena *a = arena_new();
	struct ta *ta = a ? arena_alloc(a, sizeof *ta) : NULL;

	*error = -ENOMEM;
	if (!ta)
		goto fail;
	memset(ta, 0, sizeof *ta);
	ta->arena = a;
	ta->ref = *ref;
	ta->blob = arena_span(a, envelope);
	if (!ta->blob.p)
		goto fail;
	*error = envelope_decode(ta->blob, a, &ta->env);
	if (*error)
		goto fail;
	ta->id = ta->env.ta;
	/* A whole transaction: recipient i has number i, results name it so. */
	*error = -EBADMSG;
	for (uint32_t i = 0; i < ta->env.rcpt_count; i++)
		if (ta->env.rcpt[i].idx != i)
			goto fail;
	ta->rcpt = arena_alloc(a, (ta->env.rcpt_count + 1) * sizeof *ta->rcpt);
	ta->dsn_count = arena_alloc(a, (ta->env.owner_count + 1) * sizeof *ta->dsn_count);
	ta->warned = arena_alloc(a, (ta->env.owner_count + 1) * sizeof *ta->warned);
	*error = -ENOMEM;
	if (!ta->rcpt || !ta->dsn_count || !ta->warned)
		goto fail;
	for (uint32_t i = 0; i <= ta->env.owner_count; i++) {
		atomic_init(&ta->dsn_count[i], 0);
		atomic_init(&ta->warned[i], false);
	}
	memset(ta->rcpt, 0, ta->env.rcpt_count * sizeof *ta->rcpt);
	atomic_store(&ta->open, ta->env.rcpt_count);
	*error = 0;
	return ta;
fail:
	arena_free(a);
	return NULL;
}

void aq_ta_set_arrival(struct ta *ta, usec_t wall_arrival)
{
	ta->env.wall_arrival = wall_arrival;
	/* The bytes are the arena's. */
	envelope_set_arrival((char *)(uintptr_t)ta->blob.p, wall_arrival);
}

void aq_ta_free(struct ta *ta)
{
	for (uint32_t i = 0; i < ta->env.rcpt_count; i++) {
		free(ta->rcpt[i].reply);
		free(ta->rcpt[i].route);
	}
	free(ta->c.rcpt);
	arena_free(ta->arena);
}

bool aq_insert(struct ta *ta)
{
	return lfht_add_unique(table, hash_mix(0, ta->id), match, &ta->id, &ta->node) == &ta->node;
}

static void free_later(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	aq_ta_free(caa_container_of(head, struct ta, rcu));
}

void aq_ta_free_later(struct ta *own)
{
	rcu_later(&own->rcu, free_later);
}

void aq_remove(struct ta *own)
{
	if (!lfht_remove(table, &own->node))
		panic("transaction %llx left the queue twice", (unsigned long long)own->id);
	rcu_later(&own->rcu, free_later);
}

struct ta *aq_find(uint64_t id)
{
	struct cds_lfht_node *n = lfht_find(table, hash_mix(0, id), match, &id);

	return n ? caa_container_of(n, struct ta, node) : NULL;
}

struct cds_lfht *aq_table(void)
{
	return table;
}

unsigned aq_count(void)
{
	return atomic_load_explicit(&count, memory_order_relaxed);
}

unsigned aq_max(void)
{
	return max_count;
}

void aq_take(unsigned n)
{
	atomic_fetch_add(&count, n);
}

void aq_give(unsigned n)
{
	atomic_fetch_sub(&count, n);
}

unsigned aq_first_owner(const struct ta *ta, uint32_t *idx, unsigned len)
{
	uint16_t owner = ta->env.rcpt[idx[0]].owner;
	unsigned n = 0;

	for (unsigned i = 0; i < len; i++)
		if (ta->env.rcpt[idx[i]].owner == owner) {
			uint32_t other = idx[n];

			idx[n++] = idx[i];
			idx[i] = other;
		}
	return n;
}

static void free_reply(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	free(caa_container_of(head, struct rcpt_reply, rcu));
}

void aq_rcpt_reply(struct rcpt *r, struct span reply, uint8_t stage, const struct addr *remote)
{
	reply = span_head(reply, 1000);
	struct rcpt_reply *fresh = malloc(sizeof *fresh + reply.n);
	struct rcpt_reply *old = r->reply;

	if (fresh) {
		fresh->n = (uint16_t)reply.n;
		fresh->remote = remote ? *remote : (struct addr){ .family = ADDR_NONE };
		if (reply.n)
			memcpy(fresh->text, reply.p, reply.n);
	}
	r->stage = stage;
	r->stored = 0;
	RCU_PUBLISH(r->reply, fresh);
	if (old)
		rcu_later(&old->rcu, free_reply);
}

struct span aq_rcpt_last(struct rcpt *r)
{
	struct rcpt_reply *p = RCU_READ(r->reply);

	return p ? span_of(p->text, p->n) : span_of("", 0);
}

struct addr aq_rcpt_remote(struct rcpt *r)
{
	struct rcpt_reply *p = RCU_READ(r->reply);

	return p ? p->remote : (struct addr){ .family = ADDR_NONE };
}

static void free_route(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	free(caa_container_of(head, struct rcpt_route, rcu));
}

static void put_route(struct rcpt *r, struct rcpt_route *fresh)
{
	struct rcpt_route *old = r->route;

	r->stored = 0;
	RCU_PUBLISH(r->route, fresh);
	if (old)
		rcu_later(&old->rcu, free_route);
}

void aq_rcpt_set_route(struct ta *ta, uint32_t idx, struct span route, bool forced)
{
	struct rcpt *r = &ta->rcpt[idx];
	uint32_t of_env = ta->env.rcpt[idx].route;
	struct rcpt_route *fresh;

	if (r->route && r->route->forced == forced &&
	    span_eq(span_of(r->route->bytes, r->route->n), route))
		return;
	if (!forced && of_env != ENV_NO_ROUTE && span_eq(ta->env.route[of_env], route)) {
		aq_rcpt_drop_route(r);
		return;
	}
	fresh = xmalloc(sizeof *fresh + route.n);
	fresh->n = (uint16_t)route.n;
	fresh->forced = forced;
	memcpy(fresh->bytes, route.p, route.n);
	put_route(r, fresh);
}

void aq_rcpt_drop_route(struct rcpt *r)
{
	if (r->route)
		put_route(r, NULL);
}

struct span aq_rcpt_own_route(const struct rcpt *r)
{
	struct rcpt_route *p = RCU_READ(r->route);

	return p ? span_of(p->bytes, p->n) : span_of("", 0);
}

struct span aq_rcpt_route(const struct ta *ta, uint32_t idx, bool *forced)
{
	struct rcpt_route *p = RCU_READ(ta->rcpt[idx].route);
	uint32_t of_env = ta->env.rcpt[idx].route;

	if (forced)
		*forced = p && p->forced;
	if (p)
		return span_of(p->bytes, p->n);
	return of_env == ENV_NO_ROUTE ? span_of("", 0) : ta->env.route[of_env];
}

void aq_rcpt_restore(struct ta *ta, uint32_t idx, const struct store_deferred *d)
{
	struct rcpt *r = &ta->rcpt[idx];

	r->attempts = d->attempts;
	r->warned = d->warned;
	if (d->warned)
		atomic_store(aq_warned(ta, idx), true);
	r->wall_last = d->wall_last;
	atomic_store(&r->wall_next, d->held ? 0 : d->wall_next);
	if (d->reply.n)
		aq_rcpt_reply(r, d->reply, d->stage, NULL);
	if (d->route.n)
		aq_rcpt_set_route(ta, idx, d->route, d->forced);
	atomic_store(&r->park, d->held ? 0 : d->park);
	r->stored = 1;
	atomic_store(&r->state, d->held ? RCPT_HELD : RCPT_DEFERRED);
}
