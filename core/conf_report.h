/*
 * core/conf_report.h - errors and warnings about a configuration file, with their places.
 *
 * Owner:  the thread that owns the struct conf.
 * Memory: texts live in the arena of the struct conf.
 * Limits: 20 errors and 100 warnings are kept, the rest is counted.
 *
 * conf_report_error() and conf_report_warning() are in core/conf.h.
 */
#ifndef CORE_CONF_REPORT_H
#define CORE_CONF_REPORT_H
#include <stdbool.h>
#include <stdio.h>
#include "core/arena.h"
#include "core/conf.h"

enum { CONF_REPORT_ERRORS = 20, CONF_REPORT_WARNINGS = 100 };

struct conf_pos {
	unsigned line; /* from 1; 0: no place, only the file is named */
	unsigned column;
};

struct conf_message {
	struct conf_pos pos;
	bool warning;
	const char *text;
};

/* Where the file sets an option of the section that was applied last. */
struct conf_place {
	const char *option; /* "Sub.name" */
	struct conf_pos pos;
	struct conf_place *next;
};

struct conf_report {
	struct arena *arena;
	const char *path;     /* as given; never NULL */
	const char *section;  /* "qmgr" or "smtps MTA": put in front of option names */
	struct conf_pos here; /* begin of that section */
	struct conf_place *places;
	struct conf_message messages[CONF_REPORT_ERRORS + CONF_REPORT_WARNINGS];
	unsigned message_count;
	unsigned error_count;
	unsigned warning_count;
};

/* Adds a message; text is copied. name: full name of an option or NULL. */
void conf_report_add(struct conf_report *r, struct conf_pos pos, bool warning, const char *name,
		     const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* True when so many errors were found that it makes no sense to look for more. */
bool conf_report_full(const struct conf_report *r);

/* Remembers where an option was set; conf_report_place() finds it (NULL: not set). Names are
 * compared without regard to case. */
void conf_report_set_place(struct conf_report *r, const char *option, struct conf_pos pos);
const struct conf_place *conf_report_place(const struct conf_report *r, const char *option);
void conf_report_forget_places(struct conf_report *r);

/* Memory for configurations; a program cannot go on without it, so this never returns NULL. */
void *conf_report_alloc(struct conf_report *r, size_t bytes);
const char *conf_report_printf(struct conf_report *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Text from the file for a message: cut at 60 bytes, what is not printable as \xHH. */
const char *conf_report_quote(struct conf_report *r, const char *text);

/* Prints in the order of the file. */
void conf_report_print(const struct conf_report *r, FILE *out);

#endif
