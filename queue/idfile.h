/*
 * queue/idfile.h - the reservation of ids beside the database, read before that is open.
 *
 * The file bears the name of the manifest that the database had when it was written: each opening
 * makes a new one, so the file counts only for the database as its last user has left it. A copy
 * that was brought back, a new database or a file of another life is not believed.
 * Written in place, one sector, with a checksum.
 *
 * Owner: the thread that opens the database, then the committer.
 */
#ifndef QUEUE_IDFILE_H
#define QUEUE_IDFILE_H
#include <stdint.h>

/* Reads it: *reserved, all ids from there on are new. 0: it is that of this database; -ESTALE: of
 * another state of it, *reserved is a hint; others: there is none, *reserved is 0. */
int idfile_read(const char *dir, uint64_t *reserved);
/* Writes and syncs it, for the database as it is now; makes it when it is missing. 0 or -errno: then
 * nothing is believed of what is there. */
int idfile_write(const char *dir, uint64_t reserved);

#endif
