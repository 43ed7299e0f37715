/* Clocks that are set, or wrong at a start: when mail is tried and returned nevertheless. */
#include "core/span.h"
#include "queue/retry.h"
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_MAX = 400 };
static const usec_t SEC = USEC_PER_SEC, MIN = 60 * (usec_t)USEC_PER_SEC,
		    HOUR = 3600 * (usec_t)USEC_PER_SEC, DAY = 24 * 3600 * (usec_t)USEC_PER_SEC;

/* What smtpc got, of all lives; times of sim_now(). */
static struct journal {
	unsigned count, bounces;
	usec_t at[LOG_MAX], bounced, accepted, stopped;
	uint64_t ta;
} * journal;

static void later(struct sim_attempt *a)
{
	if (a->env.flags & ENV_DSN) {
		journal->bounces++;
		journal->bounced = a->at;
		sim_done(a);
		return;
	}
	if (journal->count < LOG_MAX)
		journal->at[journal->count++] = a->at;
	sim_later(a, "451 4.7.1 greylisted");
}

static void begin(void)
{
	memset(journal, 0, sizeof *journal);
	sim_on = (struct sim_hooks){ .deliver = later };
	sim_clean(NULL);
}

static const struct sim_setup usual = {
	.slow_ticks = true,
	.options = "retry_min_delay = 60; retry_max_delay = 3600; queue_return_timeout = 2d; "
		   "queue_delay_timeout = 3d;"
};

static void queue_one(void)
{
	journal->ta = sim_mail("a@d9.test", "b@d1.test");
	journal->accepted = sim_now();
}

static void five_hours(void *arg)
{
	(void)arg;
	queue_one();
	sim_pass(5 * HOUR + 17 * SEC);
	journal->stopped = sim_now();
}

static void five_hours_and_a_crash(void *arg)
{
	five_hours(arg);
	sim_crash();
}

static void nothing_left(void)
{
	sim_pass(5 * SEC);
	struct sim_rows r = sim_rows();

	sim_ok(!r.ibdb && !r.marks && !r.deferred && !r.due && !r.aq && !sim_records(),
	       "left: ibdb %u, marks %u, defedb %u, due %u, aq %u", r.ibdb, r.marks, r.deferred,
	       r.due, r.aq);
}

static void to_the_end(void *arg)
{
	uint64_t ta;

	(void)arg;
	ta = sim_next_id();
	sim_ok(ta > journal->ta, "id %llx after %llx", (unsigned long long)ta,
	       (unsigned long long)journal->ta);
	sim_pass(3 * DAY);
	nothing_left();
}

/* What the rule has for the attempt behind those of the first life. */
static usec_t planned(unsigned before)
{
	uint32_t spread = (uint32_t)hash_mix(journal->ta, (uint64_t)before << 32);

	return journal->at[before - 1] + retry_delay(60 * SEC, HOUR, before, spread);
}

enum { AT_ONCE = 1 };
struct restart {
	const char *name;
	usec_t off, wall_off;
	bool same_boot, crash;
	/* Of the next attempt after the start, less what was planned less the stop. And of
	 * the bounce after the message came. */
	usec_t next_least, next_most, bounce_least, bounce_most;
};

static void test_restart(const struct restart *r)
{
	struct sim_setup s = usual;
	usec_t most = 0;

	begin();
	is_int(sim_life(&s, r->crash ? five_hours_and_a_crash : five_hours, NULL),
	       r->crash ? SIM_CRASHED : 0, r->name);
	unsigned before = journal->count;
	usec_t left = planned(before) - journal->stopped;
	s.started_at = journal->stopped + r->off;
	s.wall_off = r->wall_off;
	s.same_boot = r->same_boot;
	is_int(sim_life(&s, to_the_end, NULL), 0, "  the next life");
	usec_t wait = journal->at[before] - s.started_at;
	usec_t least = r->next_least == AT_ONCE ? 0 : left + r->next_least,
	       top = r->next_least == AT_ONCE ? 0 : left + r->next_most;
	ok(journal->count > before + 10 && wait >= least && wait <= top,
	   "  tried after %lld s, want %lld to %lld", (long long)(wait / SEC),
	   (long long)(least / SEC), (long long)(top / SEC));
	for (unsigned i = before; i < journal->count; i++) {
		usec_t from = i == before ? s.started_at : journal->at[i - 1];

		if (journal->at[i] - from > most)
			most = journal->at[i] - from;
	}
	ok(most <= HOUR + HOUR / 10, "  nothing waits longer than retry_max_delay");
	usec_t age = journal->bounced - journal->accepted;
	ok(journal->bounces == 1 && age >= r->bounce_least && age <= r->bounce_most,
	   "  %u bounces, after %lld min", journal->bounces, (long long)(age / MIN));
}

/* Off for ten minutes, returned after two days, or as much later as was not counted. */
static const struct restart restarts[] = {
	{ "the clock is three hours back", 600000000, -3 * 3600000000, false, false, 0, 0,
	  48 * 3600000000, 50 * 3600000000 },
	{ "ten days back", 600000000, -240 * 3600000000, false, false, 0, 0, 48 * 3600000000,
	  50 * 3600000000 },
	{ "in 1980", 600000000, -46 * 365 * 24 * 3600000000, false, false, 0, 0, 48 * 3600000000,
	  50 * 3600000000 },
	{ "ten days back after a crash", 600000000, -240 * 3600000000, false, true, 0, 901000000,
	  48 * 3600000000, 50 * 3600000000 },
	/* Half a day of it is believed. */
	{ "a year ahead", 600000000, 365 * 24 * 3600000000, false, false, AT_ONCE, 0,
	  36 * 3600000000, 38 * 3600000000 },
	{ "in 2126", 600000000, 100 * 365 * 24 * 3600000000, false, false, AT_ONCE, 0,
	  36 * 3600000000, 38 * 3600000000 },
	{ "ten days back, the same boot", 600000000, -240 * 3600000000, true, false, -600000000,
	  -600000000, 48 * 3600000000, 49 * 3600000000 },
	{ "a year ahead, the same boot", 600000000, 365 * 24 * 3600000000, true, false, -600000000,
	  -600000000, 48 * 3600000000, 49 * 3600000000 },
	{ "the same boot, off for a day", 24 * 3600000000, 0, true, false, AT_ONCE, 0,
	  48 * 3600000000, 49 * 3600000000 },
};

/* ---- a machine that begins with a wrong clock */

static const usec_t EPOCH = -50 * (usec_t)365 * 24 * 3600000000;

static void right_later(void *arg)
{
	(void)arg;
	queue_one();
	sim_pass(2 * HOUR);
	sim_clock_jump(-EPOCH);
	sim_pass(3 * HOUR);
	journal->stopped = sim_now();
}

static void test_wrong_at_first(void)
{
	struct sim_setup s = usual;

	begin();
	s.wall_off = EPOCH;
	is_int(sim_life(&s, right_later, NULL), 0,
	       "a clock that is wrong at the start and set later");
	unsigned before = journal->count;
	ok(before > 8, "  mail is tried");
	usec_t at = planned(before);
	s.wall_off = 0;
	s.started_at = journal->stopped + 600 * SEC;
	is_int(sim_life(&s, to_the_end, NULL), 0, "  the next life has the right one");
	is_int(journal->at[before], at, "  the next attempt is when it was planned");
	usec_t age = journal->bounced - journal->accepted;
	ok(journal->bounces == 1 && age >= 2 * DAY && age <= 2 * DAY + HOUR,
	   "  returned after two days");
}

static void crash_at_once(void *arg)
{
	sim_clock_jump(*(usec_t *)arg);
	queue_one();
	sim_crash();
}

/* The database does not know of it yet, and its envelope has a strange time. */
static void test_replayed(usec_t jump, usec_t wall_off, const char *name)
{
	struct sim_setup s = usual;

	begin();
	is_int(sim_life(&s, crash_at_once, &jump), SIM_CRASHED, name);
	journal->count = 0;
	s.started_at = journal->accepted + 600 * SEC;
	s.wall_off = wall_off;
	is_int(sim_life(&s, to_the_end, NULL), 0, "  the next life");
	usec_t age = journal->bounced - journal->accepted;
	ok(journal->bounces == 1 && journal->count > 20 && age >= 2 * DAY &&
		   age <= 2 * DAY + 2 * HOUR,
	   "  %u attempts, %u bounces, after %lld min", journal->count, journal->bounces,
	   (long long)(age / MIN));
}

/* ---- what people see */

static void shown(void *arg)
{
	char want[60];

	(void)arg;
	queue_one();
	sim_pass(2 * MIN);
	sim_clock_jump(10 * DAY);
	snprintf(want, sizeof want, "\"arrival\":%lld,", (long long)(sim_clock_wall() / SEC - 120));
	char *text = sim_ask("list json");
	sim_ok(strstr(text, want) != NULL, "no %s in %s", want, text);
	free(text);
}

int main(void)
{
	struct sim_setup s = usual;

	journal = sim_shared(sizeof *journal);
	for (size_t i = 0; i < sizeof restarts / sizeof restarts[0]; i++)
		test_restart(&restarts[i]);
	test_wrong_at_first();
	test_replayed(0, -240 * HOUR, "a crash, and the clock is back by ten days");
	test_replayed(-240 * HOUR, 0, "accepted with a clock that was ten days back");
	test_replayed(240 * HOUR, 0, "accepted with a clock that was ten days ahead");
	begin();
	is_int(sim_life(&s, shown, NULL), 0, "lists have the dates of the clock as it is now");
	return plan_done();
}
