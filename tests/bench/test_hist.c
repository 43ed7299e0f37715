#include "bench/hist.h"

#include "tests/tap.h"

#include <stdlib.h>

static struct hist h, other;

static void test_empty(void)
{
	is_int((int64_t)hist_quantile(&h, 0.5), 0, "empty: p50 is 0");
	is_int((int64_t)hist_quantile(&h, 1), 0, "empty: max is 0");
}

/* Every single value comes back within 1/64 above itself, never below. */
static void test_width(void)
{
	static const uint64_t values[] = {
		0, 1, 63, 64, 65, 127, 128, 1000, 12345, 999999, 86400000000ull
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		h = (struct hist){ 0 };
		hist_add(&h, values[i]);
		hist_add(&h, UINT64_C(1) << 39); /* so that the maximum does not help */
		uint64_t got = hist_quantile(&h, 0.5);
		ok(got >= values[i] && got <= values[i] + values[i] / 64 + 1,
		   "value %llu comes back as %llu", (unsigned long long)values[i],
		   (unsigned long long)got);
	}
}

static void test_quantiles(void)
{
	h = (struct hist){ 0 };
	for (unsigned i = 1; i <= 1000; i++)
		hist_add(&h, i * 100);
	uint64_t p50 = hist_quantile(&h, 0.5), p99 = hist_quantile(&h, 0.99);
	ok(p50 >= 50000 && p50 <= 51000, "p50 of 100..100000 is %llu", (unsigned long long)p50);
	ok(p99 >= 99000 && p99 <= 100000, "p99 is %llu", (unsigned long long)p99);
	is_int((int64_t)hist_quantile(&h, 1), 100000, "the last quantile is the maximum exactly");
	is_int((int64_t)h.total, 1000, "total");
}

static void test_merge(void)
{
	h = (struct hist){ 0 };
	other = (struct hist){ 0 };
	for (unsigned i = 0; i < 10; i++) {
		hist_add(&h, 10);
		hist_add(&other, 5000);
	}
	hist_merge(&h, &other);
	is_int((int64_t)h.total, 20, "merge adds the totals");
	is_int((int64_t)hist_quantile(&h, 0.5), 10, "merge keeps the lower half");
	is_int((int64_t)hist_quantile(&h, 0.99), 5000, "merge brings the upper half");
	is_int((int64_t)h.sum_usec, 50100, "merge adds the sums");
}

static void test_huge(void)
{
	h = (struct hist){ 0 };
	hist_add(&h, UINT64_MAX);
	hist_add(&h, 1);
	is_int((int64_t)h.total, 2, "a value beyond the limit counts");
	is_int((int64_t)hist_quantile(&h, 0.5), 1, "and does not disturb the others");
}

int main(void)
{
	test_empty();
	test_width();
	test_quantiles();
	test_merge();
	test_huge();
	return plan_done();
}
