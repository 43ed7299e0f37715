/*
 * queue/sparse.h - sealed segments that have much more on disk than is needed of them: what the
 * reclaimer (queue/reclaim.h) is given to do.
 *
 * Limits:  a segment is given when at least half of what it has, and 1 MB (1/16 of a small segment),
 *          could go; after that when what is needed of it has halved again and the rest still is
 *          1/32 of its size. So each is read at most some ten times, and what reading it costs is at
 *          most what it gives back. Not before `delay` has passed since it was sealed: most mail is
 *          gone by then.
 * Trouble: after a failure the next try waits from 30 s on, after one for messages that were just
 *          being tried from 5 s on, twice as long each time, seven times.
 * Owner:   the committer.
 */
#ifndef QUEUE_SPARSE_H
#define QUEUE_SPARSE_H
#include "core/clock.h"
#include "queue/segments.h"

struct sparse {
	uint64_t seg, gen, bytes, alloc, instance;
	unsigned live;
	uint64_t live_bytes;
	bool bad; /* a sync of it has failed: read it, do not write to it */
};

/* Something about it has changed: is it worth the reclaimer's time now? True: it has just become
 * so. */
bool sparse_check(struct segments *t, struct segment *g);
/* It has just been sealed, or found at the start. */
void sparse_begin(struct segments *t, struct segment *g);
/* The next one whose time has come, which is busy from then on; else false and *next: when to ask
 * again, INT64_MAX: when sparse_check() has said so. */
bool sparse_pick(struct segments *t, usec_t now, usec_t delay, struct sparse *out, usec_t *next);
/* Before anything is punched: these many records were found to be needed. False: that is too few,
 * so something is wrong, and nothing may be touched. */
bool sparse_confirm(struct segments *t, const struct sparse *s, unsigned found);
/* It is done with; error: 0 or why it is to be tried again later. held: somebody may still be at
 * it. */
void sparse_done(struct segments *t, const struct sparse *s, int error, bool held);
/* Off the list: it is freed. */
void sparse_drop(struct segments *t, struct segment *g);
/* Nobody punches it any more: it may be freed. */
bool sparse_is_free(struct segment *g);

#endif
