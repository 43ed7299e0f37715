#include "core/xtext.h"

#include "tests/tap.h"

static const struct {
	const char *in;
	bool good, good_raw;
} addresses[] = {
	{ "fred@example.org", true, true },
	{ "fr\\x{E9}d@example.org", true, true },
	{ "\\x{1F600}@example.org", true, true },
	{ "\\x{10FFFF}@x", true, true },
	{ "a\\x{20}b@x", true, true },
	{ "a\\x{2B}b\\x{3D}c\\x{5C}d@x", true, true },
	{ "fr\xc3\xa9"
	  "d@example.org",
	  false, true },
	{ "\xf0\x9f\x98\x80@x", false, true },
	{ "", false, false },
	{ "a b", false, false },
	{ "a+b@x", false, false },
	{ "a=b@x", false, false },
	{ "a\\b@x", false, false },
	{ "\\x{41}@x", false, false },     /* needs no escape */
	{ "\\x{00}@x", false, false },     /* NUL */
	{ "\\x{00E9}@x", false, false },   /* leading zeros */
	{ "\\x{D800}@x", false, false },   /* a surrogate */
	{ "\\x{110000}@x", false, false }, /* beyond Unicode */
	{ "\\x{E9@x", false, false },      /* not closed */
	{ "\\x{}@x", false, false },
	{ "\xc3@x", false, false },         /* cut */
	{ "\xc0\xaf@x", false, false },     /* too long a form */
	{ "\xed\xa0\x80@x", false, false }, /* a surrogate */
	{ "\xf4\x90\x80\x80@x", false, false },
	{ "\x7f@x", false, false },
};

static void check(int (*fn)(struct span s, struct buf *out), const char *in, const char *want)
{
	struct buf b = { 0 };

	ok(fn(span_str(in), &b) == 0, "%s", in);
	is_mem(buf_span(&b).p, buf_len(&b), want, strlen(want), want);
	buf_release(&b);
}

int main(void)
{
	for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
		struct span s = span_str(addresses[i].in);

		ok(xtext_utf8_ok(s, false) == addresses[i].good &&
			   xtext_utf8_ok(s, true) == addresses[i].good_raw,
		   "utf-8 address %zu", i);
	}
	check(xtext_decode, "a+2Bb+3Dc", "a+b=c");
	check(xtext_decode, "+", "+");
	check(xtext_decode, "a+4", "a+4");
	check(xtext_decode, "a+zz", "a+zz");
	check(xtext_utf8_decode, "fr\\x{E9}d\\x{20AC}\\x{1F600}\\x{2B}",
	      "fr\xc3\xa9"
	      "d\xe2\x82\xac\xf0\x9f\x98\x80+");
	check(xtext_utf8_decode, "\\x{41}\\x{", "\\x{41}\\x{");
	check(xtext_utf8_encode,
	      "fr\xc3\xa9"
	      "d\xe2\x82\xac\xf0\x9f\x98\x80+=\\ \x01@x",
	      "fr\\x{E9}d\\x{20AC}\\x{1F600}\\x{2B}\\x{3D}\\x{5C}\\x{20}\\x{01}@x");
	check(xtext_utf8_encode, "a\xff\xc3", "a??");
	check(xtext_utf8_encode, "\xff\x80\xf5 long enough for any length",
	      "???\\x{20}long\\x{20}enough\\x{20}for\\x{20}any\\x{20}length");
	ok(xtext_is_ascii(SPAN("abc")) && !xtext_is_ascii(SPAN("\xc3\xa9")), "is it ASCII");
	return plan_done();
}
