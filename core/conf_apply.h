/*
 * core/conf_apply.h - the sections of a tree into option structs, by their tables.
 *
 * Owner:  the thread that owns the struct conf.
 * Memory: values live in the arena of the report.
 */
#ifndef CORE_CONF_APPLY_H
#define CORE_CONF_APPLY_H
#include "core/conf_tree.h"

/* A table and the struct that it fills. */
struct conf_apply_target {
	const struct conf_option *rows;
	unsigned row_count;
	void *base;
};

/* What happens to an option that no table has. */
enum conf_apply_unknown { CONF_APPLY_REFUSE = 0, CONF_APPLY_IGNORE };

struct conf_apply_job {
	struct conf_report *report;
	const char *folder;
	const char *section; /* full name, "smtps MTA"; NULL: outside of sections */
	const struct conf_apply_target *targets;
	unsigned target_count;
	enum conf_apply_unknown unknown;
	bool ignore_sections; /* top level: sections are for somebody else */
};

/* Sets the defaults of all targets. */
void conf_apply_defaults(const struct conf_apply_job *job);

/* Sets what the entries of t give; errors go to the report. Remembers in the report where each
 * option was set: "DEFEDB.cache_size", "map NAME.type", "dnsbl.tag", of the second one
 * "dnsbl[2].tag". */
void conf_apply_tree(const struct conf_apply_job *job, const struct conf_tree *t);

#endif
