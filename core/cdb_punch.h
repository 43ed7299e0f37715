/*
 * core/cdb_punch.h - give the bytes of dead records in a sealed segment back to the file system.
 *
 * Form:  a dead run begins with one head that says CDB_DEAD and is as long as the run, so that a
 *        scan steps over all of it; the whole blocks behind that head become a hole. Heads of dead
 *        records in blocks that stay are marked dead too. All heads are synced before the first
 *        hole is made: a crash at any point leaves records that are dead and whole, or dead.
 * Owner: any thread that may block; two may punch the same segment.
 * Locks: a shared flock while it works: the segment cannot be used again meanwhile. One that has
 *        been used again has another generation, or its writer holds it.
 */
#ifndef CORE_CDB_PUNCH_H
#define CORE_CDB_PUNCH_H
#include "core/buf.h"
#include "core/cdb.h"

enum { CDB_BLOCK = 4096, CDB_RUNS_MAX = 4096 };

/* Bytes [from, to) of a segment in which nothing is needed: from the end of a record to the begin
 * of another one, on CDB_STEPs. */
struct cdb_run {
	uint64_t from, to;
};

/* Bytes that punching this run gives back. */
uint64_t cdb_run_yield(struct cdb_run r);
/* Punches sorted runs. *left: bytes that the file has afterwards. 0 or -errno, then perhaps some of
 * them: -EBUSY its writer has it, -ESTALE another generation, -ENOENT gone, -EACCES not ours,
 * -EINVAL a run cuts a record or is no run, -EOPNOTSUPP the file system cannot do it. */
int cdb_punch(const char *base, uint64_t seg, uint64_t gen, const struct cdb_run *run,
	      unsigned count, uint64_t *left);

/* Runs in a message. add: 0 or -ENOMEM. parse: how many (out of CDB_RUNS_MAX), or -EBADMSG. */
int cdb_runs_add(struct buf *to, struct cdb_run r);
int cdb_runs_parse(struct span s, struct cdb_run *out);

#endif
