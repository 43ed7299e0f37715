/*
 * core/conf_state.h - what a struct conf is; for core/conf*.c only.
 *
 * Owner:  the thread that called conf_new().
 * Memory: one arena for everything; conf_free() frees it.
 */
#ifndef CORE_CONF_STATE_H
#define CORE_CONF_STATE_H
#include "core/conf_apply.h"

struct conf {
	struct conf_report report;
	const char *folder; /* of the file, with a slash; empty for the current directory */
	struct conf_tree *root;
	struct conf_section *sections;
	const struct conf_tree **section_trees;
	unsigned section_count;
};

/* core/conf_common.c: the tables of core/conf_common.def and core/conf_global.def. */
extern const struct conf_option *const conf_common_table;
extern const unsigned conf_common_table_count;
extern const struct conf_option *const conf_common_globals;
extern const unsigned conf_common_globals_count;

/* core/conf.c: the steps of conf_apply(), which conf_main() takes one by one. -EINVAL: reported. */
void conf_apply_defaults_of(struct conf *cf, const struct conf_component *c, void *opts,
			    struct conf_global *g);
int conf_apply_file_of(struct conf *cf, const struct conf_component *c, const char *name,
		       void *opts, struct conf_global *g);
int conf_apply_checks_of(struct conf *cf, const struct conf_component *c, const void *opts,
			 const struct conf_global *g);

/* core/conf_host.c: the fully qualified name of this host; may ask DNS, once. */
const char *conf_host_name(struct conf_report *r);

#endif
