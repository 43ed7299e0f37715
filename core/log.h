/*
 * core/log.h - one event, one line, R 10.2: name=value fields separated by ", ", ids first.
 *
 * Owner: any thread; a line goes into a buffer of its thread and is written by the log thread
 *        within 100 ms. Nothing here blocks: when the buffer is full the line is dropped and
 *        counted ("lost=").
 * Form:  foreign text is encoded in log_str(): non-printing bytes, comma and percent as %XX.
 *        log_format json makes an object per line of the same fields.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H
#include "core/addr.h"
#include "core/span.h"

enum log_sev {
	LOG_SEV_NONE = 0,
	LOG_SEV_INFO,
	LOG_SEV_WARN,
	LOG_SEV_ERR,
	LOG_SEV_CRIT,
	LOG_SEV_ALERT
};
/* Levels of events, R 3.5: 9 is normal, 12 to 14 for tests. */
enum log_level {
	LOG_LV_ERROR = 1,
	LOG_LV_WARN = 4,
	LOG_LV_INFO = 7,
	LOG_LV_MAIL = 9,
	LOG_LV_VERBOSE = 12,
	LOG_LV_DEBUG = 14
};

struct log_line {
	char *p;
	uint32_t n;
	bool on;
};

struct log_setup {
	unsigned level;
	bool json;
	const char *syslog_ident; /* NULL: write to fd 2 */
	int syslog_facility;
	int syslog_options;
};

/* Once, before threads; the log thread starts with the first line. */
void log_open(const struct log_setup *s);
/* Change the level; any thread. */
void log_set_level(unsigned level);
/* Writes all that is buffered and stops the log thread. */
void log_close(void);
/* Writes all that is buffered now; for the end of a program. Blocks. */
void log_flush(void);
/* R 4.8, USR2: rewind the log file (truncate it when the reader copied it away). */
void log_rewind(void);

extern unsigned log_level_now;
static inline bool log_on(enum log_level lv)
{
	return (unsigned)lv <= __atomic_load_n(&log_level_now, __ATOMIC_RELAXED);
}

/* Begin a line when the level wants it; the rest are no-ops otherwise. log_end() sends it off. One
 * line at a time per thread. Lines are cut at 8 KB. */
void log_begin(struct log_line *l, enum log_level lv, enum log_sev sev);
void log_id(struct log_line *l, const char *name, uint64_t id); /* S id */
void log_str(struct log_line *l, const char *name, struct span foreign);
void log_addr(struct log_line *l, const char *name, struct span foreign); /* <foreign> */
void log_word(struct log_line *l, const char *name,
	      const char *ours); /* our own words, not encoded */
void log_int(struct log_line *l, const char *name, int64_t v);
void log_ip(struct log_line *l, const char *name, const struct addr *a);
void log_errno(struct log_line *l, int negative_errno); /* errno=ENOENT, error=No such ... */
void log_end(struct log_line *l);

/* A line about the program: func=..., then text made of our own words and numbers. */
void log_event(enum log_level lv, enum log_sev sev, const char *func, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Foreign bytes as R 10.2 writes them; returns the length, at most cap - 1. Used by DSNs and tools
 * too. */
size_t log_encode(struct span foreign, char *dst, size_t cap);

#endif
