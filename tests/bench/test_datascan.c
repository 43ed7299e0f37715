#include "bench/datascan.h"

#include "tests/tap.h"

#include <stdio.h>
#include <string.h>
#include "core/crc32c.h"

#define ID "X-SMX-ID: run-12\r\n"

static const struct {
	const char *name;
	const char *in;
	int end;          /* bytes eaten when it ended, -1: it does not end */
	const char *body; /* behind the empty line, dots unstuffed; NULL: there is no empty line */
	uint32_t number;
	unsigned bare_cr, bare_lf;
} cases[] = {
	{ "ordinary", ID "\r\nab\r\n.\r\nQUIT", 27, "ab\r\n", 12, 0, 0 },
	{ "empty content", ".\r\nx", 3, NULL, 0, 0, 0 },
	{ "empty header", "\r\n.\r\n", 5, "", 0, 0, 0 },
	{ "stuffed dots", "\r\n..\r\n...a\r\n.\r\n", 15, ".\r\n..a\r\n", 0, 0, 0 },
	{ "a dot in front of text is stuffing", "\r\n.a\r\n.\r\n", 9, "a\r\n", 0, 0, 0 },
	{ "dot inside a line", "\r\na.\r\n.\r\n", 9, "a.\r\n", 0, 0, 0 },
	{ "LF . LF does not end", "\r\na\n.\nb\r\n.\r\n", 12, "a\n.\nb\r\n", 0, 0, 2 },
	{ "LF . CRLF does not end", "\r\na\n.\r\nb\r\n.\r\n", 13, "a\n.\r\nb\r\n", 0, 0, 1 },
	{ "CRLF . LF does not end", "\r\na\r\n.\nb\r\n.\r\n", 13, "a\r\n\nb\r\n", 0, 0, 1 },
	{ "CRLF . CR x does not end", "\r\n.\rx\r\n.\r\n", 10, "\rx\r\n", 0, 1, 0 },
	{ "CR . CR does not end", "\r\na\r.\rb\r\n.\r\n", 12, "a\r.\rb\r\n", 0, 2, 0 },
	{ "CR CR LF", "\r\na\r\r\n.\r\n", 9, "a\r\r\n", 0, 1, 0 },
	{ "no end", "\r\nabc\r\n.\r", -1, "abc\r\n", 0, 0, 0 },
	{ "id in the body is not one", "A: b\r\n\r\n" ID ".\r\n", 29, ID, 0, 0, 0 },
	{ "the first id counts", ID "X-SMX-ID: run-13\r\n\r\n.\r\n", 41, "", 12, 0, 0 },
	{ "wrong id", "X-SMX-ID: run-0\r\n\r\n.\r\n", 22, "", 0, 0, 0 },
	{ "id in any case", "x-smx-id:run-5 \r\n\r\n.\r\n", 22, "", 5, 0, 0 },
	{ "a stuffed line is no header end", "..\r\n" ID ".\r\n", 25, NULL, 12, 0, 0 },
};

/* Feeds in pieces of `step` bytes; returns the bytes eaten, -1 when it did not end. */
static int feed(struct datascan *d, const char *in, size_t step)
{
	size_t n = strlen(in), at = 0;

	*d = (struct datascan){ 0 };
	while (at < n && d->state != DATASCAN_END) {
		size_t piece = n - at < step ? n - at : step;
		size_t used = datascan_feed(d, in + at, piece);
		at += used;
		if (used != piece && d->state != DATASCAN_END)
			return -2;
	}
	return d->state == DATASCAN_END ? (int)at : -1;
}

static void test_cases(size_t step)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct datascan d;
		int end = feed(&d, cases[i].in, step);
		const char *body = cases[i].body;
		bool good = end == cases[i].end && d.id.number == cases[i].number &&
			    d.bare_cr == cases[i].bare_cr && d.bare_lf == cases[i].bare_lf &&
			    d.in_body == (body != NULL) &&
			    d.crc == crc32c(0, body ? body : "", body ? strlen(body) : 0);
		ok(good, "%s, %zu bytes at a time", cases[i].name, step);
		if (!good)
			diag("end %d id %u cr %u lf %u body %d", end, d.id.number, d.bare_cr,
			     d.bare_lf, d.in_body);
	}
}

static void test_check(void)
{
	struct datascan d;
	char in[200];

	snprintf(in, sizeof(in), "X-SMX-Check: %08x 1234\r\n\r\nbody\r\n.\r\n",
		 crc32c(0, "body\r\n", 6));
	feed(&d, in, 1000);
	ok(d.has_check && d.sent_usec == 1234 && !datascan_corrupt(&d), "a right sum");
	in[strlen(in) - 6] = 'x';
	feed(&d, in, 3);
	ok(datascan_corrupt(&d), "a changed body");
	feed(&d, "X-SMX-Check: 123 4\r\n\r\nbody\r\n.\r\n", 1000);
	ok(!d.has_check && !datascan_corrupt(&d), "no sum, no verdict");
	is_int((int64_t)d.bytes, 20 + 2 + 6, "bytes without the final dot");
}

static void test_lines(void)
{
	struct datascan d = { 0 };
	char line[2000];

	memset(line, 'x', sizeof(line));
	datascan_feed(&d, "\r\n", 2);
	datascan_feed(&d, line, 998);
	datascan_feed(&d, "\r\n", 2);
	is_int(d.long_lines, 0, "998 bytes are a line");
	datascan_feed(&d, line, 999);
	datascan_feed(&d, "\r\n", 2);
	is_int(d.long_lines, 1, "999 are too long");
	datascan_feed(&d, "a\0b\r\n", 5);
	is_int(d.nul, 1, "NUL is seen");
	is_int(d.eight_bit, 0, "no 8-bit yet");
	datascan_feed(&d, "\xc3\xa4\r\n.\r\n", 7);
	is_int(d.eight_bit, 1, "8-bit is seen");
	is_int(d.state, DATASCAN_END, "and the end");
	is_int((int64_t)datascan_feed(&d, "more", 4), 0, "nothing is eaten behind the end");
}

static void test_raw(void)
{
	struct datascan d = { .raw = true };
	const char in[] = ID "\r\n..a\r\n.\r\n";

	is_int((int64_t)datascan_feed(&d, in, sizeof(in) - 1), sizeof(in) - 1,
	       "raw: no end is looked for");
	ok(d.state != DATASCAN_END && d.id.number == 12, "raw: but the id is found");
	is_int(d.crc, crc32c(0, "..a\r\n.\r\n", 8), "raw: dots stay");
}

int main(void)
{
	test_cases(1000);
	test_cases(1);
	test_cases(2);
	test_cases(3);
	test_check();
	test_lines();
	test_raw();
	return plan_done();
}
