/*
 * tests/fuzz/fuzz_conf.c - any bytes as a configuration file, applied to all components.
 *
 * A file without errors is printed as -n -v does; read again it must give the same values.
 */
#include <stdlib.h>
#include <string.h>
#include "core/conf_field.h"
#include "core/conf_print.h"
#include "core/err.h"
#include "proto/smtpc_options.h"
#include "proto/smtps_options.h"
#include "queue/qmgr_options.h"
#include "resolver/smar_options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static union {
	struct conf_common common;
	struct qmgr_options qmgr;
	struct smtps_options smtps;
	struct smtpc_options smtpc;
	struct smar_options smar;
} first, second;

/* As conf_apply() does, but never asks for the name of this host. */
static struct conf *apply(const struct conf_component *c, const char *text, size_t n, void *opts,
			  struct conf_global *g)
{
	struct conf *cf = conf_new();

	conf_read_text(cf, "fuzz", text, n);
	conf_apply_defaults_of(cf, c, opts, g);
	conf_apply_file_of(cf, c, NULL, opts, g);
	conf_apply_checks_of(cf, c, opts, g);
	return cf;
}

static void must_be_same(const struct conf_option *o, unsigned count)
{
	for (; count--; o++) {
		if (!conf_field_equal(o, (char *)&first + o->offset, (char *)&second + o->offset))
			panic("%s changed by printing and reading", o->name);
	}
}

static void print_and_read(struct conf *cf, const struct conf_component *c,
			   const struct conf_global *g)
{
	struct conf_global again;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		panic("no memory");
	conf_print_effective(cf, c, &first, g, f);
	fclose(f);
	struct conf *cf2 = apply(c, text, n, &second, &again);
	if (conf_error_count(cf2)) {
		conf_print_report(cf2, stderr);
		panic("what was printed cannot be read:\n%s", text);
	}
	must_be_same(c->options, c->option_count);
	must_be_same(conf_common_table, conf_common_table_count);
	conf_free(cf2);
	free(text);
}

static void sections(struct conf *cf, FILE *null)
{
	struct conf_common common;

	for (unsigned i = 0; i < conf_section_count(cf) && i < 50; i++) {
		conf_apply_common(cf, i, &common, i & 1);
		conf_common_check(cf, i, &common, i & 2);
	}
	conf_print_report(cf, null);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf_component *const components[] = { &qmgr_options_component,
								   &smtps_options_component,
								   &smtpc_options_component,
								   &smar_options_component };
	static FILE *null;
	struct conf_global g;

	if (!null)
		null = fopen("/dev/null", "w");
	for (unsigned i = 0; i < CONF_NELEM(components); i++) {
		struct conf *cf = apply(components[i], (const char *)data, size, &first, &g);

		conf_print_report(cf, null);
		if (!conf_error_count(cf))
			print_and_read(cf, components[i], &g);
		if (!i)
			sections(cf, null);
		conf_free(cf);
	}
	return 0;
}
