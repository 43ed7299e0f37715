/*
 * queue/iqdb.h - the incoming queue: transactions whose commit is on its way to the disk.
 *
 * Table:   by transaction id, in RCU; a commit that is asked for again (after a broken link) finds
 *          the first one.
 * Threads: any loop.
 * Memory:  the transactions belong to the committer and then to the loop that gets the answer.
 * Limits:  IQDB.max_cache_entries recipients; the fill slows intake down (queue/feedback.h), it
 *          refuses nothing by itself.
 */
#ifndef QUEUE_IQDB_H
#define QUEUE_IQDB_H
#include "queue/aq.h"

/* Once, at the start: IQDB.hash_table_entries and max_cache_entries. */
void iqdb_init(unsigned buckets, unsigned max_recipients);
/* It begins small, so that a start is fast; this makes the buckets. Any registered thread. */
void iqdb_grow(void);
/* A commit begins; false: one for this id is on its way already. */
bool iqdb_add(struct ta *ta);
/* Its answer has come. */
void iqdb_remove(struct ta *ta);
/* The one that is on its way, inside a read section; NULL: none. */
struct ta *iqdb_find(uint64_t id);
/* Recipients in it, and how many may be. */
unsigned iqdb_count(void);
unsigned iqdb_max(void);

#endif
