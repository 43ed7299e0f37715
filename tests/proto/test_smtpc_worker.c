/* A worker with its thread and its link, a qmgr at the other end. */
#include "proto/smtpc_worker.h"

#include "core/link.h"
#include "core/rcu.h"
#include "core/thread.h"
#include "proto/smtpc_stats.h"
#include "tests/proto/smtpc_fake.h"

enum { RUN = 77 }; /* of qmgr */

/* The results that fake.h would write down come over the link here. */
struct qmgr {
	struct fake hop;
	struct link_server *server;
	struct link *link;
	char path[256];
	int ups, downs, results, states, ends, loads, gone;
	struct msg_result last;
	char reply[200];
	uint64_t state_attempt;
	uint32_t state_idx, end_count;
	unsigned outcome;
};

static struct qmgr q;

static void on_up(struct link *k, const struct link_hello *peer)
{
	ok(!strcmp(peer->component, "smtpc") && peer->id == 3 && peer->workers == 1 && peer->pid,
	   "hello");
	q.link = k;
	q.ups++;
}

static void on_down(struct link *k)
{
	(void)k;
	q.link = NULL;
	q.downs++;
}

static void on_result(struct span body)
{
	struct msg_rcpt_result r;

	if (!ok(!msg_result_decode(body, &q.last), "a result can be read"))
		return;
	struct span rest = q.last.rcpts;
	if (msg_rcpt_result_next(&rest, &r) == 1) {
		q.outcome = r.outcome;
		span_cstr(r.reply, q.reply, sizeof q.reply);
		is_int(r.idx, 4, "index of the recipient");
		is_int(q.last.run, RUN, "run of its attempt");
		ok(q.last.mailer == ROUTE_ESMTP && addr_eq(&q.last.host, &q.hop.addr), "host");
	}
	q.results++;
}

static void on_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct msg_attempt_state st;
	struct msg_state_end end;

	(void)k;
	(void)req;
	if (number == MSG_result) {
		on_result(body);
	} else if (number == MSG_attempt_state && !msg_attempt_state_decode(body, &st)) {
		q.states++;
		q.state_attempt = st.attempt;
		is_int(st.run, RUN, "run of an attempt");
		if (st.idx.n == 4)
			memcpy(&q.state_idx, st.idx.p, 4);
	} else if (number == MSG_state_end && !msg_state_end_decode(body, &end)) {
		q.ends++;
		q.end_count = end.count;
	} else if (number == MSG_load) {
		q.loads++;
	} else if (number == MSG_conn_gone) {
		q.gone++;
	} else {
		ok(false, "message %s", msg_name(number));
	}
}

static const struct link_ops ops = { on_up, on_down, on_message };

static struct loop *pick(void *ctx, const struct link_hello *peer, void **link_ctx)
{
	(void)ctx;
	(void)peer;
	*link_ctx = NULL;
	return q.hop.loop;
}

static void listen_qmgr(void)
{
	struct link_hello me = { .component = "qmgr", .workers = 1, .instance = 9, .pid = 1 };

	q.server = link_listen(q.hop.loop, sock_listen_unix(q.path, 0600), &me, &ops, pick, NULL);
}

static bool wait_for(const int *what, int n)
{
	usec_t end = clock_now() + 10 * USEC_PER_SEC;

	while (*what < n && clock_now() < end)
		loop_turn(q.hop.loop, 20000);
	return *what >= n;
}

static bool wait_bool(const bool *what)
{
	usec_t end = clock_now() + 10 * USEC_PER_SEC;

	while (!*what && clock_now() < end)
		loop_turn(q.hop.loop, 20000);
	return *what;
}

/* The result of this attempt; those that are said again do not count. */
static bool wait_result(uint64_t attempt)
{
	usec_t end = clock_now() + 10 * USEC_PER_SEC;

	while (q.last.attempt != attempt && clock_now() < end)
		loop_turn(q.hop.loop, 20000);
	return q.last.attempt == attempt;
}

static uint64_t deliver(void)
{
	static const struct env_rcpt rcpt = { .addr = SPAN("a@x.test"),
					      .idx = 4,
					      .route = ENV_NO_ROUTE };
	struct envelope e = { .sender = SPAN("s@y.test"),
			      .rcpt_count = 1,
			      .rcpt = (struct env_rcpt *)&rcpt };
	uint64_t n = ++q.hop.next_ta;
	struct msg_deliver d = { .attempt = n + 100,
				 .run = RUN,
				 .ta = n << 8,
				 .mailer = ROUTE_ESMTP,
				 .keep = 1,
				 .host = q.hop.addr };
	struct buf b = { 0 };

	e.ta = d.ta;
	fake_content(&q.hop, d.ta, "x\r\n", 3, 0, 0, &d);
	envelope_encode(&e, &b);
	d.envelope = buf_span(&b);
	is_int(link_put(q.link, 0, deliver, &d), 0, "deliver is sent");
	buf_release(&b);
	return d.attempt;
}

/* The next hop stalls at DATA from now on, or goes on. */
static void stall(bool on)
{
	q.hop.rule[0] =
		on ? (struct fake_rule){ "data", NULL, 0, "@stall" } : (struct fake_rule){ 0 };
}

static void go_on(void)
{
	stall(false);
	q.hop.deaf = false;
	for (int i = 0; i < q.hop.conn_count; i++) {
		struct fake_conn *c = q.hop.conn[i];

		if (c->accepted_count && !c->in_data) {
			c->in_data = true;
			fake_answer(c, "354 go");
		}
	}
}

static void test_cancel(void)
{
	stall(true);
	uint64_t a = deliver();
	ok(wait_bool(&q.hop.deaf), "a next hop that stalls");
	link_put(q.link, 0, cancel, &((struct msg_cancel){ .attempt = a, .run = RUN }));
	ok(wait_result(a), "a cancelled attempt has a result");
	ok(q.outcome == MSG_LATER && q.last.conn == MSG_CONN_CLOSED, "later");
	stall(false);
	q.hop.deaf = false;
}

static void test_reconnect(void)
{
	stall(true);
	uint64_t a = deliver();
	ok(wait_bool(&q.hop.deaf), "an attempt is going on");
	link_refuse(q.link, "test");
	ok(wait_for(&q.downs, 1) && wait_for(&q.ups, 2) && wait_for(&q.ends, 2), "qmgr comes back");
	ok(q.states == 1 && q.state_attempt == a && q.state_idx == 4, "is told of it");
	ok(q.end_count >= 1, "and that this was all");
	go_on();
	ok(wait_result(a) && q.outcome == MSG_DONE, "its result comes later");
}

static void test_away(void)
{
	stall(true);
	uint64_t a = deliver();
	ok(wait_bool(&q.hop.deaf), "an attempt is going on");
	int n = q.results, messages = q.hop.messages;
	link_server_free(q.server);
	unlink(q.path);
	link_refuse(q.link, "test");
	ok(wait_for(&q.downs, 2), "qmgr is away");
	go_on();
	ok(wait_for(&q.hop.messages, messages + 1), "the attempt goes on");
	is_int(q.results, n, "nobody hears of it");
	listen_qmgr();
	ok(wait_for(&q.ends, 3), "qmgr comes back");
	ok(q.results > n && q.last.attempt == a && q.outcome == MSG_DONE, "and gets the result");
}

static void test_garbage(void)
{
	int ups = q.ups;

	link_send(q.link, MSG_deliver, 0, SPAN("nonsense"));
	ok(wait_for(&q.ups, ups + 1), "nonsense ends the link, not the worker");
	link_send(q.link, MSG_commit, 0, SPAN("x"));
	ok(wait_for(&q.ups, ups + 2), "a message that is not for it too");
	ok(wait_result(deliver()) && q.outcome == MSG_DONE, "it still works");
}

int main(void)
{
	int error;

	smtpc_stats_define();
	thread_main_register();
	fake_init(&q.hop, NULL);
	snprintf(q.path, sizeof q.path, "%.200s/link", tap_tmpdir());
	listen_qmgr();
	struct smtpc_worker_setup s = { .link_path = q.path,
					.cdb_base = q.hop.base,
					.hostname = SPAN("mx.example.org"),
					.instance = 5,
					.process = 3,
					.workers = 1,
					.session_max = 100,
					.cpu = THREAD_ANY_CPU,
					.wait_for_server_usec = SMTPC_SEC(4),
					.settings = { .remote_port = 25 } };
	struct smtpc_worker *w = smtpc_worker_start(&s, &error);
	if (!ok(w != NULL, "starts"))
		return plan_done();
	ok(wait_for(&q.ups, 1) && wait_for(&q.ends, 1) && wait_for(&q.loads, 1),
	   "connects, says state and load");
	ok(q.states == 0 && q.end_count == 0, "nothing is going on");
	uint64_t a = deliver();
	ok(wait_result(a), "a delivery has a result");
	ok(q.outcome == MSG_DONE && q.last.conn == MSG_CONN_IDLE && !q.last.failure, "done");
	is_str(q.reply, "250 2.0.0 queued", "with the reply");
	test_cancel();
	test_reconnect();
	test_away();
	test_garbage();
	smtpc_worker_stop(w);
	usec_t begin = clock_now();
	ok(wait_for(&q.gone, 1), "at the end idle sessions are closed");
	ok(fake_wait_open(&q.hop, 0), "with QUIT");
	smtpc_worker_join(w);
	ok(clock_now() - begin < SMTPC_STOP_USEC, "and it stops");
	is_int((int64_t)stats_sum(SMTPC_STAT_jobs), 0, "no attempt is left");
	is_int((int64_t)stats_sum(SMTPC_STAT_sessions), 0, "no session is left");
	link_server_free(q.server);
	loop_turn(q.hop.loop, 1000);
	fake_free(&q.hop);
	return plan_done();
}
