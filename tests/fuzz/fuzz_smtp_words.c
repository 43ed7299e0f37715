/*
 * tests/fuzz/fuzz_smtp_words.c - the parsers of command lines: lines, addresses, parameters, EHLO
 * keywords, PROXY headers, BDAT. The first byte says which.
 */
#include "core/err.h"
#include "proto/address.h"
#include "proto/ehlo.h"
#include "proto/line.h"
#include "proto/param.h"
#include "proto/proxyhdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span part, struct span whole)
{
	if (part.n && (part.p < whole.p || part.p + part.n > whole.p + whole.n))
		panic("a span outside of the input");
}

static void lines(struct span in)
{
	struct span rest = in, line;

	while (rest.n) {
		size_t before = rest.n;
		enum line_result r = line_next(&rest, 64, &line);

		if (r == LINE_MORE || r == LINE_BARE)
			break;
		if (r == LINE_LONG && !line_skip(&rest))
			break;
		if (r != LINE_LONG) {
			inside(line, in);
			if (line.n + 2 > 64 || memchr(line.p, '\r', line.n) ||
			    memchr(line.p, '\n', line.n))
				panic("not a line");
		}
		if (rest.n >= before)
			panic("no progress");
	}
}

static void address(struct span in)
{
	struct span rest = in;
	struct address a;
	enum address_error r = address_path(&rest, &a);

	address_domain_ok(in, false);
	address_domain_ok(in, true);
	if (r != ADDRESS_OK && r != ADDRESS_NO_DOMAIN)
		return;
	inside(a.mailbox, in);
	inside(a.local, in);
	inside(a.domain, in);
	if (a.local.n > ADDRESS_LOCAL_MAX || a.domain.n > ADDRESS_DOMAIN_MAX ||
	    !address_utf8_ok(a.mailbox))
		panic("limits");
	for (size_t i = 0; i < a.mailbox.n; i++)
		if ((unsigned char)a.mailbox.p[i] < 32 || a.mailbox.p[i] == 127)
			panic("control character in an address");
	/* What was taken is taken again as it is. */
	char again[ADDRESS_PATH_MAX + 2];
	again[0] = '<';
	memcpy(again + 1, a.mailbox.p, a.mailbox.n);
	again[a.mailbox.n + 1] = '>';
	struct span second = span_of(again, a.mailbox.n + 2);
	struct address b;
	if (address_path(&second, &b) != r || !span_eq(a.mailbox, b.mailbox) || second.n)
		panic("the same address is refused");
}

static void params(struct span in, bool utf8)
{
	struct span rest = in;
	struct param p;

	while (param_next(&rest, utf8, &p) == 1) {
		inside(p.key, in);
		inside(p.value, in);
		param_notify(p.value);
		param_xtext_ok(p.value, 100);
		param_orcpt_ok(p.value, 500, utf8);
	}
}

static void keywords(struct span in)
{
	struct ehlo e = { 0 };
	struct buf out = { 0 };

	while (in.n) {
		size_t end = span_chr(in, '\n');

		ehlo_take(&e, span_head(in, end));
		in = span_from(in, end + 1);
	}
	if (strlen(e.auth) >= EHLO_AUTH_MAX)
		panic("too many mechanisms");
	ehlo_write(&e, SPAN("h.test"), &out);
	buf_release(&out);
}

static void proxy(struct span in)
{
	struct span rest = in;
	struct addr a = { 0 };

	if (proxyhdr_take(&rest, &a) == PROXYHDR_ADDR && a.family != ADDR_IPV4 &&
	    a.family != ADDR_IPV6)
		panic("no family");
	inside(rest, in);
}

static void chunk(struct span in)
{
	uint64_t size = 0;
	bool last;

	if (!param_chunk(in, &size, &last) && size > INT64_MAX)
		panic("a chunk of %llu", (unsigned long long)size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct span in = span_of(data + 1, size - 1);

	switch (data[0] % 7) {
	case 0:
		lines(in);
		break;
	case 1:
		address(in);
		break;
	case 2:
		params(in, false);
		break;
	case 3:
		params(in, true);
		break;
	case 4:
		keywords(in);
		break;
	case 5:
		proxy(in);
		break;
	default:
		chunk(in);
	}
	return 0;
}
