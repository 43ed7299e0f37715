#include "core/arena.h"

#include "tests/tap.h"

static void test_many(void)
{
	enum { COUNT = 3000 };
	static char *p[COUNT];
	static size_t n[COUNT];
	struct arena *a = arena_new();
	unsigned bad = 0;
	size_t sum = 0;

	for (unsigned i = 0; i < COUNT; i++) {
		n[i] = i % 97 == 0 ? 20000 + i : i % 61;
		p[i] = arena_alloc(a, n[i]);
		bad += !p[i] || (uintptr_t)p[i] % 8;
		memset(p[i], (int)i, n[i]);
		sum += n[i];
	}
	ok(!bad, "pieces are there and aligned");
	bad = 0;
	for (unsigned i = 0; i < COUNT; i++)
		for (size_t k = 0; k < n[i]; k++)
			bad += p[i][k] != (char)i;
	ok(!bad, "no piece overlaps another");
	ok(arena_bytes(a) >= sum && arena_bytes(a) < 2 * sum + 65536,
	   "bytes taken are known: %zu for %zu", arena_bytes(a), sum);
	arena_free(a);
}

int main(void)
{
	struct arena *a = arena_new();

	ok(a && arena_bytes(a) == 1024, "an empty arena is 1 KB");
	struct span s = arena_span(a, SPAN("a\0b"));
	ok(span_eq(s, SPAN("a\0b")) && s.p[3] == 0, "a span is copied with a NUL behind it");
	ok(span_eq(arena_span(a, (struct span){ NULL, 0 }), SPAN("")),
	   "a copy of nothing is an empty text");
	is_str(arena_str(a, "text"), "text", "a text is copied");
	ok(!arena_alloc(a, SIZE_MAX) && !arena_alloc(a, SIZE_MAX - 6),
	   "impossible sizes are refused");
	ok(arena_alloc(a, 0) != NULL, "nothing can be asked for");
	arena_free(a);
	arena_free(NULL);
	test_many();
	return plan_done();
}
