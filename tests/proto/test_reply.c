#include "proto/reply.h"

#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct good {
	const char *name, *in;
	int code;
	const char *text, *enhanced;
};

static const struct good good[] = {
	{ "one line", "250 2.1.0 ok\r\n", 250, "250 2.1.0 ok", "2.1.0" },
	{ "code alone", "250\r\n", 250, "250", "" },
	{ "code and space", "250 \r\n", 250, "250", "" },
	{ "bare LF", "250 ok\n", 250, "250 ok", "" },
	{ "any second digit", "299 fine\r\n", 299, "299 fine", "" },
	{ "two lines", "550-5.1.1 one\r\n550 5.1.1 two\r\n", 550, "550 5.1.1 one / two", "5.1.1" },
	{ "two lines, other status", "550-5.1.1 one\r\n550 5.7.1 two\r\n", 550,
	  "550 5.1.1 one / 5.7.1 two", "5.1.1" },
	{ "empty lines in the middle", "250-a\r\n250-\r\n250 b\r\n", 250, "250 a / b", "" },
	{ "first line without text", "250-\r\n250 b\r\n", 250, "250 / b", "" },
	{ "lines by LF", "250-a\n250 b\n", 250, "250 a / b", "" },
	{ "8-bit, NUL-free, escape", "550 \xff\x1b[2Jx\ty\r\n", 550, "550 ??[2Jx y", "" },
	{ "CR inside", "250 a\rb\r\n", 250, "250 a?b", "" },
	{ "status of another class", "250 5.1.1 odd\r\n", 250, "250 5.1.1 odd", "" },
	{ "long status", "550 5.123.456 x\r\n", 550, "550 5.123.456 x", "5.123.456" },
	{ "not a status", "550 5.1 x\r\n", 550, "550 5.1 x", "" },
	{ "not a status either", "550 5.1.1234 x\r\n", 550, "550 5.1.1234 x", "" },
	{ "status alone", "550 5.1.1\r\n", 550, "550 5.1.1", "5.1.1" },
	{ "354", "354 go\r\n", 354, "354 go", "" },
};

struct bad {
	const char *name, *in, *text;
};

static const struct bad bad[] = {
	{ "no code", "xyz\r\n", "xyz" },
	{ "empty line", "\r\n", "" },
	{ "two digits", "25\r\n", "25" },
	{ "four digits", "2500 ok\r\n", "2500 ok" },
	{ "first digit 1", "150 wait\r\n", "150 wait" },
	{ "first digit 9", "999 nonsense\r\n", "999 nonsense" },
	{ "another protocol", "SSH-2.0-OpenSSH\r\n", "SSH-2.0-OpenSSH" },
	{ "codes differ", "250-a\r\n550 b\r\n", "550 b" },
	{ "text after a line to go on", "250-a\r\nhello\r\n", "hello" },
	{ "8-bit garbage", "\x80\x81\x82 x\r\n", "??? x" },
};

/* Feeds in pieces of `step`; the last event. */
static int feed(struct reply *r, const char *in, size_t step)
{
	size_t n = strlen(in);
	int rc = REPLY_MORE;

	for (size_t at = 0; at < n; at += step) {
		struct span s = span_of(in + at, n - at < step ? n - at : step);

		while (s.n && rc >= 0)
			rc = reply_feed(r, &s);
	}
	return rc;
}

static void test_good(void)
{
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		const struct good *g = &good[i];
		bool same = true;
		struct reply r = { 0 };

		for (size_t step = 1; step <= strlen(g->in); step++) {
			memset(&r, 0, sizeof r);
			same = same && feed(&r, g->in, step) == REPLY_DONE && r.code == g->code &&
			       span_eq(reply_text(&r), span_str(g->text));
		}
		ok(same, "%s: in pieces of every size", g->name);
		if (!same)
			diag("code %u text '%.*s'", r.code, (int)r.text_n, r.text);
		ok(span_eq(reply_enhanced(&r), span_str(g->enhanced)), "%s: status", g->name);
	}
}

static void test_bad(void)
{
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		bool same = true;
		struct reply r = { 0 };

		for (size_t step = 1; step <= strlen(bad[i].in); step++) {
			memset(&r, 0, sizeof r);
			same = same && feed(&r, bad[i].in, step) == -EPROTO &&
			       span_eq(reply_text(&r), span_str(bad[i].text)) &&
			       reply_class(&r) == REPLY_BAD;
		}
		ok(same, "%s: refused", bad[i].name);
		if (!same)
			diag("code %u text '%.*s'", r.code, (int)r.text_n, r.text);
	}
}

static void test_sequence(void)
{
	const char in[] = "220 hi\r\n250-a\r\n250 SIZE 5\r\n550 no\r\n";
	struct span s = span_of(in, sizeof in - 1);
	struct reply r = { 0 };

	is_int(reply_feed(&r, &s), REPLY_DONE, "first of many replies");
	is_int(r.code, 220, "its code");
	is_int(reply_feed(&r, &s), REPLY_LINE, "a line that is not the last");
	ok(span_eq(reply_line(&r), SPAN("a")), "its text");
	is_int(reply_feed(&r, &s), REPLY_DONE, "the last line");
	ok(span_eq(reply_line(&r), SPAN("SIZE 5")), "text of the last line");
	is_int(r.line_count, 2, "two lines");
	is_int(reply_feed(&r, &s), REPLY_DONE, "third reply");
	is_int(r.code, 550, "its code");
	is_int((int)s.n, 0, "all was eaten");
	is_int(reply_feed(&r, &s), REPLY_MORE, "nothing more");
	is_int(r.code, 550, "and the last reply is still there");
}

static void test_nul(void)
{
	const char in[] = "250 a\0b\r\n";
	struct span s = span_of(in, sizeof in - 1);
	struct reply r = { 0 };

	is_int(reply_feed(&r, &s), REPLY_DONE, "NUL in a line");
	ok(span_eq(reply_text(&r), SPAN("250 a?b")), "is shown as a question mark");
}

static void test_limits(void)
{
	char *line = malloc(200000);
	struct reply r = { 0 };
	struct span s;

	memset(line, 'x', 200000);
	memcpy(line, "250 ", 4);
	memcpy(line + 5000, "\r\n", 3);
	s = span_of(line, 5002);
	is_int(reply_feed(&r, &s), REPLY_DONE, "a line of 5000 bytes");
	is_int(r.text_n, REPLY_LINE_MAX, "its begin is kept");
	memset(line, 'x', 200000);
	memcpy(line, "250-", 4);
	s = span_of(line, 200000);
	is_int(reply_feed(&r, &s), -EMSGSIZE, "a line without end");
	memset(&r, 0, sizeof r);
	int rc = REPLY_LINE;
	unsigned lines = 0;
	for (; rc == REPLY_LINE && lines < 100000; lines++) {
		s = SPAN("250-abcdefghijklmnop\r\n");
		rc = reply_feed(&r, &s);
	}
	is_int(rc, -EMSGSIZE, "lines without end");
	ok(lines <= REPLY_BYTES_MAX / 22 + 1, "after the limit of bytes");
	is_int(r.text_n, REPLY_TEXT_MAX, "the kept text is bounded");
	free(line);
}

int main(void)
{
	test_good();
	test_bad();
	test_sequence();
	test_nul();
	test_limits();
	return plan_done();
}
