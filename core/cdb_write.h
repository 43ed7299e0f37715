/*
 * core/cdb_write.h - append content records; used by smtps and, for DSNs and moved records, by
 * qmgr.
 *
 * Owner: one writer per process, shared by its loops; cdb_append() takes no lock: space is reserved
 *        by an atomic add. Segments are made ready (created, allocated, header synced) by a helper
 *        thread.
 * Sync:  nothing here syncs content; qmgr's committer does. A new segment and its folder are synced
 *        before the first record can be written to it.
 */
#ifndef CORE_CDB_WRITE_H
#define CORE_CDB_WRITE_H
#include "core/cdb_punch.h"
#include "core/loop.h"

#include <sys/types.h>
#include <sys/uio.h>

struct cdb_writer;

struct cdb_writer_setup {
	const char *base;       /* CDB_base_directory */
	uint64_t segment_bytes; /* 0: 16 MB, or 1/64 of a small file system */
	gid_t gid;              /* group of new files, (gid_t)-1: leave */
	/* Called in loop `notify` when a segment is made ready, before its first use (sealed
	 * false), and when it is full and all its reservations are written (sealed true, end:
	 * behind the last byte in use). */
	struct loop *notify;
	void (*segment)(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes_or_end, bool sealed);
	/* Called there too, unless NULL: this empty segment is kept for later use, until it is
	 * told as open. bytes 0: what cdb_segment_free() gave is not kept. */
	void (*spare)(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes);
	/* Called there too, unless NULL: what became of cdb_segment_punch(), as cdb_punch(). */
	void (*punched)(void *ctx, uint64_t seg, uint64_t gen, int error, uint64_t left);
	void *ctx;
	/* The helper syncs the first segment: until then cdb_append() says -EAGAIN. */
	bool first_later;
};

/* Starts the helper with the first segment. NULL: *error is -errno. The 16 folders exist. */
struct cdb_writer *cdb_writer_new(const struct cdb_writer_setup *s, int *error);
/* With first_later, once: waits until the first segment is synced. 0 or -errno. */
int cdb_writer_wait(struct cdb_writer *w);
/* Seals (without notice) and stops the helper. In the thread of loop `notify`, or after that loop's
 * end; no other thread may still append. */
void cdb_writer_free(struct cdb_writer *w);

/* Reserve and write one record. h->gen and the CRCs are filled in here. parts: the content in
 * pieces, in order. 0 and *ref; -EAGAIN: no segment ready or the record is larger than a quarter of
 * one: use a file; -ENOSPC, -EIO and so on: the disk said no, nothing counts. Any loop thread. */
int cdb_append(struct cdb_writer *w, struct cdb_head *h, const struct iovec *parts,
	       unsigned part_count, struct span envelope, struct cdb_ref *ref);
/* A record that will not be acknowledged: mark it dead (soon, by the helper) so that no later scan
 * finds it; an own file is removed. Any thread. */
void cdb_kill(struct cdb_writer *w, const struct cdb_ref *ref, uint64_t ta);
/* qmgr says that a sealed segment is empty: it is used again with a new generation, or unlinked.
 * One of a former process too; what another process holds, or what has another generation, is left
 * alone. Any thread. */
void cdb_segment_free(struct cdb_writer *w, uint64_t seg, uint64_t gen);
/* qmgr could not sync it: nothing more is written there, it is sealed as soon as a next segment is
 * ready. */
void cdb_segment_seal(struct cdb_writer *w, uint64_t seg, uint64_t gen);
/* qmgr asks to punch dead runs of a sealed segment, whoever wrote it; the helper does it. run is
 * copied. 0 or -ENOMEM; s->punched is called later. Any thread. */
int cdb_segment_punch(struct cdb_writer *w, uint64_t seg, uint64_t gen, const struct cdb_run *run,
		      unsigned count);
/* After a reconnect: calls s->segment for each segment in use (sealed false) and s->spare for those
 * kept, in loop notify's thread. */
void cdb_tell_segments(struct cdb_writer *w);

/* A file of its own, for large content: written as it arrives, head last. One session at a time. */
struct cdb_file {
	int fd; /* -1: none */
	uint64_t ta;
	uint64_t bytes; /* of content so far */
	uint32_t crc;
};
int cdb_file_begin(struct cdb_writer *w, uint64_t ta, struct cdb_file *f);
int cdb_file_add(struct cdb_file *f, struct span content);
/* Writes envelope and head, closes. 0 and *ref, or -errno: the file is removed. */
int cdb_file_finish(struct cdb_writer *w, struct cdb_file *f, struct cdb_head *h,
		    struct span envelope, struct cdb_ref *ref);
/* Removes it. */
void cdb_file_abort(struct cdb_writer *w, struct cdb_file *f);

#endif
