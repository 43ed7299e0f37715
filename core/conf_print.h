/*
 * core/conf_print.h - what programs say about their options: -h, -V, -n -v, rows of the man page.
 *
 * Owner:  the main thread before others start.
 * Memory: uses the arena of cf.
 */
#ifndef CORE_CONF_PRINT_H
#define CORE_CONF_PRINT_H
#include "core/conf_state.h"

/* Usage, then every option with type, default and help. */
void conf_print_usage(struct conf *cf, const struct conf_component *c, FILE *out);

/* level: number of V. 1 the version; 2 folders; 3 and 4 users and limits; 5 all options with their
 * defaults; 6 the flags of each too. */
void conf_print_version(struct conf *cf, const struct conf_component *c, unsigned level, FILE *out);

/* The options in effect, as a file that gives them; defaults are comments. */
void conf_print_effective(struct conf *cf, const struct conf_component *c, const void *opts,
			  const struct conf_global *g, FILE *out);

/* Rows for man/smx.conf.5 in man(7): the component's own, or for NULL the global and common ones.
 */
void conf_print_man(struct conf *cf, const struct conf_component *c, FILE *out);

#endif
