/*
 * queue/segment.h - the inside of struct segment and struct segments, for segments.c and sparse.c
 * alone.
 *
 * Owner: as queue/segments.h.
 */
#ifndef QUEUE_SEGMENT_H
#define QUEUE_SEGMENT_H
#include "core/clock.h"
#include "queue/segments.h"

#include <stdatomic.h>

enum { SEGMENTS_BUCKETS = 4096 };

struct range {
	uint64_t from, to;
};

struct segment {
	struct segment *next; /* in its bucket */
	struct segment *dirty_next, *changed_next, *idle_next, *marked_next, *sparse_next;
	uint64_t seg, gen, bytes;
	uint64_t instance; /* of the writer, 0: unknown */
	int fd;
	int bad;
	unsigned live; /* records that are needed, and their bytes */
	uint64_t live_bytes;
	bool dirty, changed, idle, sealed, orphaned;
	bool lost; /* no link to its writer at the moment */
	usec_t lost_at;
	uint64_t end;
	usec_t look_at;      /* when to look into holes again */
	struct marks *marks; /* finished records that the file beside it does not have yet */
	bool marked;
	struct range *range; /* sorted, never touching */
	unsigned range_count, range_cap;
	/* queue/sparse.h */
	bool sparse;         /* on the list */
	bool busy;           /* given to the reclaimer: not freed meanwhile */
	bool held;           /* somebody may still punch it, of whom we have lost sight */
	uint64_t alloc;      /* bytes that the file has on disk */
	uint64_t tried_live; /* live_bytes when it was last tried; UINT64_MAX: never */
	unsigned failures;
	usec_t try_at;
};

/* Given back to its writer, or kept by it for later use: then bytes is its size. */
struct spare_segment {
	uint64_t seg, bytes, instance;
};

struct segments {
	const char *base;
	struct segment *bucket[SEGMENTS_BUCKETS];
	struct segment *dirty, *changed, *idle, *marked, *sparse;
	struct spare_segment *spare;
	unsigned spare_count, spare_cap;
	bool has_sparse;                                 /* news for segments_sparse() */
	_Atomic uint64_t count, alloc_bytes, live_bytes; /* written by the owner, read by all */
};

/* May it be freed? It is looked at after the next batch. */
void segments_look(struct segments *t, struct segment *g);
/* All of it is accounted for. */
bool segment_covered(const struct segment *g);
/* Reads again how much it has on disk. */
void segment_measure(struct segments *t, struct segment *g);

#endif
