#include "supervisor/backoff.h"

#include "tap.h"

static const struct {
	const char *name;
	int lived_sec;
	int wait_sec;
} story[] = {
	{ "first death", 5, 0 },
	{ "second", 0, 1 },
	{ "third", 0, 2 },
	{ "fourth", 3, 4 },
	{ "fifth", 59, 8 },
	{ "sixth", 0, 16 },
	{ "seventh", 0, 32 },
	{ "eighth is at the limit", 0, 60 },
	{ "and stays there", 0, 60 },
	{ "a minute of life forgives", 60, 0 },
	{ "then it grows again", 1, 1 },
	{ "a long life", 86400, 0 },
};

int main(void)
{
	unsigned failures = 0;

	for (unsigned i = 0; i < sizeof(story) / sizeof(story[0]); i++)
		is_int(backoff_next(&failures, (usec_t)story[i].lived_sec * USEC_PER_SEC),
		       (usec_t)story[i].wait_sec * USEC_PER_SEC, story[i].name);
	failures = 1000000;
	is_int(backoff_next(&failures, 0), (usec_t)60 * USEC_PER_SEC, "after a million failures");
	return plan_done();
}
