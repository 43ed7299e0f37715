/* Commits that are asked for again, because the answer was lost with the link, at every stage. */
#include "tests/queue/sim.h"
#include "tests/tap.h"

static const usec_t SEC = USEC_PER_SEC;
static bool own_file;
static struct sim_rcpt to = { .addr = "b@d7.test" };

static struct sim_message message(void)
{
	return (struct sim_message){
		.sender = "a@source.test", .own_file = own_file, .count = 1, .rcpt = &to
	};
}

static void keep(struct sim_attempt *a)
{
	(void)a;
}

/* Says yes again and tries nothing again. */
static void again(uint64_t ta, unsigned attempts, const char *when)
{
	struct sim_message m = message();
	int code = sim_accept_again(&m, ta);

	sim_ok(code == 0, "%s: code %d", when, code);
	sim_pass(10 * USEC_PER_MSEC);
	sim_ok(sim_attempt_count() == attempts, "%s: %u attempts, want %u", when,
	       sim_attempt_count(), attempts);
}

static void all_stages(void *arg)
{
	struct sim_message m = message();
	uint64_t ta;

	(void)arg;
	sim_on.deliver = keep;
	sim_ok(sim_accept(&m, &ta) == 0, "it is accepted");
	again(ta, 1, "while it is tried");
	sim_later(sim_attempts, NULL);
	again(ta, 0, "when it was put off");
	sim_pass(SEC);
	again(ta, 0, "when it waits in the database");
	while (!sim_attempts && sim_step(sim_now() + 3600 * SEC))
		;
	again(ta, 1, "while it is tried a second time");
	sim_done(sim_attempts);
	again(ta, 0, "when it was delivered");
	sim_pass(SEC);
	again(ta, 0, "when that is in the database");
	sim_ok(!sim_rows().ibdb && !sim_rows().transactions, "rows are left over");
}

/* Delivered before the database knows of it. */
static void at_once(void *arg)
{
	struct sim_message m = message();
	uint64_t ta;

	(void)arg;
	sim_on.deliver = NULL;
	sim_ok(sim_accept(&m, &ta) == 0, "it is accepted");
	sim_on.deliver = keep;
	again(ta, 0, "when it was delivered at once");
	sim_pass(SEC);
	again(ta, 0, "a second later");
	sim_ok(!sim_rows().ibdb && !sim_rows().transactions, "rows are left over");
}

static void test(void (*script)(void *arg), bool file, const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = "retry_min_delay = 60;" };

	own_file = file;
	sim_clean(NULL);
	sim_on = (struct sim_hooks){ 0 };
	is_int(sim_life(&s, script, NULL), 0, name);
}

int main(void)
{
	test(all_stages, false, "a record of a segment");
	test(at_once, false, "a record of a segment, delivered at once");
	test(all_stages, true, "a file of its own");
	test(at_once, true, "a file of its own, delivered at once");
	return plan_done();
}
