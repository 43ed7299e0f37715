/* Whose turn it is: destinations, senders; what becomes of attempts that take too long. */
#include "queue/retry.h"
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST = 100000, ATTEMPTS_MAX = 4000 };
static const usec_t SEC = USEC_PER_SEC, MINUTE = 60 * (usec_t)USEC_PER_SEC;

/* Starts in order: first letter of the sender, last number of the host. */
static struct {
	unsigned count;
	char sender[ATTEMPTS_MAX + 1], host[ATTEMPTS_MAX + 1];
} started;

static void keep(struct sim_attempt *a)
{
	char text[ADDR_TEXT_MAX];

	if (started.count == ATTEMPTS_MAX)
		return;
	addr_text(&a->host, text);
	started.sender[started.count] = a->env.sender.n ? a->env.sender.p[0] : '-';
	started.host[started.count++] = text[strlen(text) - 1];
}

static void mails(unsigned n, const char *sender, const char *rcpt)
{
	for (unsigned i = 0; i < n; i++)
		sim_mail(sender, rcpt);
}

static void oldest_done(void)
{
	if (sim_attempts)
		sim_done(sim_attempts);
	sim_pass(10 * USEC_PER_MSEC);
}

static unsigned open_of(char sender)
{
	unsigned n = 0;

	for (struct sim_attempt *a = sim_attempts; a; a = a->next)
		n += a->env.sender.n && a->env.sender.p[0] == sender;
	return n;
}

static void all_done(void)
{
	for (unsigned i = 0; sim_attempts && i < 20000; i++)
		oldest_done();
	sim_ok(!sim_attempts, "attempts go on");
	sim_pass(SEC);
	struct sim_rows r = sim_rows();
	sim_ok(!r.ibdb && !r.marks && !r.deferred && !r.due && !r.aq && !sim_records(),
	       "left: ibdb %u, marks %u, defedb %u, due %u, aq %u, records %u", r.ibdb, r.marks,
	       r.deferred, r.due, r.aq, sim_records());
}

static void test(const char *options, void (*script)(void *arg), const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = options };

	sim_clean(NULL);
	sim_on = (struct sim_hooks){ .deliver = keep };
	is_int(sim_life(&s, script, NULL), 0, name);
}

/* ---- a large list and a single message */

static void list(void *arg)
{
	static char addr[LIST][16];
	struct sim_rcpt *r = calloc(LIST, sizeof *r);
	struct sim_message m = { .sender = "list@d9.test", .count = LIST, .rcpt = r };

	(void)arg;
	for (unsigned i = 0; i < LIST; i++) {
		snprintf(addr[i], sizeof addr[i], "u%u@d1.test", i);
		r[i].addr = addr[i];
	}
	sim_ok(sim_accept(&m, NULL) == 0, "the list is not accepted");
	sim_pass(10 * USEC_PER_MSEC);
	sim_ok(open_of('l') == 10, "alone it has all slots: %u", open_of('l'));
	for (unsigned i = 0; i < 50; i++)
		oldest_done();
	sim_ok(open_of('l') == 10, "and keeps them: %u", open_of('l'));

	/* One message: the first slot that is free. */
	mails(1, "x@d9.test", "b@d1.test");
	sim_pass(SEC);
	sim_ok(open_of('x') == 0 && open_of('l') == 10, "no slot was free");
	oldest_done();
	sim_ok(open_of('x') == 1 && open_of('l') == 9, "it has the first slot that is free");

	/* Many messages: half of the slots after as many turns, and the list has the other half. */
	mails(40, "x@d9.test", "b@d1.test");
	for (unsigned i = 0; i < 8; i++) {
		while (sim_attempts->env.sender.p[0] != 'l')
			oldest_done();
		oldest_done();
	}
	unsigned most = 0, least = 10;
	for (unsigned i = 0; i < 20; i++) {
		unsigned n = open_of('l');

		most = n > most ? n : most;
		least = n < least ? n : least;
		oldest_done();
	}
	sim_ok(most == 5 && least == 5, "the list has %u to %u of 10 slots while others wait",
	       least, most);
	all_done();
	free(r);
}

/* ---- senders and destinations in turn */

static void senders(void *arg)
{
	(void)arg;
	sim_smtpc_end();
	mails(10, "a@d9.test", "b@d1.test");
	mails(10, "b@d9.test", "b@d1.test");
	mails(1, "c@d9.test", "b@d1.test");
	sim_pass(SEC);
	sim_smtpc_begin();
	sim_pass(SEC);
	while (sim_attempts && started.count < 21)
		oldest_done();
	sim_ok(!strcmp(started.sender, "abcababababababababab"), "in turn: %s", started.sender);
	all_done();
}

/* Two clients with one sender address are two. */
static void clients(void *arg)
{
	struct sim_rcpt r = { .addr = "b@d1.test" };
	struct sim_message m = { .sender = "a@d9.test", .count = 1, .rcpt = &r };

	(void)arg;
	mails(20, "a@d9.test", "b@d1.test");
	sim_pass(SEC);
	m.client = "192.0.2.77";
	m.sender = "a@d9.test";
	sim_accept(&m, NULL);
	sim_pass(SEC);
	unsigned before = started.count;
	oldest_done();
	oldest_done();
	bool found = false;
	for (struct sim_attempt *a = sim_attempts; a; a = a->next)
		found = found || a->env.client.ip[3] == 77;
	sim_ok(found && started.count == before + 2, "the other client waits for more than a turn");
	all_done();
}

static void destinations(void *arg)
{
	char to[20];

	(void)arg;
	sim_smtpc_end();
	mails(30, "a@d9.test", "b@d1.test");
	for (unsigned d = 2; d <= 5; d++) {
		snprintf(to, sizeof to, "b@d%u.test", d);
		mails(3, "a@d9.test", to);
	}
	sim_pass(SEC);
	sim_smtpc_begin();
	sim_pass(SEC);
	/* Three rounds of one attempt each; then the first goes on alone. */
	for (unsigned round = 0; round < 3; round++) {
		unsigned seen = 0;

		for (unsigned i = 0; i < 5; i++)
			seen |= 1u << (started.host[round * 5 + i] - '0');
		sim_ok(seen == 0x3e, "round %u: %.15s", round, started.host);
	}
	sim_ok(started.count == 10 + 4 * 3 && !strcmp(started.host + 15, "1111111"),
	       "then the rest: %s", started.host);
	all_done();
}

/* ---- what takes too long */

static void scheduler_timeout(void *arg)
{
	(void)arg;
	mails(5, "a@d9.test", "b@d1.test");
	sim_pass(120 * MINUTE - 2 * SEC);
	struct sim_rows r = sim_rows();
	sim_ok(r.aq == 5 && !r.deferred, "before its time: aq %u, defedb %u", r.aq, r.deferred);
	sim_pass(61 * SEC + 2 * SEC);
	r = sim_rows();
	sim_ok(r.aq == 1 && r.deferred == 4, "after it: aq %u, defedb %u", r.aq, r.deferred);
	sim_ok(sim_attempt_count() == 1, "the one that is being tried stays");
	sim_done(sim_attempts);
	sim_pass(15 * MINUTE);
	for (unsigned i = 0; i < 4; i++) {
		sim_ok(sim_attempt_count() == 1, "the others come back: %u", sim_attempt_count());
		oldest_done();
	}
	sim_ok(started.count == 5, "%u attempts", started.count);
	all_done();
}

static usec_t cancelled_at;

static void note_cancel(struct sim_attempt *a)
{
	sim_ok(a == sim_attempts && !cancelled_at, "cancelled twice");
	cancelled_at = sim_now();
}

static void cancel_is_confirmed(void *arg)
{
	usec_t at = sim_now();
	uint64_t ta;

	(void)arg;
	sim_on.cancel = note_cancel;
	ta = sim_mail("a@d9.test", "b@d1.test");
	sim_pass(60 * MINUTE - 1);
	sim_ok(!cancelled_at, "cancelled before its time");
	sim_pass(3 * 60 * MINUTE);
	sim_ok(cancelled_at == at + 60 * MINUTE, "cancelled after %.6f s",
	       (double)(cancelled_at - at) / USEC_PER_SEC);
	sim_ok(sim_attempt_count() == 1 && started.count == 1, "tried again before it has ended");
	/* It has ended: that was the first attempt. */
	at = sim_now();
	sim_later(sim_attempts, NULL);
	usec_t next = at + retry_delay(300 * SEC, 240 * MINUTE, 1,
				       (uint32_t)hash_mix(ta, (uint64_t)1 << 32));
	sim_until(next - 1);
	sim_ok(started.count == 1, "tried before its time");
	sim_until(next);
	sim_ok(started.count == 2, "not tried in time");
	all_done();
}

static void cancel_and_done(void *arg)
{
	(void)arg;
	sim_on.cancel = note_cancel;
	sim_mail("a@d9.test", "b@d1.test");
	sim_pass(61 * MINUTE);
	sim_ok(cancelled_at, "not cancelled");
	sim_done(sim_attempts);
	sim_pass(24 * 60 * MINUTE);
	sim_ok(started.count == 1, "delivered %u times", started.count);
	all_done();
}

static void smtpc_dies(void *arg)
{
	(void)arg;
	sim_mail("a@d9.test", "b@d1.test");
	sim_pass(MINUTE);
	usec_t at = sim_now();
	sim_smtpc_end();
	sim_pass(10 * SEC);
	sim_smtpc_begin();
	sim_pass(SEC);
	sim_ok(started.count == 2 && sim_attempt_count() == 1, "%u attempts", started.count);
	sim_ok(sim_attempts && sim_attempts->at - at < 12 * SEC, "tried again late");
	all_done();
}

int main(void)
{
	test("smtpc { initial_connections = 10; max_connections = 10; "
	     "smtp_max_rcpts_per_transaction = 100; }",
	     list, "a list of 100000 and others");
	test("smtpc { initial_connections = 2; max_connections = 2; }", senders,
	     "senders take turns");
	test("smtpc { initial_connections = 2; max_connections = 2; }", clients,
	     "clients take turns");
	test("smtpc { initial_connections = 10; max_connections = 10; }", destinations,
	     "destinations take turns");
	test("smtpc { initial_connections = 1; max_connections = 1; } delivery_timeout = 1d;",
	     scheduler_timeout, "scheduler_timeout");
	test("", cancel_is_confirmed,
	     "delivery_timeout: a second attempt when the first has ended");
	test("", cancel_and_done, "delivery_timeout: it was delivered all the same");
	test("", smtpc_dies, "smtpc dies: tried again by the next one");
	return plan_done();
}
