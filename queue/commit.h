/*
 * queue/commit.h - the committer: the one thread that syncs content and writes the database.
 *
 * Protocol: what arrived while it was busy is one group: one fdatasync per segment written since,
 *           then the answers. The record that was synced holds content and envelope, so it is the
 *           commit; the database follows in one synced batch within max_commit_delay (0: before the
 *           answers). What came and went in between never touches the database.
 * Owner:    all state behind it (segments, database writes, ta->c). Others post operations; those
 *           of one transaction are handled in the order in which they were posted.
 * Errors:   a failed sync of a segment: 451 for all in it, nothing is tried on it again. A failed
 *           write of the database: 451 for new mail until it was closed, reopened and written
 *           again.
 */
#ifndef QUEUE_COMMIT_H
#define QUEUE_COMMIT_H
#include "queue/aq.h"
#include "queue/segments.h"

struct committer;

struct committer_setup {
	struct store *store;
	struct store_setup reopen;
	struct segments *segments;
	const char *base;          /* CDB_base_directory */
	usec_t max_delay_usec;     /* IBDB.max_commit_delay */
	usec_t hold_usec;          /* commit_hold */
	unsigned max_batch;        /* IBDB.max_open_TAs */
	uint64_t checkpoint_bytes; /* DEFEDB.KBytes_written_for_checkpointing, 0: off */
	usec_t checkpoint_usec;    /* DEFEDB.delay_between_2_checkpoints */
	/* In the committer, after a batch that deferred recipients: the earliest of their times. */
	void (*deferred)(void *ctx, usec_t wall_next);
	/* In the committer: the writer `instance` may use a segment again; false: it is not there.
	 */
	bool (*recycle)(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance);
	/* In the committer: a sync of a segment has failed, its writer must leave it. */
	void (*bad)(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance);
	/* In the committer: there are segments that the reclaimer should look at; may be NULL. */
	void (*sparse)(void *ctx);
	void *ctx;
};

/* Starts the thread; never NULL. What s points to must outlive it. */
struct committer *committer_start(const struct committer_setup *s);
/* New numbers out of s, not its other members; any thread. */
void committer_tune(struct committer *c, const struct committer_setup *s);
/* Writes everything that is pending, syncs, ends the thread. */
void committer_stop(struct committer *c);

/* How long it has been writing and syncing what it is at now; 0: it waits. Any thread. */
usec_t committer_age(const struct committer *c);

/* ta->answered(ta, error) runs in ta->home's loop: 0 durable, -EALREADY it was durable before (the
 * caller drops this copy), -ENOSPC, -EIO, -ESTALE. On success ta is in the table. */
void commit_request(struct committer *c, struct ta *own);
/* No recipient is left; ta is gone after this. */
void commit_finish(struct committer *c, struct ta *own);
/* All that is left is deferred, ta->active is AQ_DYING; ta is gone after this. */
void commit_unload(struct committer *c, struct ta *own);

struct commit_rcpt {
	uint32_t idx;
	bool done;                      /* else deferred as follows */
	bool reported;                  /* done, and a DSN about the transaction is out */
	bool warned;                    /* or a warning */
	bool same;                      /* its record in DEFEDB says so already */
	struct store_deferred deferred; /* reply points behind the array */
};
/* Outcomes of recipients of one transaction that lives on. */
struct commit_rcpts {
	struct commit_op op;
	struct ta *ta;
	struct park *park; /* under which they are parked, with a reference; NULL: they are not */
	unsigned count;
	struct commit_rcpt rcpt[];
};
void commit_rcpts(struct committer *c, struct commit_rcpts *own);

/* fn(call) in the committer; `soon`: wake it, else with the next batch. fn frees. flushed: called
 * (if set) in the committer when what fn put into the batch is synced; then that one frees. */
struct commit_call {
	struct commit_op op;
	void (*fn)(struct commit_call *call);
	void (*flushed)(struct commit_call *call, int error);
	struct commit_call *next;
	struct committer *committer;
};
void commit_call(struct committer *c, struct commit_call *own, bool soon);
/* For such functions: the batch being built, and what it goes to. */
struct store *committer_store(struct committer *c);
struct store_batch *committer_batch(struct committer *c);
/* The last batch could not be written: what it says is not in the database yet. */
bool committer_is_behind(const struct committer *c);
struct segments *committer_segments(struct committer *c);

#endif
