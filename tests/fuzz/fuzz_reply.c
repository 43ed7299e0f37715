/*
 * tests/fuzz/fuzz_reply.c - any bytes as replies of a server.
 *
 * What comes out must not depend on the pieces in which it came in, and be printable and bounded.
 */
#include "core/err.h"
#include "proto/ehlo.h"
#include "proto/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Feeds up to the n-th event, in pieces of `step`. */
static int event(const uint8_t *data, size_t size, size_t step, unsigned n, struct reply *r)
{
	int rc = REPLY_MORE;

	memset(r, 0, sizeof *r);
	for (size_t at = 0; at < size; at += step) {
		struct span s = span_of(data + at, size - at < step ? size - at : step);

		while (s.n) {
			rc = reply_feed(r, &s);
			if (rc < 0 || (rc != REPLY_MORE && !n--))
				return rc;
		}
	}
	return rc;
}

static void check(const struct reply *r, int rc)
{
	struct span t = reply_text(r);

	if (t.n > REPLY_TEXT_MAX || r->line_n > REPLY_LINE_MAX || r->byte_count > REPLY_BYTES_MAX)
		panic("a limit is passed");
	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] < ' ' || t.p[i] > '~')
			panic("text is not printable");
	if (rc > REPLY_MORE && (r->code < 200 || r->code > 599))
		panic("code %u", r->code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reply whole, parts;
	struct ehlo e = { 0 };

	for (unsigned n = 0; n < 64; n++) {
		int rc = event(data, size, size ? size : 1, n, &whole);
		int again = event(data, size, 1 + n % 7, n, &parts);

		check(&whole, rc);
		if (rc != again || whole.code != parts.code ||
		    !span_eq(reply_text(&whole), reply_text(&parts)))
			panic("pieces make a difference");
		if (rc <= REPLY_MORE)
			break;
		ehlo_take(&e, reply_line(&whole));
	}
	return 0;
}
