/*
 * queue/move.h - copies messages that are needed out of a segment, see queue/reclaim.h.
 *
 * Thread: the reclaimer, offline.
 */
#ifndef QUEUE_MOVE_H
#define QUEUE_MOVE_H
#include "queue/qmgr.h"
#include "queue/sift.h"

struct move_result {
	unsigned moved, left; /* left: in AQ at the moment, or they cannot be read or written */
	uint64_t bytes;
	int error; /* why some are left; 0: only because they are in AQ */
};

/* Moves them, in batches. False: *stop became true. */
bool move_records(struct qmgr *q, const struct sift_record *rec, unsigned count,
		  const atomic_bool *stop, struct move_result *out);

#endif
