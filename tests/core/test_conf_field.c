#include "core/conf_field.h"

#include "core/conf_print.h"
#include "tests/conf_text.h"
#include "tests/core/conf_toy.h"
#include "tests/tap.h"

static const struct conf_option *row(const char *name)
{
	for (const struct conf_option *o = conf_toy_rows;
	     o < conf_toy_rows + CONF_NELEM(conf_toy_rows); o++) {
		if (!strcmp(o->name, name))
			return o;
	}
	abort();
}

/* Each value as text, for a toy that was read from the text. */
static const struct {
	const char *option;
	const char *text;
	const char *want;
} rows[] = {
	{ "count", "count = 0x10;", "16" },
	{ "number", "number = -5;", "-5" },
	{ "bytes", "bytes = 3145728;", "3MB" },
	{ "disk", "disk = 100;", "100KB" },
	{ "timeout", "timeout = 3600;", "1h" },
	{ "timeout", "timeout = 90.5;", "1m 30s 500ms" },
	{ "delay", "delay = 1500;", "1ms 500us" },
	{ "yes", "yes = 0;", "false" },
	{ "delimiter", "delimiter = \"-\";", "\"-\"" },
	{ "delimiter", "delimiter = \"\\\"\";", "\"\\\"\"" },
	{ "text", "text = \"a\\\"\\\\\\n\\t\";", "\"a\\\"\\\\\\n\\t\"" },
	{ "any", "", NULL },
	{ "address", "address = ::1;", "\"::1\"" },
	{ "list", "list = { a, \"b c\" };", "{ \"a\", \"b c\" }" },
	{ "list", "list = { };", "{ }" },
	{ "kind", "kind = fancy;", "fancy" },
	{ "flags", "flags = { ~first, no_age };", "{ not_first, second, no_age }" },
	{ "flags", "flags = { ~first, ~second };", "{ not_first, not_second }" },
};

static struct conf_toy a;
static struct conf_toy b;
static struct conf_global g;

static void texts(void)
{
	for (size_t i = 0; i < CONF_NELEM(rows); i++) {
		const struct conf_option *o = row(rows[i].option);
		char text[256];
		struct conf *cf;

		snprintf(text, sizeof text, "toy { %s }", rows[i].text);
		cf = conf_text_apply(text, &conf_toy_component, NULL, &a, &g);
		is_int(conf_error_count(cf), 0, text);
		is_str(conf_field_text(&cf->report, o, (char *)&a + o->offset), rows[i].want, text);
		conf_free(cf);
	}
}

/* Two texts for the same option that differ. */
static const struct {
	const char *option;
	const char *x;
	const char *y;
} pairs[] = {
	{ "count", "count = 1;", "count = 2;" },
	{ "number", "number = 1;", "number = 2;" },
	{ "bytes", "bytes = 1MB;", "bytes = 2MB;" },
	{ "yes", "yes = 1;", "yes = 0;" },
	{ "delimiter", "delimiter = a;", "delimiter = b;" },
	{ "text", "text = a;", "text = b;" },
	{ "any", "", "any = b;" },
	{ "list", "list = { a };", "list = { b };" },
	{ "list", "list = { a };", "list = { a, a };" },
	{ "kind", "kind = plain;", "kind = fancy;" },
	{ "flags", "flags = no_first;", "flags = first;" },
	{ "item", "item a { }", "item b { }" },
	{ "item", "item a { }", "item a { } item b { }" },
	{ "item", "item a { in { deep = 2; } }", "item a { in { deep = 3; } }" },
};

static void comparison(void)
{
	for (size_t i = 0; i < CONF_NELEM(pairs); i++) {
		const struct conf_option *o = row(pairs[i].option);
		char x[128];
		char y[128];
		struct conf_toy copy;

		snprintf(x, sizeof x, "toy { %s }", pairs[i].x);
		snprintf(y, sizeof y, "toy { %s }", pairs[i].y);
		struct conf *cx = conf_text_apply(x, &conf_toy_component, NULL, &a, &g);
		struct conf *cy = conf_text_apply(y, &conf_toy_component, NULL, &b, &g);
		ok(!conf_error_count(cx) && !conf_error_count(cy) &&
			   !conf_field_equal(o, (char *)&a + o->offset, (char *)&b + o->offset),
		   "'%s' is not '%s'", pairs[i].x, pairs[i].y);
		memset(&copy, 0, sizeof copy);
		conf_field_copy(&cy->report, o, (char *)&copy + o->offset, (char *)&a + o->offset);
		ok(conf_field_equal(o, (char *)&a + o->offset, (char *)&copy + o->offset),
		   "a copy of '%s' is the same", pairs[i].x);
		conf_free(cx);
		ok(!conf_field_equal(o, (char *)&copy + o->offset, (char *)&b + o->offset),
		   "and lives on when '%s' is gone", pairs[i].x);
		conf_free(cy);
	}
}

/* What -n -v prints is a configuration that gives the same values. */
static void print_and_read(void)
{
	static const char text[] =
		"toy { count = 99; bytes = 5KB; timeout = 61; yes = off; text = \"q \\\" q\";\n"
		"list = { x, y, z }; kind = fancy; flags = { not_first, no_age }; who = me;\n"
		"item one { size = 3; } item two { in { deep = 4; } } log_level = 3;\n"
		"Sub { more { dir = /x; } } listen_socket { type = inet; port = 25; } }";
	static char printed[32768];
	struct conf *cf = conf_text_apply(text, &conf_toy_component, NULL, &a, &g);
	FILE *f = fmemopen(printed, sizeof printed, "w");

	if (!f)
		abort();
	conf_print_effective(cf, &conf_toy_component, &a, &g, f);
	fclose(f);
	struct conf *cf2 = conf_text_apply(printed, &conf_toy_component, NULL, &b, &g);
	is_int(conf_error_count(cf2), 0, "printed options can be read again");
	for (const struct conf_option *o = conf_toy_rows;
	     o < conf_toy_rows + CONF_NELEM(conf_toy_rows); o++)
		ok(conf_field_equal(o, (char *)&a + o->offset, (char *)&b + o->offset),
		   "%s has the same value", o->name);
	ok(b.common.listen_socket.count == 1 && b.common.log_level == 3, "common options too");
	conf_free(cf);
	conf_free(cf2);
}

int main(void)
{
	texts();
	comparison();
	print_and_read();
	return plan_done();
}
