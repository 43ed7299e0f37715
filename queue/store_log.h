/*
 * queue/store_log.h - which folder has the database's log: what is written there last exists nowhere
 * else.
 *
 * Files:     "log_directory" in the database's folder names it, with an id of the database and a number;
 *            "log_of" in the log's folder has the same id and number. So a log folder that was moved by
 *            hand is known again, and one that is not mounted is no empty log.
 * Number:    a new random one at each start, so that a copy that stayed behind is never taken for the
 *            log. The record allows both, then the folder is marked with the new one, then the record
 *            allows only this: killed anywhere in between, either is known, at whatever place.
 * Change:    the database is opened with the old folder and flushed, then the new one is marked, then
 *            the record names it, then the old logs are removed. Killed anywhere in between it is
 *            done again from where it was. A folder that was marked and not recorded is never known.
 * Copies:    the record also names the database's own folder. One that is at another place leaves the
 *            folders of the former place alone: they may belong to the database it was copied from.
 * Thread:    main (start-up), and tools.
 * Errors:    say in `why` what is wrong, with the option's name; nothing was changed then.
 */
#ifndef QUEUE_STORE_LOG_H
#define QUEUE_STORE_LOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_LOG_PATH = 4200, STORE_LOG_OLD_MAX = 4 };

struct store_log {
	char id[40];
	uint64_t number;           /* of the log's folder; 0: it has no mark */
	uint64_t next;             /* or this, when a start was cut short; 0: none */
	char dir[STORE_LOG_PATH];  /* the database's folder, absolute */
	char of[STORE_LOG_PATH];   /* what it was when that was recorded */
	char from[STORE_LOG_PATH]; /* where the log is */
	char to[STORE_LOG_PATH];   /* where it has to be, absolute */
	char old[STORE_LOG_OLD_MAX][STORE_LOG_PATH]; /* folders to be cleaned */
	unsigned old_count;
	bool is_new; /* there is no database */
};

/* Looks: where is the log, where has it to be? Changes nothing, but makes both folders if they are missing
 * and not read_only. 0, -ENOENT, -EUCLEAN or another -errno. */
int store_log_find(struct store_log *l, const char *dir, const char *log_dir, bool read_only,
		   char *why, size_t cap);

/* The database must be opened with l->from and flushed before it is opened with l->to. */
static inline bool store_log_moves(const struct store_log *l)
{
	return __builtin_strcmp(l->from, l->to) != 0;
}

/* From now on the log is in l->to: marks it and records it, durably. 0 or -errno. */
int store_log_settle(struct store_log *l, char *why, size_t cap);
/* The database is open with l->to: what is left in old folders is removed, or with keep put into their
 * "archive". What cannot be is tried again at the next start. */
void store_log_clean(struct store_log *l, bool keep);

#endif
