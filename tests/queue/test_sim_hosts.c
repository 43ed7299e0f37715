/* Destinations with several hosts, some of which do not answer. */
#include "tests/queue/sim.h"
#include "tests/tap.h"

static const usec_t SEC = USEC_PER_SEC;
/* What smtpc waits for a connection. */
static const usec_t QUICK = 2500 * USEC_PER_MSEC, SLOW = 30 * USEC_PER_SEC;

static void keep(struct sim_attempt *a)
{
	(void)a;
}

static void mail(const char *sender, const struct route *r)
{
	struct sim_rcpt to = { .addr = "b@list.test", .route = r };
	struct sim_message m = { .sender = sender, .count = 1, .rcpt = &to };

	sim_accept(&m, NULL);
	sim_pass(10 * USEC_PER_MSEC);
}

/* The newest attempt is at this host. */
static struct sim_attempt *newest(const char *ip, unsigned others, const char *what)
{
	struct sim_attempt *a = sim_attempts;

	while (a && a->next)
		a = a->next;
	sim_ok(a && sim_host_is(a, ip) && a->others == others, "%s: not at %s with others=%u", what,
	       ip, others);
	return a;
}

static void no_answer(struct sim_attempt *a, usec_t after)
{
	if (!a)
		return;
	sim_pass(after);
	sim_unreachable(a);
	sim_pass(10 * USEC_PER_MSEC);
}

static void first_is_dead(void *arg)
{
	struct route r = sim_route("10.0.0.1 10.0.0.2");
	struct sim_attempt *probe;

	(void)arg;
	sim_on.deliver = keep;
	mail("a@d9.test", &r);
	no_answer(newest("10.0.0.1", 1, "the first message"), QUICK);
	sim_done(newest("10.0.0.2", 0, "then at once"));
	usec_t failed = sim_now();
	/* It cost 2.5 s, so it is left alone for 50, though retry_min_delay says 5. */
	while (sim_now() < failed + 45 * SEC) {
		mail("c@d9.test", &r);
		sim_done(newest("10.0.0.2", 0, "meanwhile"));
		sim_pass(5 * SEC);
	}
	sim_until(failed + 51 * SEC);
	mail("d@d9.test", &r);
	probe = newest("10.0.0.1", 1, "somebody looks");
	for (unsigned i = 0; i < 3; i++) {
		mail("e@d9.test", &r);
		sim_ok(newest("10.0.0.2", 0, "the others do not wait for it") != probe,
		       "not the probe");
	}
	sim_ok(sim_attempt_count() == 4, "%u attempts, want 4", sim_attempt_count());
	while (sim_attempts)
		sim_done(sim_attempts);
	sim_settle();
	mail("f@d9.test", &r);
	sim_done(newest("10.0.0.1", 1, "it is back"));
}

/* Nobody to go to: all the time that it needs, and the walk ends. */
static void all_are_dead(void *arg)
{
	struct route r = sim_route("10.0.0.1 10.0.0.2 10.0.0.3");

	(void)arg;
	sim_on.deliver = keep;
	mail("a@d9.test", &r);
	no_answer(newest("10.0.0.1", 1, "the first"), QUICK);
	no_answer(newest("10.0.0.2", 1, "the second"), QUICK);
	no_answer(newest("10.0.0.3", 0, "the last"), SLOW);
	sim_pass(SEC);
	sim_ok(!sim_attempts && sim_rows().deferred == 1, "%u attempts, %u deferred",
	       sim_attempt_count(), sim_rows().deferred);
}

/* One host that is down, and nowhere else to go: all wait for the one that looks. */
static void only_one(void *arg)
{
	struct route r = sim_route("10.0.0.1 10.0.0.1");

	(void)arg;
	sim_on.deliver = keep;
	mail("a@d9.test", &r);
	no_answer(newest("10.0.0.1", 0, "the same host twice is one"), 0);
	sim_pass(200 * SEC);
	mail("b@d9.test", &r);
	mail("c@d9.test", &r);
	sim_ok(sim_attempt_count() == 1, "%u attempts, want 1", sim_attempt_count());
	/* It says that the host is up; then the others come. */
	for (unsigned i = 0; i < 3; i++) {
		while (sim_attempts)
			sim_done(sim_attempts);
		sim_pass(SEC);
	}
	sim_ok(!sim_rows().ibdb, "not all were delivered");
}

static void test(void (*script)(void *arg), const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = "retry_min_delay = 10;" };

	sim_clean(NULL);
	sim_on = (struct sim_hooks){ 0 };
	is_int(sim_life(&s, script, NULL), 0, name);
}

int main(void)
{
	test(first_is_dead, "a dead first host costs little and is looked at by one at a time");
	test(all_are_dead, "several dead hosts are tried once each");
	test(only_one, "a single host that is down is waited for");
	return plan_done();
}
