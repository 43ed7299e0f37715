#include "bench/hist.h"

enum { SUB = 1 << HIST_SUB_BITS };

/* Values below 64 have a bucket each; above, the top six bits after the first pick it. */
static unsigned bucket(uint64_t v)
{
	if (v >> HIST_MAX_BITS)
		v = (UINT64_C(1) << HIST_MAX_BITS) - 1;
	if (v < SUB)
		return (unsigned)v;
	unsigned shift = 63 - (unsigned)__builtin_clzll(v) - HIST_SUB_BITS;
	return ((shift + 1) << HIST_SUB_BITS) + (unsigned)((v >> shift) & (SUB - 1));
}

static uint64_t upper_end(unsigned b)
{
	if (b < SUB)
		return b;
	unsigned shift = (b >> HIST_SUB_BITS) - 1;
	return ((UINT64_C(1) * (SUB + (b & (SUB - 1))) + 1) << shift) - 1;
}

static uint64_t load(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

/* One writer, so no locked add. */
static void add(_Atomic uint64_t *v, uint64_t n)
{
	atomic_store_explicit(v, load(v) + n, memory_order_relaxed);
}

static void raise_max(struct hist *h, uint64_t usec)
{
	if (usec > load(&h->max_usec))
		atomic_store_explicit(&h->max_usec, usec, memory_order_relaxed);
}

void hist_add(struct hist *h, uint64_t usec)
{
	add(&h->v[bucket(usec)], 1);
	add(&h->total, 1);
	add(&h->sum_usec, usec);
	raise_max(h, usec);
}

void hist_merge(struct hist *h, const struct hist *from)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		add(&h->v[i], load(&from->v[i]));
	add(&h->total, load(&from->total));
	add(&h->sum_usec, load(&from->sum_usec));
	raise_max(h, load(&from->max_usec));
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t total = load(&h->total), max = load(&h->max_usec), seen = 0;
	uint64_t want = (uint64_t)(q * (double)total + 0.9999999);

	if (total == 0)
		return 0;
	if (want == 0)
		want = 1;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += load(&h->v[i]);
		if (seen >= want) {
			uint64_t v = upper_end(i);

			return v < max ? v : max;
		}
	}
	return max;
}
