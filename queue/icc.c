#include "queue/icc.h"

#include "core/rcu.h"
#include "queue/limits.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { FIRST_BUCKETS_MAX = 1024 };

/* The last 60 s in slots of 2 s: the rate slides. */
enum { SLOTS = 30, SLOT_USEC = 2 * USEC_PER_SEC };

enum { EXPIRE_CLIENTS = 50000 }; /* looked at in one call of icc_expire() */

struct client {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	struct client *next; /* of `born` or `known` */
	struct addr addr;
	atomic_int refs; /* < 0: on its way out */
	atomic_uint open;
	_Atomic uint64_t slot[SLOTS]; /* number of the 2 s << 32 | connections in it */
	_Atomic usec_t seen;
};

static struct cds_lfht *table;
static struct icc_setup set;
static atomic_uint count;
static atomic_uint max_open, max_rate;
/* All clients once more, for icc_expire(): a walk over the table would visit its empty buckets too,
 * and there may be millions. New ones, from any loop; the others, and how far the last look came, are
 * of the loop that calls it. */
static _Atomic(struct client *) born;
static struct client *known, **look_at;

void icc_tune(unsigned open, unsigned per_minute)
{
	atomic_store(&max_open, open);
	atomic_store(&max_rate, per_minute);
}

void icc_init(const struct icc_setup *s)
{
	set = *s;
	icc_tune(s->max_open, s->max_rate);
	table = lfht_new(s->buckets < FIRST_BUCKETS_MAX ? s->buckets : FIRST_BUCKETS_MAX);
	atomic_store(&born, NULL);
	known = NULL;
	look_at = &known;
}

void icc_grow(void)
{
	lfht_grow(table, set.buckets);
}

static int match(struct cds_lfht_node *node, const void *key)
{
	return addr_ip_eq(&caa_container_of(node, struct client, node)->addr, key);
}

static struct client *find(const struct addr *a)
{
	struct cds_lfht_node *n = lfht_find(table, addr_ip_hash(a), match, a);

	return n ? caa_container_of(n, struct client, node) : NULL;
}

/* With a reference, so that it is not dropped between two steps. */
static struct client *hold(const struct addr *a)
{
	for (;;) {
		struct client *c = find(a);

		if (c) {
			int refs = atomic_load(&c->refs);

			while (refs >= 0)
				if (atomic_compare_exchange_weak(&c->refs, &refs, refs + 1))
					return c;
			continue;
		}
		if (atomic_load(&count) >= set.max_entries)
			return NULL;
		c = calloc(1, sizeof *c);
		if (!c)
			return NULL;
		c->addr = *a;
		atomic_store(&c->refs, 1);
		if (lfht_add_unique(table, addr_ip_hash(a), match, a, &c->node) == &c->node) {
			atomic_fetch_add(&count, 1);
			c->next = atomic_load(&born);
			while (!atomic_compare_exchange_weak(&born, &c->next, c))
				;
			return c;
		}
		free(c);
	}
}

static void drop(struct client *c)
{
	atomic_fetch_sub(&c->refs, 1);
}

static unsigned rate(struct client *c, usec_t now)
{
	uint64_t at = (uint64_t)(now / SLOT_USEC), n = 0;

	for (int i = 0; i < SLOTS; i++) {
		uint64_t v = atomic_load_explicit(&c->slot[i], memory_order_relaxed);

		if (at - (v >> 32) < SLOTS)
			n += v & UINT32_MAX;
	}
	return (unsigned)n;
}

static void note(struct client *c, usec_t now)
{
	uint64_t at = (uint64_t)(now / SLOT_USEC);
	_Atomic uint64_t *s = &c->slot[at % SLOTS];
	uint64_t v = atomic_load(s), fresh;

	do {
		fresh = v >> 32 == at ? v + 1 : at << 32 | 1;
	} while (!atomic_compare_exchange_weak(s, &v, fresh));
	atomic_store_explicit(&c->seen, now, memory_order_relaxed);
}

enum icc_verdict icc_open(const struct addr *client, usec_t now)
{
	struct client *c = hold(client);
	enum icc_verdict v = ICC_OK;

	if (!c)
		return ICC_OK;
	if (rate(c, now) >=
	    limits_get(LIMITS_ICR, client, atomic_load_explicit(&max_rate, memory_order_relaxed)))
		v = ICC_TOO_FAST;
	else if (atomic_load(&c->open) >=
		 limits_get(LIMITS_ICM, client,
			    atomic_load_explicit(&max_open, memory_order_relaxed)))
		v = ICC_TOO_MANY;
	else
		atomic_fetch_add(&c->open, 1);
	/* Those that are refused do not count: a client that comes again and again would never be let
	 * in any more. */
	if (v == ICC_OK)
		note(c, now);
	else
		atomic_store_explicit(&c->seen, now, memory_order_relaxed);
	drop(c);
	return v;
}

void icc_reopen(const struct addr *client, usec_t now)
{
	struct client *c = hold(client);

	if (!c)
		return;
	atomic_fetch_add(&c->open, 1);
	atomic_store_explicit(&c->seen, now, memory_order_relaxed);
	drop(c);
}

void icc_close(const struct addr *client)
{
	struct client *c = find(client);
	unsigned open = c ? atomic_load(&c->open) : 0;

	while (open > 0 && !atomic_compare_exchange_weak(&c->open, &open, open - 1))
		;
}

static void free_later(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	free(caa_container_of(head, struct client, rcu));
}

static void know_born(void)
{
	struct client *first = atomic_exchange(&born, NULL), *last = first;

	if (!first)
		return;
	while (last->next)
		last = last->next;
	last->next = known;
	known = first;
}

static bool forget(struct client *c, usec_t now)
{
	int none = 0;

	if (atomic_load(&c->open) || now - atomic_load(&c->seen) < SLOTS * (usec_t)SLOT_USEC)
		return false;
	return atomic_compare_exchange_strong(&c->refs, &none, -1) && lfht_remove(table, &c->node);
}

void icc_expire(usec_t now)
{
	know_born();
	for (unsigned i = 0; i < EXPIRE_CLIENTS && *look_at; i++) {
		struct client *c = *look_at;

		if (!forget(c, now)) {
			look_at = &c->next;
			continue;
		}
		*look_at = c->next;
		atomic_fetch_sub(&count, 1);
		rcu_later(&c->rcu, free_later);
	}
	if (!*look_at)
		look_at = &known;
}

unsigned icc_count(void)
{
	return atomic_load(&count);
}
