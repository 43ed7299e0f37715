/*
 * queue/segments.h - what the committer knows of each segment file: which records it has accounted
 * for, how many of them are still needed, and when the whole file may go.
 *
 * Owner:     the committer thread; start-up before it runs.
 * Ranges:    bytes of a segment whose records were committed or will never count. They are written
 *            to the database with the batch that holds what was committed, so that after a crash
 *            exactly the records outside of them are looked at again.
 * Invariant: a segment is freed only when it is sealed, all of it is accounted for, nothing in it
 *            is needed, and the batch that says so is synced.
 */
#ifndef QUEUE_SEGMENTS_H
#define QUEUE_SEGMENTS_H
#include "queue/store.h"

#include <stdint.h>

struct segments;
struct segment;

/* An empty table for the content database below base; closes what it opened. */
struct segments *segments_new(const char *base);
void segments_free(struct segments *t);

/* The segment, opened when it is new here. NULL: *error; -ESTALE: that generation is not there. */
struct segment *segments_get(struct segments *t, uint64_t seg, uint64_t gen, int *error);
struct segment *segments_find(struct segments *t, uint64_t seg);

/* A record at [off, off+len) is being committed: false when it was accounted for before. */
bool segment_account(struct segment *g, uint64_t off, uint64_t len);
bool segment_has(const struct segment *g, uint64_t off);
/* Records needed, of len bytes: +1 when committed, -1 after the batch that forgets it is synced. */
void segment_use(struct segments *t, struct segment *g, uint64_t len, int by);
/* What was accounted for goes into the next batch. */
void segments_changed(struct segments *t, struct segment *g);
/* The same, and it needs fdatasync before the answer. */
void segment_dirty(struct segments *t, struct segment *g);
/* fdatasync of all dirty ones; a failed one is bad from then on: segment_bad(), and failed() is
 * called. Returns the syncs done. */
unsigned segments_sync(struct segments *t,
		       void (*failed)(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance),
		       void *ctx);
int segment_bad(const struct segment *g); /* 0 or the -errno of its failed sync */

/* The writer says that nothing comes behind end; instance: who. */
void segment_owner(struct segment *g, uint64_t instance);
void segment_seal(struct segments *t, struct segment *g, uint64_t end);
/* Its writer was declared gone: a commit that comes all the same gets 451, never an unfounded 250.
 */
bool segment_orphaned(const struct segment *g);
/* The links of a process are gone. When it holds its segments no longer, what it did not commit
 * will never count. */
void segments_orphan(struct segments *t, uint64_t instance);

/* Its writer keeps this empty one for later use; it is in use, or its writer does not want it. */
void segments_spare(struct segments *t, uint64_t seg, uint64_t bytes, uint64_t instance);
void segments_unspare(struct segments *t, uint64_t seg);
/* Bytes of segments that are allocated and empty, by the folder that they are in. */
void segments_room(struct segments *t, uint64_t room[static 16]);
/* Any thread: segments, what they have on disk, and what is needed of that. */
struct segments_totals {
	uint64_t count, alloc_bytes, live_bytes;
};
struct segments_totals segments_totals(const struct segments *t);
/* Since the last call segments came for sparse_pick(). */
bool segments_sparse(struct segments *t);

/* Rows of meta that changed since the last call, into the batch. */
void segments_write(struct segments *t, struct store *s, struct store_batch *b);
/* After that batch is synced: each segment that may go. The callback says true when its writer will
 * use it again, else the file is removed here. */
void segments_reap(struct segments *t,
		   bool (*recycle)(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance),
		   void *ctx);

/* After the batch that forgets it is synced: a mark for `cdbctl rebuild`, queue/marks.h. */
void segment_finished(struct segments *t, struct segment *g, const struct cdb_ref *ref);
/* Writes marks that have waited for long enough, or all. True: some wait still. */
bool segments_write_marks(struct segments *t, bool all);

/* Start-up: the ranges that the database knows. */
int segments_load(struct segments *t, struct store *s);
/* Start-up: walk the records of a segment that are not accounted for; each() as cdb_scan(), content
 * checked. Records seen are accounted for afterwards. alive: somebody still writes to it. */
int segment_replay(struct segments *t, struct segment *g,
		   int (*each)(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h),
		   void *ctx, bool *alive);
/* Start-up: the segment of a file that was found, with what the database knows of it. */
struct segment *segments_adopt(struct segments *t, uint64_t seg);
/* Start-up, when all files were adopted and their folders synced: rows without a file go. */
void segments_forget_absent(struct segments *t, struct store *s, struct store_batch *b);

/* Tools, which change nothing: was the record at off of generation gen accounted for? Before which
 * byte were all? */
bool segment_knows(const struct segment *g, uint64_t gen, uint64_t off);
uint64_t segment_front(const struct segment *g, uint64_t gen);

#endif
