/*
 * core/timer.h - a wheel of timers with steps of one millisecond; adding and removing is O(1).
 *
 * Owner:  one loop.
 * Memory: the timer is embedded in its user.
 * Time:   driven by the `now` of its caller, so tests run it on a fake clock.
 */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H
#include "core/clock.h"

#include <stdbool.h>

struct timer {
	struct timer *next, **prev; /* prev == NULL: not set */
	usec_t at;
	void (*fn)(struct timer *t);
};

enum { TIMER_LEVELS = 6, TIMER_SLOTS = 64 };

struct timer_wheel {
	uint64_t tick;               /* ms, all before it is done */
	uint64_t used[TIMER_LEVELS]; /* bit per slot */
	struct timer *slot[TIMER_LEVELS][TIMER_SLOTS];
	unsigned count;
};

/* An empty wheel that begins at now. */
void timer_wheel_init(struct timer_wheel *w, usec_t now);
/* Sets t to fire at `at` (rounded up to a ms), once; a set timer is moved. fn must be filled in. */
void timer_set(struct timer_wheel *w, struct timer *t, usec_t at);
/* No-op when it is not set. */
void timer_stop(struct timer_wheel *w, struct timer *t);
static inline bool timer_isset(const struct timer *t)
{
	return t->prev != NULL;
}
/* Calls what is due. A callback may set and stop any timer. Returns how many fired. */
unsigned timer_run(struct timer_wheel *w, usec_t now);
/* When to come back at the latest: an instant not after the next timer, or -1 when none is set. */
usec_t timer_next(const struct timer_wheel *w);

#endif
