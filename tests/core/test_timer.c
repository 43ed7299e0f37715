#include "core/timer.h"

#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT = 200 };

/* The model: when each timer has to fire, in ticks of a millisecond; 0: not set. */
static struct timer_wheel wheel;
static struct timer timer[COUNT];
static uint64_t due[COUNT];
static unsigned bad_time, bad_twice, fired, chain;

static uint64_t ticks(usec_t at)
{
	return ((uint64_t)at + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
}

static void set(unsigned i, usec_t at)
{
	due[i] = ticks(at) < wheel.tick ? wheel.tick : ticks(at);
	timer_set(&wheel, &timer[i], at);
}

static void stop(unsigned i)
{
	due[i] = 0;
	timer_stop(&wheel, &timer[i]);
}

static void on_fire(struct timer *t)
{
	unsigned i = (unsigned)(t - timer);

	fired++;
	bad_twice += !due[i] || timer_isset(t);
	bad_time += due[i] != wheel.tick - 1;
	due[i] = 0;
	/* Callbacks set and stop others and themselves. */
	if (random() % 4 == 0)
		set(i, (usec_t)(wheel.tick * USEC_PER_MSEC) + random() % 300000);
	if (random() % 4 == 0)
		stop((unsigned)random() % COUNT);
	if (random() % 4 == 0)
		set((unsigned)random() % COUNT,
		    (usec_t)(wheel.tick * USEC_PER_MSEC) - random() % 10000);
}

static usec_t first_due(void)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < COUNT; i++)
		if (due[i] && due[i] < first)
			first = due[i];
	return first == UINT64_MAX ? -1 : (usec_t)(first * USEC_PER_MSEC);
}

static void init(usec_t now)
{
	timer_wheel_init(&wheel, now);
	memset(due, 0, sizeof due);
	for (unsigned i = 0; i < COUNT; i++)
		timer[i] = (struct timer){ .fn = on_fire };
	bad_time = bad_twice = fired = 0;
}

/* Random distances up to `range`; steps of the clock are random, or exactly to timer_next(). */
static void test_model(usec_t start, usec_t range, bool by_next, const char *name)
{
	usec_t now = start;
	unsigned late = 0, next_late = 0, stuck = 0, counted = 0;

	init(now);
	for (unsigned round = 0; round < 3000; round++) {
		for (unsigned k = 0; k < 3; k++) {
			unsigned i = (unsigned)random() % COUNT;

			if (random() % 4)
				set(i, now + (usec_t)((double)random() / RAND_MAX * (double)range));
			else
				stop(i);
		}
		usec_t next = timer_next(&wheel), first = first_due();
		next_late += (next < 0) != (first < 0) || next > first;
		if (by_next && next >= 0)
			now = next > now ? next : now;
		else
			now += (usec_t)((double)random() / RAND_MAX * (double)range / 50);
		timer_run(&wheel, now);
		first = first_due();
		late += first >= 0 && first <= now;
		next = timer_next(&wheel);
		stuck += next >= 0 && next <= now;
		unsigned n = 0;
		for (unsigned i = 0; i < COUNT; i++)
			n += due[i] != 0;
		counted += n != wheel.count;
	}
	ok(fired > 50 && !bad_time && !bad_twice, "%s: %u fired, each once and at its time", name,
	   fired);
	is_int(late, 0, "none is left behind");
	is_int(next_late, 0, "timer_next() is never too late");
	is_int(stuck, 0, "nor in the past after timer_run()");
	is_int(counted, 0, "the count is right");
}

static void on_chain(struct timer *t)
{
	chain++;
	timer_set(&wheel, t, t->at);
}

static void on_stop_other(struct timer *t)
{
	fired++;
	timer_stop(&wheel, &timer[1 - (t - timer)]);
}

static void test_cases(void)
{
	init(5300);
	is_int(timer_next(&wheel), -1, "nothing set, nothing next");
	set(0, 7001);
	ok(timer_isset(&timer[0]) && timer_next(&wheel) == 8000,
	   "a time is rounded up to a millisecond");
	is_int(timer_run(&wheel, 7999), 0, "not yet");
	set(0, 9000);
	is_int(timer_run(&wheel, 8999), 0, "a set timer is moved");
	stop(0);
	is_int(timer_run(&wheel, 20000), 0, "a stopped timer does not fire");
	stop(0);
	ok(!timer_isset(&timer[0]), "to stop it twice does nothing");

	timer[0].fn = on_chain;
	timer_set(&wheel, &timer[0], 20000);
	timer_run(&wheel, 30000);
	is_int(chain, 10,
	       "a callback that sets its timer in the past again runs once per millisecond");
	timer_stop(&wheel, &timer[0]);

	timer[0].fn = timer[1].fn = on_stop_other;
	fired = 0;
	timer_set(&wheel, &timer[0], 40000);
	timer_set(&wheel, &timer[1], 40000);
	is_int(timer_run(&wheel, 40000), 1, "a callback may stop one that is due with it");
	ok(fired == 1 && wheel.count == 0, "which then does not fire");
}

/* Two years and more: beyond the last level of the wheel. */
static void test_far(void)
{
	usec_t year = (usec_t)365 * 86400 * USEC_PER_SEC, now = 12345678;
	unsigned early = 0, turns = 0;

	init(now);
	timer[0].fn = timer[1].fn = on_stop_other;
	fired = 0;
	timer_set(&wheel, &timer[0], now + 3 * year);
	while (!fired && turns < 10000) {
		usec_t next = timer_next(&wheel);

		early += next <= now;
		now = next;
		timer_run(&wheel, now);
		turns++;
	}
	ok(fired == 1 && now >= 12345678 + 3 * year && now < 12345678 + 3 * year + 1000,
	   "a timer in three years fires then");
	ok(!early && turns < 1000, "and nobody spins until then: %u turns", turns);
}

int main(void)
{
	srandom(3);
	test_cases();
	test_model(1, 2000000, false, "two seconds");
	test_model(999999, 100000, false, "tenths of a second");
	test_model(123456789, 2000000, true, "clock by timer_next");
	test_model(7, (usec_t)3600 * USEC_PER_SEC, true, "an hour");
	test_model(7, (usec_t)40 * 86400 * USEC_PER_SEC, true, "forty days");
	test_model(7, (usec_t)1000 * 86400 * USEC_PER_SEC, true, "three years");
	test_far();
	return plan_done();
}
