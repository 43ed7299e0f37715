/*
 * tests/conf_text.h - what a configuration says about its errors, as a string.
 *
 * Owner: the main thread of a test.
 */
#ifndef TESTS_CONF_TEXT_H
#define TESTS_CONF_TEXT_H
#include <stdlib.h>
#include <string.h>
#include "core/conf.h"

/* All messages; a static buffer until the next call. */
static inline const char *conf_text_report(const struct conf *cf)
{
	static char buf[65536];
	FILE *f = fmemopen(buf, sizeof buf, "w");

	if (!f)
		abort();
	conf_print_report(cf, f);
	long n = ftell(f);
	fclose(f);
	buf[n] = 0;
	return buf;
}

/* Reads text as the file "t" and applies it. The caller frees the result. */
static inline struct conf *conf_text_apply(const char *text, const struct conf_component *c,
					   const char *name, void *opts, struct conf_global *g)
{
	struct conf *cf = conf_new();

	conf_read_text(cf, "t", text, strlen(text));
	conf_apply(cf, c, name, opts, g);
	return cf;
}

#endif
