/*
 * queue/damage.h - blocks of the database that cannot be read while qmgr runs: one clear line in the log,
 * and the way around them.
 *
 * What:      a checksum does not fit. What the rows say is not known until cdbctl rebuild took it from the
 *            content database; the rows before and behind the block go on.
 * Threads:   any.
 * Limits:    a line per file and hour, and of many files not more than one in a minute.
 */
#ifndef QUEUE_DAMAGE_H
#define QUEUE_DAMAGE_H
#include "queue/store.h"

/* Once, after the start, which says itself what it finds. */
void damage_watch(void);
/* Tells the operator. error: RocksDB's words, with the file. */
void damage_tell(const char *error);

/* As store_iter_valid(); when the iterator stopped at a damaged block behind *last, it is moved to the
 * first row behind that. Rows are in the order of the 8 bytes at `at` of their keys, what is before these is
 * the same in all of them. skipped, if not NULL, is counted up for each such block. */
bool damage_valid(struct store_iter *it, const struct store_key *last, unsigned at,
		  unsigned *skipped);

#endif
