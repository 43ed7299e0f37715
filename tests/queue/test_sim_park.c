/* What waits for one destination: when it is looked at, what it costs, how it comes back. */
#include "core/span.h"
#include "queue/retry.h"
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAILS = 20, LOG_MAX = 2000 };
static const usec_t SEC = USEC_PER_SEC, HOUR = 3600 * (usec_t)USEC_PER_SEC, DAY = 24 * HOUR;

/* What smtpc got. */
static struct journal {
	bool up; /* the host of d1.test */
	usec_t accepted;
	uint64_t id[LOG_MAX]; /* of the messages, as they were accepted */
	unsigned ids;
	unsigned count;
	struct {
		usec_t at;
		uint64_t ta;
		unsigned rcpts;
		bool dsn, warning, done;
	} e[LOG_MAX];
} * journal;

static void begin(void)
{
	memset(journal, 0, sizeof *journal);
	sim_clean(NULL);
	sim_on = (struct sim_hooks){ 0 };
}

/* All hosts are up but that of d1.test, which is up when the journal says so. */
static void deliver(struct sim_attempt *a)
{
	unsigned n = journal->count++;
	struct buf text = { 0 };

	if (n >= LOG_MAX)
		sim_ok(false, "too many attempts");
	journal->e[n].at = sim_now();
	journal->e[n].ta = a->ta;
	journal->e[n].rcpts = a->env.rcpt_count;
	journal->e[n].dsn = a->env.flags & ENV_DSN;
	if (journal->e[n].dsn && sim_content(a, &text))
		journal->e[n].warning =
			span_find(buf_span(&text), SPAN("Delayed mail")) < buf_span(&text).n;
	buf_release(&text);
	journal->e[n].done = !sim_host_is(a, "10.0.0.1") || journal->up;
	if (journal->e[n].done)
		sim_done(a);
	else
		sim_unreachable(a);
}

/* n messages of different senders. */
static void mails(unsigned n)
{
	char sender[40];

	journal->accepted = sim_now();
	for (unsigned i = 0; i < n; i++) {
		snprintf(sender, sizeof sender, "s%u@d9.test", journal->ids);
		journal->id[journal->ids++] = sim_mail(sender, "b@d1.test");
	}
	sim_pass(SEC);
}

static bool all_parked(unsigned n)
{
	struct sim_rows r = sim_rows();

	return sim_ok(r.deferred == n && r.due == n && r.aq == 0,
		      "%u in defedb, %u due, %u in AQ, want %u parked", r.deferred, r.due, r.aq, n);
}

static void nothing_left(void)
{
	struct sim_rows r;

	sim_pass(5 * SEC);
	r = sim_rows();
	sim_ok(!r.ibdb && !r.marks && !r.deferred && !r.due && !r.aq && !r.transactions,
	       "left: ibdb %u, marks %u, defedb %u, due %u, aq %u, table %u", r.ibdb, r.marks,
	       r.deferred, r.due, r.aq, r.transactions);
}

/* Every message was delivered once, the oldest first. */
static void once_in_order(unsigned from)
{
	unsigned next = 0;

	for (unsigned i = from; i < journal->count; i++) {
		if (!journal->e[i].done || journal->e[i].dsn)
			continue;
		if (!sim_ok(next < journal->ids && journal->e[i].ta == journal->id[next],
			    "delivery %u is not that of message %u", i, next))
			return;
		next++;
	}
	sim_ok(next == journal->ids, "%u of %u delivered", next, journal->ids);
}

/* ---- never up: probes by the rule, warnings and returns in their time */

static const char one_connection[] = "smtpc { initial_connections = 1; max_connections = 1; }";

static void never(void *arg)
{
	(void)arg;
	sim_on.deliver = deliver;
	mails(MAILS);
	sim_ok(journal->count == 1, "%u attempts at first", journal->count);
	all_parked(MAILS);
	sim_pass(2 * DAY);
	all_parked(MAILS);
	sim_pass(4 * DAY);
	nothing_left();
}

static unsigned notices(bool warning, usec_t age)
{
	unsigned n = 0;

	for (unsigned i = 0; i < journal->count; i++) {
		usec_t off = journal->e[i].at - journal->accepted - age;

		if (journal->e[i].dsn && journal->e[i].warning == warning && off >= 0 && off < SEC)
			n++;
	}
	return n;
}

static void test_never(void)
{
	struct sim_setup s = { .slow_ticks = true, .options = one_connection };
	usec_t last = 0, step = 300 * SEC;
	unsigned probes = 0, others = 0, all = 0;
	bool good = true;

	begin();
	is_int(sim_life(&s, never, NULL), 0, "a host that is never up");
	for (unsigned i = 0; i < journal->count; i++) {
		if (journal->e[i].dsn) {
			all++;
			continue;
		}
		usec_t d = journal->e[i].at - last;
		if (probes++ && (d < step - step / 10 || d > step + step / 10)) {
			diag("probe %u after %lld s, want about %lld", probes, (long long)(d / SEC),
			     (long long)(step / SEC));
			good = false;
		} else if (probes > 1) {
			step = step * 2 < 4 * HOUR ? step * 2 : 4 * HOUR;
		}
		last = journal->e[i].at;
		others += journal->e[i].ta != journal->id[0] || journal->e[i].rcpts != 1;
	}
	ok(good && probes > 30, "  one probe at a time, the delay doubles up to the longest: %u",
	   probes);
	is_int(others, 0, "  always the oldest, nobody else is tried");
	is_int(notices(true, 4 * HOUR), MAILS, "  a warning for each, in its time");
	is_int(notices(false, 5 * DAY), MAILS, "  each is returned, in its time");
	is_int(all, 2 * MAILS, "  no other notice");
}

/* ---- back again */

static void back(void *arg)
{
	(void)arg;
	sim_on.deliver = deliver;
	mails(MAILS);
	sim_pass(HOUR);
	mails(MAILS);
	all_parked(2 * MAILS);
	journal->up = true;
	sim_pass(3 * HOUR);
	nothing_left();
	once_in_order(0);
}

static void first_half(void *arg)
{
	(void)arg;
	sim_on.deliver = deliver;
	mails(MAILS);
	sim_pass(HOUR);
	journal->accepted = sim_now();
}

static void second_half(void *arg)
{
	(void)arg;
	sim_on.deliver = deliver;
	all_parked(MAILS);
	unsigned before = journal->count;
	sim_pass(SEC);
	sim_ok(journal->count == before, "it is tried before its time");
	journal->up = true;
	sim_pass(3 * HOUR);
	nothing_left();
	once_in_order(before);
}

static void crash(void *arg)
{
	first_half(arg);
	sim_crash();
}

static void test_back(void)
{
	struct sim_setup s = { .slow_ticks = true, .options = one_connection };

	begin();
	is_int(sim_life(&s, back, NULL), 0, "a host that comes back: all, once, the oldest first");
	begin();
	is_int(sim_life(&s, first_half, NULL), 0, "a restart meanwhile");
	s.started_at = journal->accepted + SEC;
	is_int(sim_life(&s, second_half, NULL), 0, "  its time is kept");
	begin();
	s.started_at = 0;
	is_int(sim_life(&s, crash, NULL), SIM_CRASHED, "a crash meanwhile");
	s.started_at = journal->accepted + SEC;
	is_int(sim_life(&s, second_half, NULL), 0, "  its time is kept");
}

/* New mail when the host may be up again: the oldest goes first, not the new one. */
static void new_mail(void *arg)
{
	(void)arg;
	sim_on.deliver = deliver;
	mails(MAILS);
	sim_pass(3 * HOUR);
	journal->up = true;
	unsigned before = journal->count;
	sim_pass(9 * 60 * SEC);
	sim_ok(journal->count == before, "a probe came by chance");
	mails(1);
	sim_pass(5 * SEC);
	once_in_order(before);
	nothing_left();
}

/* ---- elsewhere */

static bool moved;

static int route(struct span rcpt, struct route *out)
{
	*out = sim_route(span_endswith(rcpt, SPAN("@d9.test")) ? "10.0.0.9"
			 : moved                               ? "10.0.0.2"
							       : "10.0.0.1");
	return 0;
}

static void goes_elsewhere(void *arg)
{
	(void)arg;
	sim_on.deliver = deliver;
	sim_on.route = route;
	mails(MAILS);
	all_parked(MAILS);
	moved = true;
	sim_pass(400 * SEC);
	nothing_left();
	once_in_order(0);
}

/* ---- two destinations with one host */

static int shared_route(struct span rcpt, struct route *out)
{
	*out = sim_route(span_endswith(rcpt, SPAN("@d9.test"))   ? "10.0.0.9"
			 : span_endswith(rcpt, SPAN("@d1.test")) ? "10.0.0.1"
								 : "10.0.0.1 10.0.0.3");
	return 0;
}

static void keep(struct sim_attempt *a)
{
	(void)a;
}

/* An attempt of the one goes on, that of the other fails: what waits hears of the end of the first. */
static void one_fails(bool up)
{
	sim_on.deliver = keep;
	sim_on.route = shared_route;
	sim_mail("a@d9.test", "b@d2.test");
	sim_pass(SEC);
	for (unsigned i = 0; i < 5; i++)
		sim_mail("a@d9.test", "b@d1.test");
	sim_pass(SEC);
	if (!sim_ok(sim_attempt_count() == 2, "%u attempts", sim_attempt_count()))
		return;
	sim_unreachable(sim_attempts->next);
	sim_pass(SEC);
	sim_ok(sim_rows().aq == 6 && sim_attempt_count() == 1, "the others wait in AQ: %u",
	       sim_rows().aq);
	if (up)
		sim_done(sim_attempts);
	/* Its other host neither. */
	while (!up && sim_attempts) {
		sim_unreachable(sim_attempts);
		sim_pass(SEC);
	}
	sim_pass(SEC);
}

static void shared_up(void *arg)
{
	(void)arg;
	one_fails(true);
	for (unsigned left = 5; left && sim_attempts; left--) {
		sim_done(sim_attempts);
		sim_pass(SEC);
	}
	nothing_left();
}

static void shared_down(void *arg)
{
	(void)arg;
	one_fails(false);
	all_parked(6);
}

/* ---- times that pass while they are in AQ */

static void deliver_notices(struct sim_attempt *a)
{
	if (a->env.flags & ENV_DSN)
		deliver(a);
}

static void warned_late(void *arg)
{
	(void)arg;
	sim_on.deliver = deliver;
	mails(5);
	all_parked(5);
	sim_on.deliver = deliver_notices;
	sim_pass(400 * SEC);
	if (!sim_ok(sim_attempt_count() == 1, "no probe"))
		return;
	sim_done(sim_attempts);
	sim_pass(5 * HOUR);
	sim_ok(sim_rows().aq == 4 && sim_attempt_count() == 1, "%u came back", sim_rows().aq);
	/* Put back untried, three of them: the keeper has passed their rows. */
	journal->accepted = sim_now() - 4 * HOUR;
	sim_unreachable(sim_attempts);
	sim_pass(5 * SEC);
	all_parked(4);
}

/* ---- a message of which another recipient is being tried */

static void keep_second(struct sim_attempt *a)
{
	if (!sim_host_is(a, "10.0.0.2"))
		deliver(a);
}

static void slow_companion(void *arg)
{
	struct sim_rcpt r[] = { { .addr = "b@d1.test" }, { .addr = "b@d2.test" } };
	struct sim_message m = { .sender = "a@d9.test", .count = 2, .rcpt = r };

	(void)arg;
	sim_on.deliver = keep_second;
	sim_commit(&m);
	mails(5);
	sim_ok(sim_rows().deferred == 6 && sim_attempt_count() == 1, "%u parked, %u attempts",
	       sim_rows().deferred, sim_attempt_count());
	journal->up = true;
	sim_pass(400 * SEC);
	sim_ok(sim_rows().deferred == 0 && sim_attempt_count() == 1, "%u parked, %u attempts",
	       sim_rows().deferred, sim_attempt_count());
	while (sim_attempts)
		sim_done(sim_attempts);
	nothing_left();
}

/* ---- suspensions */

/* AQ has no room: what waited for the end of a suspension has not come when qmgr ends. */
static const char full_aq[] = "AQ_max_entries = 10;";

static void suspended_then_crash(void *arg)
{
	char rcpt[20];

	(void)arg;
	for (unsigned i = 3; i < 9; i++) {
		snprintf(rcpt, sizeof rcpt, "b@d%u.test", i);
		sim_mail("a@d9.test", rcpt);
	}
	free(sim_ask("suspend domain=d1.test"));
	for (unsigned i = 0; i < 3; i++)
		sim_mail("a@d9.test", "b@d1.test");
	sim_pass(SEC);
	sim_ok(sim_rows().aq == 6 && sim_rows().deferred == 3, "%u in AQ, %u parked", sim_rows().aq,
	       sim_rows().deferred);
	free(sim_ask("resume all"));
	sim_ok(sim_rows().deferred == 3, "they came");
	sim_crash();
}

static void suspended_again(void *arg)
{
	char *answer = sim_ask("suspend domain=d1.test");

	(void)arg;
	if (!sim_ok(strstr(answer, "number 2") != NULL, "a number that stands for others: %s",
		    answer))
		return;
	free(answer);
	sim_ok(sim_rows().deferred == 3, "they came");
	while (sim_attempts)
		sim_done(sim_attempts);
	sim_pass(HOUR);
	sim_ok(!sim_attempts && sim_rows().deferred == 3, "%u attempts, %u parked",
	       sim_attempt_count(), sim_rows().deferred);
	free(sim_ask("resume all"));
	sim_pass(SEC);
	sim_ok(sim_attempt_count() == 3, "%u attempts", sim_attempt_count());
	while (sim_attempts)
		sim_done(sim_attempts);
	nothing_left();
}

static void test_suspended(void)
{
	struct sim_setup s = { .slow_ticks = true, .options = full_aq };

	begin();
	sim_on.deliver = keep;
	is_int(sim_life(&s, suspended_then_crash, NULL), SIM_CRASHED,
	       "a suspension ends, and qmgr with it");
	s.started_at = SIM_BEGIN + HOUR;
	is_int(sim_life(&s, suspended_again, NULL), 0,
	       "  the next one has a number of its own, what waited waits for that");
}

/* ---- share */

static const char small_aq[] =
	"AQ_max_entries = 100; smtpc { initial_connections = 1;"
	"max_connections = 1; } delivery_timeout = 1d; scheduler_timeout = 1d;";

static bool started(uint64_t ta)
{
	for (struct sim_attempt *a = sim_attempts; a; a = a->next)
		if (a->ta == ta)
			return true;
	return false;
}

static void share(void *arg)
{
	unsigned next = 0;

	(void)arg;
	sim_on.deliver = keep;
	for (unsigned i = 0; i < 300; i++) {
		journal->id[journal->ids++] = sim_mail("s@d9.test", "b@d1.test");
		if (i % 20 == 0)
			sim_pass(SEC);
	}
	sim_pass(SEC);
	struct sim_rows r = sim_rows();
	sim_ok(r.aq == 50 && r.deferred == 250, "%u in AQ, %u parked", r.aq, r.deferred);
	/* Another destination is served at once; a third too. */
	for (unsigned i = 2; i < 5; i++) {
		char rcpt[20];

		snprintf(rcpt, sizeof rcpt, "b@d%u.test", i);
		uint64_t ta = sim_mail("s@d9.test", rcpt);
		sim_pass(SEC);
		sim_ok(started(ta), "mail for destination %u waits", i);
	}
	for (unsigned left = 303; left && sim_attempts; left--) {
		struct sim_attempt *a = sim_attempts;

		while (a->next && !sim_host_is(a, "10.0.0.1"))
			a = a->next;
		if (sim_host_is(a, "10.0.0.1")) {
			sim_ok(a->ta == journal->id[next], "message %u is not the next", next);
			next++;
		}
		sim_done(a);
		sim_pass(SEC);
		sim_ok(sim_rows().aq <= 54, "%u in AQ", sim_rows().aq);
	}
	sim_ok(next == 300, "%u were delivered", next);
	nothing_left();
}

static void test(const char *options, void (*script)(void *arg), const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = options };

	begin();
	is_int(sim_life(&s, script, NULL), 0, name);
}

int main(void)
{
	journal = sim_shared(sizeof *journal);
	test_never();
	test_back();
	test(one_connection, new_mail, "new mail has the oldest tried");
	test(one_connection, goes_elsewhere, "another host for all of them");
	test("smtpc { initial_connections = 1; max_connections = 1; } delivery_timeout = 1d;"
	     "scheduler_timeout = 1d;",
	     warned_late, "the time of a warning passes while they are in AQ");
	is_int(notices(true, 4 * HOUR), 4, "  they are warned about when they are put back");
	test("delivery_timeout = 1d;", slow_companion,
	     "a message of which another recipient is being tried");
	test_suspended();
	test("smtpc { initial_connections = 2; max_connections = 2; }", shared_up,
	     "two destinations with one host: one fails, the other does not");
	test("smtpc { initial_connections = 2; max_connections = 2; }", shared_down, "both fail");
	test(small_aq, share, "a slow one has half of AQ; the oldest first");
	return plan_done();
}
