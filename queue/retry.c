#include "queue/retry.h"

usec_t retry_delay(usec_t min_usec, usec_t max_usec, uint32_t attempts, uint32_t random)
{
	usec_t d = min_usec;

	while (attempts-- > 1 && d < max_usec)
		d *= 2;
	if (d > max_usec)
		d = max_usec;
	/* Spread what failed together, never below the minimum. */
	usec_t jitter = d / 10 * (usec_t)(random % 1001) / 1000;
	return d + jitter > max_usec && d - jitter >= min_usec ? d - jitter : d + jitter;
}
