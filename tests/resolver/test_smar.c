#include "resolver/smar_ask.h"

#include "tests/resolver/program.h"

#include "core/ctl.h"
#include "core/msg.h"
#include "core/route.h"
#include "core/thread.h"

#include <signal.h>
#include <sys/stat.h>
#include <sysexits.h>

enum { WAIT_USEC = 20000000, LINKS = 6 };

static struct loop *loop;
static unsigned ups, answers;
static char last[400];
static char *out;

static void client_up(struct link *k, const struct link_hello *peer)
{
	(void)k;
	ups += peer->workers == 3 && !strcmp(peer->component, "smar");
}

static void client_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct msg_route_answer a;
	struct msg_verdict v;
	struct route r = { 0 };

	(void)k;
	(void)req;
	/* Parts come in front of their answer. */
	answers += number != MSG_members;
	snprintf(last, sizeof last, "?");
	if (number == MSG_route_answer && !msg_route_answer_decode(body, &a)) {
		if (a.route.n)
			route_decode(a.route, &r);
		snprintf(last, sizeof last, "%u mailer=%u", a.status, r.mailer);
	} else if (number == MSG_verdict && !msg_verdict_decode(body, &v)) {
		if (v.members)
			snprintf(last, sizeof last, "members=%u", v.members);
		else
			snprintf(last, sizeof last, "%u %.*s", v.action, (int)v.text.n, v.text.p);
	}
}

static const struct link_ops ops = { .up = client_up, .message = client_message };

static void turn_until(const unsigned *counter, unsigned value, const char *name)
{
	usec_t end = clock_now() + WAIT_USEC;

	while (*counter < value && clock_now() < end)
		loop_turn(loop, 100000);
	ok(*counter >= value, "%s", name);
}

static const char *route_of(struct link *k, const char *rcpt)
{
	unsigned before = answers;
	usec_t end = clock_now() + WAIT_USEC;

	link_put(k, 1, ask_route, &((struct msg_ask_route){ 1, 0, span_str(rcpt) }));
	while (answers == before && clock_now() < end)
		loop_turn(loop, 100000);
	return last;
}

static const char *rcpt_of(struct link *k, const char *rcpt)
{
	unsigned before = answers;
	usec_t end = clock_now() + WAIT_USEC;
	struct msg_ask_rcpt m = { .rcpt = span_str(rcpt), .sender = SPAN("x@y") };

	link_put(k, 1, ask_rcpt, &m);
	while (answers == before && clock_now() < end)
		loop_turn(loop, 100000);
	return last;
}

static pid_t start(void)
{
	static char *argv[] = { "smar", "-f", "smx.conf", NULL };

	return program_start("smar", argv, tap_tmpdir(), NULL, out, true);
}

static const char *ask_ctl(const char *request)
{
	char *answer = fixture_path("answer"), *sock = fixture_path("qmsmar/smar.ctl");
	int fd = open(answer, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = ctl_ask(sock, request, fd);

	close(fd);
	is_int(rc, 0, request);
	const char *text = program_text(answer);
	free(answer);
	free(sock);
	return text;
}

static void test_reload(struct link *k, pid_t pid)
{
	usec_t end = clock_now() + WAIT_USEC;

	is_str(route_of(k, "a@local.test"), "0 mailer=3", "as at the start");
	free(fixture_file("mt", "local.test [192.0.2.1]\n"));
	kill(pid, SIGUSR1);
	while (strcmp(route_of(k, "a@local.test"), "0 mailer=1") && clock_now() < end)
		loop_turn(loop, 1000);
	is_str(last, "0 mailer=1", "USR1 reads the mailertable again");
	free(fixture_file("mt", "local.test lmtp:\n"));
	free(fixture_map("aliases.db", "list: <a@local.test> <b@far.test>\n"));
	is_str(ask_ctl("reload"), "ok\n", "reload answers when it is done");
	is_str(rcpt_of(k, "list@local.test"), "members=2", "a new alias counts from then on");
	is_str(rcpt_of(k, "nobody@local.test"), "3 550 5.1.1 no such user here",
	       "and the map says who exists");
	free(fixture_map("aliases.db", "other: local:\n"));
	is_str(ask_ctl("reload"), "ok\n", "once more");
	is_str(rcpt_of(k, "list@local.test"), "3 550 5.1.1 no such user here", "it is gone again");
	is_str(route_of(k, "a@local.test"), "0 mailer=3", "and it is done");
	free(fixture_file("mt", "local.test lmtp:\nother.test 25^\n"));
	const char *text = ask_ctl("reload");
	ok(strstr(text, "mt:2: expected ") && strstr(text, "\nerrors: 1, the old maps stay"),
	   "a broken mailertable is told with its line");
	is_str(route_of(k, "a@local.test"), "0 mailer=3", "the old one stays");
	ok(strstr(ask_ctl("stats"), "reload_errors                1"), "counted");
	ok(strstr(ask_ctl("help"), "reload: read all maps again"), "help");
}

static void test_run(void)
{
	struct link_hello me = { .component = "smtps", .workers = LINKS };
	char *sock = fixture_path("qmsmar/smarsock");
	struct link *k[LINKS];
	pid_t pid = start();

	for (unsigned i = 0; i < LINKS; i++) {
		me.worker = i;
		k[i] = link_connect(loop, sock, &me, &ops, NULL);
	}
	turn_until(&ups, LINKS, "all links come up");
	for (unsigned i = 0; i < LINKS; i++) {
		struct addr a;

		addr_parse(SPAN("192.0.2.1"), &a);
		link_put(k[i], 1, ask_rcpt,
			 &((struct msg_ask_rcpt){ a, MSG_ASK_ACCESS, SPAN("x@y"),
						  SPAN("b@far.test") }));
	}
	turn_until(&answers, LINKS, "each link gets an answer");
	is_str(last, "3 550 5.7.1 relaying denied", "relaying is denied");
	test_reload(k[0], pid);

	char *second = fixture_path("second");
	free(fixture_file("mt", "local.test lmtp:\n"));
	char *first_out = out;
	out = second;
	is_int(program_wait(start()), EX_CANTCREAT, "a second one does not start");
	ok(strstr(program_text(second), "Address already in use"), "says why");
	out = first_out;
	free(second);
	is_str(route_of(k[1], "a@local.test"), "0 mailer=3", "the first one is still there");

	kill(pid, SIGTERM);
	is_int(program_wait(pid), 0, "TERM ends it");
	ok(strstr(program_text(out), "func=main, stat=stopped"), "the log says so");
	for (unsigned i = 0; i < LINKS; i++)
		link_free(k[i]);
	free(sock);
}

static void test_refused(void)
{
	static const struct {
		const char *name, *mt, *want;
	} bad[] = {
		{ "a broken mailertable", "a.test lmtp:\nb.test x^y\n",
		  "mt:2: expected a port from 1 to 65535" },
		{ "a host name", ". smart.host\n",
		  "mt:1: expected an address in brackets (host names need DNS" },
	};

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		free(fixture_file("mt", bad[i].mt));
		is_int(program_wait(start()), EX_CONFIG, bad[i].name);
		if (!ok(strstr(program_text(out), bad[i].want), "its message"))
			diag("%s", program_text(out));
	}
	free(fixture_file("mt", ""));
	free(fixture_file("access.db", "text"));
	is_int(program_wait(start()), EX_CONFIG, "an access map that is none");
	ok(strstr(program_text(out),
		  "access.db: cannot read the map: not a map that createmap wrote"),
	   "its message");
}

int main(void)
{
	char *folder = fixture_path("qmsmar");

	/* Another user reads what is written here. */
	umask(022);
	out = fixture_path("out");
	thread_main_register();
	link_allow_uid(PROGRAM_UID);
	loop = loop_new();
	mkdir(folder, 0755);
	if (geteuid() == 0 &&
	    (chown(folder, PROGRAM_UID, PROGRAM_UID) || chmod(tap_tmpdir(), 0711)))
		ok(false, "chown");
	free(fixture_file("smx.conf", "smar { max_threads = 3; log_level = 9; }\n"));
	free(fixture_file("mt", "local.test lmtp:\n"));
	free(fixture_map("access.db", "cltaddr:10 relay\n"));
	test_run();
	test_refused();
	loop_free(loop);
	free(folder);
	return plan_done();
}
