/* When recipients are tried again, when senders are told, when mail is given back. */
#include "core/span.h"
#include "queue/retry.h"
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_MAX = 4000 };
static const usec_t SEC = USEC_PER_SEC, HOUR = 3600 * (usec_t)USEC_PER_SEC, DAY = 24 * HOUR;

struct entry {
	usec_t at;
	uint64_t ta;
	uint32_t idx;
	bool dsn;
	char to[40];
	char text[4000]; /* of DSNs */
};

/* What smtpc got, of all lives. */
static struct journal {
	unsigned count, attempts;
	usec_t accepted, stopped_at;
	uint64_t ta;
	struct entry e[LOG_MAX];
} * journal;

static bool is_dsn(const struct sim_attempt *a)
{
	return (a->env.flags & ENV_DSN) != 0;
}

static void note(struct sim_attempt *a)
{
	for (uint32_t i = 0; i < a->env.rcpt_count && journal->count < LOG_MAX; i++) {
		struct entry *e = &journal->e[journal->count++];
		struct buf text = { 0 };

		*e = (struct entry){ a->at, a->ta, a->env.rcpt[i].idx, is_dsn(a), "", "" };
		span_cstr(a->env.rcpt[i].addr, e->to, sizeof e->to);
		if (e->dsn && sim_content(a, &text))
			span_cstr(span_head(buf_span(&text), sizeof e->text - 1), e->text,
				  sizeof e->text);
		buf_release(&text);
	}
}

/* Notices arrive, all else is to come later. */
static void later(struct sim_attempt *a)
{
	note(a);
	if (is_dsn(a))
		sim_done(a);
	else
		sim_later(a, "451 4.7.1 greylisted");
}

static void all_later(struct sim_attempt *a)
{
	note(a);
	sim_later(a, "451 4.7.1 greylisted");
}

static uint64_t queue_one(const char *sender, const char *rcpt)
{
	journal->ta = sim_mail(sender, rcpt);
	journal->accepted = sim_now();
	return journal->ta;
}

static unsigned entries(uint64_t ta, bool dsn, struct entry **out, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < journal->count; i++)
		if (journal->e[i].dsn == dsn && (!ta || journal->e[i].ta == ta) && n < max)
			out[n++] = &journal->e[i];
	return n;
}

/* The time of attempt n + 1 by the rule: doubling, a tenth of jitter drawn from id and number. */
static usec_t next_time(usec_t last, uint64_t ta, uint32_t idx, unsigned n, usec_t min, usec_t max)
{
	return last +
	       retry_delay(min, max, n, (uint32_t)hash_mix(ta, idx / 1024 + ((uint64_t)n << 32)));
}

/* All attempts stand where the rule puts them, each delay within what it may be; the last one is just
 * when the time is over. */
static bool follows_rule(uint64_t ta, usec_t from, usec_t min, usec_t max, usec_t end)
{
	struct entry *e[LOG_MAX];
	unsigned n = entries(ta, false, e, LOG_MAX);
	usec_t step = min;

	if (n < 2 || e[0]->at != from)
		return false;
	if (e[n - 1]->at != from + end ||
	    next_time(e[n - 2]->at, ta, e[n - 1]->idx, n - 1, min, max) < from + end) {
		diag("the last after %lld s", (long long)((e[n - 1]->at - from) / SEC));
		return false;
	}
	for (unsigned i = 1; i < n - 1; i++) {
		usec_t d = e[i]->at - e[i - 1]->at, want = step < max ? step : max;

		if (e[i]->at != next_time(e[i - 1]->at, ta, e[i]->idx, i, min, max) || d < min ||
		    d < want - want / 10 || d > want + want / 10) {
			diag("attempt %u after %lld s, want about %lld s", i + 1,
			     (long long)(d / SEC), (long long)(want / SEC));
			return false;
		}
		step = want * 2;
	}
	return true;
}

static bool nothing_left(void)
{
	sim_pass(5 * SEC);
	struct sim_rows r = sim_rows();
	unsigned records = sim_records();

	return sim_ok(
		!r.ibdb && !r.marks && !r.deferred && !r.due && !r.aq && !r.iqdb &&
			!r.transactions && !records,
		"left: ibdb %u, marks %u, defedb %u, due %u, aq %u, iqdb %u, table %u, records %u",
		r.ibdb, r.marks, r.deferred, r.due, r.aq, r.iqdb, r.transactions, records);
}

static void begin(void)
{
	memset(journal, 0, sizeof *journal);
	sim_on = (struct sim_hooks){ .deliver = later };
	sim_clean(NULL);
}

/* ---- the life of a message that nobody takes, with the defaults */

static void five_days(void *arg)
{
	(void)arg;
	queue_one("a@d9.test", "b@d1.test");
	sim_pass(6 * DAY);
	nothing_left();
}

static void test_five_days(void)
{
	struct sim_setup s = { .slow_ticks = true };
	struct entry *e[LOG_MAX], *dsn[10];
	unsigned n;

	begin();
	is_int(sim_life(&s, five_days, NULL), 0, "defaults: a message that nobody takes");
	ok(follows_rule(journal->ta, journal->accepted, 300 * SEC, 4 * HOUR, 5 * DAY),
	   "  attempts double from 5 minutes to 4 hours, with a tenth of jitter");
	n = entries(journal->ta, false, e, LOG_MAX);
	unsigned dsns = entries(0, true, dsn, 10), warned = 0;
	if (!is_int(dsns, 2, "  two notices") || n < 10)
		return;
	while (warned < n && e[warned]->at - journal->accepted < 4 * HOUR)
		warned++;
	is_int(dsn[0]->at, e[warned]->at,
	       "  the warning goes with the first attempt after 4 hours");
	ok(strstr(dsn[0]->text, "Subject: Delayed mail") && strstr(dsn[0]->text, "b@d1.test") &&
		   strstr(dsn[0]->text, "451 4.7.1 greylisted"),
	   "  it names recipient and reply");
	is_str(dsn[0]->to, "a@d9.test", "  it goes to the sender");
	is_int(e[n - 1]->at - journal->accepted, 5 * DAY, "  the last attempt is after 5 days");
	is_int(dsn[1]->at, e[n - 1]->at, "  the bounce goes with it");
	ok(strstr(dsn[1]->text, "Subject: Undeliverable mail") &&
		   strstr(dsn[1]->text, "b@d1.test") &&
		   strstr(dsn[1]->text, "451 4.7.1 greylisted") &&
		   strstr(dsn[1]->text, "a line of the body of"),
	   "  it names recipient and reply, and has the message");
}

/* ---- restarts and clocks that jump */

static const char short_delays[] =
	"retry_min_delay = 60; retry_max_delay = 3600; queue_return_timeout = 2d; queue_delay_timeout = 3d;";

static void until_noon(void *arg)
{
	(void)arg;
	queue_one("a@d9.test", "b@d1.test");
	sim_pass(5 * HOUR + 17 * SEC);
	journal->stopped_at = sim_now();
}

static void go_on(void *arg)
{
	(void)arg;
	sim_pass(3 * DAY);
	nothing_left();
}

static void test_restart(void)
{
	struct sim_setup s = { .slow_ticks = true, .options = short_delays };
	struct entry *e[LOG_MAX], *dsn[10];
	unsigned n;

	begin();
	is_int(sim_life(&s, until_noon, NULL), 0, "restart: one life");
	s.started_at = journal->stopped_at;
	is_int(sim_life(&s, go_on, NULL), 0, "  and the next");
	ok(follows_rule(journal->ta, journal->accepted, 60 * SEC, HOUR, 2 * DAY),
	   "  attempts at the times of the rule");
	n = entries(journal->ta, false, e, LOG_MAX);
	ok(n > 1 && e[n - 1]->at - journal->accepted == 2 * DAY, "  and an end after two days");
	is_int(entries(0, true, dsn, 10), 1, "  one bounce");
}

/* Down when it was due: at once when it is back. */
static void test_overdue(void)
{
	struct sim_setup s = { .slow_ticks = true, .options = short_delays };
	struct entry *e[LOG_MAX];

	begin();
	is_int(sim_life(&s, until_noon, NULL), 0, "down when it was due: one life");
	unsigned before = entries(journal->ta, false, e, LOG_MAX);
	s.started_at = journal->stopped_at + 10 * HOUR;
	is_int(sim_life(&s, go_on, NULL), 0, "  and the next");
	unsigned n = entries(journal->ta, false, e, LOG_MAX);
	ok(n > before && e[before]->at == s.started_at, "  tried at once, once");
	ok(n > before + 1 && e[before + 1]->at == next_time(e[before]->at, journal->ta, 0,
							    before + 1, 60 * SEC, HOUR),
	   "  then by the rule");
}

static void jumps(void *arg)
{
	const usec_t *by = arg;

	queue_one("a@d9.test", "b@d1.test");
	sim_pass(HOUR + 11 * SEC);
	sim_clock_jump(*by);
	sim_pass(3 * DAY);
	nothing_left();
}

static void test_jump(usec_t by, const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = short_delays };
	struct entry *e[LOG_MAX], *dsn[10];
	unsigned n;

	begin();
	is_int(sim_life(&s, jumps, &by), 0, name);
	ok(follows_rule(journal->ta, journal->accepted, 60 * SEC, HOUR, 2 * DAY),
	   "  attempts at the times of the rule");
	n = entries(journal->ta, false, e, LOG_MAX);
	ok(n > 1 && e[n - 1]->at - journal->accepted == 2 * DAY, "  it ends after two days");
	is_int(entries(0, true, dsn, 10), 1, "  with one bounce");
}

/* What comes after a jump has the time of the new clock in its envelope. */
static void comes_later(void *arg)
{
	const usec_t *by = arg;

	sim_pass(HOUR);
	sim_clock_jump(*by);
	jumps(&(usec_t){ 0 });
}

static void test_after_jump(usec_t by, const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = short_delays };
	struct entry *e[LOG_MAX], *dsn[10];
	unsigned n;

	begin();
	is_int(sim_life(&s, comes_later, &by), 0, name);
	n = entries(journal->ta, false, e, LOG_MAX);
	ok(n > 1 && e[n - 1]->at - journal->accepted == 2 * DAY, "  it ends after two days");
	is_int(entries(0, true, dsn, 10), 1, "  with one bounce");
}

/* ---- notices */

static void notices(void *arg)
{
	(void)arg;
	sim_on.deliver = all_later;
	queue_one("a@d9.test", "b@d1.test");
	sim_pass(6 * DAY);
	nothing_left();
}

/* The bounce itself is never taken: dropped when its time is over, nobody hears of that. */
static void test_bounce_fails(void)
{
	struct sim_setup s = { .slow_ticks = true, .options = short_delays };
	struct entry *dsn[LOG_MAX];
	unsigned n;

	begin();
	is_int(sim_life(&s, notices, NULL), 0, "a bounce that nobody takes");
	n = entries(0, true, dsn, LOG_MAX);
	bool same = n > 10;
	for (unsigned i = 1; i < n; i++)
		same = same && dsn[i]->ta == dsn[0]->ta &&
		       (i == n - 1 ||
			dsn[i]->at == next_time(dsn[i - 1]->at, dsn[0]->ta, 0, i, 60 * SEC, HOUR));
	ok(same, "  one notice, tried by the rule");
	ok(n > 1 && dsn[n - 1]->at - dsn[0]->at == 2 * DAY, "  dropped after two days of its own");
}

static void null_sender(void *arg)
{
	(void)arg;
	queue_one("", "b@d1.test");
	sim_pass(4 * DAY);
	nothing_left();
}

static void never_wanted(void *arg)
{
	struct sim_rcpt r = { .addr = "b@d1.test", .notify = ENV_NOTIFY_NEVER };
	struct sim_message m = { .sender = "a@d9.test", .count = 1, .rcpt = &r };

	(void)arg;
	sim_ok(sim_accept(&m, &journal->ta) == 0, "not accepted");
	sim_pass(4 * DAY);
	nothing_left();
}

static void test_no_notice(void (*script)(void *arg), const char *name)
{
	struct sim_setup s = { .slow_ticks = true,
			       .options = "retry_min_delay = 60; retry_max_delay = 3600; "
					  "queue_return_timeout = 2d; queue_delay_timeout = 4h;" };
	struct entry *dsn[10];

	begin();
	is_int(sim_life(&s, script, NULL), 0, name);
	is_int(entries(0, true, dsn, 10), 0, "  no notice");
}

/* ---- recipients of one message */

enum { MANY = 2500 };

static uint64_t queue_many(unsigned count, unsigned hosts)
{
	char(*addr)[24] = calloc(count, sizeof *addr);
	struct sim_rcpt *r = calloc(count, sizeof *r);
	struct sim_message m = { .sender = "a@d9.test", .count = count, .rcpt = r };

	for (unsigned i = 0; i < count; i++) {
		snprintf(addr[i], sizeof addr[i], "u%u@d%u.test", i + 1, i % hosts + 1);
		r[i].addr = addr[i];
	}
	journal->accepted = sim_now();
	sim_ok(sim_accept(&m, &journal->ta) == 0, "not accepted");
	free(addr);
	free(r);
	return journal->ta;
}

static void later_if_asked(struct sim_attempt *a)
{
	journal->attempts++;
	later(a);
}

static void fifty(void *arg)
{
	(void)arg;
	queue_many(50, 1);
	sim_pass(HOUR);
	sim_ok(journal->attempts > 5 && journal->attempts * 50 == journal->count,
	       "%u attempts for %u recipients", journal->attempts, journal->count);
	sim_pass(3 * DAY);
	nothing_left();
}

static void test_together(void)
{
	struct sim_setup s = { .slow_ticks = true, .options = short_delays };
	struct entry *dsn[10];

	begin();
	sim_on.deliver = later_if_asked;
	is_int(sim_life(&s, fifty, NULL), 0, "who failed together is tried together");
	is_int(entries(0, true, dsn, 10), 1, "  and returned in one notice");
	ok(strstr(dsn[0]->text, "<u1@d1.test>") && strstr(dsn[0]->text, "<u9@d1.test>"),
	   "  which names them");
	is_int(dsn[0]->at, journal->accepted + 2 * DAY, "  when the time is over");
}

static void three_hosts(void *arg)
{
	(void)arg;
	queue_many(3, 3);
	sim_pass(3 * DAY);
	nothing_left();
}

static void test_three_hosts(void)
{
	struct sim_setup s = { .slow_ticks = true, .options = short_delays };
	struct entry *dsn[10];

	begin();
	is_int(sim_life(&s, three_hosts, NULL), 0, "three hosts, and their time is over");
	is_int(entries(0, true, dsn, 10), 1, "  one notice");
	ok(strstr(dsn[0]->text, "<u1@d1.test>") && strstr(dsn[0]->text, "<u2@d2.test>") &&
		   strstr(dsn[0]->text, "<u3@d3.test>"),
	   "  names all of them");
	is_int(dsn[0]->at, journal->accepted + 2 * DAY, "  at once");
}

/* Returned before it could be tried again by its delays. */
static void test_short_life(void)
{
	struct sim_setup s = { .slow_ticks = true,
			       .options =
				       "retry_min_delay = 300; retry_max_delay = 3600; "
				       "queue_return_timeout = 100s; queue_delay_timeout = 3d;" };
	struct entry *e[LOG_MAX], *dsn[10];

	begin();
	is_int(sim_life(&s, five_days, NULL), 0, "a short life");
	is_int(entries(journal->ta, false, e, LOG_MAX), 2, "  two attempts");
	is_int(e[1]->at - e[0]->at, 100 * SEC, "  the second at its end");
	ok(entries(0, true, dsn, 10) == 1 && dsn[0]->at == e[1]->at, "  and the bounce");
}

/* Held until the script answers. */
static void stays(struct sim_attempt *a)
{
	if (is_dsn(a))
		sim_done(a);
	else if (sim_now() < journal->accepted + 59 * 60 * SEC)
		sim_later(a, "451 4.7.1 greylisted");
}

static void at_once(void *arg)
{
	unsigned n = 0;

	(void)arg;
	queue_many(MANY, 1);
	sim_until(journal->accepted + HOUR);
	/* All of them are due, there are sessions for some: the keeper has nothing to do. */
	sim_ok(sim_attempt_count() > 0, "no attempt");
	while (sim_attempts && n < 2 * MANY) {
		n += sim_attempts->env.rcpt_count;
		sim_done(sim_attempts);
		sim_settle();
	}
	sim_ok(n == MANY, "%u recipients are tried", n);
	nothing_left();
}

static void test_at_once(void)
{
	struct sim_setup s = { .slow_ticks = true,
			       .options = "retry_min_delay = 3600; retry_max_delay = 3600; "
					  "queue_return_timeout = 1h; queue_delay_timeout = 3d;" };

	begin();
	sim_on.deliver = stays;
	is_int(sim_life(&s, at_once, NULL), 0, "thousands are due at the same instant");
}

int main(void)
{
	journal = sim_shared(sizeof *journal);
	test_five_days();
	test_restart();
	test_overdue();
	test_jump(30 * DAY, "the wall clock jumps ahead by 30 days");
	test_jump(-30 * DAY, "the wall clock jumps back by 30 days");
	test_after_jump(30 * DAY, "mail after a jump ahead");
	test_after_jump(-30 * DAY, "mail after a jump back");
	test_bounce_fails();
	test_together();
	test_three_hosts();
	test_short_life();
	test_at_once();
	test_no_notice(null_sender, "the null reverse-path");
	test_no_notice(never_wanted, "NOTIFY=NEVER");
	return plan_done();
}
