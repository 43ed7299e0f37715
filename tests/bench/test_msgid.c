#include "bench/msgid.h"

#include "tests/tap.h"

#include <string.h>

static void test_parse(void)
{
	static const struct {
		const char *text;
		const char *run; /* NULL: no id */
		uint32_t number;
	} t[] = {
		{ "abc-1", "abc", 1 },
		{ "A.b_9-4294967295", "A.b_9", 4294967295u },
		{ "12345678901234567890123456789012-7", "12345678901234567890123456789012", 7 },
		{ "123456789012345678901234567890123-7", NULL, 0 },
		{ "abc-4294967296", NULL, 0 },
		{ "abc-99999999999", NULL, 0 },
		{ "abc-0", NULL, 0 },
		{ "abc-01", NULL, 0 },
		{ "abc-", NULL, 0 },
		{ "-1", NULL, 0 },
		{ "abc", NULL, 0 },
		{ "", NULL, 0 },
		{ "a b-1", NULL, 0 },
		{ "abc-1 ", NULL, 0 },
		{ "abc-1x", NULL, 0 },
		{ "abc--1", NULL, 0 },
		{ "\xc3\xa4-1", NULL, 0 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct msgid id = { .number = 42 };
		int rc = msgid_parse(t[i].text, strlen(t[i].text), &id);
		if (t[i].run)
			ok(rc == 0 && id.number == t[i].number && strcmp(id.run, t[i].run) == 0 &&
				   id.run_n == strlen(t[i].run),
			   "'%s' is an id", t[i].text);
		else
			ok(rc < 0 && id.number == 42, "'%s' is none, nothing is touched",
			   t[i].text);
	}
}

static void test_mix(void)
{
	unsigned differ = 0;

	for (uint64_t i = 0; i < 1000; i++)
		differ += __builtin_popcountll(msgid_mix(i) ^ msgid_mix(i + 1)) > 10;
	ok(differ > 990, "neighbours mix to different numbers (%u of 1000)", differ);
	is_int((int64_t)(msgid_mix(1) == msgid_mix(1)), 1, "and the same number to the same");
}

int main(void)
{
	test_parse();
	test_mix();
	return plan_done();
}
