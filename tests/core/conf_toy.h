/*
 * tests/core/conf_toy.h - a component that has every type of option, for the tests of core/conf*.
 */
#ifndef TESTS_CORE_CONF_TOY_H
#define TESTS_CORE_CONF_TOY_H
#include <errno.h>
#include "core/conf.h"

enum { TOY_PLAIN = 0, TOY_FANCY, TOY_FUTURE };
enum { TOY_FIRST = 1u << 0, TOY_SECOND = 1u << 1, TOY_THIRD = 1u << 2, TOY_NO_AGE = 1u << 3 };

static const struct conf_value conf_toy_kind_values[] = {
	{ .name = "plain", .value = TOY_PLAIN, .help = "nothing special" },
	{ .name = "fancy", .value = TOY_FANCY },
	{ .name = "future", .value = TOY_FUTURE, .later = true },
	{ 0 },
};

static const struct conf_value conf_toy_flag_values[] = {
	{ .name = "first", .value = TOY_FIRST, .help = "the first" },
	{ .name = "second", .value = TOY_SECOND },
	{ .name = "third", .value = TOY_THIRD, .later = true },
	{ .name = "no_age", .value = TOY_NO_AGE },
	{ 0 },
};

struct conf_toy_item {
	const char *name;
#define CONF_DEF "tests/core/conf_toy_item.def"
#include "core/conf_fields.h"
};

struct conf_toy {
	struct conf_common common;
#define CONF_DEF "tests/core/conf_toy.def"
#include "core/conf_fields.h"
};

#define CONF_ROWS   conf_toy_item_rows
#define CONF_STRUCT struct conf_toy_item
#define CONF_DEF    "tests/core/conf_toy_item.def"
#include "core/conf_rows.h"

#define CONF_ROWS   conf_toy_rows
#define CONF_STRUCT struct conf_toy
#define CONF_DEF    "tests/core/conf_toy.def"
#include "core/conf_rows.h"

static inline void conf_toy_check(const void *opts, const struct conf_global *g,
				  struct conf_report *r)
{
	const struct conf_toy *o = opts;

	(void)g;
	if (o->count == 666)
		conf_report_error(r, "count", "expected another number, found %u", o->count);
	if (o->count == 667)
		conf_report_warning(r, "Sub.socket", "is odd");
}

static inline int conf_toy_getopt(int opt, const char *arg, void *opts)
{
	struct conf_toy *o = opts;

	if (opt == 'C' && *arg >= '1' && *arg <= '9') {
		o->count = (uint32_t)(*arg - '0');
		return 0;
	}
	return -EINVAL;
}

static const struct conf_component conf_toy_component = {
	.keyword = "toy",
	.summary = "a test",
	.options = conf_toy_rows,
	.option_count = CONF_NELEM(conf_toy_rows),
	.size = sizeof(struct conf_toy),
	.root_ok = true,
	.getopt_extra = "C:",
	.getopt_cb = conf_toy_getopt,
	.check = conf_toy_check,
};

#endif
