#include "bench/sink_cmd.h"

#include "tests/tap.h"

#include <errno.h>

#include "bench/sink_opts.h"

static void test_path(void)
{
	static const struct {
		const char *args;
		const char *addr; /* NULL: refused */
		const char *params;
	} t[] = {
		{ "FROM:<a@b>", "a@b", "" },
		{ "from:<>", "", "" },
		{ "FROM:<a@b> SIZE=1", "a@b", " SIZE=1" },
		{ "FROM:<\"a>b\"@c>", "\"a>b\"@c", "" },
		{ "FROM:<\"a\\\"b\"@c> X", "\"a\\\"b\"@c", " X" },
		{ "FROM:a@b", NULL, NULL },
		{ "FROM: <a@b>", NULL, NULL },
		{ "FROM:<a@b", NULL, NULL },
		{ "FROM:<a@b>SIZE=1", NULL, NULL },
		{ "FROM:<a b@c>", NULL, NULL },
		{ "FROM:<<a@c>", NULL, NULL },
		{ "FROM:<a\tb@c>", NULL, NULL },
		{ "FROM:<\"a@c>", NULL, NULL },
		{ "TO:<a@b>", NULL, NULL },
		{ "FROM:<", NULL, NULL },
		{ "FROM:", NULL, NULL },
		{ "", NULL, NULL },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sink_cmd_path p;
		int rc = sink_cmd_path(span_str(t[i].args), SPAN("FROM:"), &p);
		if (!t[i].addr)
			is_int(rc, -EINVAL, t[i].args);
		else
			ok(rc == 0 && span_eq(p.addr, span_str(t[i].addr)) &&
				   span_eq(p.params, span_str(t[i].params)),
			   "%s", t[i].args);
	}
}

static void test_params(void)
{
	enum { ALL = 127, BASIC = SINK_SIZE | SINK_8BITMIME };

	static const struct {
		const char *text;
		unsigned offers;
		bool rcpt;
		int rc;
	} t[] = {
		{ "", 0, false, 0 },
		{ " SIZE=100", BASIC, false, 0 },
		{ " SIZE=100 body=8bitmime", BASIC, false, 0 },
		{ " SIZE=100", 0, false, -ENOTSUP },
		{ " SIZE", BASIC, false, -EINVAL },
		{ " SIZE=", BASIC, false, -EINVAL },
		{ " SIZE=1x", BASIC, false, -EINVAL },
		{ " BODY=9BIT", BASIC, false, -EINVAL },
		{ " SMTPUTF8", ALL, false, 0 },
		{ " SMTPUTF8=1", ALL, false, -EINVAL },
		{ " SMTPUTF8", BASIC, false, -ENOTSUP },
		{ " RET=HDRS ENVID=x", ALL, false, 0 },
		{ " RET=SOME", ALL, false, -EINVAL },
		{ " NOTIFY=NEVER ORCPT=rfc822;a@b", ALL, true, 0 },
		{ " NOTIFY=NEVER", ALL, false, -ENOTSUP },
		{ " SIZE=1", ALL, true, -ENOTSUP },
		{ " WHAT=1", ALL, false, -ENOTSUP },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sink_cmd_params p;
		int rc = sink_cmd_params(span_str(t[i].text), t[i].offers, t[i].rcpt, &p);
		ok(rc == t[i].rc, "parameters '%s': %d", t[i].text, rc);
	}
	struct sink_cmd_params p;
	sink_cmd_params(SPAN(" BODY=8BITMIME SIZE=77 SMTPUTF8"), ALL, false, &p);
	ok(p.size == 77 && p.body_8bit && p.smtputf8, "values are kept");
}

static void test_bdat(void)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t size;
		bool last;
	} t[] = {
		{ "5", 0, 5, false },
		{ "0 LAST", 0, 0, true },
		{ "7 last", 0, 7, true },
		{ "7 FIRST", -EINVAL, 0, false },
		{ "", -EINVAL, 0, false },
		{ "x", -EINVAL, 0, false },
		{ "-1", -EINVAL, 0, false },
		{ "7 LAST x", -EINVAL, 0, false },
		{ "99999999999999999999", -EINVAL, 0, false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t size = 0;
		bool last = false;
		int rc = sink_cmd_bdat(span_str(t[i].text), &size, &last);
		ok(rc == t[i].rc && (rc || (size == t[i].size && last == t[i].last)), "BDAT %s",
		   t[i].text);
	}
}

int main(void)
{
	test_path();
	test_params();
	test_bdat();
	return plan_done();
}
