#include "queue/retry.h"
#include "tests/tap.h"

static const usec_t S = USEC_PER_SEC;

int main(void)
{
	static const struct {
		const char *name;
		uint32_t attempts, random;
		usec_t want_sec;
	} cases[] = {
		{ "after the first failure: the minimum", 1, 0, 300 },
		{ "doubles", 2, 0, 600 },
		{ "doubles again", 3, 0, 1200 },
		{ "up to the maximum", 20, 0, 14400 },
		{ "no overflow after very many", 1000000, 0, 14400 },
		{ "jitter adds up to a tenth", 1, 1000, 330 },
		{ "at the maximum jitter takes away", 20, 1000, 12960 },
		{ "attempt 0 counts as the first", 0, 0, 300 },
	};
	bool bounded = true;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		is_int(retry_delay(300 * S, 14400 * S, cases[i].attempts, cases[i].random) / S,
		       cases[i].want_sec, cases[i].name);
	for (uint32_t a = 0; a < 40; a++)
		for (uint32_t r = 0; r < 3000; r += 7) {
			usec_t d = retry_delay(2 * S, 4 * S, a, r);

			bounded = bounded && d >= 2 * S && d <= 4 * S;
		}
	ok(bounded, "always between minimum and maximum");
	is_int(retry_delay(5 * S, 5 * S, 3, 999) / S, 5, "minimum equal to maximum");
	return plan_done();
}
