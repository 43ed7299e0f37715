/* Options that are times, numbers of connections or sizes: each differs from its default, has its
 * effect to the microsecond, and another one after a reload. */
#include "core/err.h"
#include "queue/retry.h"
#include "tests/queue/sim.h"
#include "tests/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const usec_t SEC = USEC_PER_SEC, MSEC = USEC_PER_MSEC;

static void keep(struct sim_attempt *a)
{
	(void)a;
}

static void test(const char *options, void (*script)(void *arg), void *arg, const char *name)
{
	struct sim_setup s = { .slow_ticks = true, .options = options };

	sim_clean(NULL);
	sim_on.deliver = keep;
	is_int(sim_life(&s, script, arg), 0, name);
	sim_on = (struct sim_hooks){ 0 };
}

/* Puts `to` in place of `from` in the configuration, which qmgr then reads again. */
static void reload(const char *from, const char *to)
{
	char text[8192];
	FILE *f = fopen("smx.conf", "r");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	char *at = strstr(text, from);
	f = fopen("smx.conf", "w");
	if (!at || !f)
		panic("no '%s' in the configuration", from);
	fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	fclose(f);
	char *said = sim_ask("reload");
	sim_ok(!strncmp(said, "reloaded\n", 9), "reload says %s", said);
	free(said);
}

/* The number behind this name in an answer of the control socket. */
static uint64_t number(const char *request, const char *name)
{
	char *text = sim_ask(request), key[80];

	snprintf(key, sizeof key, "\"%s\":", name);
	char *at = strstr(text, key);
	uint64_t n = at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
	sim_ok(at != NULL, "no %s in %s", name, text);
	free(text);
	return n;
}

/* The status says so at that time, and a millisecond before it did not. */
static void becomes(usec_t at, const char *name, uint64_t before, uint64_t after)
{
	sim_until(at - MSEC);
	uint64_t n = number("status json", name);
	sim_ok(n == before, "%s: %" PRIu64 " before its time, want %" PRIu64, name, n, before);
	sim_until(at + MSEC);
	n = number("status json", name);
	sim_ok(n == after, "%s: %" PRIu64 " after it, want %" PRIu64, name, n, after);
}

/* ---- commits */

static usec_t committed_at;

static void committed(uint64_t ta, unsigned code)
{
	(void)ta;
	sim_ok(code == 0, "refused with %u", code);
	committed_at = sim_now();
}

static void commit_one(void)
{
	struct sim_rcpt r = { .addr = "b@d7.test" };
	struct sim_message m = { .sender = "a@d9.test", .count = 1, .rcpt = &r };

	committed_at = 0;
	sim_commit(&m);
}

static usec_t answer_after(void)
{
	usec_t at = sim_now();

	commit_one();
	while (!committed_at && sim_step(at + 2 * SEC))
		;
	sim_pass(SEC);
	return committed_at - at;
}

/* Groups of eight, so that the committer believes in company. */
static void company(void)
{
	for (unsigned i = 0; i < 40; i++) {
		for (unsigned k = 0; k < 8; k++)
			commit_one();
		sim_pass(SEC);
	}
}

static void commit_hold(void *arg)
{
	usec_t want = *(const usec_t *)arg, took;

	took = answer_after();
	sim_ok(took == 0, "a lone one waits for %" PRId64 " us", took);
	company();
	took = answer_after();
	sim_ok(took == want, "held for %" PRId64 " us, want %" PRId64, took, want);
	if (want != 5000)
		return;
	reload("commit_hold = 5000", "commit_hold = 0");
	company();
	took = answer_after();
	sim_ok(took == 0, "after a reload for %" PRId64 " us", took);
}

static struct sim_disk *disk;

static void batch_after(usec_t want)
{
	usec_t at;

	sim_pass(70 * SEC);
	at = sim_now();
	commit_one();
	sim_settle();
	sim_ok(committed_at == at, "the client waits for %" PRId64 " us", committed_at - at);
	if (!want)
		sim_ok(disk->written_at == at, "answered before it is in the database");
	sim_pass(70 * SEC);
	usec_t took = disk->written_at - at;
	sim_ok(took == want, "in the database after %" PRId64 " us, want %" PRId64, took, want);
}

static void max_commit_delay(void *arg)
{
	usec_t want = *(const usec_t *)arg;

	sim_watch_disk(disk);
	batch_after(want);
	if (want != 7000000)
		return;
	reload("max_commit_delay = 7000000", "max_commit_delay = 300");
	batch_after(300);
}

static void commits(void)
{
	static usec_t hold[] = { 300, 5000, 0 }, delay[] = { 100000, 7000000, 0 };

	sim_on.committed = committed;
	test("", commit_hold, &hold[0], "commit_hold by default");
	sim_on.committed = committed;
	test("commit_hold = 5000;", commit_hold, &hold[1], "commit_hold");
	sim_on.committed = committed;
	test("commit_hold = 0;", commit_hold, &hold[2], "commit_hold = 0");
	disk = sim_shared(sizeof *disk);
	sim_on.committed = committed;
	test("", max_commit_delay, &delay[0], "IBDB.max_commit_delay by default");
	sim_on.committed = committed;
	test("IBDB { max_commit_delay = 7000000; }", max_commit_delay, &delay[1],
	     "IBDB.max_commit_delay");
	sim_on.committed = committed;
	test("IBDB { max_commit_delay = 0; }", max_commit_delay, &delay[2],
	     "IBDB.max_commit_delay = 0");
}

/* ---- waiting for others */

static void wait_for_client(void *arg)
{
	usec_t want = *(const usec_t *)arg;

	sim_mail("a@d9.test", "b@d7.test");
	sim_settle();
	sim_ok(sim_attempt_count() == 1, "no attempt");
	sim_smtpc_end();
	becomes(sim_now() + want, "attempts", 1, 0);
	if (want != 40 * SEC)
		return;
	reload("wait_for_client = 40", "wait_for_client = 2");
	sim_smtpc_begin();
	sim_pass(SEC);
	sim_ok(sim_attempt_count() == 1, "not tried again");
	sim_smtpc_end();
	becomes(sim_now() + 2 * SEC, "attempts", 1, 0);
}

static usec_t cancelled_at;

static void note_cancel(struct sim_attempt *a)
{
	(void)a;
	cancelled_at = sim_now();
}

/* The next attempt that goes on is given up then. */
static void cancelled_after(usec_t want)
{
	usec_t at = sim_now();

	cancelled_at = 0;
	sim_mail("a@d9.test", "b@d7.test");
	while (!cancelled_at && sim_step(at + 7200 * SEC))
		;
	sim_ok(cancelled_at == at + want, "cancelled after %" PRId64 " us, want %" PRId64,
	       cancelled_at - at, want);
	if (sim_attempts)
		sim_done(sim_attempts);
}

static void delivery_timeout(void *arg)
{
	usec_t want = *(const usec_t *)arg;

	sim_on.cancel = note_cancel;
	cancelled_after(want);
	if (want != 100 * SEC)
		return;
	reload("delivery_timeout = 100", "delivery_timeout = 20");
	cancelled_after(20 * SEC);
}

/* All wait for one connection that is busy; the sweep that looks for them comes
 * every ten minutes with slow_ticks. */
static void aq_after(usec_t want)
{
	usec_t at = sim_now(), left = 0;

	while (!left && sim_step(at + 20000 * SEC))
		if (sim_rows().deferred)
			left = sim_now();
	sim_ok(left >= at + want && left <= at + want + 602 * SEC,
	       "out of AQ after %" PRId64 " s, want %" PRId64, (left - at) / SEC, want / SEC);
}

static void scheduler_timeout(void *arg)
{
	usec_t want = *(const usec_t *)arg;

	for (unsigned i = 0; i < 3; i++)
		sim_mail("a@d9.test", "b@d7.test");
	aq_after(want);
}

/* smar is not where SMAR_socket says, or does not answer. */
static void no_route(void *arg)
{
	usec_t want = *(const usec_t *)arg;

	sim_mail("a@d9.test", "b@d7.test");
	sim_settle();
	becomes(sim_now() + want, "deferred", 0, 1);
	if (want == 40 * SEC)
		reload("wait_for_server = 40", "wait_for_server = 2");
	else if (want == 30 * SEC)
		reload("SMAR_timeout = 30", "SMAR_timeout = 2");
	else
		return;
	sim_mail("a@d9.test", "b@d7.test");
	sim_settle();
	becomes(sim_now() + 2 * SEC, "deferred", 1, 2);
}

static int silent(struct span rcpt, struct route *out)
{
	(void)rcpt;
	(void)out;
	return -1;
}

static void waits(void)
{
	static usec_t four = 4 * (usec_t)USEC_PER_SEC, thirty = 30 * (usec_t)USEC_PER_SEC,
		      forty = 40 * (usec_t)USEC_PER_SEC, sixty = 60 * (usec_t)USEC_PER_SEC,
		      hundred = 100 * (usec_t)USEC_PER_SEC, hour = 3600 * (usec_t)USEC_PER_SEC,
		      hours = 7200 * (usec_t)USEC_PER_SEC;

	test("", wait_for_client, &four, "wait_for_client by default");
	test("wait_for_client = 40;", wait_for_client, &forty, "wait_for_client");
	test("} SMAR_socket = \"qmsmar/other\"; smar {", no_route, &four,
	     "wait_for_server by default; SMAR_socket");
	test("wait_for_server = 40; } SMAR_socket = \"qmsmar/other\"; smar {", no_route, &forty,
	     "wait_for_server");
	sim_on.route = silent;
	test("", no_route, &sixty, "SMAR_timeout by default");
	sim_on.route = silent;
	test("SMAR_timeout = 30;", no_route, &thirty, "SMAR_timeout");
	test("", delivery_timeout, &hour, "delivery_timeout by default");
	test("delivery_timeout = 100;", delivery_timeout, &hundred, "delivery_timeout");
	test("delivery_timeout = 1d; smtpc { initial_connections = 1; max_connections = 1; }",
	     scheduler_timeout, &hours, "scheduler_timeout by default");
	test("delivery_timeout = 1d; smtpc { initial_connections = 1; max_connections = 1; } "
	     "scheduler_timeout = 100;",
	     scheduler_timeout, &hundred, "scheduler_timeout");
}

/* ---- transactions and connections out */

static int by_lmtp(struct span rcpt, struct route *out)
{
	(void)rcpt;
	*out = sim_route("10.0.0.7");
	out->mailer = ROUTE_LMTP;
	return 0;
}

enum { RCPTS = 25 };

/* So many recipients in one transaction, the rest in the next. */
static void parts(unsigned want)
{
	static char addr[RCPTS][20];
	struct sim_rcpt r[RCPTS] = { 0 };
	struct sim_message m = { .sender = "a@d9.test", .count = RCPTS, .rcpt = r };

	for (unsigned i = 0; i < RCPTS; i++) {
		snprintf(addr[i], sizeof addr[i], "u%u@d7.test", i);
		r[i].addr = addr[i];
	}
	sim_ok(sim_accept(&m, NULL) == 0, "not accepted");
	sim_pass(10 * MSEC);
	for (unsigned left = RCPTS; left; left -= left < want ? left : want) {
		unsigned n = sim_attempts ? sim_attempts->env.rcpt_count : 0;

		sim_ok(n == (left < want ? left : want), "%u recipients of %u, want %u", n, left,
		       want);
		if (sim_attempts)
			sim_done(sim_attempts);
		sim_pass(10 * MSEC);
	}
	sim_ok(!sim_attempts, "more attempts");
}

static void rcpts_per_transaction(void *arg)
{
	parts(*(const unsigned *)arg);
	if (*(const unsigned *)arg != 10)
		return;
	reload("max_rcpts_per_transaction = 10", "max_rcpts_per_transaction = 20");
	parts(20);
}

static void connections(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 20; i++)
		sim_mail("a@d9.test", "b@d1.test");
	sim_pass(SEC);
	sim_ok(sim_attempt_count() == 2, "%u at first, want 2", sim_attempt_count());
	for (unsigned i = 0; i < 6; i++) {
		sim_done(sim_attempts);
		sim_pass(SEC);
	}
	sim_ok(sim_attempt_count() == 5, "%u later, want 5", sim_attempt_count());
	reload("initial_connections = 2; max_connections = 5",
	       "initial_connections = 3; max_connections = 4");
	sim_done(sim_attempts);
	sim_done(sim_attempts);
	sim_pass(SEC);
	sim_ok(sim_attempt_count() == 4, "%u after the reload, want 4", sim_attempt_count());
	for (unsigned i = 0; i < 20; i++)
		sim_mail("a@d9.test", "b@d2.test");
	sim_pass(SEC);
	sim_ok(sim_attempt_count() == 4 + 3, "%u with a new host, want 7", sim_attempt_count());
}

static void one_more(bool want)
{
	struct sim_attempt *a;

	sim_mail("a@d9.test", "b@d1.test");
	sim_pass(10 * SEC);
	a = sim_attempts;
	if (!sim_ok(a != NULL, "no attempt"))
		return;
	sim_ok(a->keep == want, "the session is %skept", a->keep ? "" : "not ");
	sim_done(a);
	sim_pass(10 * SEC);
}

static void reuse_connection(void *arg)
{
	(void)arg;
	one_more(true);
	reload("reuse_connection", "dont_reuse_connection");
	one_more(false);
}

static void once_per_session(void *arg)
{
	(void)arg;
	one_more(false);
}

static void many_hosts(void *arg)
{
	char to[20];
	unsigned want = *(const unsigned *)arg;

	sim_on.deliver = NULL;
	for (unsigned i = 1; i <= 60; i++) {
		snprintf(to, sizeof to, "b@d%u.test", i);
		sim_mail("a@d9.test", to);
		sim_pass(10 * MSEC);
	}
	sim_ok(number("stats json", "outgoing_hosts") == 60, "not all are there at first");
	sim_pass(600 * SEC);
	uint64_t n = number("stats json", "outgoing_hosts");
	sim_ok(n == want, "%" PRIu64 " hosts are remembered, want %u", n, want);
}

static uint32_t spread_of(uint64_t ta, uint64_t attempt)
{
	return (uint32_t)hash_mix(ta, attempt << 32);
}

static void retry(void *arg)
{
	uint64_t ta = sim_mail("a@d9.test", "b@d1.test");
	usec_t at = sim_now();

	(void)arg;
	sim_settle();
	sim_later(sim_attempts, NULL);
	usec_t next = at + retry_delay(100 * SEC, 1000 * SEC, 1, spread_of(ta, 1));
	sim_until(next - 1);
	sim_ok(!sim_attempts, "tried before its time");
	sim_until(next);
	if (!sim_ok(sim_attempts != NULL, "not tried in time"))
		return;
	reload("retry_min_delay = 100", "retry_min_delay = 400");
	at = sim_now();
	sim_later(sim_attempts, NULL);
	next = at + retry_delay(400 * SEC, 1000 * SEC, 2, spread_of(ta, 2));
	sim_until(next - 1);
	sim_ok(!sim_attempts, "tried before the new time");
	sim_until(next);
	sim_ok(sim_attempts != NULL, "not tried in the new time");
}

static void outgoing(void)
{
	static unsigned hundred = 1000, ten = 10, seven = 7, sixty = 60, sixteen = 16;

	sim_on.route = by_lmtp;
	test("smtpc { smtp_max_rcpts_per_transaction = 7; }", rcpts_per_transaction, &hundred,
	     "smtpc.lmtp_max_rcpts_per_transaction by default");
	sim_on.route = by_lmtp;
	test("smtpc { lmtp_max_rcpts_per_transaction = 10; }", rcpts_per_transaction, &ten,
	     "smtpc.lmtp_max_rcpts_per_transaction");
	test("smtpc { smtp_max_rcpts_per_transaction = 10; }", rcpts_per_transaction, &ten,
	     "smtpc.smtp_max_rcpts_per_transaction");
	test("smtpc { smtp_max_rcpts_per_transaction = 7; lmtp_max_rcpts_per_transaction = 3; }",
	     rcpts_per_transaction, &seven, "each for its own mailer");
	test("smtpc { initial_connections = 2; max_connections = 5; }", connections, NULL,
	     "smtpc.initial_connections, smtpc.max_connections");
	test("", once_per_session, NULL, "sessions are not kept by default");
	test("flags = reuse_connection;", reuse_connection, NULL, "reuse_connection");
	test("", many_hosts, &sixty, "OCC_max_entries by default");
	test("OCC_max_entries = 16;", many_hosts, &sixteen, "OCC_max_entries");
	test("retry_min_delay = 100; retry_max_delay = 1000;", retry, NULL, "retry_min_delay");
}

/* ---- clients */

static void many_clients(void *arg)
{
	char ip[20];

	for (unsigned i = 1; i <= 60; i++) {
		snprintf(ip, sizeof ip, "192.0.2.%u", i);
		sim_ok(sim_connect(ip) == 0, "%s is refused", ip);
	}
	uint64_t n = number("status json", "clients");
	sim_ok(n == *(const unsigned *)arg, "%" PRIu64 " are counted, want %u", n,
	       *(const unsigned *)arg);
}

static unsigned let_in(const char *client, unsigned tries)
{
	unsigned n = 0;

	for (unsigned i = 0; i < tries; i++)
		n += sim_connect(client) == 0;
	return n;
}

static void connection_limits(void *arg)
{
	(void)arg;
	sim_ok(let_in("192.0.2.1", 20) == 4, "max_connections");
	reload("max_connections = 4", "max_connections = 6");
	sim_ok(let_in("192.0.2.1", 20) == 2, "max_connections after a reload");
	sim_ok(let_in("192.0.2.2", 20) == 6, "of another client too");
	reload("max_connections = 6; max_connection_rate = 50",
	       "max_connections = 100; max_connection_rate = 7");
	sim_ok(let_in("192.0.2.3", 20) == 7, "max_connection_rate after a reload");
}

static void clients(void)
{
	static unsigned sixty = 60, sixteen = 16;

	test("", many_clients, &sixty, "smtps.connection_control_cache_size by default");
	test("smtps { connection_control_cache_size = 16; }", many_clients, &sixteen,
	     "smtps.connection_control_cache_size");
	test("smtps { max_connections = 4; max_connection_rate = 50; }", connection_limits, NULL,
	     "smtps.max_connections, smtps.max_connection_rate");
}

/* ---- notices */

static void returned(void *arg)
{
	struct sim_rcpt r = { .addr = "b@d7.test" };
	struct sim_message m = { .sender = "a@d9.test", .count = 1, .rcpt = &r, .size = 5000 };
	bool want = *(const bool *)arg;
	struct buf b = { 0 };

	sim_ok(sim_accept(&m, NULL) == 0, "not accepted");
	sim_pass(SEC);
	sim_fail(sim_attempts, NULL);
	sim_pass(100 * SEC);
	if (!sim_ok(sim_attempts && sim_content(sim_attempts, &b), "no notice"))
		return;
	buf_add(&b, "", 1);
	sim_ok((strstr(b.p + b.r, "a line of the body") != NULL) == want, "the message %s",
	       want ? "is missing" : "is there");
	buf_release(&b);
}

static void notices(void)
{
	static bool whole = true, header = false;

	test("", returned, &whole, "DSN_handling.max_returned_size by default");
	test("DSN_handling { max_returned_size = 4KB; }", returned, &header,
	     "DSN_handling.max_returned_size");
	test("DSN_handling { max_returned_size = 6KB; }", returned, &whole, "that is enough");
}

int main(void)
{
	commits();
	waits();
	outgoing();
	clients();
	notices();
	return plan_done();
}
