/* Which failures one notice names, and when it is sent. */
#include "core/span.h"
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTICES_MAX = 20 };
static const usec_t SEC = USEC_PER_SEC;

static struct notice {
	usec_t at;
	bool whole; /* with the message */
	char text[8000];
} notice[NOTICES_MAX];
static unsigned notices;

static void keep(struct sim_attempt *a)
{
	struct buf text = { 0 };

	if (!(a->env.flags & ENV_DSN))
		return;
	if (notices < NOTICES_MAX && sim_content(a, &text)) {
		struct notice *n = &notice[notices++];

		n->at = sim_now();
		span_cstr(span_head(buf_span(&text), sizeof n->text - 1), n->text, sizeof n->text);
		n->whole = strstr(n->text, "a line of the body of") != NULL;
	}
	buf_release(&text);
	sim_done(a);
}

/* u1@d1.test, u2@d2.test, ...; with one host: all @d1.test */
static struct sim_attempt *send_to(unsigned count, bool one_host, const uint8_t *notify)
{
	static char addr[16][20];
	struct sim_rcpt r[16] = { 0 };
	struct sim_message m = { .sender = "a@d9.test", .count = count, .rcpt = r };

	for (unsigned i = 0; i < count; i++) {
		snprintf(addr[i], sizeof addr[i], "u%u@d%u.test", i + 1, one_host ? 1 : i + 1);
		r[i].addr = addr[i];
		r[i].notify = notify ? notify[i] : 0;
	}
	sim_ok(sim_accept(&m, NULL) == 0, "not accepted");
	sim_pass(10 * USEC_PER_MSEC);
	sim_ok(sim_attempt_count() == (one_host ? 1 : count), "%u attempts", sim_attempt_count());
	return sim_attempts;
}

/* The attempt for the host of that number. */
static struct sim_attempt *to(unsigned d)
{
	for (struct sim_attempt *a = sim_attempts; a; a = a->next)
		if (a->host.ip[3] == d)
			return a;
	return NULL;
}

/* Notice k came at that time, names exactly these recipients ("135"), and has the message or not. */
static void notice_is(unsigned k, usec_t at, const char *names, bool whole)
{
	char have[20] = "";

	if (!sim_ok(k < notices, "notice %u does not come", k + 1))
		return;
	for (unsigned i = 1; i < 10; i++) {
		char addr[8];

		snprintf(addr, sizeof addr, "u%u@d", i);
		if (strstr(notice[k].text, addr))
			snprintf(have + strlen(have), 2, "%u", i);
	}
	sim_ok(!strcmp(have, names), "notice %u names %s, want %s", k + 1, have, names);
	sim_ok(notice[k].at == at, "notice %u comes at %.6f, want %.6f", k + 1,
	       (double)(notice[k].at - SIM_BEGIN) / USEC_PER_SEC,
	       (double)(at - SIM_BEGIN) / USEC_PER_SEC);
	sim_ok(notice[k].whole == whole, "notice %u: message %s", k + 1,
	       notice[k].whole ? "is there" : "is missing");
}

static void no_more(unsigned want)
{
	sim_ok(notices == want, "%u notices, want %u", notices, want);
	sim_pass(5 * SEC);
	struct sim_rows r = sim_rows();
	sim_ok(!r.ibdb && !r.marks && !r.deferred && !r.aq && !sim_records(),
	       "left: ibdb %u, marks %u, defedb %u, aq %u", r.ibdb, r.marks, r.deferred, r.aq);
}

static void test_loops(unsigned loops, const char *options, void (*script)(void *arg),
		       const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = options, .loops = loops };

	sim_clean(NULL);
	sim_on = (struct sim_hooks){ .deliver = keep };
	is_int(sim_life(&s, script, NULL), 0, name);
}

static void test(const char *options, void (*script)(void *arg), const char *name)
{
	test_loops(1, options, script, name);
}

/* The first failure begins the wait; what fails meanwhile comes with it. */
static void merges(void *arg)
{
	(void)arg;
	send_to(5, false, NULL);
	usec_t at = sim_now();
	sim_fail(to(1), NULL);
	sim_until(at + 10 * SEC);
	sim_fail(to(2), NULL);
	sim_until(at + 20 * SEC);
	sim_done(to(3));
	sim_until(at + 30 * SEC);
	sim_later(to(4), NULL);
	sim_until(at + 60 * SEC - 1);
	sim_ok(!notices, "a notice too early");
	sim_until(at + 100 * SEC);
	notice_is(0, at + 60 * SEC, "12", true);
	/* No other is being tried: at once, and without the message. */
	sim_fail(to(5), NULL);
	sim_settle();
	notice_is(1, at + 100 * SEC, "5", false);
	/* The one that is tried again. */
	while (!sim_attempts && sim_step(at + 400 * SEC))
		;
	usec_t again = sim_now();
	if (sim_ok(sim_attempts != NULL, "not tried again"))
		sim_fail(sim_attempts, NULL);
	sim_settle();
	notice_is(2, again, "4", false);
	no_more(3);
}

/* What is deferred is waited for when its time comes soon: until it was tried once more. */
static void waits_for_deferred(void *arg)
{
	(void)arg;
	send_to(4, false, NULL);
	usec_t at = sim_now();
	sim_later(to(2), NULL);
	sim_later(to(3), NULL);
	sim_done(to(4));
	sim_until(at + SEC);
	sim_fail(to(1), NULL);
	sim_until(at + 9 * SEC);
	sim_ok(!notices, "it does not wait for what is tried in 10 s");
	while (sim_attempt_count() < 2 && sim_step(at + 30 * SEC))
		;
	usec_t again = sim_now();
	if (sim_ok(sim_attempt_count() == 2, "both are tried again")) {
		sim_later(to(3), NULL);
		sim_fail(to(2), NULL);
	}
	sim_settle();
	notice_is(0, again, "12", true);
	while (!sim_attempts && sim_step(at + 400 * SEC))
		;
	again = sim_now();
	if (sim_ok(sim_attempts != NULL, "not tried again"))
		sim_fail(sim_attempts, NULL);
	sim_settle();
	notice_is(1, again, "3", false);
	no_more(2);
}

/* A host that is down keeps its mail; the others' sender need not wait for that. */
static void parked_meanwhile(void *arg)
{
	(void)arg;
	send_to(2, false, NULL);
	usec_t at = sim_now();
	sim_fail(to(1), NULL);
	sim_until(at + SEC);
	sim_ok(!notices, "it waits for the second");
	sim_unreachable(to(2));
	sim_settle();
	notice_is(0, at + SEC, "1", true);
}

static void all_ended(void *arg)
{
	(void)arg;
	send_to(3, false, NULL);
	usec_t at = sim_now();
	sim_fail(to(1), NULL);
	sim_until(at + 10 * SEC);
	sim_fail(to(2), NULL);
	sim_until(at + 20 * SEC);
	sim_ok(!notices, "it waits for the third");
	sim_done(to(3));
	sim_settle();
	notice_is(0, at + 20 * SEC, "12", true);
	no_more(1);
}

static void too_many(void *arg)
{
	struct sim_attempt *a = send_to(7, true, NULL);
	usec_t at = sim_now();

	(void)arg;
	sim_fail(a, NULL);
	sim_settle();
	notice_is(0, at, "123", true);
	notice_is(1, at, "456", false);
	notice_is(2, at, "7", false);
	no_more(3);
}

static void no_delay(void *arg)
{
	(void)arg;
	send_to(3, false, NULL);
	usec_t at = sim_now();
	sim_fail(to(1), NULL);
	sim_pass(USEC_PER_MSEC);
	notice_is(0, at, "1", true);
	sim_fail(to(2), NULL);
	sim_pass(USEC_PER_MSEC);
	notice_is(1, at + USEC_PER_MSEC, "2", false);
	sim_done(to(3));
	no_more(2);
}

static void header_only(void *arg)
{
	struct sim_attempt *a = send_to(1, true, NULL);
	usec_t at = sim_now();

	(void)arg;
	sim_fail(a, NULL);
	sim_settle();
	notice_is(0, at, "1", false);
	no_more(1);
}

/* A bounce that waits is made again by the next life, once. */
static void waits(void *arg)
{
	(void)arg;
	send_to(2, false, NULL);
	sim_fail(to(1), NULL);
	sim_pass(30 * SEC);
	sim_ok(!notices, "a notice too early");
	sim_drop(to(2));
}

static void comes_back(void *arg)
{
	(void)arg;
	sim_pass(10 * SEC);
	while (sim_attempts) {
		if (to(1))
			sim_fail(to(1), NULL);
		else
			sim_done(sim_attempts);
		sim_settle();
	}
	sim_pass(SEC);
	sim_ok(notices == 1, "%u notices", notices);
	no_more(1);
}

static void test_restart(void)
{
	struct sim_setup s = { .slow_ticks = true };

	sim_clean(NULL);
	sim_on = (struct sim_hooks){ .deliver = keep };
	is_int(sim_life(&s, waits, NULL), 0, "a failure waits for others");
	s.started_at = SIM_BEGIN + 3600 * SEC;
	is_int(sim_life(&s, comes_back, NULL), 0, "  and is told by the next life");
}

/* ---- NOTIFY, RFC 3461 4.1 */

static const uint8_t all_kinds[] = { 0,
				     ENV_NOTIFY_NEVER,
				     ENV_NOTIFY_FAILURE,
				     ENV_NOTIFY_SUCCESS,
				     ENV_NOTIFY_DELAY,
				     ENV_NOTIFY_SUCCESS | ENV_NOTIFY_FAILURE };

static void notify_failure(void *arg)
{
	struct sim_attempt *a = send_to(6, true, all_kinds);
	usec_t at = sim_now();

	(void)arg;
	sim_fail(a, NULL);
	sim_settle();
	notice_is(0, at, "136", true);
	no_more(1);
}

static void notify_success(void *arg)
{
	struct sim_attempt *a = send_to(6, true, all_kinds);
	usec_t at = sim_now();

	(void)arg;
	sim_done(a);
	sim_settle();
	notice_is(0, at, "46", false);
	no_more(1);
}

/* The host takes the request along: nothing for us to say. */
static void notify_passed_on(void *arg)
{
	struct sim_attempt *a = send_to(6, true, all_kinds);

	(void)arg;
	sim_result(a, &(struct sim_result){ .outcome = MSG_DONE, .dsn = true });
	no_more(0);
}

static void notify_delay(void *arg)
{
	struct sim_attempt *a = send_to(6, true, all_kinds);

	(void)arg;
	sim_later(a, NULL);
	for (unsigned i = 0; i < 100 && !notices; i++) {
		while (!sim_attempts && sim_step(SIM_BEGIN + 86400 * SEC))
			;
		while (sim_attempts)
			sim_later(sim_attempts, NULL);
		sim_settle();
	}
	sim_ok(notices == 1 && notice[0].at - SIM_BEGIN >= 4 * 3600 * SEC, "%u notices", notices);
	/* Nobody is told twice. */
	for (unsigned i = 0; i < 100 && sim_now() < SIM_BEGIN + 12 * 3600 * SEC; i++) {
		while (!sim_attempts && sim_step(SIM_BEGIN + 86400 * SEC))
			;
		while (sim_attempts)
			sim_later(sim_attempts, NULL);
		sim_settle();
	}
	bool first = false, fifth = false, other = false;
	for (unsigned i = 0; i < notices; i++) {
		first = first || strstr(notice[i].text, "u1@d");
		fifth = fifth || strstr(notice[i].text, "u5@d");
		other = other || strstr(notice[i].text, "u2@d") || strstr(notice[i].text, "u3@d") ||
			strstr(notice[i].text, "u4@d") || strstr(notice[i].text, "u6@d");
	}
	sim_ok(first && fifth && !other && notices == 1, "warned: %d %d, others %d, %u notices",
	       first, fifth, other, notices);
}

/* ---- warnings */

/* All that wait are named when the first one is too old and no other is being tried. */
static void warns_of_all(void *arg)
{
	const usec_t HOUR = 3600 * SEC;

	(void)arg;
	send_to(5, false, NULL);
	usec_t at = sim_now();
	sim_fail(to(5), NULL);
	sim_done(to(4));
	sim_later(to(1), NULL);
	sim_later(to(2), NULL);
	sim_later(to(3), NULL);
	sim_settle();
	notice_is(0, at, "5", true);
	while (notices < 2 && sim_step(at + 8 * HOUR))
		if (sim_now() < at + 4 * HOUR || sim_attempt_count() == 3)
			while (sim_attempts)
				sim_later(sim_attempts, NULL);
	usec_t first = notice[1].at;
	sim_ok(notices == 2, "%u attempts", sim_attempt_count());
	sim_ok(first >= at + 4 * HOUR - SEC, "warned too early");
	notice_is(1, first, "123", false);
	sim_ok(strstr(notice[1].text, "Subject: Delayed mail") != NULL, "no warning");
	/* And that was it. */
	while (sim_now() < at + 20 * HOUR && sim_step(at + 20 * HOUR))
		while (sim_attempts)
			sim_later(sim_attempts, NULL);
	sim_ok(notices == 2, "%u notices", notices);
}

/* One is being tried for longer than merge_delay_max, another is delivered meanwhile. */
static void warning_waits(void *arg)
{
	(void)arg;
	send_to(3, false, NULL);
	usec_t at = sim_now();
	for (unsigned i = 1; i <= 3; i++)
		sim_later(to(i), NULL);
	while (sim_attempt_count() < 3 && sim_step(at + 600 * SEC))
		;
	at = sim_now();
	sim_later(to(2), NULL);
	sim_until(at + 20 * SEC);
	sim_ok(!notices, "a warning too early");
	sim_done(to(3));
	sim_until(at + 100 * SEC);
	notice_is(0, at + 60 * SEC, "12", false);
	sim_done(to(1));
	sim_settle();
	while (!sim_attempts && sim_step(at + 3600 * SEC))
		;
	sim_done(sim_attempts);
	no_more(1);
}

/* It is known in the next life, also when the one that was warned of first is gone. */
static void warned_once(void *arg)
{
	(void)arg;
	send_to(3, true, NULL);
	usec_t at = sim_now();
	sim_later(sim_attempts, NULL);
	while (!notices && sim_step(at + 7200 * SEC)) {
		struct sim_attempt *a = sim_attempts;
		uint8_t each[3] = { MSG_LATER, MSG_LATER, MSG_LATER };

		if (a)
			sim_result(a, &(struct sim_result){ .each = each });
	}
	notice_is(0, notice[0].at, "123", false);
	sim_ok(notice[0].at >= at + 3599 * SEC, "too early");
	while (!sim_attempts && sim_step(at + 7200 * SEC))
		;
	uint8_t each[3] = { MSG_DONE, MSG_LATER, MSG_LATER };
	sim_result(sim_attempts, &(struct sim_result){ .each = each });
	sim_pass(SEC);
}

static void not_again(void *arg)
{
	(void)arg;
	while (sim_now() < SIM_BEGIN + 6 * 3600 * SEC && sim_step(SIM_BEGIN + 6 * 3600 * SEC))
		while (sim_attempts)
			sim_later(sim_attempts, NULL);
	sim_ok(!notices, "warned again: %s", notice[0].text);
}

static void test_warned_once(void)
{
	static const char options[] =
		"retry_min_delay = 600; retry_max_delay = 600; queue_delay_timeout = 1h;";
	struct sim_setup s = { .slow_ticks = true, .options = options };

	test(options, warned_once, "one warning for all of a transaction");
	s.started_at = SIM_BEGIN + 7200 * SEC;
	is_int(sim_life(&s, not_again, NULL), 0, "  and none in the next life");
}

int main(void)
{
	test("", merges, "failures within merge_delay_max come together");
	test_loops(4, "", merges, "  also from four loops");
	test("retry_min_delay = 10s;", waits_for_deferred,
	     "what is tried again soon comes with it");
	test("", parked_meanwhile, "nothing waits for a host that is down");
	test("", all_ended, "nothing else is tried: at once");
	test_loops(4, "", all_ended, "  also from four loops");
	test("", warns_of_all, "one warning for all that wait");
	test_loops(4, "", warns_of_all, "  also from four loops");
	test("retry_min_delay = 300; retry_max_delay = 300; queue_delay_timeout = 120s;",
	     warning_waits, "a warning waits for those that are being tried");
	test_warned_once();
	test("DSN_handling { max_errors_per_DSN = 3; }", too_many, "max_errors_per_DSN");
	test("DSN_handling { merge_delay_max = 0; }", no_delay, "merge_delay_max = 0");
	test("DSN_handling { flags = { header_only }; }", header_only, "header_only");
	test_restart();
	test("", notify_failure, "NOTIFY and failures");
	test("", notify_success, "NOTIFY and deliveries");
	test("", notify_passed_on, "NOTIFY and a host that takes it");
	test("", notify_delay, "NOTIFY and warnings");
	return plan_done();
}
