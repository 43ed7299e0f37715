#include "bench/reply.h"

#include "tests/tap.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *name;
	const char *in;
	int rc; /* after all of it */
	int code, offers;
	const char *text;
} cases[] = {
	{ "one line", "250 ok\r\n", 1, 250, 0, "" },
	{ "error text is kept", "550 5.1.1 no\r\n", 1, 550, 0, "550 5.1.1 no" },
	{ "bare code", "354\r\n", 1, 354, 0, "" },
	{ "without CR", "250 ok\n", 1, 250, 0, "" },
	{ "many lines", "250-a\r\n250-PIPELINING\r\n250-x\r\n250 chunking\r\n", 1, 250,
	  REPLY_PIPELINING | REPLY_CHUNKING, "" },
	{ "not an offer", "250-PIPELINING2\r\n250 X PIPELINING\r\n", 1, 250, 0, "" },
	{ "not whole", "250-a\r\n", 0, 0, 0, NULL },
	{ "half a line", "250 a", 0, 0, 0, NULL },
	{ "codes differ", "250-a\r\n251 b\r\n", -EPROTO, 0, 0, NULL },
	{ "letters", "hello\r\n", -EPROTO, 0, 0, NULL },
	{ "too short", "25\r\n", -EPROTO, 0, 0, NULL },
	{ "bad separator", "250_a\r\n", -EPROTO, 0, 0, NULL },
	{ "1yz", "150 a\r\n", -EPROTO, 0, 0, NULL },
	{ "6yz", "650 a\r\n", -EPROTO, 0, 0, NULL },
	{ "empty line", "\r\n", -EPROTO, 0, 0, NULL },
	{ "unprintable", "450 a\x1b[2J\r\n", 1, 450, 0, "450 a?[2J" },
};

static int feed(struct reply *r, const char *in, size_t step)
{
	size_t n = strlen(in), at = 0;
	int rc = 0;

	while (at < n && rc == 0) {
		size_t used, piece = n - at < step ? n - at : step;
		rc = reply_feed(r, in + at, piece, &used);
		if (rc >= 0 && used > piece)
			return -EIO;
		if (rc == 0 && used != piece)
			return -EIO;
		at += used;
	}
	return rc;
}

static void test_cases(size_t step)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply r = { 0 };
		int rc = feed(&r, cases[i].in, step);
		ok(rc == cases[i].rc &&
			   (rc != 1 || (r.code == cases[i].code && r.offers == cases[i].offers &&
					strcmp(r.text, cases[i].text) == 0)),
		   "%s, %zu bytes at a time", cases[i].name, step);
		reply_reset(&r);
	}
}

static void test_several(void)
{
	static const char in[] = "250 a\r\n550-b\r\n550 c\r\n35";
	struct reply r = { 0 };
	size_t used, at = 0, n = sizeof(in) - 1;

	is_int(reply_feed(&r, in, n, &used), 1, "first of several");
	is_int((int64_t)used, 7, "eats only the first");
	at += used;
	is_int(reply_feed(&r, in + at, n - at, &used), 1, "second");
	ok(r.code == 550 && r.lines == 2, "has its own code and lines");
	at += used;
	is_int(reply_feed(&r, in + at, n - at, &used), 0, "third is not whole");
	is_int((int64_t)(at + used), (int64_t)n, "but eaten");
	is_int(reply_feed(&r, "4 go\r\n", 6, &used), 1, "now it is");
	is_int(r.code, 354, "code over two pieces");
	reply_reset(&r);
}

static void test_limits(void)
{
	struct reply r = { 0 };
	char line[REPLY_LINE + 100];
	size_t used;
	int rc = 0;

	memset(line, 'x', sizeof(line));
	memcpy(line, "250 ", 4);
	is_int(reply_feed(&r, line, sizeof(line), &used), -EPROTO, "a line too long");
	reply_reset(&r);
	for (unsigned i = 0; i < sizeof(line) && rc == 0; i++)
		rc = reply_feed(&r, line + i, 1, &used);
	is_int(rc, -EPROTO, "also byte by byte");
	reply_reset(&r);
	rc = 0;
	for (unsigned i = 0; i < 1000 && rc == 0; i++)
		rc = reply_feed(&r, "250-a\r\n", 7, &used);
	is_int(rc, -EPROTO, "too many lines");
	reply_reset(&r);
}

int main(void)
{
	test_cases(1000);
	test_cases(1);
	test_cases(4);
	test_several();
	test_limits();
	return plan_done();
}
