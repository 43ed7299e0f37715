#include "queue/admit.h"

static bool comes_from(const struct park *p, const struct ta *ta, uint32_t idx)
{
	return atomic_load_explicit(&ta->rcpt[idx].park, memory_order_relaxed) == p->id;
}

static bool comes_from_park(const struct ta *ta, const uint32_t *idx, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (atomic_load_explicit(&ta->rcpt[idx[i]].park, memory_order_relaxed))
			return true;
	return false;
}

static bool is_full(void)
{
	return aq_count() > aq_max();
}

bool admit_all(const struct dest *d, const struct ta *ta, const uint32_t *idx, unsigned count)
{
	return !comes_from_park(ta, idx, count) && !is_full() && park_room(d->park, count) >= count;
}

bool admit_spills(const struct dest *d, const struct ta *ta, const uint32_t *idx, unsigned count)
{
	const struct park *p = d->park;

	if (!is_full() || atomic_load(&p->state) != PARK_OPEN || atomic_load(&p->in_aq) ||
	    atomic_load(&p->parked))
		return false;
	/* So many would be parked when they come back, a part of AQ at a time. */
	if (count > aq_max() / 2)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (comes_from(p, ta, idx[i]))
			return false;
	return true;
}

unsigned admit_choose(const struct dest *d, const struct ta *ta, uint32_t *idx, unsigned count)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++) {
		uint32_t this = idx[i];

		if (!comes_from(d->park, ta, this))
			continue;
		idx[i] = idx[n];
		idx[n++] = this;
	}
	if (n == count || is_full())
		return n;
	unsigned room = park_room(d->park, count - n);
	return room < count - n ? n + room : count;
}

void admit_probe(struct dest *d, usec_t now)
{
	if (atomic_load(&d->park->state) != PARK_PROBING)
		return;
	for (unsigned i = 0; i < d->route.count; i++)
		occ_probe_host(d->host[i], now);
}

void admit_hurry(struct dest *d, usec_t now)
{
	for (unsigned i = 0; i < d->route.count; i++)
		if (atomic_load(&d->host[i]->down_until) <= now) {
			park_hurry(d->park);
			return;
		}
}
