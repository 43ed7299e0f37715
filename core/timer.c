#include "core/timer.h"

#include <string.h>

enum { BITS = 6, MASK = 63 };

void timer_wheel_init(struct timer_wheel *w, usec_t now)
{
	memset(w, 0, sizeof *w);
	w->tick = (uint64_t)now / USEC_PER_MSEC;
}

static uint64_t tick_of(usec_t at)
{
	return at <= 0 ? 0 : ((uint64_t)at + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
}

static void place(struct timer_wheel *w, struct timer *t)
{
	uint64_t tick = tick_of(t->at);
	unsigned level = 0;

	if (tick < w->tick)
		tick = w->tick;
	uint64_t max = ((uint64_t)1 << (BITS * TIMER_LEVELS)) - 1;
	if (tick - w->tick > max)
		tick = w->tick + max;
	/* The level whose block differs from the current one. */
	while (level < TIMER_LEVELS - 1 &&
	       (tick >> (BITS * (level + 1))) != (w->tick >> (BITS * (level + 1))))
		level++;
	unsigned s = (unsigned)(tick >> (BITS * level)) & MASK;
	t->next = w->slot[level][s];
	if (t->next)
		t->next->prev = &t->next;
	t->prev = &w->slot[level][s];
	w->slot[level][s] = t;
	w->used[level] |= (uint64_t)1 << s;
}

void timer_set(struct timer_wheel *w, struct timer *t, usec_t at)
{
	timer_stop(w, t);
	t->at = at;
	place(w, t);
	w->count++;
}

void timer_stop(struct timer_wheel *w, struct timer *t)
{
	if (!t->prev)
		return;
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->prev = NULL;
	w->count--;
}

/* Moves the timers of the slot that begins now one level down. */
static void cascade(struct timer_wheel *w, unsigned level)
{
	unsigned s = (unsigned)(w->tick >> (BITS * level)) & MASK;
	struct timer *t = w->slot[level][s];

	w->slot[level][s] = NULL;
	w->used[level] &= ~((uint64_t)1 << s);
	while (t) {
		struct timer *next = t->next;

		place(w, t);
		t = next;
	}
}

/* On to tick `to`, at most the end of the block of level 0. */
static void advance(struct timer_wheel *w, uint64_t to)
{
	w->tick = to;
	for (unsigned l = 1; l < TIMER_LEVELS; l++) {
		if (w->tick & (((uint64_t)1 << (BITS * l)) - 1))
			break;
		cascade(w, l);
	}
}

/* Calls what is in slot s, which is the current tick. What a callback sets goes behind it. */
static unsigned fire(struct timer_wheel *w, unsigned s)
{
	struct timer *due = w->slot[0][s], *t;
	unsigned n = 0;

	w->slot[0][s] = NULL;
	w->used[0] &= ~((uint64_t)1 << s);
	if (due)
		due->prev = &due;
	advance(w, w->tick + 1);
	while ((t = due)) {
		timer_stop(w, t);
		n++;
		t->fn(t);
	}
	return n;
}

unsigned timer_run(struct timer_wheel *w, usec_t now)
{
	uint64_t end = (uint64_t)now / USEC_PER_MSEC;
	unsigned n = 0;

	while (w->tick <= end && w->count) {
		unsigned s = (unsigned)w->tick & MASK;

		if (w->used[0] >> s & 1) {
			n += fire(w, s);
			continue;
		}
		/* All slots in between are empty, so that a long sleep costs no more than a short
		 * one. */
		uint64_t to = (uint64_t)timer_next(w) / USEC_PER_MSEC;
		advance(w, to > end ? end + 1 : to);
	}
	if (!w->count && w->tick <= end) {
		w->tick = end + 1;
		memset(w->used, 0, sizeof w->used);
	}
	return n;
}

usec_t timer_next(const struct timer_wheel *w)
{
	if (!w->count)
		return -1;
	for (unsigned l = 0; l < TIMER_LEVELS; l++) {
		unsigned s = (unsigned)(w->tick >> (BITS * l)) & MASK;
		uint64_t rest = w->used[l] >> s;

		/* On upper levels the current slot was cascaded: what is in it comes a turn of the
		 * wheel later. Later ones begin at their block. */
		if (l)
			rest &= ~(uint64_t)1;
		if (rest) {
			uint64_t block = (w->tick >> (BITS * l)) + (uint64_t)__builtin_ctzll(rest);
			uint64_t tick = block << (BITS * l);

			if (tick < w->tick)
				tick = w->tick;
			return (usec_t)tick * USEC_PER_MSEC;
		}
	}
	return (usec_t)((w->tick | (((uint64_t)1 << (BITS * (TIMER_LEVELS - 1))) - 1)) + 1) *
	       USEC_PER_MSEC;
}
