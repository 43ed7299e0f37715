/*
 * bench/idset.h - which message ids have been seen: one bitmap per run, grown where numbers fall.
 *
 * Owner:  any thread may add and ask.
 * Locks:  one mutex for the list of runs; bits are atomic.
 * Memory: 8 KB per 65536 numbers touched, a table of 512 KB address space per run; nothing is given
 *         back.
 * Limits: IDSET_RUNS runs and max_bytes of bitmaps; beyond that idset_add says so.
 */
#ifndef BENCH_IDSET_H
#define BENCH_IDSET_H
#include <stdbool.h>
#include "bench/jsonw.h"
#include "bench/msgid.h"

enum { IDSET_RUNS = 1024 };

struct idset;
struct idset_run;

/* NULL: out of memory. */
struct idset *idset_new(size_t max_bytes);
void idset_free(struct idset *s);

/*
 * Adds an id. 1: new, 0: was there before, -ENOSPC: a limit is reached and the id is not recorded.
 * hint keeps the run of the caller's last id and makes the next look-up cheap; it begins as NULL.
 */
int idset_add(struct idset *s, const struct msgid *id, struct idset_run **hint);

/* Has this id been added. */
bool idset_has(struct idset *s, const struct msgid *id);

/* How many distinct ids; how many numbers below the largest seen of each run are missing. */
uint64_t idset_distinct(struct idset *s);
uint64_t idset_gaps(struct idset *s);

/* Writes "runs": a list of objects with run, distinct, highest, gaps. */
void idset_json(struct idset *s, struct jsonw *w);

#endif
