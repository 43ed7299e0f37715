/*
 * core/cdb_segfile.h - segment files on disk: create, take over, renew, remove. For cdb_write.c.
 *
 * Owner: one thread at a time (the writer's helper). Everything here blocks and syncs.
 * Locks: a segment belongs to whoever holds flock(LOCK_EX) on it. Nobody, not even who finds a
 *        segment left over, unlinks or renews one without that lock; who gets it checks that the
 *        file still has its name.
 */
#ifndef CORE_CDB_SEGFILE_H
#define CORE_CDB_SEGFILE_H
#include "core/cdb.h"

#include <sys/types.h>

/* Size for the file systems that the folders are on: 16 MB, less when one is small, at least 1 MB. */
uint64_t cdb_segfile_bytes(const char *base);
/* Makes segment `seg`: allocated, mode 0640, header written, file and folder synced, locked.
 * Returns the descriptor, or -errno (-EEXIST: the number is taken) and leaves nothing behind. */
int cdb_segfile_create(const char *base, uint64_t seg, uint64_t gen, uint64_t bytes, gid_t gid);
/* The same in two steps: without the syncs, and these. The second: 0, or -errno and the caller
 * removes it. */
int cdb_segfile_make(const char *base, uint64_t seg, uint64_t gen, uint64_t bytes, gid_t gid);
int cdb_segfile_sync(int fd, const char *base, uint64_t seg);
/* Opens and locks segment `seg` if its header says generation gen. Returns the descriptor and its
 * size in *bytes, or -errno: -EBUSY another process holds it, -ESTALE another generation, -ENOENT
 * gone. */
int cdb_segfile_take(const char *base, uint64_t seg, uint64_t gen, uint64_t *bytes);
/* The same with a shared lock: the segment cannot be used again meanwhile, but who asks whether its
 * writer has gone hears that it has. */
int cdb_segfile_share(const char *base, uint64_t seg, uint64_t gen, uint64_t *bytes);
/* Fills holes, writes and syncs a header with a new generation: no record that is in it counts any
 * more. 0 or -errno. */
int cdb_segfile_renew(int fd, uint64_t seg, uint64_t gen, uint64_t bytes);
/* Unlinks; the caller holds the lock. */
void cdb_segfile_remove(const char *base, uint64_t seg);

/* 0640 whatever the umask, and the group unless (gid_t)-1. 0 or -errno. */
int cdb_segfile_rights(int fd, gid_t gid);
/* pwrite of all n bytes. 0 or -errno. */
int cdb_segfile_pwrite(int fd, const void *p, size_t n, uint64_t at);

#endif
