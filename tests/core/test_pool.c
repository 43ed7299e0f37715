#include "core/pool.h"

#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>

static void test_size(size_t bytes)
{
	enum { COUNT = 300 };
	struct pool p;
	char *o[COUNT];
	unsigned bad = 0;

	pool_init(&p, bytes, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		o[i] = pool_get(&p);
		bad += !o[i] || (uintptr_t)o[i] % 16;
		memset(o[i], (int)i, bytes);
	}
	ok(!bad, "%d objects of %zu bytes, aligned", COUNT, bytes);
	ok(!pool_get(&p), "no object beyond the ceiling of %zu", p.max_count);
	for (unsigned i = 0; i < COUNT; i++)
		for (size_t k = 0; k < bytes; k++)
			bad += o[i][k] != (char)i;
	ok(!bad, "objects of %zu bytes do not overlap", bytes);
	for (unsigned i = 0; i < COUNT; i += 2)
		pool_put(&p, o[i]);
	is_int((int64_t)p.used_count, COUNT / 2, "half is back");
	for (unsigned i = 0; i < COUNT; i += 2) {
		o[i] = pool_get_zero(&p);
		for (size_t k = 0; k < bytes; k++)
			bad += o[i][k] != 0;
	}
	ok(!bad, "objects asked for zeroed are zero");
	for (unsigned i = 1; i < COUNT; i += 2)
		for (size_t k = 0; k < bytes; k++)
			bad += o[i][k] != (char)i;
	ok(!bad, "the others kept their content");
	pool_free(&p);
	is_int((int64_t)p.used_count, 0, "after pool_free() nothing is in use");
}

int main(void)
{
	test_size(1);
	test_size(40);
	test_size(4096);
	test_size(70000); /* larger than a slab */
	return plan_done();
}
