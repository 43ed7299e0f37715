#include "core/span.h"

#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>

static void test_compare(void)
{
	static const struct {
		const char *a, *b;
		bool eq, caseeq, starts, casestarts, ends;
	} t[] = {
		{ "", "", true, true, true, true, true },
		{ "abc", "abc", true, true, true, true, true },
		{ "abc", "ABC", false, true, false, true, false },
		{ "abc", "ab", false, false, true, true, false },
		{ "abc", "AB", false, false, false, true, false },
		{ "abc", "bc", false, false, false, false, true },
		{ "abc", "abcd", false, false, false, false, false },
		{ "abc", "", false, false, true, true, true },
		{ "a[b", "A{B", false, false, false, false, false },
		{ "\xc4", "\xe4", false, false, false, false, false },
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct span a = span_str(t[i].a), b = span_str(t[i].b);

		ok(span_eq(a, b) == t[i].eq && span_caseeq(a, b) == t[i].caseeq &&
			   span_startswith(a, b) == t[i].starts &&
			   span_casestartswith(a, b) == t[i].casestarts &&
			   span_endswith(a, b) == t[i].ends,
		   "compare '%s' with '%s'", t[i].a, t[i].b);
	}
	ok(span_eq((struct span){ NULL, 0 }, SPAN("")), "no memory equals an empty text");
	ok(span_str(NULL).n == 0, "a NULL text is empty");
}

static void test_find(void)
{
	struct span s = SPAN("a.b.c");

	is_int((int64_t)span_chr(s, '.'), 1, "chr finds the first");
	is_int((int64_t)span_rchr(s, '.'), 3, "rchr finds the last");
	is_int((int64_t)span_chr(s, 'x'), 5, "chr that finds nothing is the length");
	is_int((int64_t)span_rchr(s, 'x'), 5, "rchr that finds nothing is the length");
	is_int((int64_t)span_chr((struct span){ NULL, 0 }, 'x'), 0, "chr in nothing");
	is_int((int64_t)span_find(s, SPAN("b.c")), 2, "find at the end");
	is_int((int64_t)span_find(s, SPAN("c.")), 5, "find nothing");
	is_int((int64_t)span_find(SPAN("a\0b"), SPAN("\0b")), 1, "find over a NUL");
	ok(span_eq(span_from(s, 2), SPAN("b.c")) && span_from(s, 5).n == 0 &&
		   span_from(s, 99).n == 0,
	   "from");
	ok(span_eq(span_head(s, 1), SPAN("a")) && span_eq(span_head(s, 99), s), "head");
}

static void test_trim_word(void)
{
	static const struct {
		const char *in, *trimmed;
	} t[] = {
		{ "", "" }, { " \t ", "" }, { " a b\t", "a b" }, { "a", "a" }, { "\r\na ", "\r\na" }
	};
	char got[64];

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		span_cstr(span_trim(span_str(t[i].in)), got, sizeof got);
		is_str(got, t[i].trimmed, "trim");
	}
	struct span rest = SPAN(", one,, two ,three");
	static const char *const want[] = { "one", "two", "three", "", "" };
	for (size_t i = 0; i < 5; i++) {
		span_cstr(span_word(&rest, ", "), got, sizeof got);
		is_str(got, want[i], "word");
	}
	rest = SPAN("a\0b,c");
	is_int((int64_t)span_word(&rest, ",").n, 3, "a NUL is part of a word, not a separator");
}

static void test_u64(void)
{
	static const struct {
		const char *in;
		uint64_t max;
		int rc;
		uint64_t value;
	} t[] = {
		{ "0", 0, 0, 0 },
		{ "7", 7, 0, 7 },
		{ "8", 7, -ERANGE, 0 },
		{ "007", 7, 0, 7 },
		{ "65535", 65535, 0, 65535 },
		{ "65536", 65535, -ERANGE, 0 },
		{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999", UINT64_MAX, -ERANGE, 0 },
		{ "", 9, -EINVAL, 0 },
		{ "-1", 9, -EINVAL, 0 },
		{ "+1", 9, -EINVAL, 0 },
		{ " 1", 9, -EINVAL, 0 },
		{ "1x", 9, -EINVAL, 0 },
		{ "999x", 9, -EINVAL, 0 },
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		uint64_t v = 4711;
		int rc = span_u64(span_str(t[i].in), t[i].max, &v);

		ok(rc == t[i].rc && v == (rc ? 4711 : t[i].value), "number '%s' up to %llu",
		   t[i].in, (unsigned long long)t[i].max);
	}
}

static void test_hash(void)
{
	char text[64];
	unsigned same = 0, buckets[64] = { 0 }, fullest = 0;

	for (size_t n = 0; n < 40; n++) {
		memset(text, 'A', n);
		uint64_t upper = span_casehash(span_of(text, n));
		memset(text, 'a', n);
		same += upper == span_casehash(span_of(text, n)) &&
			span_hash(span_of(text, n)) == span_casehash(span_of(text, n));
	}
	is_int(same, 40, "casehash folds case at every length");
	ok(span_hash(SPAN("a")) != span_hash(SPAN("b")) &&
		   span_hash(SPAN("")) != span_hash(SPAN("\0")),
	   "hash differs");
	for (unsigned i = 0; i < 6400; i++) {
		size_t n = (size_t)snprintf(text, sizeof text, "host%u.example", i);
		unsigned *b = &buckets[span_hash(span_of(text, n)) & 63];

		if (++*b > fullest)
			fullest = *b;
	}
	ok(fullest < 200, "names spread over buckets: the fullest of 64 has %u of 6400", fullest);
	memset(buckets, 0, sizeof buckets);
	fullest = 0;
	for (unsigned i = 0; i < 6400; i++) {
		unsigned *b = &buckets[hash_mix(0, i) & 63];

		if (++*b > fullest)
			fullest = *b;
	}
	ok(fullest < 200, "numbers spread over buckets: %u", fullest);
}

static void test_cstr(void)
{
	char dst[4];

	is_int((int64_t)span_cstr(SPAN("abcdef"), dst, sizeof dst), 3, "cut copy");
	is_str(dst, "abc", "cut copy ends with NUL");
	is_int((int64_t)span_cstr((struct span){ NULL, 0 }, dst, sizeof dst), 0, "copy of nothing");
	is_str(dst, "", "copy of nothing is empty");
	is_int((int64_t)span_cstr(SPAN("abc"), dst, sizeof dst), 3, "exact fit");
}

int main(void)
{
	test_compare();
	test_find();
	test_trim_word();
	test_u64();
	test_hash();
	test_cstr();
	return plan_done();
}
