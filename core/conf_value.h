/*
 * core/conf_value.h - the text of an option to its C value; types in core/conf.h.
 *
 * Owner:  the thread that owns the struct conf.
 * Memory: strings and lists live in the arena of the report.
 *
 * Numbers are decimal, hexadecimal with 0x, octal with 0. Times and sizes are one plain number or a
 * sequence of numbers with units, with or without blanks: `1h 5m 12s`, `100KB`. Units in any case:
 * w d h m s ms us; B KB MB GB. Times may have a decimal fraction: 0.5s.
 */
#ifndef CORE_CONF_VALUE_H
#define CORE_CONF_VALUE_H
#include "core/conf_tree.h"

/* Where values go, and what errors are called. */
struct conf_value_job {
	struct conf_report *report;
	const char *folder; /* for FILE: what is put before a relative name, ends with a slash or
			       empty */
	const char *name;   /* full name of the option */
};

/* Converts option t by row o into *field, which has the type of the row (not SECTION). For FLAGS
 * the flags of t are applied to those in *field. 0; -EINVAL: reported, *field is unchanged. */
int conf_value_set(const struct conf_value_job *job, const struct conf_option *o,
		   const struct conf_tree *t, void *field);

/* Sets *field to the default of the row; one that is not valid is a bug and panics. */
void conf_value_default(const struct conf_value_job *job, const struct conf_option *o, void *field);

/* What a value must be: "a size from 1MB to 1TB". */
const char *conf_value_expected(struct conf_report *r, const struct conf_option *o);

#endif
