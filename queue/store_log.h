/*
 * queue/store_log.h - which folder has the database's log: what is written there last exists nowhere
 * else.
 *
 * Files:     "log_directory" in the database's folder names it, with an id of the database and the
 *            number of the move; "log_of" in the log's folder has the same id and number. So a log
 *            folder that was moved by hand is known again, and one that is not mounted is no empty
 *            log.
 * Change:    the database is opened with the old folder and flushed, then the new one is marked, then
 *            the record names it, then the old logs are removed. Killed anywhere in between it is
 *            done again from where it was.
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
	uint64_t number;
	char from[STORE_LOG_PATH];                   /* where the log is */
	char to[STORE_LOG_PATH];                     /* where it has to be, absolute */
	char old[STORE_LOG_OLD_MAX][STORE_LOG_PATH]; /* folders to be cleaned */
	unsigned old_count;
	bool is_new; /* there is no database */
	bool known;  /* record and mark are there, and right */
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
int store_log_settle(struct store_log *l, const char *dir, char *why, size_t cap);
/* The database is open with l->to: what is left in old folders is removed, or with keep put into their
 * "archive". What cannot be is tried again at the next start. */
void store_log_clean(struct store_log *l, const char *dir, bool keep);

#endif
