#include "queue/park.h"

#include "core/err.h"
#include "core/route.h"
#include "queue/retry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { FLOOR_PARTS = 256, COMING_LOW = 100 };

static struct cds_lfht *by_key, *by_id;
static _Atomic uint64_t last_id;
static struct park *_Atomic told; /* last in, first out */
static void (*_Atomic wake_keeper)(void);
/* States with their times, and `low`; never held over a call. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void parks_init(void)
{
	by_key = lfht_new(1024);
	by_id = lfht_new(1024);
}

void parks_on_told(void (*wake)(void))
{
	atomic_store(&wake_keeper, wake);
}

/* ---- tables */

struct key {
	uint64_t suspension;
	struct span route;
};

static int match_key(struct cds_lfht_node *node, const void *key)
{
	RCU_TSAN_ACQUIRE(node);
	const struct park *p = caa_container_of(node, struct park, by_key);
	const struct key *k = key;

	return p->suspension == k->suspension && span_eq(p->route, k->route);
}

static int match_id(struct cds_lfht_node *node, const void *key)
{
	RCU_TSAN_ACQUIRE(node);
	return caa_container_of(node, struct park, by_id)->id == *(const uint64_t *)key;
}

static uint64_t hash_of(const struct key *k)
{
	return hash_mix(span_hash(k->route), k->suspension);
}

struct park *park_find(uint64_t id)
{
	struct cds_lfht_node *n = lfht_find(by_id, hash_mix(0, id), match_id, &id);

	return n ? caa_container_of(n, struct park, by_id) : NULL;
}

/* Not when it is on its way out. */
static bool take_ref(struct park *p)
{
	int refs = atomic_load(&p->refs);

	while (refs >= 0)
		if (atomic_compare_exchange_weak(&p->refs, &refs, refs + 1))
			return true;
	return false;
}

static struct park *park_new(const struct key *k, uint64_t id)
{
	struct park *p = xcalloc(1, sizeof *p + k->route.n);

	if (k->route.n)
		memcpy(p + 1, k->route.p, k->route.n);
	p->route = span_of(p + 1, k->route.n);
	p->suspension = k->suspension;
	p->id = id;
	atomic_store(&p->refs, 1);
	atomic_store(&p->state, k->suspension ? PARK_CLOSED : PARK_OPEN);
	return p;
}

static void free_later(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	free(caa_container_of(head, struct park, rcu));
}

/* The one with its key that is in the tables afterwards, with a reference. Who finds it by its key
 * must find it by its number. */
static struct park *insert(struct park *own)
{
	struct key k = { own->suspension, own->route };

	lfht_add_unique(by_id, hash_mix(0, own->id), match_id, &own->id, &own->by_id);
	for (;;) {
		struct cds_lfht_node *in =
			lfht_add_unique(by_key, hash_of(&k), match_key, &k, &own->by_key);

		if (in == &own->by_key)
			return own;
		struct park *p = caa_container_of(in, struct park, by_key);
		if (take_ref(p)) {
			lfht_remove(by_id, &own->by_id);
			rcu_later(&own->rcu, free_later);
			return p;
		}
		/* Who takes it out is at it. */
		lfht_remove(by_key, in);
	}
}

static struct park *get(const struct key *k)
{
	struct cds_lfht_node *n = lfht_find(by_key, hash_of(k), match_key, k);
	struct park *p = n ? caa_container_of(n, struct park, by_key) : NULL;

	if (p && take_ref(p))
		return p;
	return insert(park_new(k, atomic_fetch_add(&last_id, 1) + 1));
}

struct park *park_get(struct span route)
{
	return get(&(struct key){ .route = route });
}

struct park *park_get_suspension(uint64_t number)
{
	return get(&(struct key){ .suspension = number, .route = SPAN("") });
}

void park_ref(struct park *p)
{
	atomic_fetch_add(&p->refs, 1);
}

void park_put(struct park *p)
{
	atomic_fetch_sub(&p->refs, 1);
}

void parks_each(void (*fn)(struct park *p, void *ctx), void *ctx)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;

	LFHT_FOREACH(by_id, &it, node)
	fn(caa_container_of(node, struct park, by_id), ctx);
}

static void drop_unused(struct park *p, void *ctx)
{
	int none = 0;

	(void)ctx;
	if (atomic_load(&p->parked) || atomic_load(&p->coming) || atomic_load(&p->rows) ||
	    atomic_load(&p->has_head) || !atomic_compare_exchange_strong(&p->refs, &none, -1))
		return;
	lfht_remove(by_key, &p->by_key);
	lfht_remove(by_id, &p->by_id);
	rcu_later(&p->rcu, free_later);
}

void parks_sweep(void)
{
	parks_each(drop_unused, NULL);
}

/* ---- news for the keeper */

static void tell(struct park *p)
{
	void (*wake)(void) = atomic_load(&wake_keeper);

	if (atomic_exchange(&p->told, true))
		return;
	park_ref(p);
	struct park *first = atomic_load(&told);
	do
		p->told_next = first;
	while (!atomic_compare_exchange_weak(&told, &first, p));
	if (wake)
		wake();
}

struct park *parks_told(void)
{
	return atomic_exchange(&told, NULL);
}

/* ---- counts */

unsigned park_share(unsigned aq_max, unsigned aq_count)
{
	unsigned left = aq_max > aq_count ? aq_max - aq_count : 0;
	unsigned least = 1 + aq_max / FLOOR_PARTS;

	return left > least ? left : least;
}

unsigned park_share_room(unsigned aq_max, unsigned aq_count, unsigned has)
{
	unsigned left = aq_max > aq_count ? aq_max - aq_count : 0;
	unsigned room = left > has ? (left - has + 1) / 2 : 0;
	unsigned least = 1 + aq_max / FLOOR_PARTS, few = least > has ? least - has : 0;

	return room > few ? room : few;
}

unsigned park_room(const struct park *p, unsigned n)
{
	unsigned has = atomic_load(&p->in_aq) + atomic_load(&p->coming), count = aq_count();
	uint64_t waiting = atomic_load(&p->parked);

	if (atomic_load(&p->state) != PARK_OPEN)
		return 0;
	/* First in, first out, until so few are left that all of them have room. */
	count = count > n ? count - n : 0;
	if (waiting && has + waiting + n > park_share(aq_max(), count) / 2)
		return 0;
	return park_share_room(aq_max(), count, has);
}

/* Below this more are brought: a suspension that has ended has no share of its own. */
static unsigned low_water(const struct park *p)
{
	return p->suspension ? COMING_LOW : park_share(aq_max(), aq_count()) / 2;
}

/* Is there something for the keeper to do, now that recipients have left? */
static void look(struct park *p)
{
	unsigned has = atomic_load(&p->in_aq) + atomic_load(&p->coming);

	switch (atomic_load(&p->state)) {
	case PARK_OPEN:
		if (atomic_load(&p->parked) && !atomic_load(&p->dry) && has <= low_water(p))
			tell(p);
		break;
	case PARK_PROBING:
		if (!has)
			tell(p);
		break;
	default:
		break;
	}
}

void park_came(struct park *p, unsigned n)
{
	atomic_fetch_add(&p->in_aq, n);
}

void park_gone(struct park *p, unsigned n)
{
	atomic_fetch_sub(&p->in_aq, n);
	look(p);
}

bool park_arrived(struct rcpt *r, const struct park *of)
{
	uint64_t id = atomic_load_explicit(&r->park, memory_order_relaxed);
	struct park *p = id ? park_find(id) : NULL;

	if (!id)
		return false;
	atomic_store_explicit(&r->park, 0, memory_order_relaxed);
	if (!p)
		return false;
	atomic_fetch_sub(&p->coming, 1);
	look(p);
	return p == of;
}

void park_add(struct park *p, struct rcpt *r)
{
	atomic_fetch_add(&p->parked, 1);
	if (!p->suspension && atomic_load(&p->state) == PARK_OPEN)
		atomic_fetch_add(&p->spilled, 1);
	atomic_store(&r->park, p->id);
}

void park_take(struct rcpt *r)
{
	uint64_t id = atomic_load(&r->park);
	struct park *p = id ? park_find(id) : NULL;

	if (!p) {
		atomic_store(&r->park, 0);
		return;
	}
	atomic_fetch_add(&p->coming, 1);
	uint64_t left = atomic_fetch_sub(&p->parked, 1) - 1, spilled = atomic_load(&p->spilled);
	/* Those behind are the younger ones. */
	if (spilled > left)
		atomic_compare_exchange_strong(&p->spilled, &spilled, left);
}

/* ---- states */

void park_close(struct park *p, usec_t min_delay, usec_t max_delay)
{
	bool closes;

	pthread_mutex_lock(&lock);
	closes = atomic_load(&p->state) != PARK_CLOSED;
	if (closes) {
		uint32_t failures = atomic_fetch_add(&p->failures, 1) + 1;

		atomic_store(&p->wall_next,
			     clock_steady() + retry_delay(min_delay, max_delay, failures,
							  (uint32_t)hash_mix(p->id, failures)));
		atomic_store(&p->spilled, 0);
		atomic_store(&p->state, PARK_CLOSED);
		atomic_store(&p->changed, true);
	}
	pthread_mutex_unlock(&lock);
	if (closes)
		tell(p);
}

void park_open(struct park *p)
{
	bool opens;

	if (atomic_load_explicit(&p->state, memory_order_relaxed) == PARK_OPEN)
		return;
	pthread_mutex_lock(&lock);
	opens = atomic_load(&p->state) != PARK_OPEN;
	if (opens) {
		atomic_store(&p->failures, 0);
		atomic_store(&p->wall_next, 0);
		atomic_store(&p->state, PARK_OPEN);
		atomic_store(&p->changed, true);
	}
	pthread_mutex_unlock(&lock);
	if (opens)
		tell(p);
}

void park_hurry(struct park *p)
{
	usec_t now = clock_steady();

	pthread_mutex_lock(&lock);
	if (atomic_load(&p->state) == PARK_CLOSED && !p->suspension &&
	    atomic_load(&p->wall_next) > now)
		atomic_store(&p->wall_next, now);
	pthread_mutex_unlock(&lock);
	tell(p);
}

bool park_probe(struct park *p)
{
	bool probes;

	pthread_mutex_lock(&lock);
	probes = atomic_load(&p->state) == PARK_CLOSED && !p->suspension &&
		 atomic_load(&p->wall_next) <= clock_steady();
	if (probes)
		atomic_store(&p->state, PARK_PROBING);
	pthread_mutex_unlock(&lock);
	return probes;
}

struct host {
	uint8_t mailer;
	const struct addr *addr;
};

static void hurry_if_has(struct park *p, void *ctx)
{
	const struct host *h = ctx;
	struct route route;

	if (p->suspension || atomic_load(&p->state) != PARK_CLOSED || !atomic_load(&p->parked) ||
	    route_decode(p->route, &route) || route.mailer != h->mailer)
		return;
	for (unsigned i = 0; i < route.count; i++)
		if (addr_eq(&route.host[i], h->addr)) {
			park_hurry(p);
			return;
		}
}

void parks_host_up(uint8_t mailer, const struct addr *host)
{
	parks_each(hurry_if_has, &(struct host){ mailer, host });
}

/* ---- rows */

static bool before(uint64_t ta, uint32_t idx, uint64_t of_ta, uint32_t of_idx)
{
	return ta != of_ta ? ta < of_ta : idx < of_idx;
}

void park_written(struct park *p, uint64_t ta, uint32_t idx)
{
	pthread_mutex_lock(&lock);
	if (!p->k.has_low || before(ta, idx, p->k.low_ta, p->k.low_idx)) {
		p->k.has_low = true;
		p->k.low_ta = ta;
		p->k.low_idx = idx;
	}
	atomic_store(&p->dry, false);
	pthread_mutex_unlock(&lock);
	tell(p);
}

bool park_dry(struct park *p)
{
	pthread_mutex_lock(&lock);
	bool dry = !p->k.has_low;
	atomic_store(&p->dry, dry);
	pthread_mutex_unlock(&lock);
	return dry;
}

void park_rewind(struct park *p)
{
	pthread_mutex_lock(&lock);
	if (p->k.has_low && before(p->k.low_ta, p->k.low_idx, p->k.ta, p->k.idx)) {
		p->k.ta = p->k.low_ta;
		p->k.idx = p->k.low_idx;
	}
	p->k.has_low = false;
	pthread_mutex_unlock(&lock);
}

static void tell_if_parked(struct park *p, void *ctx)
{
	(void)ctx;
	if (atomic_load(&p->parked))
		tell(p);
}

void parks_tell_all(void)
{
	parks_each(tell_if_parked, NULL);
}

size_t park_encode(const struct park *p, char *dst)
{
	bool open = atomic_load(&p->state) == PARK_OPEN;
	struct store_park h = { .suspension = p->suspension,
				.wall_next = open ? 0 : atomic_load(&p->wall_next),
				.failures = atomic_load(&p->failures),
				.route = p->route };

	return store_park_encode(&h, dst);
}

static void load_one(uint64_t id, const struct store_park *h)
{
	struct park *p = insert(park_new(&(struct key){ h->suspension, h->route }, id));

	/* What was open, or was being probed, is looked at at once. */
	atomic_store(&p->failures, h->failures);
	atomic_store(&p->wall_next, h->wall_next);
	atomic_store(&p->state, h->suspension || h->wall_next ? PARK_CLOSED : PARK_OPEN);
	atomic_store(&p->has_head, true);
	if (id > atomic_load(&last_id))
		atomic_store(&last_id, id);
	park_put(p);
}

int parks_load(struct store *s)
{
	struct store_key from = store_key_park(0);
	struct store_iter *it = store_iter_new(s, STORE_META, store_key_span(&from));
	struct store_park h;
	uint64_t id;

	for (; store_iter_valid(it); store_iter_next(it)) {
		if (!store_key_park_parse(store_iter_key(it), &id))
			break;
		if (!store_park_decode(store_iter_value(it), &h))
			load_one(id, &h);
	}
	return store_iter_end(it);
}

bool parks_load_rcpt(const struct store_deferred *d)
{
	struct park *p = park_find(d->park);
	bool has_head = p && atomic_load(&p->has_head);

	if (!p) {
		/* Nothing is known of it but its number: what is in it is brought and routed anew. */
		struct key k = { UINT64_MAX - d->park, SPAN("") };

		p = insert(park_new(&k, d->park));
		if (d->park > atomic_load(&last_id))
			atomic_store(&last_id, d->park);
		atomic_store(&p->state, PARK_OPEN);
		park_put(p);
	}
	atomic_fetch_add(&p->parked, 1);
	atomic_fetch_add(&p->rows, 1);
	return has_head;
}

/* ---- to be told */

const char *park_why(const struct park *p)
{
	if (atomic_load(&p->state) == PARK_OPEN)
		return "busy";
	return p->suspension ? "suspended" : "down";
}

const char *park_of(const struct rcpt *r, usec_t *wall_next)
{
	uint64_t id = atomic_load(&r->park);
	const struct park *p = id && atomic_load(&r->state) == RCPT_DEFERRED ? park_find(id) : NULL;

	*wall_next = p ? atomic_load(&p->wall_next) : 0;
	return p ? park_why(p) : NULL;
}

static void count(struct park *p, void *ctx)
{
	struct park_numbers *n = ctx;
	uint64_t parked = atomic_load(&p->parked), spilled = atomic_load(&p->spilled);

	n->recipients += parked;
	n->destinations += parked && !p->suspension;
	n->backlog += spilled < parked ? spilled : parked;
}

struct park_numbers parks_numbers(void)
{
	struct park_numbers n = { 0 };

	parks_each(count, &n);
	return n;
}
