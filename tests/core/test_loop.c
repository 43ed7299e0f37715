#include "core/loop.h"

#include "core/thread.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static char trace[200];

static void note(char c)
{
	size_t n = strlen(trace);

	if (n + 1 < sizeof trace)
		trace[n] = c, trace[n + 1] = 0;
}

static void forget(void)
{
	trace[0] = 0;
}

/* ---- descriptors */

static struct loop_io io_a, io_b;

static void read_a(struct loop_io *io, uint32_t events)
{
	char c[16];

	note(events & EPOLLIN ? 'a' : '?');
	if (read(io->fd, c, sizeof c) < 0)
		note('!');
}

/* Whichever comes first takes the other away. */
static void delete_other(struct loop_io *io, uint32_t events)
{
	(void)events;
	note('d');
	loop_io_del(loop, io == &io_a ? &io_b : &io_a);
}

static void test_io(void)
{
	int p[2], q[2];

	if (pipe2(p, O_NONBLOCK) || pipe2(q, O_NONBLOCK))
		exit(99);
	io_a.fn = read_a;
	is_int(loop_io_add(loop, &io_a, p[0], EPOLLIN), 0, "watch a pipe");
	loop_turn(loop, 0);
	is_str(trace, "", "no event, no call");
	ok(write(p[1], "x", 1) == 1, "a byte comes");
	loop_turn(loop, -1);
	is_str(trace, "a", "its callback runs");
	is_int(loop_io_mod(loop, &io_a, 0), 0, "watch for nothing");
	ok(write(p[1], "x", 1) == 1, "another byte comes");
	loop_turn(loop, 0);
	is_str(trace, "a", "nobody is told");
	is_int(loop_io_mod(loop, &io_a, EPOLLIN), 0, "watch again");
	loop_turn(loop, -1);
	is_str(trace, "aa", "and is told");
	loop_io_del(loop, &io_a);
	is_int(io_a.fd, -1, "a deleted one has no descriptor");
	loop_io_del(loop, &io_a);

	forget();
	io_a.fn = io_b.fn = delete_other;
	loop_io_add(loop, &io_a, p[0], EPOLLIN);
	loop_io_add(loop, &io_b, q[0], EPOLLIN);
	ok(write(p[1], "x", 1) == 1 && write(q[1], "x", 1) == 1, "both are ready");
	loop_turn(loop, -1);
	is_str(trace, "d", "an event of one that was deleted in this turn is forgotten");
	loop_io_del(loop, &io_a);
	loop_io_del(loop, &io_b);
	is_int(loop_io_add(loop, &io_a, -1, EPOLLIN), -EBADF, "a bad descriptor is an error");
	is_int(io_a.fd, -1, "and is not watched");
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(q[i]);
	}
}

/* ---- tasks and timers */

static struct loop_task task_a, task_b, task_c;
static struct timer timer;

static void run_a(struct loop_task *t)
{
	(void)t;
	note('a');
	loop_defer(loop, &task_b);
	loop_defer(loop, &task_b);
}

static void run_b(struct loop_task *t)
{
	(void)t;
	note('b');
}

static void run_c(struct loop_task *t)
{
	(void)t;
	note('c');
}

static void on_timer(struct timer *t)
{
	(void)t;
	note('t');
}

static void test_tasks(void)
{
	forget();
	task_a.fn = run_a;
	task_b.fn = run_b;
	task_c.fn = run_c;
	loop_defer(loop, &task_a);
	loop_defer(loop, &task_c);
	loop_defer(loop, &task_a);
	loop_turn(loop, 0);
	is_str(trace, "acb", "tasks run once, in order, with those that they queue");
	loop_turn(loop, 0);
	is_str(trace, "acb", "and are done");
	loop_defer(loop, &task_b);
	loop_defer(loop, &task_c);
	loop_undefer(loop, &task_c);
	loop_undefer(loop, &task_c);
	loop_defer(loop, &task_a);
	loop_undefer(loop, &task_b);
	loop_turn(loop, 0);
	is_str(trace, "acbab", "what is taken back does not run");

	forget();
	timer.fn = on_timer;
	loop_timer_after(loop, &timer, 20000);
	usec_t from = loop_now(loop);
	loop_turn(loop, -1);
	while (!trace[0])
		loop_turn(loop, -1);
	ok(loop_now(loop) - from >= 20000, "a timer ends the wait, not before its time");
	loop_timer_set(loop, &timer, loop_now(loop) - 1);
	loop_turn(loop, -1);
	while (strlen(trace) < 2)
		loop_turn(loop, -1);
	is_str(trace, "tt", "one of the past fires at once");
	loop_timer_after(loop, &timer, 1000);
	loop_timer_stop(loop, &timer);
	loop_turn(loop, 5000);
	is_str(trace, "tt", "a stopped one does not");
}

/* ---- between threads */

enum { PINGS = 20000 };

static struct loop *other;
static unsigned pongs;

struct ping {
	struct loop_mail mail;
	unsigned count;
};

static void bounce(struct loop_mail *m)
{
	struct ping *p = (struct ping *)m;

	if (++p->count == PINGS) {
		loop_stop(other);
		loop_stop(loop);
		return;
	}
	pongs += p->count % 2;
	loop_post(p->count % 2 ? loop : other, m);
}

static void run_other(void *arg)
{
	loop_run(arg);
}

static void test_post(void)
{
	struct ping p = { .mail.fn = bounce };
	pthread_t t;

	other = loop_new();
	ok(other != NULL, "a second loop");
	thread_start(&t, "other", THREAD_ANY_CPU, run_other, other);
	loop_post(other, &p.mail);
	loop_run(loop);
	thread_join(t);
	is_int(p.count, PINGS, "a message goes to and fro between two loops");
	ok(loop_stopping(loop) && loop_stopping(other), "both were stopped");
	loop_free(other);
}

static unsigned periods, busiest;

static void on_period(void *ctx, unsigned busy_percent)
{
	(void)ctx;
	periods++;
	if (busy_percent > busiest)
		busiest = busy_percent;
}

static void test_period(void)
{
	static int ctx;

	loop_on_period(loop, on_period, &ctx);
	while (!periods)
		loop_turn(loop, 0);
	usec_t first = loop_now(loop);
	while (periods < 2)
		loop_turn(loop, 0);
	ok(loop_now(loop) - first >= 100000, "a period is told every 100 ms at most");
	periods = busiest = 0;
	while (periods < 3)
		loop_turn(loop, 0);
	ok(busiest > 0 && busiest <= 100 && loop_busy_percent(loop) <= 100,
	   "a busy loop is busy: %u %%", busiest);
	loop_on_period(loop, NULL, NULL);
	loop_timer_after(loop, &timer, 250000);
	forget();
	while (!trace[0])
		loop_turn(loop, -1);
	loop_turn(loop, 0);
	ok(loop_busy_percent(loop) < 50, "an idle one is not: %u %%", loop_busy_percent(loop));
}

int main(void)
{
	thread_main_register();
	loop = loop_new();
	ok(loop != NULL, "a loop");
	test_io();
	test_tasks();
	test_post();
	test_period();
	loop_free(loop);
	loop_free(NULL);
	return plan_done();
}
