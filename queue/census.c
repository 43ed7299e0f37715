#include "queue/census.h"

#include "core/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKET_USEC = 60 * USEC_PER_SEC };

struct bucket {
	usec_t minute;
	usec_t first; /* earliest arrival in it */
	uint64_t count;
};

/* Sorted; the first one is never empty. */
static struct bucket *bucket;
static size_t count, cap;
static _Atomic uint64_t messages;
static _Atomic int64_t deferred, held;
static _Atomic usec_t oldest;

static size_t place(usec_t minute)
{
	size_t lo = 0, hi = count;

	/* Mostly it is the last one. */
	if (count && bucket[count - 1].minute <= minute)
		return bucket[count - 1].minute == minute ? count - 1 : count;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (bucket[mid].minute < minute)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void publish(void)
{
	atomic_store_explicit(&oldest, count ? bucket[0].first : 0, memory_order_relaxed);
}

void census_came(usec_t wall)
{
	usec_t minute = wall / BUCKET_USEC;
	size_t at = place(minute);

	if (at == count || bucket[at].minute != minute) {
		if (count == cap) {
			cap = cap ? cap * 2 : 64;
			bucket = xrealloc(bucket, cap * sizeof *bucket);
		}
		memmove(bucket + at + 1, bucket + at, (count - at) * sizeof *bucket);
		bucket[at] = (struct bucket){ .minute = minute, .first = wall };
		count++;
	}
	if (wall < bucket[at].first)
		bucket[at].first = wall;
	bucket[at].count++;
	atomic_store_explicit(&messages, atomic_load_explicit(&messages, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	if (at == 0)
		publish();
}

void census_left(usec_t wall)
{
	size_t at = place(wall / BUCKET_USEC), empty = 0;

	/* One that the start could not read, and that went all the same. */
	if (at == count || bucket[at].minute != wall / BUCKET_USEC || !bucket[at].count)
		return;
	bucket[at].count--;
	atomic_store_explicit(&messages, atomic_load_explicit(&messages, memory_order_relaxed) - 1,
			      memory_order_relaxed);
	while (empty < count && !bucket[empty].count)
		empty++;
	/* Empty ones behind the first cost nothing but room: they go when they come to the front.
	 */
	if (empty) {
		count -= empty;
		memmove(bucket, bucket + empty, count * sizeof *bucket);
		publish();
	}
}

void census_deferred(int more, int more_held)
{
	if (more)
		atomic_fetch_add_explicit(&deferred, more, memory_order_relaxed);
	if (more_held)
		atomic_fetch_add_explicit(&held, more_held, memory_order_relaxed);
}

struct census census_now(void)
{
	return (struct census){
		.messages = atomic_load_explicit(&messages, memory_order_relaxed),
		.deferred = (uint64_t)atomic_load_explicit(&deferred, memory_order_relaxed),
		.held = (uint64_t)atomic_load_explicit(&held, memory_order_relaxed),
		.wall_oldest = atomic_load_explicit(&oldest, memory_order_relaxed)
	};
}
