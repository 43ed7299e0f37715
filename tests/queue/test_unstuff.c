#include "queue/unstuff.h"
#include "tests/tap.h"

static const struct {
	const char *name, *in, *crlf, *lf;
} cases[] = {
	{ "plain lines", "a\r\nb\r\n", "a\r\nb\r\n", "a\nb\n" },
	{ "a stuffed dot", "..a\r\n", ".a\r\n", ".a\n" },
	{ "in the first line", "..\r\n..\r\n", ".\r\n.\r\n", ".\n.\n" },
	{ "dots inside stay", "a.b..c\r\n", "a.b..c\r\n", "a.b..c\n" },
	{ "a lone CR stays", "a\rb\r\r\n.c", "a\rb\r\r\nc", "a\rb\r\nc" },
	{ "a lone LF starts no line", "a\n.b\r\n", "a\n.b\r\n", "a\n.b\n" },
	{ "CR at the end", "a\r", "a\r", "a\r" },
	{ "nothing", "", "", "" },
};

static void check(size_t i, bool lf, size_t step)
{
	struct unstuff u = { .lf = lf };
	struct buf out = { 0 };
	struct span in = span_str(cases[i].in), want = span_str(lf ? cases[i].lf : cases[i].crlf);

	for (size_t at = 0; at < in.n; at += step)
		unstuff_add(&u, span_head(span_from(in, at), step), &out);
	unstuff_end(&u, &out);
	ok(span_eq(buf_span(&out), want), "%s, %s, pieces of %zu", cases[i].name,
	   lf ? "LF" : "CRLF", step);
	buf_release(&out);
}

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (size_t step = 1; step < 4; step++) {
			check(i, false, step);
			check(i, true, step);
		}
	struct unstuff u = { .raw = true, .lf = true };
	struct buf out = { 0 };
	unstuff_add(&u, SPAN("..a\r\n.\r"), &out);
	unstuff_end(&u, &out);
	ok(span_eq(buf_span(&out), SPAN("..a\r\n.\r")), "raw content stays as it is");
	buf_release(&out);
	return plan_done();
}
