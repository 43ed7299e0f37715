#include "bench/hashset.h"

#include "tests/tap.h"

#include <errno.h>
#include "bench/msgid.h"

static void test_basic(void)
{
	struct hashset *s = hashset_new(1000000);

	is_int(hashset_has(s, 5), 0, "empty has nothing");
	is_int(hashset_add(s, 5), 1, "new");
	is_int(hashset_add(s, 5), 0, "seen before");
	is_int(hashset_add(s, 0), 1, "0 is a value like others");
	is_int(hashset_add(s, 0), 0, "and is remembered");
	ok(hashset_has(s, 5) && hashset_has(s, 0) && !hashset_has(s, 37), "has");
	is_int((int64_t)hashset_count(s), 2, "count");
	hashset_free(s);
}

/* Grows many times and loses nothing. */
static void test_growth(void)
{
	enum { N = 300000 };
	struct hashset *s = hashset_new(N * 2);
	unsigned fresh = 0, again = 0, there = 0;

	for (uint64_t i = 0; i < N; i++)
		fresh += hashset_add(s, msgid_mix(i)) == 1;
	for (uint64_t i = 0; i < N; i++) {
		again += hashset_add(s, msgid_mix(i)) == 0;
		there += hashset_has(s, msgid_mix(i + N));
	}
	is_int(fresh, N, "all new");
	is_int(again, N, "all found again");
	is_int(there, 0, "nothing else is found");
	is_int((int64_t)hashset_count(s), N, "count");
	hashset_free(s);
}

static void test_limit(void)
{
	struct hashset *s = hashset_new(320);
	int rc = 0;
	uint64_t i;

	for (i = 0; i < 10000 && rc >= 0; i++)
		rc = hashset_add(s, msgid_mix(i));
	is_int(rc, -ENOSPC, "full");
	ok(i > 100 && i < 1000, "near its limit (%llu)", (unsigned long long)i);
	is_int(hashset_add(s, msgid_mix(0)), 0, "what is in is still found");
	hashset_free(s);
}

int main(void)
{
	test_basic();
	test_growth();
	test_limit();
	return plan_done();
}
