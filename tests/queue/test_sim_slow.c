/* How many connections one host gets: slow start, hosts that are down, lists of addresses. */
#include "queue/retry.h"
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <stdio.h>

static const usec_t SEC = USEC_PER_SEC, MINUTE = 60 * (usec_t)USEC_PER_SEC;

static void keep(struct sim_attempt *a)
{
	(void)a;
}

/* n messages of different senders, so that none waits for its turn. */
static void mails(unsigned n, const char *rcpt)
{
	static unsigned number;
	char sender[40];

	for (unsigned i = 0; i < n; i++) {
		snprintf(sender, sizeof sender, "s%u@d9.test", number++);
		sim_mail(sender, rcpt);
	}
	/* A second connection is opened when the first message has waited for a moment. */
	sim_pass(10 * USEC_PER_MSEC);
}

static void all_done(void)
{
	for (unsigned i = 0; sim_attempts && i < 10000; i++) {
		sim_done(sim_attempts);
		sim_pass(10 * USEC_PER_MSEC);
	}
	sim_ok(!sim_attempts, "attempts go on");
}

/* The window as the rule has it. */
struct window {
	unsigned limit, open, waiting, max;
};

static void window_fill(struct window *w)
{
	while (w->open < w->limit && w->waiting) {
		w->open++;
		w->waiting--;
	}
}

static void window_is(struct window *w, const char *what)
{
	window_fill(w);
	sim_ok(sim_attempt_count() == w->open, "%s: %u attempts, want %u", what,
	       sim_attempt_count(), w->open);
}

static void one_done(struct window *w)
{
	sim_done(sim_attempts);
	sim_pass(10 * USEC_PER_MSEC);
	w->open--;
	if (w->limit < w->max)
		w->limit++;
}

static const char window_options[] =
	"smtpc { initial_connections = 3; max_connections = 8; } retry_min_delay = 300;"
	"delivery_timeout = 1d; scheduler_timeout = 1d;";

static void grows(void *arg)
{
	struct window w = { .limit = 3, .waiting = 60, .max = 8 };

	(void)arg;
	sim_on.deliver = keep;
	mails(60, "b@d1.test");
	window_is(&w, "at first");
	for (unsigned i = 0; i < 20; i++) {
		one_done(&w);
		window_is(&w, "after a success");
	}
	all_done();
}

static void shrinks(void *arg)
{
	struct window w = { .limit = 3, .waiting = 40, .max = 8 };

	(void)arg;
	sim_on.deliver = keep;
	mails(40, "b@d1.test");
	window_fill(&w);
	for (unsigned i = 0; i < 10; i++) {
		one_done(&w);
		window_fill(&w);
	}
	window_is(&w, "wide open");
	/* It serves the others: it has enough. */
	sim_unreachable(sim_attempts);
	sim_pass(SEC);
	sim_ok(sim_attempt_count() == 7, "a connection fails: nothing new starts");
	w.waiting++;
	w.open = 7;
	for (unsigned i = 0; i < 3; i++) {
		sim_done(sim_attempts);
		w.waiting--;
		sim_pass(10 * USEC_PER_MSEC);
		sim_ok(sim_attempt_count() == 7, "success %u: %u", i, sim_attempt_count());
	}
	sim_done(sim_attempts);
	w.waiting -= 2;
	sim_pass(10 * USEC_PER_MSEC);
	sim_ok(sim_attempt_count() == 8, "the fourth allows one more: %u", sim_attempt_count());
	sim_ok(sim_rows().deferred == 0, "nothing of this was a failure");
	/* It serves nobody for long: now that is a failure. */
	sim_pass(11 * SEC);
	sim_unreachable(sim_attempts);
	sim_pass(SEC);
	sim_ok(sim_attempt_count() == 7, "a connection fails: nothing new starts");
	/* Where others go on, what they say is waited for; the one that failed comes again. */
	sim_ok(sim_rows().aq == 7 + w.waiting + 1, "the others wait in AQ: %u", sim_rows().aq);
	/* One of them gets through: it is up, and slow start begins again. */
	sim_done(sim_attempts);
	w = (struct window){ .limit = 3, .open = 6, .waiting = w.waiting + 1, .max = 8 };
	sim_pass(SEC);
	unsigned old = sim_attempt_count();
	sim_ok(old == 6, "%u attempts", old);
	mails(30, "b@d1.test");
	w.waiting += 30;
	window_is(&w, "up again");
	for (unsigned i = 0; i < 12; i++) {
		one_done(&w);
		window_is(&w, "grows again");
	}
}

static void test(const char *options, void (*script)(void *arg), const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = options };

	sim_clean(NULL);
	sim_on = (struct sim_hooks){ 0 };
	is_int(sim_life(&s, script, NULL), 0, name);
}

/* ---- down */

static unsigned probes;
static usec_t failed_at;

static usec_t down_time(unsigned failures)
{
	return MINUTE << (failures < 4 ? failures - 1 : 3);
}

/* The next attempt, alone, not before its time; false: none comes. */
static bool next_probe(usec_t not_before, usec_t limit)
{
	while (!sim_attempts && sim_step(limit))
		;
	if (!sim_ok(sim_attempts != NULL, "probe %u does not come", probes))
		return false;
	probes++;
	sim_ok(sim_now() >= not_before, "probe %u comes %.3f s too early", probes,
	       (double)(not_before - sim_now()) / USEC_PER_SEC);
	sim_pass(5 * SEC);
	return sim_ok(sim_attempt_count() == 1, "probe %u: %u attempts at a time", probes,
		      sim_attempt_count());
}

static void dead(void *arg)
{
	(void)arg;
	sim_on.deliver = keep;
	mails(12, "b@d1.test");
	sim_ok(sim_attempt_count() == 8, "slow start: %u", sim_attempt_count());
	/* They fail together: that is one failure of the host, not eight. */
	while (sim_attempts)
		sim_unreachable(sim_attempts);
	sim_settle();
	failed_at = sim_now();
	for (unsigned failures = 1; failures <= 8; failures++) {
		usec_t until = failed_at + down_time(failures);

		/* Whoever comes first after it: first retries are made after 5 to 5.5 minutes. */
		if (!next_probe(until, failures == 1 ? failed_at + 330 * SEC : until + 660 * SEC))
			return;
		sim_unreachable(sim_attempts);
		sim_settle();
		failed_at = sim_now();
	}
	if (!next_probe(failed_at + down_time(9), failed_at + down_time(9) + 660 * SEC))
		return;
	/* It is back: all come when their time is there. */
	sim_done(sim_attempts);
	sim_on.deliver = NULL;
	sim_pass(700 * SEC);
	struct sim_rows r = sim_rows();
	sim_ok(!r.ibdb && !r.deferred && !r.aq, "left: ibdb %u, defedb %u, aq %u", r.ibdb,
	       r.deferred, r.aq);
}

/* ---- lists */

static char tried[400];
static unsigned alive;

static void in_order(struct sim_attempt *a)
{
	char text[ADDR_TEXT_MAX];
	size_t n = strlen(tried);

	addr_text(&a->host, text);
	snprintf(tried + n, sizeof tried - n, "%s%s", n ? " " : "", text + strlen(text) - 1);
	if (text[strlen(text) - 1] - '0' == (int)alive)
		sim_later(a, NULL);
	else
		sim_unreachable(a);
}

static void list(void *arg)
{
	struct route r = sim_route("10.0.0.1 10.0.0.2 2001:db8::3 10.0.0.4");
	struct sim_rcpt to = { .addr = "b@list.test", .route = &r };
	struct sim_message m = { .sender = "a@d9.test", .count = 1, .rcpt = &to };
	uint64_t ta;

	(void)arg;
	alive = 3;
	sim_on.deliver = in_order;
	usec_t at = sim_now();
	sim_accept(&m, &ta);
	sim_settle();
	sim_ok(!strcmp(tried, "1 2 3"), "tried %s, want 1 2 3, at once and in order", tried);
	sim_ok(sim_now() == at, "time has passed");
	/* The delay of a first attempt: those that could not be reached do not count. */
	usec_t next = at + retry_delay(300 * SEC, 4 * 60 * MINUTE, 1,
				       (uint32_t)hash_mix(ta, 0 + ((uint64_t)1 << 32)));
	*tried = 0;
	sim_until(next - 1);
	sim_ok(!*tried, "tried before its time");
	/* Down for 60 s only: the second time all are looked at again. smar gives the list now. */
	sim_on.route = NULL;
	sim_until(next);
	sim_ok(*tried, "not tried in time");
}

/* All are down: nothing is tried, and that is a failed attempt. */
static void list_down(void *arg)
{
	struct route r = sim_route("10.0.0.1 10.0.0.2");
	struct sim_rcpt to = { .addr = "b@list.test", .route = &r };
	struct sim_message m = { .sender = "a@d9.test", .count = 1, .rcpt = &to };

	(void)arg;
	alive = 0;
	sim_on.deliver = in_order;
	sim_accept(&m, NULL);
	sim_settle();
	sim_ok(!strcmp(tried, "1 2"), "tried %s, want 1 2", tried);
	*tried = 0;
	m.sender = "c@d9.test";
	sim_accept(&m, NULL);
	sim_pass(30 * SEC);
	sim_ok(!*tried, "tried %s while both are down", tried);
}

/* ---- waiting is no failure */

static void waits(void *arg)
{
	(void)arg;
	sim_on.deliver = keep;
	mails(5, "b@d1.test");
	sim_pass(3 * 60 * MINUTE);
	struct sim_rows r = sim_rows();
	sim_ok(sim_attempt_count() == 1 && r.aq == 5 && !r.deferred && !r.due,
	       "one at a time: %u attempts, aq %u, defedb %u", sim_attempt_count(), r.aq,
	       r.deferred);
	for (unsigned i = 5; i > 0; i--) {
		sim_ok(sim_attempt_count() == 1, "%u left: %u attempts", i, sim_attempt_count());
		if (sim_attempts)
			sim_done(sim_attempts);
		sim_settle();
	}
	sim_pass(SEC);
	sim_ok(!sim_rows().ibdb, "not all were delivered");
}

/* ---- octo */

static void expires(void *arg)
{
	(void)arg;
	sim_on.deliver = keep;
	mails(40, "b@d1.test");
	all_done();
	sim_pass(55 * MINUTE);
	mails(20, "b@d1.test");
	sim_ok(sim_attempt_count() == 8, "remembered for an hour: %u", sim_attempt_count());
	all_done();
	sim_pass(63 * MINUTE);
	mails(20, "b@d1.test");
	sim_ok(sim_attempt_count() == 3, "then forgotten: %u", sim_attempt_count());
	all_done();
}

int main(void)
{
	test(window_options, grows, "the window grows by one with each success, to the maximum");
	test(window_options, shrinks, "a failure stops it, a success begins again");
	test("smtpc { initial_connections = 8; max_connections = 8; } retry_min_delay = 300; "
	     "retry_max_delay = 600;",
	     dead, "a dead host is probed by one connection at a time, in its time");
	test("retry_min_delay = 300;", list, "addresses of a list are tried in order, at once");
	test("retry_min_delay = 300;", list_down, "all addresses are down");
	test("smtpc { initial_connections = 1; max_connections = 1; }"
	     "delivery_timeout = 1d; scheduler_timeout = 1d;",
	     waits, "waiting for a slot is no failed attempt");
	test(window_options, expires, "what is known of a host expires after octo");
	return plan_done();
}
