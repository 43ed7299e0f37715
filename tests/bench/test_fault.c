#include "bench/fault.h"

#include "tests/tap.h"

static void test_parse(void)
{
	static const struct {
		enum fault_kind kind;
		const char *spec;
		bool good;
	} t[] = {
		{ FAULT_FAIL, "dot:450:10%", true },
		{ FAULT_FAIL, "rcpt:550 5.1.1 no such user:1/3:@x.test", true },
		{ FAULT_FAIL, "EHLO:421", true },
		{ FAULT_FAIL, "dot", false },
		{ FAULT_FAIL, "dot:250", false },
		{ FAULT_FAIL, "dot:45", false },
		{ FAULT_FAIL, "dot:450x", false },
		{ FAULT_FAIL, "dot:450 a\rb", false },
		{ FAULT_FAIL, "body:450", false },
		{ FAULT_FAIL, "nowhere:450", false },
		{ FAULT_FAIL, "dot:450:101%", false },
		{ FAULT_FAIL, "dot:450:-1%", false },
		{ FAULT_FAIL, "dot:450:%", false },
		{ FAULT_FAIL, "dot:450:1/0", false },
		{ FAULT_FAIL, "dot:450:0x", false },
		{ FAULT_FAIL, "dot:450:often", false },
		{ FAULT_DELAY, "dot:100ms", true },
		{ FAULT_DELAY, "dot:1.5s:20x", true },
		{ FAULT_DELAY, "dot:soon", false },
		{ FAULT_DELAY, "body:1s", false },
		{ FAULT_DROP, "data:1%", true },
		{ FAULT_DROP, "body", true },
		{ FAULT_STALL, "accepted:1/2", true },
		{ FAULT_STALL, "", false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		static struct fault_set f;
		const char *why = NULL;
		f.n = 0;
		int rc = fault_add(&f, t[i].kind, t[i].spec, &why);
		ok((rc == 0) == t[i].good && (rc == 0 || why) && f.n == (rc == 0), "%s %s is %s",
		   fault_kind_name(t[i].kind), t[i].spec, t[i].good ? "a rule" : "refused");
	}
}

static unsigned fails(struct fault_set *f, enum fault_stage stage, const char *addr, unsigned n)
{
	struct fault_verdict v;
	uint64_t rng = 1;
	unsigned hit = 0;

	for (unsigned i = 0; i < n; i++) {
		fault_check(f, stage, span_str(addr), &rng, &v);
		hit += v.fail != NULL;
	}
	return hit;
}

static unsigned fails_of(const char *spec, enum fault_stage stage, const char *addr, unsigned n)
{
	struct fault_set f = { 0 };
	const char *why;

	return fault_add(&f, FAULT_FAIL, spec, &why) ? 9999 : fails(&f, stage, addr, n);
}

static void test_rates(void)
{
	unsigned tenth = fails_of("dot:450:10%", FAULT_DOT, "", 10000);

	is_int(fails_of("dot:450", FAULT_DOT, "", 100), 100, "always");
	is_int(fails_of("dot:450", FAULT_RCPT, "", 100), 0, "not at another stage");
	is_int(fails_of("dot:450:0%", FAULT_DOT, "", 1000), 0, "never");
	is_int(fails_of("dot:450:1/4", FAULT_DOT, "", 100), 25, "every fourth");
	is_int(fails_of("dot:450:7x", FAULT_DOT, "", 100), 7, "the first seven");
	ok(tenth > 850 && tenth < 1150, "10%% of 10000 are %u", tenth);
	is_int(fails_of("rcpt:450:100%:@SLOW.", FAULT_RCPT, "a@slow.test", 10), 10,
	       "address matches in any case");
	is_int(fails_of("rcpt:450:100%:@slow.", FAULT_RCPT, "a@fast.test", 10), 0,
	       "address does not match");
	is_int(fails_of("rcpt:450:2x:b", FAULT_RCPT, "a", 10), 0,
	       "what does not match is not counted");
}

static void test_together(void)
{
	struct fault_set f = { 0 };
	struct fault_verdict v;
	const char *why;
	uint64_t rng = 7;

	fault_add(&f, FAULT_DELAY, "mail:10ms", &why);
	fault_add(&f, FAULT_DELAY, "mail:5ms", &why);
	fault_add(&f, FAULT_FAIL, "mail:451", &why);
	fault_add(&f, FAULT_FAIL, "mail:550", &why);
	fault_add(&f, FAULT_DROP, "data", &why);
	fault_check(&f, FAULT_MAIL, SPAN("a"), &rng, &v);
	is_int(v.delay_usec, 15000, "delays add up");
	ok(v.fail && v.fail->code == 451 && !v.drop && !v.stall, "the first failure counts");
	is_int((int64_t)f.rule[3].hits, 0, "the second is not asked");
	fault_check(&f, FAULT_DATA, SPAN("a"), &rng, &v);
	ok(v.drop && !v.fail && !v.delay_usec, "the verdict is of this stage only");
}

static void test_full(void)
{
	static struct fault_set f;
	const char *why;
	int rc = 0;

	for (unsigned i = 0; i < FAULT_RULES; i++)
		rc |= fault_add(&f, FAULT_DROP, "data", &why);
	is_int(rc, 0, "as many rules as there may be");
	ok(fault_add(&f, FAULT_DROP, "data", &why) < 0, "one more is refused");
}

int main(void)
{
	test_parse();
	test_rates();
	test_together();
	test_full();
	return plan_done();
}
