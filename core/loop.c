#include "core/loop.h"

#include "core/rcu.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 256, PERIOD_USEC = 100000 };

struct loop {
	int epfd;
	usec_t now;
	struct timer_wheel wheel;
	struct mailbox box;
	struct loop_io box_io;
	struct loop_task *tasks, **tasks_end;
	atomic_bool stop;
	struct epoll_event ev[EVENTS_PER_TURN];
	int ev_count; /* of the turn being handled */
	int ev_at;
	usec_t period_start, period_cpu;
	atomic_uint busy_percent;
	void (*on_period)(void *ctx, unsigned busy_percent);
	void *on_period_ctx;
};

static void box_ready(struct loop_io *io, uint32_t events)
{
	(void)events;
	struct mailbox *b = (struct mailbox *)((char *)io - offsetof(struct loop, box_io) +
					       offsetof(struct loop, box));

	mailbox_drain_fd(b);
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0 || mailbox_init(&l->box)) {
		if (l->epfd >= 0)
			close(l->epfd);
		free(l);
		return NULL;
	}
	l->now = clock_now();
	timer_wheel_init(&l->wheel, l->now);
	l->tasks_end = &l->tasks;
	l->period_start = l->now;
	l->box_io.fn = box_ready;
	loop_io_add(l, &l->box_io, l->box.fd, EPOLLIN);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	mailbox_close(&l->box);
	close(l->epfd);
	free(l);
}

static void run_tasks(struct loop *l)
{
	struct loop_task *t;

	while ((t = l->tasks)) {
		l->tasks = t->next;
		if (!l->tasks)
			l->tasks_end = &l->tasks;
		t->queued = false;
		t->fn(t);
	}
}

static void run_mail(struct loop *l)
{
	struct mail *m = mailbox_take(&l->box);

	while (m) {
		struct mail *next = m->next;
		struct loop_mail *lm =
			(struct loop_mail *)((char *)m - offsetof(struct loop_mail, mail));

		lm->fn(lm);
		m = next;
	}
}

static void period(struct loop *l)
{
	usec_t wall = l->now - l->period_start;

	if (wall < PERIOD_USEC)
		return;
	usec_t cpu = clock_thread_cpu();
	unsigned pc = (unsigned)((cpu - l->period_cpu) * 100 / wall);
	l->period_start = l->now;
	l->period_cpu = cpu;
	atomic_store_explicit(&l->busy_percent, pc > 100 ? 100 : pc, memory_order_relaxed);
	if (l->on_period)
		l->on_period(l->on_period_ctx, pc > 100 ? 100 : pc);
}

static int wait_msec(struct loop *l, usec_t wait_usec)
{
	usec_t next = timer_next(&l->wheel);

	if (next >= 0) {
		usec_t left = next - clock_now();

		if (left < 0)
			left = 0;
		if (wait_usec < 0 || left < wait_usec)
			wait_usec = left;
	}
	if (wait_usec < 0)
		return -1;
	usec_t ms = (wait_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
	return ms > 3600000 ? 3600000 : (int)ms;
}

void loop_turn(struct loop *l, usec_t wait_usec)
{
	run_tasks(l);
	int ms = wait_msec(l, wait_usec);

	if (ms != 0 && !mailbox_sleep(&l->box))
		ms = 0;
	if (ms != 0)
		rcu_offline();
	else
		rcu_quiescent();
	int n = epoll_wait(l->epfd, l->ev, EVENTS_PER_TURN, ms);
	if (ms != 0)
		rcu_online();
	mailbox_wake(&l->box);
	l->now = clock_now();
	l->ev_count = n > 0 ? n : 0;
	for (l->ev_at = 0; l->ev_at < l->ev_count; l->ev_at++) {
		struct loop_io *io = l->ev[l->ev_at].data.ptr;

		if (io)
			io->fn(io, l->ev[l->ev_at].events);
	}
	l->ev_count = 0;
	run_mail(l);
	timer_run(&l->wheel, l->now);
	run_tasks(l);
	period(l);
}

void loop_run(struct loop *l)
{
	while (!atomic_load_explicit(&l->stop, memory_order_acquire))
		loop_turn(l, -1);
}

void loop_stop(struct loop *l)
{
	uint64_t one = 1;

	atomic_store(&l->stop, true);
	ssize_t n = write(l->box.fd, &one, sizeof one);
	(void)n;
}

bool loop_stopping(const struct loop *l)
{
	return atomic_load(&l->stop);
}

usec_t loop_now(const struct loop *l)
{
	return l->now;
}

int loop_io_add(struct loop *l, struct loop_io *io, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = io };

	io->fd = fd;
	io->events = events;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev)) {
		io->fd = -1;
		return -errno;
	}
	return 0;
}

int loop_io_mod(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = io };

	if (io->events == events)
		return 0;
	if (epoll_ctl(l->epfd, EPOLL_CTL_MOD, io->fd, &ev))
		return -errno;
	io->events = events;
	return 0;
}

void loop_io_del(struct loop *l, struct loop_io *io)
{
	if (io->fd < 0)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, io->fd, NULL);
	io->fd = -1;
	for (int i = l->ev_at + 1; i < l->ev_count; i++)
		if (l->ev[i].data.ptr == io)
			l->ev[i].data.ptr = NULL;
}

void loop_timer_set(struct loop *l, struct timer *t, usec_t at)
{
	timer_set(&l->wheel, t, at);
}

void loop_timer_after(struct loop *l, struct timer *t, usec_t delay_usec)
{
	timer_set(&l->wheel, t, l->now + delay_usec);
}

void loop_timer_stop(struct loop *l, struct timer *t)
{
	timer_stop(&l->wheel, t);
}

void loop_defer(struct loop *l, struct loop_task *t)
{
	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	*l->tasks_end = t;
	l->tasks_end = &t->next;
}

void loop_undefer(struct loop *l, struct loop_task *t)
{
	struct loop_task **at = &l->tasks;

	if (!t->queued)
		return;
	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	if (l->tasks_end == &t->next)
		l->tasks_end = at;
	t->queued = false;
}

void loop_post(struct loop *l, struct loop_mail *own)
{
	mailbox_post(&l->box, &own->mail);
}

unsigned loop_busy_percent(const struct loop *l)
{
	return atomic_load_explicit(&l->busy_percent, memory_order_relaxed);
}

void loop_on_period(struct loop *l, void (*fn)(void *ctx, unsigned busy_percent), void *ctx)
{
	l->on_period = fn;
	l->on_period_ctx = ctx;
}
