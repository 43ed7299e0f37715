/*
 * supervisor/spool.h - the directories of the queue, R 2.4.1: made when missing, checked otherwise.
 *
 * Owner:  the caller's only thread, at start-up; the current directory is the spool.
 * Memory: none; the accounts stay the caller's.
 */
#ifndef SUPERVISOR_SPOOL_H
#define SUPERVISOR_SPOOL_H
#include "supervisor/account.h"

#include <stdbool.h>
#include <stdio.h>

/* NULL: there is no such component, and what belongs to it is left out. */
struct spool_owners {
	const struct account *smtps;
	const struct account *smtpc;
	const struct account *smar;
	const struct account *qmgr;
};

/*
 * spool_prepare - cdb_base: CDB_base_directory, "" for the spool. as_root: owners and modes are set
 * on what is made and compared on what is there; nothing that exists is changed. Says on out what
 * is wrong and the command that repairs it. Returns 0 or -EINVAL.
 */
int spool_prepare(const struct spool_owners *own, const char *cdb_base, bool as_root, FILE *out);

#endif
