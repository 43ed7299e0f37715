#include "queue/occ.h"

#include "core/err.h"
#include "core/log.h"
#include "queue/limits.h"

#include <stdlib.h>

enum { DOWN_MAX_FACTOR = OCC_DOWN_MAX_USEC / OCC_DOWN_USEC };

static struct cds_lfht *table;
static struct occ_setup set;
static atomic_uint count;
static atomic_uint initial_limit, max_limit;
static _Atomic usec_t down_usec;

void occ_tune(unsigned initial, unsigned max, usec_t retry_min_usec)
{
	usec_t down = retry_min_usec / 2;

	atomic_store(&initial_limit, initial);
	atomic_store(&max_limit, max);
	atomic_store(&down_usec, down < OCC_DOWN_USEC ? down : OCC_DOWN_USEC);
}

void occ_init(const struct occ_setup *s)
{
	set = *s;
	occ_tune(s->initial, s->max, s->retry_min_usec);
	table = lfht_new(1024);
}

/* No more at first than at most. */
static unsigned initial_of(const struct occ_host *h)
{
	unsigned max = limits_get(LIMITS_OCM, &h->addr, atomic_load(&max_limit));
	unsigned initial = limits_get(LIMITS_OCI, &h->addr, atomic_load(&initial_limit));

	return initial < max ? initial : max;
}

struct key {
	uint8_t mailer;
	const struct addr *addr;
};

static int match(struct cds_lfht_node *node, const void *key)
{
	const struct occ_host *h = caa_container_of(node, struct occ_host, node);
	const struct key *k = key;

	return h->mailer == k->mailer && addr_eq(&h->addr, k->addr);
}

static uint64_t hash_of(uint8_t mailer, const struct addr *a)
{
	return hash_mix(addr_hash(a), mailer);
}

struct cds_lfht *occ_table(void)
{
	return table;
}

struct occ_host *occ_find(uint8_t mailer, const struct addr *a)
{
	struct key k = { mailer, a };
	struct cds_lfht_node *n = lfht_find(table, hash_of(mailer, a), match, &k);

	return n ? caa_container_of(n, struct occ_host, node) : NULL;
}

struct occ_host *occ_get(uint8_t mailer, const struct addr *a)
{
	struct occ_host *h = occ_find(mailer, a);
	int refs;

	/* An entry with refs < 0 is on its way out. */
	if (h) {
		refs = atomic_load(&h->refs);
		while (refs >= 0)
			if (atomic_compare_exchange_weak(&h->refs, &refs, refs + 1))
				return h;
	}
	struct occ_host *fresh = xcalloc(1, sizeof *fresh);
	struct key k = { mailer, &fresh->addr };

	fresh->addr = *a;
	fresh->mailer = mailer;
	atomic_store(&fresh->refs, 1);
	atomic_store(&fresh->limit, initial_of(fresh));
	struct cds_lfht_node *in =
		lfht_add_unique(table, hash_of(mailer, a), match, &k, &fresh->node);
	if (in == &fresh->node) {
		atomic_fetch_add(&count, 1);
		return fresh;
	}
	free(fresh);
	return occ_get(mailer, a);
}

void occ_put(struct occ_host *h)
{
	atomic_fetch_sub(&h->refs, 1);
}

enum occ_state occ_take(struct occ_host *h, unsigned loop, usec_t now)
{
	usec_t down = atomic_load(&h->down_until);
	unsigned limit = down ? 1 : atomic_load(&h->limit);
	unsigned busy = atomic_load(&h->busy);

	if (down && now < down)
		return OCC_DOWN;
	while (busy < limit) {
		if (atomic_compare_exchange_weak(&h->busy, &busy, busy + 1)) {
			atomic_store_explicit(&h->used, now, memory_order_relaxed);
			return OCC_FREE;
		}
	}
	atomic_fetch_or(&h->waiting, (uint64_t)1 << (loop & 63));
	/* A slot may have been given back between the two. */
	if (atomic_load(&h->busy) == 0 && limit > 0)
		return occ_take(h, loop, now);
	return OCC_FULL;
}

/* Enough successes for a wider window? Each step that holds makes the next one cheaper. */
static bool may_widen(struct occ_host *h)
{
	unsigned need = atomic_load_explicit(&h->need, memory_order_relaxed);

	if (need <= 1)
		return true;
	if (atomic_fetch_add(&h->has, 1) + 1 < need)
		return false;
	atomic_store(&h->has, 0);
	atomic_store(&h->need, need / 2);
	return true;
}

static void went_well(struct occ_host *h, usec_t now)
{
	unsigned limit = atomic_load(&h->limit);

	atomic_store_explicit(&h->well, now, memory_order_relaxed);
	if (atomic_load(&h->failures))
		atomic_store(&h->failures, 0);
	if (atomic_load(&h->down_until)) {
		atomic_store(&h->down_until, 0);
		atomic_store(&h->limit, initial_of(h));
		atomic_store(&h->need, 1);
		return;
	}
	unsigned max = limits_get(LIMITS_OCM, &h->addr, atomic_load(&max_limit));
	if (limit < max) {
		if (may_widen(h))
			atomic_compare_exchange_strong(&h->limit, &limit, limit + 1);
	} else if (limit > max)
		atomic_store(&h->limit, max);
}

/* It serves others but takes no further one. False: it is down. */
static bool has_enough(struct occ_host *h, usec_t now)
{
	unsigned busy = atomic_load(&h->busy), limit = atomic_load(&h->limit);
	unsigned need = atomic_load(&h->need);
	usec_t well = atomic_load(&h->well);

	if (busy < 2 || !well || now - well > OCC_SERVES_USEC || atomic_load(&h->down_until))
		return false;
	if (busy - 1 < limit)
		atomic_compare_exchange_strong(&h->limit, &limit, busy - 1);
	/* Those that are refused together count once. */
	if (well > atomic_load(&h->refused))
		atomic_store(&h->need, need <= 1                 ? 4
				       : need < OCC_NEED_MAX / 4 ? need * 4
								 : OCC_NEED_MAX);
	atomic_store(&h->has, 0);
	atomic_store(&h->refused, now);
	return true;
}

static void went_down(struct occ_host *h, usec_t least, usec_t now)
{
	/* Connections that began before the first failure were not made in spite of it. */
	if (now < atomic_load(&h->down_until))
		return;
	unsigned failures = atomic_fetch_add(&h->failures, 1);
	unsigned limit = atomic_load(&h->limit);
	unsigned factor = failures < 3 ? 1u << failures : DOWN_MAX_FACTOR;
	usec_t down = atomic_load(&down_usec) * factor;

	least = least < OCC_DOWN_MAX_USEC ? least : OCC_DOWN_MAX_USEC;

	atomic_store(&h->limit, limit > 1 ? limit / 2 : 1);
	atomic_store(&h->down_until, now + (down > least ? down : least));
}

void occ_give(struct occ_host *h, bool connected, bool delivered, usec_t least, usec_t now)
{
	if (!connected && !has_enough(h, now))
		went_down(h, least, now);
	else if (connected && (delivered || atomic_load(&h->down_until)))
		went_well(h, now);
	atomic_fetch_sub(&h->busy, 1);
}

bool occ_waits(struct occ_host *h, unsigned loop)
{
	if (!atomic_load(&h->busy))
		return false;
	atomic_fetch_or(&h->waiting, (uint64_t)1 << (loop & 63));
	/* The last one may have ended between the two. */
	return atomic_load(&h->busy) != 0;
}

uint64_t occ_waiters(struct occ_host *h)
{
	return atomic_load_explicit(&h->waiting, memory_order_relaxed)
		       ? atomic_exchange(&h->waiting, 0)
		       : 0;
}

static void free_later(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	free(caa_container_of(head, struct occ_host, rcu));
}

usec_t occ_keep_usec(void)
{
	return limits_octo(set.keep_usec);
}

void occ_expire(usec_t now)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;
	usec_t keep = occ_keep_usec();

	LFHT_FOREACH(table, &it, node)
	{
		struct occ_host *h = caa_container_of(node, struct occ_host, node);
		bool full = atomic_load(&count) > set.max_entries;
		int none = 0;

		if (atomic_load(&h->busy) || (!full && now - atomic_load(&h->used) < keep))
			continue;
		if (atomic_compare_exchange_strong(&h->refs, &none, -1) &&
		    lfht_remove(table, node)) {
			atomic_fetch_sub(&count, 1);
			rcu_later(&h->rcu, free_later);
		}
	}
}

unsigned occ_count(void)
{
	return atomic_load(&count);
}

void occ_probe_host(struct occ_host *h, usec_t now)
{
	usec_t until = atomic_load(&h->down_until);

	if (until > now)
		atomic_compare_exchange_strong(&h->down_until, &until, now);
}

void occ_probe(usec_t now)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;

	LFHT_FOREACH(table, &it, node)
	occ_probe_host(caa_container_of(node, struct occ_host, node), now);
}
