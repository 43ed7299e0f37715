/*
 * bench/hist.h - latency histogram: counts per bucket, buckets 1/64 wide of their value.
 *
 * Owner:  one thread adds; any thread may merge or ask while it does (relaxed atomics, one writer).
 * Memory: fixed, about 17 KB.
 * Limits: microseconds up to 2^40 (12 days); larger values count as the largest. A quantile is the
 *         upper end of its bucket, so at most 1.6 % too high, and never above the maximum.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H
#include <stdatomic.h>
#include <stdint.h>

enum { HIST_SUB_BITS = 6, HIST_MAX_BITS = 40 };
enum { HIST_BUCKETS = (HIST_MAX_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS };

/* All zero is an empty histogram. */
struct hist {
	_Atomic uint64_t total;
	_Atomic uint64_t sum_usec;
	_Atomic uint64_t max_usec;
	_Atomic uint64_t v[HIST_BUCKETS];
};

/* Counts one value. */
void hist_add(struct hist *h, uint64_t usec);

/* Adds all of from to h, which is the caller's own. */
void hist_merge(struct hist *h, const struct hist *from);

/* Value in usec that the share q (0..1) of all values does not exceed; 0 when empty. */
uint64_t hist_quantile(const struct hist *h, double q);

#endif
