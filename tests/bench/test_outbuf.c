#include "bench/outbuf.h"

#include "tests/tap.h"

static void test_append(void)
{
	struct outbuf b = { 0 };

	outbuf_str(&b, "ab");
	outbuf_u64(&b, 0);
	outbuf_mem(&b, " ", 1);
	outbuf_u64(&b, UINT64_MAX);
	outbuf_fmt(&b, " %s-%d", "x", -5);
	outbuf_mem(&b, NULL, 0);
	outbuf_mem(&b, "", 1);
	is_str(b.p, "ab0 18446744073709551615 x--5", "append");
	outbuf_free(&b);
	ok(b.p == NULL && b.n == 0 && b.cap == 0, "free leaves an empty buffer");
}

static void test_growth(void)
{
	struct outbuf b = { 0 };
	unsigned wrong = 0;

	for (unsigned i = 0; i < 100000; i++)
		outbuf_mem(&b, &(char){ (char)(i % 251) }, 1);
	for (unsigned i = 0; i < 100000; i++)
		wrong += b.p[i] != (char)(i % 251);
	is_int((int64_t)b.n, 100000, "grows");
	is_int(wrong, 0, "and keeps its bytes");
	outbuf_free(&b);
}

static void test_drop(void)
{
	struct outbuf b = { 0 };

	outbuf_str(&b, "abcdef");
	outbuf_drop(&b, 0);
	is_mem(b.p, b.n, "abcdef", 6, "drop nothing");
	outbuf_drop(&b, 4);
	is_mem(b.p, b.n, "ef", 2, "drop the first four");
	outbuf_drop(&b, 99);
	is_int((int64_t)b.n, 0, "drop more than there is");
	outbuf_free(&b);
}

int main(void)
{
	test_append();
	test_growth();
	test_drop();
	return plan_done();
}
