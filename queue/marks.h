/*
 * queue/marks.h - a file beside each segment that says which of its records are finished, for
 * `cdbctl rebuild`.
 *
 * The database says the same, and sooner; this is for the day on which it is lost: then only what
 * was finished in the last seconds is delivered again. So the file is written lazily and never
 * synced, and nobody waits for it.
 *
 * Form:   "M" + the number of the segment, in its folder. Each entry has a CRC over segment,
 *         generation and offset, so that a torn one, or one of a former use of the segment, says
 *         nothing.
 * Owner:  the committer.
 * Memory: entries that are not written yet, MARKS_WRITE_AT at most.
 */
#ifndef QUEUE_MARKS_H
#define QUEUE_MARKS_H
#include "core/cdb.h"
#include "core/clock.h"

enum { MARKS_WRITE_AT = 1024, MARKS_WAIT_USEC = 5 * USEC_PER_SEC, MARKS_ENTRY = 8 };

struct marks;

/* A record is finished, and the batch that says so is on disk. *m is made when it is NULL. True:
 * marks_write() now. */
bool marks_add(struct marks **m, uint64_t seg, uint64_t gen, uint64_t off, usec_t now);
/* Has it waited for long enough? */
bool marks_due(const struct marks *m, usec_t now);
bool marks_waits(const struct marks *m);
/* Appends what waits. Failures are nobody's business but the log's. */
void marks_write(struct marks *m, const char *base);
/* Forgets what waits; m may be NULL. */
void marks_free(struct marks *own);
/* The segment is removed. */
void marks_remove(const char *base, uint64_t seg);

/* Start-up, any thread: files whose segment is gone, which a power cut may leave, are removed. Returns
 * how many. */
unsigned marks_sweep(const char *base);

/* For reading: the offsets of finished records of that generation, sorted. 0 or -errno (-ENOENT: no
 * file). */
struct marks_list {
	uint64_t *off;
	size_t count;
};
int marks_read(const char *base, uint64_t seg, uint64_t gen, struct marks_list *out);
bool marks_has(const struct marks_list *l, uint64_t off);
void marks_list_free(struct marks_list *l);

#endif
