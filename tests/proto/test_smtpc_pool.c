/* Sessions that are kept, used again, found dead, and given up. */
#include "proto/smtpc_pool.h"

#include "proto/smtpc_session.h"
#include "tests/proto/smtpc_fake.h"

static const struct env_rcpt one[] = {
	{ .addr = SPAN("a@x.test"), .idx = 0, .route = ENV_NO_ROUTE }
};
static const struct envelope usual = { .sender = SPAN("s@y.test"),
				       .rcpt_count = 1,
				       .rcpt = (struct env_rcpt *)one };

static void deliver(struct fake *f)
{
	fake_deliver(f, ROUTE_ESMTP, &usual, "x\r\n", 3, 0, 0);
}

/* One message more; its outcome, or -1. */
static int deliver_and_wait(struct fake *f)
{
	int n = f->result_count;

	deliver(f);
	return fake_wait(f, n + 1) ? f->result[n].outcome[0] : -1;
}

static void turns(struct fake *f, int n)
{
	while (n--)
		loop_turn(f->loop, 1000);
}

static void test_links(void)
{
	static struct smtpc_pool p;
	static struct smtpc_session s[4];
	struct smtpc_key other = { ROUTE_LMTP, { .family = ADDR_IPV4, .ip = { 192, 0, 2, 1 } } };
	struct smtpc_key key = { ROUTE_ESMTP, { .family = ADDR_IPV4, .ip = { 192, 0, 2, 1 } } };

	for (int i = 0; i < 4; i++) {
		s[i].idle.session = &s[i];
		s[i].key = i == 2 ? other : key;
		smtpc_pool_put(&p, &s[i].idle);
	}
	is_int(p.count, 4, "four are in");
	ok(smtpc_pool_oldest(&p) == &s[0], "the first is the oldest");
	ok(smtpc_pool_take(&p, &key) == &s[3], "the last one is taken");
	ok(smtpc_pool_take(&p, &other) == &s[2], "the mailer counts");
	ok(smtpc_pool_take(&p, &other) == NULL && !smtpc_pool_has(&p, &other), "there is only one");
	smtpc_pool_remove(&p, &s[0].idle);
	smtpc_pool_remove(&p, &s[0].idle);
	ok(smtpc_pool_oldest(&p) == &s[1], "the next is the oldest");
	key.host.port = 26;
	ok(!smtpc_pool_has(&p, &key), "the port counts");
	key.host.port = 0;
	ok(smtpc_pool_take(&p, &key) == &s[1], "the last one");
	ok(p.count == 0 && !smtpc_pool_oldest(&p), "empty");
}

static void test_reuse(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	for (int i = 0; i < 5; i++)
		is_int(deliver_and_wait(&f), MSG_DONE, "a message");
	is_int(f.conn_count, 1, "one connection for five");
	is_int(f.conn[0]->commands, 1 + 5 * 3, "EHLO once, no RSET");
	is_int(f.result[4].conn, MSG_CONN_IDLE, "it is idle");
	deliver(&f);
	deliver(&f);
	ok(fake_wait(&f, 7), "two at once");
	is_int(f.conn_count, 2, "need two");
	is_int(f.engine.idle.count, 2, "both are kept");
	is_int(f.gone_count, 0, "nothing was closed");
	fake_free(&f);
}

static void test_rset(const char *ehlo)
{
	static struct fake f;

	fake_init(&f, NULL);
	f.ehlo = ehlo;
	f.pipelining = strstr(ehlo, "PIPELINING");
	f.rule[0] = (struct fake_rule){ "rcpt", NULL, 1, "550 5.1.1 no" };
	is_int(deliver_and_wait(&f), MSG_FAILED, "a refused recipient");
	is_int(f.result[0].conn, MSG_CONN_IDLE, "the session is kept");
	buf_eat(&f.log, buf_len(&f.log));
	is_int(deliver_and_wait(&f), MSG_DONE, "the next message");
	is_str(fake_log(&f), "RSET\nMAIL FROM:<s@y.test>\nRCPT TO:<a@x.test>\nDATA\n",
	       "begins with RSET");
	is_int(f.conn_count, 1, "on the same connection");
	is_int(f.anomalies, 0, "in order");
	fake_free(&f);
}

struct dead {
	const char *name;
	struct fake_rule rule;
	int conns, outcome;
};

/* What the second message over a connection meets. */
static const struct dead deads[] = {
	{ "closed at MAIL", { "mail", NULL, 1, "@close" }, 2, MSG_DONE },
	{ "reset at MAIL", { "mail", NULL, 1, "@reset" }, 2, MSG_DONE },
	{ "421 at MAIL", { "mail", NULL, 1, "421 4.4.2 idle too long@close" }, 2, MSG_DONE },
	{ "stalls at MAIL", { "mail", NULL, 1, "@stall" }, 2, MSG_DONE },
	{ "dead twice", { "mail", NULL, 2, "@close" }, 2, MSG_LATER },
	{ "451 at MAIL is an answer", { "mail", NULL, 1, "451 4.3.0 later" }, 1, MSG_LATER },
	{ "closed at RCPT", { "rcpt", NULL, 1, "@close" }, 1, MSG_LATER },
	{ "closed at the dot", { "dot", NULL, 1, "@close" }, 1, MSG_LATER },
};

static void test_dead(void)
{
	for (size_t i = 0; i < sizeof deads / sizeof deads[0]; i++) {
		static struct fake f;
		struct smtpc_settings s = { .io_timeout_usec = 100000 };

		fake_init(&f, &s);
		is_int(deliver_and_wait(&f), MSG_DONE, deads[i].name);
		f.rule[0] = deads[i].rule;
		int n = f.result_count;
		deliver(&f);
		usec_t end = clock_now() + 10 * USEC_PER_SEC;
		while (f.result_count == n && clock_now() < end) {
			loop_turn(f.loop, 10000);
			if (f.conn_count > 1)
				f.deaf = false;
		}
		is_int(f.result[n].outcome[0], deads[i].outcome, "outcome");
		is_int(f.conn_count, deads[i].conns, "connections");
		is_int(f.result_count, n + 1, "one result");
		is_int(f.gone_count, 0, "qmgr does not see the change");
		fake_free(&f);
	}
}

static void test_idle_closed(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	deliver_and_wait(&f);
	fake_send(f.conn[0], "421 4.4.2 idle too long\r\n", 25);
	fake_close(f.conn[0], false);
	turns(&f, 5);
	is_int(f.gone_count, 1, "an idle session that the server closes is reported");
	is_int(f.engine.session_count, 0, "and closed");
	is_int(deliver_and_wait(&f), MSG_DONE, "the next message");
	is_int(f.conn_count, 2, "opens another");
	fake_send(f.conn[1], "250 hello\r\n", 11);
	turns(&f, 5);
	is_int(f.gone_count, 2, "an idle session that speaks is closed");
	fake_free(&f);
}

static void test_idle_time(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	f.engine.setup.idle_usec = 30000;
	deliver_and_wait(&f);
	ok(fake_wait_open(&f, 0), "closed after the idle time");
	ok(strstr(fake_log(&f), "\nQUIT\n") != NULL, "with QUIT");
	turns(&f, 3);
	is_int(f.gone_count, 1, "qmgr was told once");
	is_int(f.engine.session_count, 0, "nothing is left");
	fake_free(&f);
}

static void test_messages_max(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	f.engine.setup.messages_max = 2;
	deliver_and_wait(&f);
	deliver_and_wait(&f);
	is_int(f.result[0].conn, MSG_CONN_IDLE, "idle after the first of two");
	is_int(f.result[1].conn, MSG_CONN_CLOSED, "closed after the second");
	deliver_and_wait(&f);
	is_int(f.conn_count, 2, "a new connection for the third");
	fake_free(&f);
	fake_init(&f, NULL);
	f.ehlo = "PIPELINING\nLIMITS MAILMAX=1 RCPTMAX=10\n";
	deliver_and_wait(&f);
	is_int(f.result[0].conn, MSG_CONN_CLOSED, "MAILMAX=1");
	ok(fake_wait_open(&f, 0) && strstr(fake_log(&f), "\nQUIT\n"), "QUIT");
	fake_free(&f);
}

static void test_not_kept(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	f.close_after = true;
	is_int(deliver_and_wait(&f), MSG_DONE, "a message whose session is not to be kept");
	is_int(f.result[0].conn, MSG_CONN_CLOSED, "it is closed");
	ok(fake_wait_open(&f, 0) && strstr(fake_log(&f), "\nQUIT\n"), "by QUIT");
	is_int(f.gone_count, 0, "it was never idle");
	fake_free(&f);
}

static void test_cancel(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	f.rule[0] = (struct fake_rule){ "dot", NULL, 0, "@stall" };
	deliver(&f);
	usec_t end = clock_now() + 10 * USEC_PER_SEC;
	while (!f.deaf && clock_now() < end)
		loop_turn(f.loop, 10000);
	smtpc_engine_cancel(&f.engine, 999, 0);
	is_int(f.result_count, 0, "an unknown attempt is not cancelled");
	smtpc_engine_cancel(&f.engine, f.engine.jobs->attempt, f.engine.jobs->run + 1);
	is_int(f.result_count, 0, "nor one of that number of another run");
	smtpc_engine_cancel(&f.engine, f.engine.jobs->attempt, f.engine.jobs->run);
	is_int(f.result_count, 1, "a cancelled one has its result at once");
	ok(f.result[0].outcome[0] == MSG_LATER && f.result[0].stage[0] == MSG_AT_DOT &&
		   f.result[0].conn == MSG_CONN_CLOSED && !f.result[0].failure,
	   "later, closed, does not count against the host");
	is_int(f.engine.session_count, 0, "nothing is left");
	smtpc_engine_cancel(&f.engine, f.result[0].attempt, 0);
	is_int(f.result_count, 1, "only one");
	fake_free(&f);
}

static void test_stop(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	deliver_and_wait(&f);
	f.rule[0] = (struct fake_rule){ "data", NULL, 0, "@stall" };
	deliver(&f);
	deliver(&f);
	usec_t end = clock_now() + 10 * USEC_PER_SEC;
	while (!f.deaf && clock_now() < end)
		loop_turn(f.loop, 10000);
	f.rule[0].stage = NULL;
	smtpc_engine_stop(&f.engine);
	is_int(f.engine.job_count, 2, "attempts go on after stop");
	for (int i = 0; i < f.conn_count; i++) {
		if (f.conn[i]->accepted_count) {
			f.conn[i]->in_data = true;
			fake_answer(f.conn[i], "354 go");
		}
	}
	f.deaf = false;
	end = clock_now() + 10 * USEC_PER_SEC;
	while (f.result_count < 3 && clock_now() < end) {
		loop_turn(f.loop, 10000);
		for (int i = 0; i < f.conn_count; i++)
			fake_input(f.conn[i]);
	}
	ok(f.result_count == 3 && f.result[1].outcome[0] == MSG_DONE &&
		   f.result[2].outcome[0] == MSG_DONE,
	   "and end well");
	is_int(f.result[2].conn, MSG_CONN_CLOSED, "but no session is kept");
	ok(fake_wait_open(&f, 0), "all are closed");
	fake_free(&f);
}

static void test_full(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	smtpc_engine_free(&f.engine);
	struct smtpc_setup s = f.engine.setup;
	s.session_max = 2;
	smtpc_engine_init(&f.engine, &s);
	deliver(&f);
	deliver(&f);
	deliver(&f);
	ok(f.result_count == 1 && f.result[0].outcome[0] == MSG_LATER && !f.result[0].failure,
	   "one connection too many: later, not the host's fault");
	ok(fake_wait(&f, 3), "the others are done");
	f.addr.ip[3] = 2;
	deliver(&f);
	is_int(f.gone_count, 1, "an idle session makes room for another host");
	ok(fake_wait(&f, 4), "which is tried");
	fake_free(&f);
}

int main(void)
{
	test_links();
	test_reuse();
	test_rset("PIPELINING\n");
	test_rset("");
	test_dead();
	test_idle_closed();
	test_idle_time();
	test_messages_max();
	test_not_kept();
	test_cancel();
	test_stop();
	test_full();
	return plan_done();
}
