/* qmgr dies while smtpc delivers: what that one goes on with, or has done meanwhile, is not tried again. */
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <stdio.h>
#include <string.h>

enum { MAX = 64 };

static const usec_t SEC = USEC_PER_SEC, MINUTE = 60 * (usec_t)USEC_PER_SEC;

/* What the lives leave to each other. */
static struct shared {
	struct sim_left left[MAX];
	unsigned count;
	unsigned again; /* attempts of the life after */
} * sh;

static unsigned notices, loops, workers;

static void keep(struct sim_attempt *a)
{
	(void)a;
}

static void leave_all(void)
{
	for (struct sim_attempt *a = sim_attempts; a; a = a->next)
		sim_leave(a, &sh->left[sh->count++]);
	/* What an attempt of one loop knows comes to another one. */
	for (unsigned i = 0; i < sh->count; i++)
		sh->left[i].worker = workers - 1;
}

static void mails(unsigned n, const char *rcpt)
{
	static unsigned number;
	char sender[40];

	for (unsigned i = 0; i < n; i++) {
		snprintf(sender, sizeof sender, "s%u@d9.test", number++);
		sim_mail(sender, rcpt);
	}
	sim_pass(10 * USEC_PER_MSEC);
}

/* ---- the first life */

static void dies(void *arg)
{
	const unsigned *n = arg;

	sim_on.deliver = keep;
	mails(*n, "b@d1.test");
	sim_ok(sim_attempt_count() == *n, "%u attempts, want %u", sim_attempt_count(), *n);
	leave_all();
	sim_crash();
}

/* One message with several recipients. */
static void list_dies(void *arg)
{
	static const char *const to[] = { "a@d1.test", "b@d1.test", "c@d2.test", "d@d1.test" };
	struct route d1 = sim_route("10.0.0.1"), d2 = sim_route("10.0.0.2");
	struct sim_rcpt r[4];
	struct sim_message m = { .sender = "s@d9.test", .count = 4, .rcpt = r };

	(void)arg;
	for (unsigned i = 0; i < 4; i++)
		r[i] = (struct sim_rcpt){ .addr = to[i], .route = i == 2 ? &d2 : &d1 };
	sim_on.deliver = keep;
	sim_ok(sim_accept(&m, NULL) == 0, "it is accepted");
	sim_pass(10 * USEC_PER_MSEC);
	sim_ok(sim_attempt_count() == 2, "%u attempts", sim_attempt_count());
	leave_all();
	sim_crash();
}

/* They are in DEFEDB, and tried for the second time. */
static void dies_later(void *arg)
{
	const unsigned *n = arg;

	sim_on.deliver = keep;
	mails(*n, "b@d1.test");
	while (sim_attempts)
		sim_later(sim_attempts, NULL);
	sim_pass(SEC);
	while (sim_attempt_count() < *n && sim_step(sim_now() + 600 * MINUTE))
		;
	leave_all();
	sim_ok(sh->count == *n, "%u second attempts", sh->count);
	sim_crash();
}

/* ---- the hooks and scripts of the second */

static void count_again(struct sim_attempt *a)
{
	if (!a->env.sender.n) {
		notices++;
		sim_done(a);
		return;
	}
	sh->again++;
}

static void all_go_on(unsigned worker)
{
	for (unsigned i = 0; i < sh->count; i++)
		if (sh->left[i].worker == worker)
			sim_left_state(&sh->left[i]);
}

static void all_ended(unsigned worker)
{
	for (unsigned i = 0; i < sh->count; i++)
		if (sh->left[i].worker == worker)
			sim_left_result(&sh->left[i], MSG_DONE);
}

static void results(uint8_t outcome)
{
	for (unsigned i = 0; i < sh->count; i++)
		sim_left_result(&sh->left[i], outcome);
	sim_pass(SEC);
}

static void is_quiet(void)
{
	struct sim_rows r = sim_rows();

	sim_ok(!r.ibdb && !r.deferred && !r.aq && !r.transactions,
	       "left over: %u rows, %u deferred, %u in AQ", r.ibdb, r.deferred, r.aq);
}

static void go_on_and_end(void *arg)
{
	(void)arg;
	sim_pass(3 * MINUTE);
	sim_ok(!sh->again, "%u are tried again while they go on", sh->again);
	sim_ok(sim_rows().transactions, "nothing is there");
	results(MSG_DONE);
	sim_pass(MINUTE);
	sim_ok(!sh->again, "%u are tried again", sh->again);
	is_quiet();
	/* Said twice: nobody cares, and the host takes new mail. */
	results(MSG_DONE);
	mails(1, "b@d1.test");
	sim_ok(sh->again == 1, "new mail goes out");
}

static void end_later(void *arg)
{
	(void)arg;
	sim_pass(SEC);
	results(MSG_LATER);
	sim_ok(!sh->again && sim_rows().deferred == sh->count, "%u again, %u deferred", sh->again,
	       sim_rows().deferred);
	while (sh->again < sh->count && sim_step(sim_now() + 60 * MINUTE))
		;
	sim_pass(MINUTE);
	sim_ok(sh->again == sh->count, "each comes once: %u", sh->again);
}

static void end_never(void *arg)
{
	(void)arg;
	sim_pass(SEC);
	results(MSG_FAILED);
	sim_pass(MINUTE);
	sim_ok(!sh->again && notices == sh->count, "%u again, %u notices", sh->again, notices);
	is_quiet();
}

static void end_before(void *arg)
{
	(void)arg;
	sim_pass(3 * MINUTE);
	sim_ok(!sh->again, "%u are tried again", sh->again);
	is_quiet();
}

/* Nothing is said of them, nor is anybody waited for. */
static void all_again(void *arg)
{
	(void)arg;
	sim_pass(SEC);
	sim_ok(sh->again == sh->count, "%u of %u are tried again", sh->again, sh->count);
}

/* The first is lost by the worker, the others with it. */
static void worker_forgets(void *arg)
{
	(void)arg;
	sim_pass(SEC);
	sim_ok(!sh->again, "%u at first", sh->again);
	sim_smtpc_break();
	sim_pass(SEC);
	sim_ok(!sh->again, "%u when the link was broken", sh->again);
	sh->left[0].worker = 99;
	sim_smtpc_break();
	sim_pass(SEC);
	sim_ok(sh->again == 1, "%u when one is not named any more", sh->again);
	sim_on.back = NULL;
	sim_smtpc_end();
	sim_smtpc_begin();
	sim_pass(SEC);
	sim_ok(sh->again == sh->count + 1, "%u when another process comes", sh->again);
}

static void dies_too(void *arg)
{
	(void)arg;
	sim_pass(SEC);
	sim_ok(!sh->again, "%u are tried again", sh->again);
	sim_crash();
}

/* ---- links that break, no death */

static void breaks(void *arg)
{
	const unsigned *n = arg;

	sim_on.deliver = keep;
	mails(*n, "b@d1.test");
	for (unsigned i = 0; i < 2; i++) {
		sim_ok(sim_attempt_count() == *n, "%u attempts, %u times broken",
		       sim_attempt_count(), i);
		sim_smtpc_break();
		sim_pass(SEC);
	}
	sim_ok(sim_attempt_count() == *n, "%u attempts at the end", sim_attempt_count());
}

static int life(void (*script)(void *arg), void (*back)(unsigned worker), void *arg)
{
	struct sim_setup s = { .slow_ticks = true,
			       .loops = loops,
			       .workers = workers,
			       .smtps = loops - 1,
			       .options =
				       "smtpc { initial_connections = 10; max_connections = 20; }"
				       "retry_min_delay = 60;" };

	sim_on = (struct sim_hooks){ .deliver = count_again, .back = back };
	return sim_life(&s, script, arg);
}

static void test(void (*first)(void *arg), void (*back)(unsigned worker), void (*second)(void *arg),
		 unsigned n, const char *name)
{
	sim_clean(NULL);
	memset(sh, 0, sizeof *sh);
	is_int(life(first, NULL, &n), SIM_CRASHED, name);
	is_int(life(second, back, NULL), 0, name);
}

static void nobody(unsigned worker)
{
	(void)worker;
}

static void all_tests(void)
{
	unsigned n = 8;

	test(dies, all_go_on, go_on_and_end, 8, "done later");
	test(dies, all_go_on, end_later, 8, "to be tried later");
	test(dies, all_go_on, end_never, 8, "failed");
	test(dies, all_ended, end_before, 8, "done while qmgr was away");
	test(list_dies, all_go_on, go_on_and_end, 2, "several recipients");
	test(list_dies, all_ended, end_before, 2, "several recipients, done");
	test(dies_later, all_go_on, go_on_and_end, 5, "second attempts");
	test(dies_later, all_ended, end_before, 5, "second attempts, done");
	test(dies, nobody, all_again, 8, "smtpc died, too");
	test(dies, all_go_on, worker_forgets, 8, "they are lost");
	sim_clean(NULL);
	is_int(life(breaks, NULL, &n), 0, "links break");
}

static void twice(void)
{
	unsigned n = 8;

	sim_clean(NULL);
	memset(sh, 0, sizeof *sh);
	is_int(life(dies, NULL, &n), SIM_CRASHED, "killed");
	is_int(life(dies_too, all_go_on, NULL), SIM_CRASHED, "killed again");
	is_int(life(go_on_and_end, all_go_on, NULL), 0, "done in the third life");
}

int main(void)
{
	sh = sim_shared(sizeof *sh);
	loops = workers = 1;
	all_tests();
	twice();
	loops = workers = 3;
	all_tests();
	return plan_done();
}
