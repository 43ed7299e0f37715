#include "core/wire.h"

#include "tests/tap.h"

static size_t put_all(char *dst, size_t cap)
{
	struct wire_w w = wire_writer(dst, cap);

	wire_put_u8(&w, 0xab);
	wire_put_u16(&w, 0xabcd);
	wire_put_u32(&w, 0xdeadbeef);
	wire_put_u64(&w, 0x0123456789abcdef);
	wire_put_str(&w, SPAN("hello"));
	wire_put_str(&w, (struct span){ NULL, 0 });
	return wire_overflow(&w) ? 0 : w.n;
}

static bool get_all(struct span s)
{
	struct wire_r r = wire_reader(s);
	bool same = wire_get_u8(&r) == 0xab && wire_get_u16(&r) == 0xabcd &&
		    wire_get_u32(&r) == 0xdeadbeef && wire_get_u64(&r) == 0x0123456789abcdef &&
		    span_eq(wire_get_str(&r), SPAN("hello")) && !wire_get_str(&r).n;

	return wire_done(&r) && same;
}

int main(void)
{
	char b[64];
	size_t n = put_all(b, sizeof b);

	is_int((int64_t)n, 28, "length of what was written");
	is_mem(b, 7, "\xab\xcd\xab\xef\xbe\xad\xde", 7, "numbers are little-endian");
	ok(get_all(span_of(b, n)), "all comes back");
	unsigned bad = 0;
	for (size_t cut = 0; cut < n; cut++)
		bad += get_all(span_of(b, cut));
	ok(!bad, "no shorter form is accepted");
	b[n] = 0;
	ok(!get_all(span_of(b, n + 1)), "a longer one neither");

	struct wire_w w = wire_writer(NULL, 0);
	wire_put_u32(&w, 1);
	wire_put_str(&w, SPAN("xyz"));
	ok(w.n == 11 && wire_overflow(&w), "a writer without room counts");
	char small[8] = "AAAAAAA";
	w = wire_writer(small, 5);
	wire_put_u32(&w, 0);
	wire_put_u32(&w, 0);
	ok(wire_overflow(&w) && small[4] == 'A' && w.n == 8,
	   "a full writer writes nothing beyond its end");
	wire_put_u8(&w, 7);
	ok(wire_overflow(&w) && small[4] == 'A', "and stays full");

	struct wire_r r = wire_reader(span_of("\xff\xff\xff\xff"
					      "abc",
					      7));
	struct span s = wire_get_str(&r);
	ok(r.bad && !s.n, "a length beyond the end is bad");
	ok(wire_get_u64(&r) == 0 && wire_get_str(&r).n == 0 && !wire_done(&r),
	   "and everything after it is 0 and empty");
	return plan_done();
}
