/*
 * core/conf_main.h - the command line, for core/conf_main.c and core/conf_reload.c.
 *
 * Owner: the main thread.
 */
#ifndef CORE_CONF_MAIN_H
#define CORE_CONF_MAIN_H
#include "core/conf_state.h"

/* What stands on the command line. */
struct conf_main_words {
	const char *path; /* -f */
	const char *name; /* -N */
	unsigned version; /* number of -V */
	bool help;        /* -h */
	bool check;       /* -n */
	bool verbose;     /* -v */
	bool man;         /* --man-options */
	bool has_id;      /* -i */
	uint32_t id;
	int first_arg;
};

/* Looks at the command line without changing anything. 0, or -EINVAL: getopt or this function has
 * said why on stderr. */
int conf_main_scan(const struct conf_component *c, int argc, char **argv,
		   struct conf_main_words *words);

/* Defaults, then the words in their order: -f applies the file, others call getopt_cb; then the
 * checks. 0, -EINVAL: the report of cf says why, or for a bad argument stderr. */
int conf_main_load(const struct conf_component *c, int argc, char **argv,
		   const struct conf_main_words *words, struct conf *cf, void *opts,
		   struct conf_global *g);

#endif
