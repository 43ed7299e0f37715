#include "queue/census.h"
#include "tests/tap.h"

#define MIN (60 * (usec_t)USEC_PER_SEC)

int main(void)
{
	const usec_t base = (usec_t)1700000000 / 60 * MIN;

	is_int(census_now().wall_oldest, 0, "nothing at first");
	census_came(base + 5);
	census_came(base + 3);
	is_int(census_now().wall_oldest - base, 3, "the earlier of one minute");
	census_came(base + 10 * MIN);
	census_came(base - 5 * MIN);
	is_int((census_now().wall_oldest - base) / MIN, -5, "one that is older comes later");
	is_int((int64_t)census_now().messages, 4, "four");
	census_left(base - 5 * MIN);
	is_int(census_now().wall_oldest - base, 3, "the next oldest");
	census_left(base + 10 * MIN);
	census_left(base + 5);
	census_left(base + 7 * MIN);
	is_int((int64_t)census_now().messages, 1, "one that never came is no one");
	census_left(base + 3);
	is_int(census_now().wall_oldest, 0, "empty again");
	for (int i = 0; i < 1000; i++)
		census_came(base + (i * 7919 % 1000) * MIN);
	bool good = true;
	for (int i = 0; i < 1000; i++) {
		good = good && census_now().wall_oldest == base + i * MIN;
		census_left(base + i * MIN);
	}
	ok(good, "a thousand minutes, in any order, leave in theirs");
	census_deferred(3, 0);
	census_deferred(-1, 1);
	ok(census_now().deferred == 2 && census_now().held == 1, "recipients");
	return plan_done();
}
