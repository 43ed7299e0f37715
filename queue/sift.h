/*
 * queue/sift.h - which records of a segment are needed, and what is between them.
 *
 * Thread: any that may block and is registered with RCU, offline when it calls.
 */
#ifndef QUEUE_SIFT_H
#define QUEUE_SIFT_H
#include "core/cdb_punch.h"
#include "queue/store.h"

struct sift_record {
	uint64_t ta;
	struct cdb_ref ref;
};

struct sift {
	struct sift_record *live;
	unsigned live_count, live_cap;
	struct cdb_run *run; /* sorted; at most CDB_RUNS_MAX, those that are worth it */
	unsigned run_count;
	uint64_t yield; /* what punching them gives back, if nothing of it was punched before */
	unsigned dead;  /* records that are finished and still whole */
	/* of the walk */
	struct store *store;
	struct marks_list *marks;
	uint64_t at;
};

/* Walks a sealed segment of which everything is accounted for. with_marks: believes the file beside
 * it, which is cheaper than asking the database for each record. 0 or -errno (-ESTALE: another
 * generation). */
int sift(struct sift *s, struct store *store, const char *base, uint64_t seg, uint64_t gen,
	 uint64_t bytes, bool with_marks);
void sift_free(struct sift *s);

#endif
