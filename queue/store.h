/*
 * queue/store.h - the database of both queues: one RocksDB with a column family per kind of record.
 *
 *   meta     format, id reservation, ranges of segments that are accounted for, files that are
 *            finished, suspensions, heads of what is parked
 *   ibdb     transaction -> where its content is and its envelope; transaction + recipient ->
 *            finished
 *   defedb   transaction + recipient -> when to try again or that it is held or parked, what
 *            happened so far
 *   due      time + transaction + recipient -> nothing: the index of defedb by time; held ones are
 *            not in it, parked ones at the time of their warning or return
 *   parked   number of a destination + transaction + recipient -> nothing: what waits for it, oldest
 *            first
 *
 * Older:   a database of format 1 has no `parked`; it gets it when it is opened for writing.
 * Threads: the committer alone writes; others read (iterators and gets are safe in any thread).
 * Locks:   readers hold `opened` for reading while an iterator lives; only store_reopen() takes it
 *          for writing.
 * Errors:  -EIO, -ENOSPC, -EUCLEAN (corrupt) or -EAGAIN, from RocksDB's text, which store_error()
 *          keeps.
 */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H
#include "core/cdb.h"
#include "core/clock.h"
#include "core/route.h"
#include "core/span.h"
#include "queue/store_key.h"

enum store_family {
	STORE_META = 0,
	STORE_IBDB,
	STORE_DEFEDB,
	STORE_DUE,
	STORE_PARKED,
	STORE_FAMILIES
};

struct store;

struct store_setup {
	const char *dir;     /* DEFEDB.base_directory */
	const char *log_dir; /* DEFEDB.log_directory */
	uint64_t cache_bytes;
	uint64_t page_bytes;
	uint64_t log_bytes; /* IBDB.size */
	bool keep_logs;     /* not remove_unused_logfiles */
	bool read_only;     /* for tools beside a stopped qmgr */
	bool no_compaction; /* files are only added: one of them is damaged */
};

/* Opens, creating what is missing. NULL: *error is -errno and why (cap bytes) says what is wrong.
 * *created: the database is new. */
struct store *store_open(const struct store_setup *s, int *error, char *why, size_t cap,
			 bool *created);
/* What the cache may hold, as RocksDB has it. Not while it is reopened. */
uint64_t store_cache_bytes(const struct store *s);
/* Before a clean stop: the next start then has no log to replay before it takes mail. Blocks; errors
 * leave the log as it is. */
void store_empty_log(struct store *s);
void store_close(struct store *s);
/* After a failed write: close, open again, same handles for all threads; waits for open iterators.
 * 0 or -errno. */
int store_reopen(struct store *s, const struct store_setup *set);

/* ---- writing: committer only */
struct store_batch;
struct store_batch *store_batch_new(void);
void store_batch_free(struct store_batch *b);
void store_put(struct store *s, struct store_batch *b, enum store_family f, struct span key,
	       struct span value);
void store_delete(struct store *s, struct store_batch *b, enum store_family f, struct span key);
/* For keys that were put exactly once. */
void store_delete_once(struct store *s, struct store_batch *b, enum store_family f,
		       struct span key);
unsigned store_batch_count(struct store_batch *b);
/* Writes and syncs; the batch is cleared on success. 0 or -errno. */
int store_write(struct store *s, struct store_batch *b);
/* Bytes that the batch adds to the log. */
uint64_t store_batch_bytes(struct store_batch *b);
/* Begins to write memtables to files; does not wait. 0 or -errno. */
int store_checkpoint(struct store *s);
/* What the last failure said; own thread's copy. */
const char *store_error(void);

/* ---- reading: any thread */
/* 0 and a malloc'd value, -ENOENT, -errno. */
int store_get(struct store *s, enum store_family f, struct span key, char **value, size_t *n);
struct store_iter;
struct store_iter *store_iter_new(struct store *s, enum store_family f, struct span from);
bool store_iter_valid(struct store_iter *it);
struct span store_iter_key(struct store_iter *it);
struct span store_iter_value(struct store_iter *it);
void store_iter_next(struct store_iter *it);
void store_iter_seek(struct store_iter *it, struct span from);
/* 0, or -errno: why it is not valid. A seek may get behind it. */
int store_iter_error(struct store_iter *it);
/* 0, or -errno when the walk ended for an error. Frees. */
int store_iter_end(struct store_iter *it);

/* ---- records; their keys are in queue/store_key.h */
/* ibdb value of transaction + recipient. reported: when it finished a DSN about the transaction was
 * out, so that the next one has only the header; warned: a warning, so that there is no other. */
struct span store_mark(bool reported, bool warned);
bool store_mark_reported(struct span value);
bool store_mark_warned(struct span value);

/* ibdb value: where the content is, then the encoded envelope. */
size_t store_ta_head_encode(const struct cdb_ref *ref, char *dst); /* STORE_TA_HEAD bytes */
enum { STORE_TA_HEAD = 33 };
int store_ta_decode(struct span value, struct cdb_ref *ref, struct span *envelope);
/* A value whose key was put before: it must be removed by store_delete(). Of an encoded head; of a
 * value that can be decoded. */
void store_ta_set_again(char *head);
bool store_ta_is_again(struct span value);

/* defedb value. */
struct store_deferred {
	usec_t wall_next; /* its row in `due`; of a parked one: when it is warned about or returned */
	usec_t wall_last; /* of the last attempt; 0: never tried */
	uint32_t attempts;
	uint8_t warned;    /* a delay warning was sent */
	uint8_t stage;     /* enum msg_stage */
	bool held;         /* by the operator: not in `due`, wall_next says nothing */
	uint64_t park;     /* parked under this number; 0: it is not */
	bool forced;       /* route is the operator's: smar is not asked */
	struct span reply; /* last reply */
	struct span route; /* encoded; empty: that of the envelope */
};
enum { STORE_DEFERRED_MAX = 1100 + ROUTE_BYTES_MAX };
size_t store_deferred_encode(const struct store_deferred *d, char *dst);
int store_deferred_decode(struct span value, struct store_deferred *out);

/* The head of what is parked together: under a destination or a suspension, queue/park.h. */
struct store_park {
	uint64_t suspension; /* its number; 0: a destination */
	usec_t wall_next;    /* closed until then; 0: open */
	uint32_t failures;
	struct span route; /* encoded */
};
enum { STORE_PARK_MAX = 32 + ROUTE_BYTES_MAX };
size_t store_park_encode(const struct store_park *p, char *dst);
int store_park_decode(struct span value, struct store_park *out);

#endif
