#include "supervisor/backoff.h"

usec_t backoff_next(unsigned *failures, usec_t lived_usec)
{
	enum { LONGEST_SHIFT = 6 }; /* 64 s, over the limit */

	if (lived_usec >= (usec_t)BACKOFF_GOOD_LIFE_SEC * USEC_PER_SEC)
		*failures = 0;
	unsigned n = (*failures)++;
	if (n == 0)
		return 0;
	if (n > LONGEST_SHIFT)
		return (usec_t)BACKOFF_MAX_SEC * USEC_PER_SEC;
	return (usec_t)(1u << (n - 1)) * USEC_PER_SEC;
}
