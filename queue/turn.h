/*
 * queue/turn.h - a function that runs in the committer while a helper thread waits for it.
 *
 * Owner:  the helper that takes the turn; in `run` and `synced` the committer.
 * Memory: malloc'd by the helper, first member of what it needs. A helper that must stop leaves it
 *         behind: then `end` frees it in the committer.
 * Locks:  one of its own, over flags only.
 */
#ifndef QUEUE_TURN_H
#define QUEUE_TURN_H
#include "queue/commit.h"

struct turn {
	struct commit_call call;
	void (*run)(struct turn *t);
	/* After the batch with what run() put is on disk; NULL: nobody waits for that. */
	void (*synced)(struct turn *t);
	void (*end)(struct turn *own);
	bool done, left;
};

/* Waits. False: *stop became true meanwhile, own is gone. */
bool turn_take(struct committer *c, struct turn *own, const atomic_bool *stop);
/* After *stop was set: wakes who waits. */
void turn_wake(void);

#endif
