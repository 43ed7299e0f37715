/*
 * queue/disk.h - free space of the file systems that content and database are on.
 *
 * Segments are allocated before they are used: their empty room counts as free, in the file system
 * that they are in. But an eighth of min_disk_space must be really free: the database, large messages
 * and new segments need that.
 *
 * Owner: loop 0; the room is counted by the committer, at each call for the next one.
 */
#ifndef QUEUE_DISK_H
#define QUEUE_DISK_H
#include "queue/qmgr.h"

/* Once: finds out which file systems there are. */
void disk_start(struct qmgr *q);
/* Free bytes of the one that has the least; UINT64_MAX: it cannot be told. */
uint64_t disk_free(uint64_t min_bytes);
/* Any thread: empty room in segments when it was last counted. */
uint64_t disk_room(void);
/* Pure: what counts of really free bytes and empty room. */
uint64_t disk_count(uint64_t free_bytes, uint64_t room_bytes, uint64_t min_bytes);

#endif
