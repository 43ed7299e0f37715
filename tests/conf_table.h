/*
 * tests/conf_table.h - what every option table must fulfil, and tables of wrong files.
 *
 * Owner: the main thread of a test.
 */
#ifndef TESTS_CONF_TABLE_H
#define TESTS_CONF_TABLE_H
#include "core/conf_print.h"
#include "tests/conf_text.h"
#include "tests/tap.h"

struct conf_table_row {
	const char *name;
	const char *text;
	const char *want; /* messages; empty: the file is good */
};

static inline void conf_table_rows(const struct conf_option *o, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		size_t n = strlen(o[i].help);

		ok(n > 5 && o[i].help[n - 1] == '.', "%s has a line of help", o[i].name);
		ok(o[i].min <= o[i].max, "%s: bounds", o[i].name);
		for (unsigned k = 0; k < i; k++) {
			if (!strcasecmp(o[i].name, o[k].name) || o[i].offset == o[k].offset)
				ok(false, "%s is there once", o[i].name);
		}
		if (o[i].rows)
			conf_table_rows(o[i].rows, o[i].row_count);
	}
}

/* The page holds what --man-options prints, between the lines BEGIN and END of the program. */
static inline void conf_table_page(struct conf *cf, const struct conf_component *c,
				   const char *program)
{
	FILE *f = fopen("man/smx.conf.5", "r");
	char *page = calloc(1, 1 << 20);
	char *want = NULL;
	size_t n;
	FILE *out = open_memstream(&want, &n);

	if (!f || !page || !out)
		abort();
	page[fread(page, 1, (1 << 20) - 1, f)] = 0;
	fclose(f);
	fprintf(out, ".\\\" BEGIN %s\n", program);
	conf_print_man(cf, c, out);
	fprintf(out, ".\\\" END %s\n", program);
	fclose(out);
	ok(strstr(page, want) != NULL, "man/smx.conf.5 has these options (if not, run man/update)");
	free(page);
	free(want);
}

/* The table, its defaults (a wrong one panics), the help, the man page. */
static inline void conf_table_check(const struct conf_component *c, void *opts)
{
	struct conf *cf = conf_new();
	struct conf_global g;

	is_int(conf_apply(cf, c, NULL, opts, &g), 0, "the defaults are valid");
	is_str(conf_text_report(cf), "", "without a word");
	conf_table_rows(c->options, c->option_count);
	conf_table_page(cf, c, c->keyword);
	conf_free(cf);
}

static inline void conf_table_files(const struct conf_component *c, void *opts,
				    const struct conf_table_row *rows, size_t n)
{
	struct conf_global g;

	for (size_t i = 0; i < n; i++) {
		struct conf *cf = conf_text_apply(rows[i].text, c, NULL, opts, &g);

		is_str(conf_text_report(cf), rows[i].want, rows[i].name);
		conf_free(cf);
	}
}

#endif
