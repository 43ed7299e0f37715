#include "resolver/smar_ask.h"

#include "tests/resolver/map_fixture.h"

#include "resolver/mapset.h"
#include "resolver/smar_stats.h"

#include "core/msg.h"
#include "core/sock.h"
#include "core/thread.h"

#include <unistd.h>

enum { WAIT_USEC = 10000000 };

static struct loop *loop;
static struct smar_ask *server;
static unsigned ups, downs, answers;
static uint64_t last_req;
static char last[600];

static struct loop *pick(void *ctx, const struct link_hello *peer, void **link_context)
{
	(void)ctx;
	(void)peer;
	*link_context = server;
	return smar_ask_loop(server);
}

static void client_up(struct link *k, const struct link_hello *peer)
{
	(void)k;
	ups += !strcmp(peer->component, "smar");
}

static void client_down(struct link *k)
{
	(void)k;
	downs++;
}

static void client_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	static const char *const words[] = { "cont", "ok", "relay", "error", "discard" };
	struct msg_verdict v;
	struct msg_route_answer ra;
	struct route r = { 0 };

	(void)k;
	answers++;
	last_req = req;
	snprintf(last, sizeof last, "cannot be read");
	if (number == MSG_verdict && !msg_verdict_decode(body, &v)) {
		if (v.route.n)
			route_decode(v.route, &r);
		snprintf(last, sizeof last, "%s%s %.*s mailer=%u ttl=%u", v.quick ? "quick " : "",
			 words[v.action], (int)v.text.n, v.text.p, r.mailer, v.ttl_sec > 0);
	} else if (number == MSG_route_answer && !msg_route_answer_decode(body, &ra)) {
		if (ra.route.n)
			route_decode(ra.route, &r);
		snprintf(last, sizeof last, "status=%u %.*s mailer=%u", ra.status, (int)ra.text.n,
			 ra.text.p, r.mailer);
	}
}

static const struct link_ops client_ops = { .up = client_up,
					    .down = client_down,
					    .message = client_message };

static void turn_until(const unsigned *counter, unsigned value, const char *name)
{
	usec_t end = clock_now() + WAIT_USEC;

	while (*counter < value && clock_now() < end)
		loop_turn(loop, 100000);
	is_int(*counter, value, name);
}

static void answer_is(uint64_t req, const char *want, const char *name)
{
	turn_until(&answers, answers + 1, "an answer");
	is_int((int64_t)last_req, (int64_t)req, "with its request id");
	is_str(last, want, name);
}

static void test_questions(struct link *k)
{
	struct addr local;
	uint32_t f = MSG_ASK_ACCESS;

	addr_parse(SPAN("127.0.0.1"), &local);
	link_put(k, 1, ask_client, &((struct msg_ask_client){ local, f }));
	answer_is(1, "relay  mailer=0 ttl=0", "ask_client");
	link_put(k, 2, ask_mail, &((struct msg_ask_mail){ local, f, SPAN("bad@x.y") }));
	answer_is(2, "quick error 550 5.7.0 Rejected. mailer=0 ttl=0", "ask_mail");
	link_put(k, 3, ask_rcpt,
		 &((struct msg_ask_rcpt){ local, f, SPAN("a@b.c"), SPAN("x@local.test") }));
	answer_is(3, "cont  mailer=3 ttl=1", "ask_rcpt");
	link_put(k, 4, ask_rcpt,
		 &((struct msg_ask_rcpt){ local, f, SPAN("a@b.c"), SPAN("x@y.z") }));
	answer_is(4, "error 550 5.7.1 relaying denied mailer=0 ttl=0", "ask_rcpt refused");
	link_put(k, 5, ask_route, &((struct msg_ask_route){ 9, 0, SPAN("x@relay.test") }));
	answer_is(5, "status=0  mailer=1", "ask_route");
	link_put(k, 6, ask_route, &((struct msg_ask_route){ 9, 0, SPAN("x@y.z") }));
	answer_is(6, "status=1 451 4.4.3 no route: DNS is not available mailer=0",
		  "ask_route, temporary");
	link_put(k, 7, ask_route, &((struct msg_ask_route){ 9, 0, SPAN("x@[y]") }));
	answer_is(7, "status=2 553 5.1.3 recipient address is not valid mailer=0",
		  "ask_route, permanent");
	unsigned before = answers;
	for (unsigned i = 0; i < 1000; i++)
		link_put(k, i, ask_client, &((struct msg_ask_client){ local, f }));
	turn_until(&answers, before + 1000, "a thousand questions in one write");
	is_int((int64_t)stats_sum(SMAR_STAT_ask_client), 1001, "are counted");
}

static void test_hostile(struct link *k)
{
	static const struct {
		unsigned number;
		struct span body;
		const char *name;
	} bad[] = {
		{ MSG_ask_client, { "x", 1 }, "a question that is too short" },
		{ MSG_ask_rcpt, { "", 0 }, "an empty one" },
		{ MSG_verdict, { "", 0 }, "an answer instead of a question" },
		{ 9999, { "", 0 }, "an unknown message" },
	};

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		unsigned down = downs, up = ups;

		link_send(k, bad[i].number, 1, bad[i].body);
		turn_until(&downs, down + 1, bad[i].name);
		turn_until(&ups, up + 1, "the link comes back");
	}
	is_int((int64_t)stats_sum(SMAR_STAT_bad_messages), 4, "they are counted");
	is_int((int64_t)stats_sum(SMAR_STAT_links), 1, "one link is up");
}

int main(void)
{
	struct smar_options o = { .address_delimiter = '+' };
	struct link_hello server_hello = { .component = "smar", .workers = 1 };
	struct link_hello client_hello = { .component = "smtps", .workers = 1 };
	char *path = fixture_path("sock");
	struct report r = { 0 };
	int fd = sock_listen_unix(path, 0600);

	thread_main_register();
	smar_stats_define();
	stats_thread();
	loop = loop_new();
	server = smar_ask_new(loop, SPAN("gw.test"), NULL);
	o.mailertable_file = fixture_file("mt", "local.test lmtp:\nrelay.test [192.0.2.1]\n");
	o.access_map_file =
		fixture_map("access.db", "cltaddr:127 relay\nfrom:bad@x.y quick:reject\n");
	mapset_publish(mapset_load(&o, NULL, &r));
	struct link_server *ls = link_listen(loop, fd, &server_hello, &smar_ask_ops, pick, NULL);
	struct link *k = link_connect(loop, path, &client_hello, &client_ops, NULL);
	if (!ok(ls && k, "server and client"))
		return plan_done();
	turn_until(&ups, 1, "the link is up");
	test_questions(k);
	test_hostile(k);
	link_free(k);
	link_server_free(ls);
	smar_ask_free(server);
	loop_free(loop);
	rcu_quiescent();
	mapset_publish(NULL);
	rcu_barrier();
	report_free(&r);
	return plan_done();
}
