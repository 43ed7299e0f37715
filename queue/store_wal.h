/*
 * queue/store_wal.h - is a log of RocksDB damaged only where a cut write may have left it?
 *
 * Every write is synced before the next, so a power cut can tear only the last one, whose blocks may
 * have reached the disk in any order. What is damaged and has a whole write behind it was damaged
 * later.
 *
 * Thread: main, at start-up, when the database could not be opened. Reads all logs.
 * Format: RocksDB's log_format.h: blocks of 32 KB with records of crc, length, type, data.
 */
#ifndef QUEUE_STORE_WAL_H
#define QUEUE_STORE_WAL_H
#include "core/span.h"

enum store_wal {
	STORE_WAL_GOOD = 0,
	STORE_WAL_TORN,   /* the last write */
	STORE_WAL_DAMAGED /* something before it */
};

/* All logs of a folder, in their order; `what` says which file and where. -errno when they cannot be
 * read. */
int store_wal_check(const char *log_dir, char *what, size_t cap);

#endif
