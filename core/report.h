/*
 * core/report.h - what is wrong with a map, as lines "FILE:LINE: text".
 *
 * Owner:  one thread at a time. For stderr, the log and smar.ctl.
 * Memory: a growing buffer; report_free() gives it back. Start with a zeroed struct.
 * Limits: REPORT_LINES_MAX lines are kept, all are counted.
 */
#ifndef CORE_REPORT_H
#define CORE_REPORT_H
#include "core/buf.h"

enum { REPORT_LINES_MAX = 20, REPORT_TOKEN_MAX = 80 };

struct report {
	struct buf text; /* lines, each ends with LF; a warning has "warning: " behind the place */
	unsigned error_count;
	unsigned warning_count;
};

/* line 0: the file as a whole. The text must be printable: foreign parts go through report_token().
 */
void report_error(struct report *r, const char *file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void report_warning(struct report *r, const char *file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Foreign bytes made printable and cut; returns dst. */
const char *report_token(struct span foreign, char dst[static REPORT_TOKEN_MAX]);

/* Writes every line to the log as one event: errors with sev=ERR, warnings with sev=WARN. */
void report_log(const struct report *r, const char *func);

/* Gives the memory of the lines back. */
void report_free(struct report *r);

#endif
