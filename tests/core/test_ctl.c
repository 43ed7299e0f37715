#include "core/ctl.h"

#include "core/log.h"
#include "core/sock.h"
#include "core/stats.h"
#include "core/thread.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct stats_row rows[] = { { "asked", STATS_COUNTER, "requests", "Requests" } };

static char path[300];
static struct loop *loop;
static struct ctl_server *server;
static unsigned begun, ended;

/* ---- verbs */

static enum ctl_step run_echo(struct ctl_request *rq)
{
	begun++;
	buf_printf(rq->out, "%s:", (const char *)rq->ctx);
	buf_add_span(rq->out, rq->args);
	buf_printf(rq->out, "\n");
	return CTL_DONE;
}

static void end_any(struct ctl_request *rq)
{
	ended++;
	free(rq->state);
}

/* "count N": N lines of 1000 bytes, 50 at a time. */
struct counter {
	uint64_t at, n;
};

static enum ctl_step run_count(struct ctl_request *rq)
{
	struct counter *c = rq->state;

	if (!c) {
		begun++;
		c = rq->state = calloc(1, sizeof *c);
		if (span_u64(rq->args, 1000000, &c->n))
			return CTL_DONE;
	}
	for (unsigned i = 0; i < 50 && c->at < c->n; i++)
		buf_printf(rq->out, "%0999d\n", (int)c->at++);
	return c->at < c->n ? CTL_MORE : CTL_DONE;
}

static struct ctl_request *waiting;
static bool resume_inside;

static enum ctl_step run_wait(struct ctl_request *rq)
{
	if (!rq->state) {
		begun++;
		rq->state = calloc(1, 1);
		buf_printf(rq->out, "wait\n");
		waiting = rq->self;
		if (resume_inside)
			ctl_resume(rq);
		return CTL_WAIT;
	}
	buf_printf(rq->out, "done\n");
	return CTL_DONE;
}

static void end_wait(struct ctl_request *rq)
{
	waiting = NULL;
	end_any(rq);
}

static const struct ctl_verb verbs[] = {
	{ "echo", "echo TEXT", run_echo, end_any },
	{ "count", "count N", run_count, end_any },
	{ "wait", "wait", run_wait, end_wait },
	{ NULL, NULL, NULL, NULL },
};

/* ---- a client within this thread */

static int dial(const char *request)
{
	int fd = sock_connect_unix(path);

	if (fd >= 0 && send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		diag("request not sent");
	return fd;
}

static char answer[2 << 20];

/* Turns the loop and reads until the server closes; -errno: how it ended. */
static int hear(int fd)
{
	usec_t until = clock_now() + 20 * USEC_PER_SEC;
	size_t n = 0;

	while (clock_now() < until && n < sizeof answer - 1) {
		loop_turn(loop, 1000);
		ssize_t k = recv(fd, answer + n, sizeof answer - 1 - n, MSG_DONTWAIT);
		if (k > 0)
			n += (size_t)k;
		if (k == 0 || (k < 0 && errno != EAGAIN)) {
			answer[n] = 0;
			return k ? -errno : 0;
		}
	}
	answer[n] = 0;
	return -ETIMEDOUT;
}

static const char *ask(const char *request)
{
	int fd = dial(request);

	if (fd < 0)
		return "(no connection)";
	hear(fd);
	close(fd);
	return answer;
}

static void test_built_in(void)
{
	is_str(ask("help\n"),
	       "echo TEXT\ncount N\nwait\nhelp\nstats [text|json|metrics]\nmetrics\nlog_level [N]\n",
	       "help");
	is_str(ask("stats\n"), "asked                        3\n", "stats");
	is_str(ask("stats text\n"), "asked                        3\n", "stats text");
	is_str(ask("stats json\n"), "{\"process\":\"toy\",\"asked\":3}\n", "stats json");
	static const char metrics[] =
		"# TYPE smx_toy_asked counter\n# HELP smx_toy_asked Requests\nsmx_toy_asked_total 3\n# EOF\n";
	is_str(ask("stats metrics\n"), metrics, "stats metrics");
	is_str(ask("metrics\n"), metrics, "metrics");
	is_str(ask("stats xml\n"), "error: usage: stats [text|json|metrics]\n",
	       "stats in an unknown form");
	is_str(ask("log_level\n"), "log_level=0\n", "log_level tells");
	is_str(ask("log_level 12\n"), "log_level=12\n", "log_level sets");
	ok(log_on(LOG_LV_VERBOSE), "it is set");
	is_str(ask("log_level x\n"), "error: usage: log_level is a number from 0 to 99\n",
	       "log_level with nonsense");
	is_str(ask("log_level 0\n"), "log_level=0\n", "back");
	char want[600];
	snprintf(want, sizeof want,
		 "HTTP/1.0 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; "
		 "charset=utf-8\r\nConnection: close\r\n\r\n%s",
		 metrics);
	is_str(ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl\r\n\r\n"), want,
	       "GET /metrics");
	is_str(ask("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n",
	       "another page");
	is_str(ask("POST /metrics HTTP/1.1\r\n\r\n"),
	       "HTTP/1.0 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n",
	       "another method");
}

static void test_requests(void)
{
	static const struct {
		const char *name, *request, *want;
	} t[] = {
		{ "a request", "echo hello\n", "ctx:hello\n" },
		{ "with CRLF", "echo hello\r\n", "ctx:hello\n" },
		{ "blanks around", "  echo \t a b  \n", "ctx:a b\n" },
		{ "no arguments", "echo\n", "ctx:\n" },
		{ "two at once: the first counts", "echo a\necho b\n", "ctx:a\n" },
		{ "nothing", "\n", "error: usage: unknown request, try help\n" },
		{ "upper case", "ECHO x\n", "error: usage: unknown request, try help\n" },
		{ "a part of a name", "ech\n", "error: usage: unknown request, try help\n" },
		{ "garbage", "\x01\xff\xfe\n", "error: usage: unknown request, try help\n" },
	};

	begun = ended = 0;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		is_str(ask(t[i].request), t[i].want, t[i].name);
	ok(begun == 5 && ended == 5, "each that was begun was ended");

	int fd = dial("echo with");
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	is_int(send(fd, "out end", 7, 0), 7, "a request in pieces");
	shutdown(fd, SHUT_WR);
	hear(fd);
	is_str(answer, "ctx:without end\n",
	       "ends with the last byte of a client that says no more");
	close(fd);
	fd = dial("");
	shutdown(fd, SHUT_WR);
	ok(hear(fd) == 0 && !answer[0], "no request, no answer");
	close(fd);
}

static void test_long(void)
{
	static char big[70000];

	memset(big, 'a', sizeof big - 1);
	memcpy(big, "echo ", 5);
	ask(big);
	is_str(answer, "error: usage: request too long\n", "a request without end");
	big[60000] = '\n';
	big[60001] = 0;
	ask(big);
	ok(strlen(answer) == 4 + 59995 + 1, "60 KB are no problem: %zu", strlen(answer));

	begun = ended = 0;
	ask("count 1500\n");
	unsigned wrong = 0;
	for (unsigned i = 0; i < 1500; i++)
		wrong += (unsigned)atoi(answer + i * 1000) != i;
	ok(strlen(answer) == 1500000 && !wrong, "an answer of 1.5 MB is whole");
	is_str(ask("count 0\n"), "", "one of nothing is empty");
	ok(begun == 2 && ended == 2, "both were ended");
}

static void test_wait(void)
{
	begun = ended = 0;
	int fd = dial("wait\n");
	for (int i = 0; i < 10; i++)
		loop_turn(loop, 1000);
	ok(begun == 1 && !ended && waiting, "a request waits");
	is_str(ask("echo x\n"), "ctx:x\n", "another is answered meanwhile");
	ctl_resume(waiting);
	ok(hear(fd) == 0 && !strcmp(answer, "wait\ndone\n"), "then it goes on");
	ok(ended == 2, "and is ended");
	close(fd);
	resume_inside = true;
	is_str(ask("wait\n"), "wait\ndone\n", "resumed before it waited");
	resume_inside = false;
	fd = dial("wait\n");
	while (!waiting)
		loop_turn(loop, 1000);
	close(fd);
	for (int i = 0; i < 1000 && waiting; i++)
		loop_turn(loop, 1000);
	ok(!waiting && begun == ended, "one whose client has gone is ended");
}

/* A client that asks and does not read: it costs a bounded amount, others are served. */
static void test_slow_reader(void)
{
	begun = ended = 0;
	int fd = dial("count 1000000\n");
	for (int i = 0; i < 50; i++)
		loop_turn(loop, 1000);
	ok(begun == 1 && !ended, "a client does not read its answer of 1 GB");
	is_str(ask("echo x\n"), "ctx:x\n", "another is answered");
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	ok(u.ru_maxrss < 500000, "memory does not grow: %ld KB", u.ru_maxrss);
	close(fd);
	for (int i = 0; i < 1000 && ended < 2; i++)
		loop_turn(loop, 1000);
	is_int(ended, 2, "it is ended when the client goes");
}

static void test_many(void)
{
	enum { MANY = 100 };
	int fd[MANY];
	unsigned served = 0, refused = 0;

	for (unsigned i = 0; i < MANY; i++)
		fd[i] = dial("");
	for (int i = 0; i < 20; i++)
		loop_turn(loop, 1000);
	for (unsigned i = 0; i < MANY; i++) {
		char text[100];
		ssize_t n = recv(fd[i], text, sizeof text, MSG_DONTWAIT);

		if (n > 13 && !memcmp(text, "error: busy: ", 13) &&
		    recv(fd[i], text, 1, MSG_DONTWAIT) == 0)
			refused++;
	}
	is_int(refused, MANY - 64, "64 connections at a time, the others are told so");
	for (unsigned i = 0; i < MANY; i++) {
		if (send(fd[i], "echo y\n", 7, MSG_NOSIGNAL) == 7 && hear(fd[i]) == 0 &&
		    !strcmp(answer, "ctx:y\n"))
			served++;
		close(fd[i]);
	}
	is_int(served, 64, "which are served");
	is_str(ask("echo z\n"), "ctx:z\n", "and then there is room again");
}

/* Clients that break off at every place. */
static void test_break_off(void)
{
	static const char *const request[] = { "echo hello\n", "count 300\n", "wait\n",
					       "GET /metrics HTTP/1.1\r\n\r\n" };

	begun = ended = 0;
	for (unsigned r = 0; r < 4; r++) {
		for (size_t cut = 0; cut <= strlen(request[r]); cut++) {
			for (int turns = 0; turns < 4; turns++) {
				char part[100];
				snprintf(part, sizeof part, "%.*s", (int)cut, request[r]);
				int fd = dial(part);

				for (int i = 0; i < turns; i++)
					loop_turn(loop, 0);
				close(fd);
			}
		}
	}
	for (int i = 0; i < 1000 && (i < 20 || begun != ended); i++)
		loop_turn(loop, 1000);
	ok(begun > 0 && begun == ended, "clients that break off: %u begun, all ended", begun);
	is_str(ask("echo z\n"), "ctx:z\n", "the server is fine");
}

/* ---- a tool's side */

struct asked {
	const char *path, *request;
	int fd, rc;
	atomic_bool done;
};

static void run_ask(void *arg)
{
	struct asked *a = arg;

	a->rc = ctl_ask(a->path, a->request, a->fd);
	atomic_store(&a->done, true);
}

static void test_ask(void)
{
	char out[400];
	struct asked a = { .path = path, .request = "count 1000" };
	pthread_t t;

	snprintf(out, sizeof out, "%s/out", tap_tmpdir());
	a.fd = open(out, O_RDWR | O_CREAT, 0600);
	thread_start(&t, "asks", THREAD_ANY_CPU, run_ask, &a);
	while (!atomic_load(&a.done))
		loop_turn(loop, 10000);
	thread_join(t);
	struct stat st;
	ok(a.rc == 0 && fstat(a.fd, &st) == 0 && st.st_size == 1000000,
	   "ctl_ask() copies an answer");
	is_int(ctl_ask("/nonexistent/ctl", "help", a.fd), -ENOENT, "no such socket");
	close(a.fd);
}

/* Who comes while the program is not ready waits, and is answered then. */
static void test_waits(void)
{
	char c;

	ctl_wait(server, true);
	int fd = dial("echo x\n");
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 1000);
	ok(recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "not answered yet");
	ctl_wait(server, false);
	for (int i = 0; i < 1000 && recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) <= 0; i++)
		loop_turn(loop, 1000);
	ok(recv(fd, &c, 1, MSG_DONTWAIT) == 1 && c == 'c', "answered when it is open");
	close(fd);
}

/* As root: another user is not served. */
static void test_stranger(void)
{
	if (geteuid()) {
		skip("only root can become somebody else");
		return;
	}
	chmod(tap_tmpdir(), 0755);
	chmod(path, 0666);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		signal(SIGPIPE, SIG_IGN);
		if (setgid(65534) || setuid(65534))
			_exit(3);
		int fd = sock_connect_unix(path);
		char text[100] = "";
		if (fd < 0)
			_exit(4);
		fcntl(fd, F_SETFL, 0);
		/* It may be closed already; what was said is there. */
		ssize_t n = write(fd, "echo x\n", 7);
		n = recv(fd, text, sizeof text - 1, 0);
		if (n <= 0 || strncmp(text, "error: denied: ", 15) || strstr(text, "ctx:x"))
			_exit(5);
		_exit(recv(fd, text, 1, 0) > 0 ? 6 : 0);
	}
	int status;
	while (waitpid(pid, &status, WNOHANG) == 0)
		loop_turn(loop, 10000);
	is_int(status, 0, "another user is only told that it may not ask");
	chmod(path, 0660);
}

static unsigned accepts;

int accept4(int fd, struct sockaddr *restrict sa, socklen_t *restrict n, int flags)
{
	accepts++;
	return (int)syscall(SYS_accept4, fd, sa, n, flags);
}

/* A listening socket stays ready while accept() fails: the loop must not turn for that. */
static void test_no_descriptors(void)
{
	struct rlimit old, low;
	int fd = dial("echo again\n"), next = dup(fd);

	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)next;
	if (next < 0 || setrlimit(RLIMIT_NOFILE, &low))
		exit(99);
	accepts = 0;
	for (int i = 0; i < 1000; i++)
		loop_turn(loop, 0);
	ok(accepts > 0 && accepts < 200, "no descriptors: %u looks in 1000 turns", accepts);
	setrlimit(RLIMIT_NOFILE, &old);
	hear(fd);
	is_str(answer, "ctx:again\n", "and then it is answered");
	close(fd);
}

static void test_listen(void)
{
	int error;
	struct stat st;

	ok(stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0660,
	   "a socket of mode 0660");
	ok(!ctl_listen(loop, path, verbs, NULL, &error) && error == -EADDRINUSE,
	   "a second server is refused");
	ok(!ctl_listen(loop, "/nonexistent/ctl", verbs, NULL, &error) && error == -ENOENT,
	   "a missing folder");
	begun = ended = 0;
	int fd = dial("wait\n");
	while (!begun)
		loop_turn(loop, 1000);
	ctl_free(server);
	is_int(ended, 1, "at the end of the server requests are ended");
	ok(stat(path, &st) && errno == ENOENT, "and the socket is removed");
	close(fd);
	ctl_free(NULL);
}

int main(void)
{
	int error;

	log_open(&(struct log_setup){ .level = 0 });
	thread_main_register();
	stats_define("toy", rows, 1);
	stats_thread();
	stats_add(0, 3);
	loop = loop_new();
	snprintf(path, sizeof path, "%s/ctl", tap_tmpdir());
	server = ctl_listen(loop, path, verbs, "ctx", &error);
	ok(server != NULL, "a server");
	test_built_in();
	test_requests();
	test_long();
	test_wait();
	test_slow_reader();
	test_many();
	test_break_off();
	test_ask();
	test_waits();
	test_stranger();
	test_no_descriptors();
	test_listen();
	loop_free(loop);
	return plan_done();
}
