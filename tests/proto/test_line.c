#include "proto/line.h"

#include "tests/tap.h"

#include <string.h>

struct row {
	const char *name;
	struct span in;
	size_t max;
	enum line_result result;
	const char *line, *rest;
};

#define IN(lit)                                                                                    \
	{                                                                                          \
		lit, sizeof(lit) - 1                                                               \
	}

static const struct row rows[] = {
	{ "empty", IN(""), 100, LINE_MORE, NULL, NULL },
	{ "no end", IN("NOOP"), 100, LINE_MORE, NULL, NULL },
	{ "CR at the end", IN("NOOP\r"), 100, LINE_MORE, NULL, NULL },
	{ "line", IN("NOOP\r\n"), 100, LINE_OK, "NOOP", "" },
	{ "two lines", IN("NOOP\r\nQUIT\r\n"), 100, LINE_OK, "NOOP", "QUIT\r\n" },
	{ "empty line", IN("\r\nx"), 100, LINE_OK, "", "x" },
	{ "bare LF", IN("NOOP\n"), 100, LINE_BARE, NULL, NULL },
	{ "bare LF first", IN("\n"), 100, LINE_BARE, NULL, NULL },
	{ "bare CR", IN("NOOP\rMAIL\r\n"), 100, LINE_BARE, NULL, NULL },
	{ "bare CR before the end has come", IN("NOOP\rM"), 100, LINE_BARE, NULL, NULL },
	{ "two CR", IN("NOOP\r\r\n"), 100, LINE_BARE, NULL, NULL },
	{ "NUL", IN("NO\0OP\r\nx"), 100, LINE_NUL, "NO\0OP", "x" },
	{ "just fits", IN("12345678\r\n"), 10, LINE_OK, "12345678", "" },
	{ "one too many", IN("123456789\r\n"), 10, LINE_LONG, NULL, NULL },
	{ "too long without end", IN("1234567890"), 10, LINE_LONG, NULL, NULL },
	{ "may still fit", IN("12345678\r"), 10, LINE_MORE, NULL, NULL },
};

static void check(const struct row *t)
{
	struct span in = t->in, line = { "", 0 };

	is_int(line_next(&in, t->max, &line), t->result, t->name);
	if (t->line) {
		is_mem(line.p, line.n, t->line, t->result == LINE_NUL ? 5 : strlen(t->line),
		       t->name);
		is_mem(in.p, in.n, t->rest, strlen(t->rest), t->name);
	} else {
		ok(in.n == t->in.n, "%s: the input stays", t->name);
	}
}

struct skip_row {
	const char *name, *in;
	bool found;
	const char *rest;
};

static const struct skip_row skips[] = {
	{ "nothing", "", false, "" },
	{ "text", "abc", false, "" },
	{ "text and CR", "abc\r", false, "\r" },
	{ "end", "abc\r\nx", true, "x" },
	{ "bare CR and LF", "a\rb\nc\r\rd\r\r\nx", true, "x" },
	{ "many CR", "a\r\r\r", false, "\r" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		check(&rows[i]);
	for (size_t i = 0; i < sizeof skips / sizeof skips[0]; i++) {
		struct span in = span_str(skips[i].in);

		ok(line_skip(&in) == skips[i].found, "skip: %s", skips[i].name);
		is_mem(in.p, in.n, skips[i].rest, strlen(skips[i].rest), skips[i].name);
	}
	return plan_done();
}
