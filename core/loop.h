/*
 * core/loop.h - one epoll loop with timers, a mailbox and work at the end of each turn.
 *
 * Owner:  the thread that runs it; only loop_post() and loop_stop() may be called by others.
 * RCU:    offline while it waits, so every callback is one read section.
 * Memory: loop_io, timer, loop_task and mail are embedded in their users.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H
#include "core/mailbox.h"
#include "core/timer.h"

#include <stdint.h>
#include <sys/epoll.h>

struct loop_io {
	int fd; /* -1: not watched */
	uint32_t events;
	void (*fn)(struct loop_io *io, uint32_t events);
};

struct loop_task {
	struct loop_task *next;
	bool queued;
	void (*fn)(struct loop_task *t);
};

struct loop_mail {
	struct mail mail;
	void (*fn)(struct loop_mail *m);
};

struct loop;

/* NULL without descriptors or memory. */
struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
/* One turn that waits at most wait_usec (-1: for ever); for tests. */
void loop_turn(struct loop *l, usec_t wait_usec);
/* Any thread: loop_run() returns after the current turn. */
void loop_stop(struct loop *l);
bool loop_stopping(const struct loop *l);

/* Time at the start of this turn. */
usec_t loop_now(const struct loop *l);

/* Watch io->fd. events: EPOLLIN, EPOLLOUT, EPOLLET, EPOLLEXCLUSIVE. io->fn must be filled in. 0 or
 * -errno. */
int loop_io_add(struct loop *l, struct loop_io *io, int fd, uint32_t events);
/* No system call when nothing changes. */
int loop_io_mod(struct loop *l, struct loop_io *io, uint32_t events);
/* Stop watching; does not close. Events of this turn for it are forgotten, so io may be freed. */
void loop_io_del(struct loop *l, struct loop_io *io);

/* timer_set() and timer_stop() on the wheel of the loop; after: from the begin of this turn. */
void loop_timer_set(struct loop *l, struct timer *t, usec_t at);
void loop_timer_after(struct loop *l, struct timer *t, usec_t delay_usec);
void loop_timer_stop(struct loop *l, struct timer *t);

/* Run t->fn once at the end of this turn, before waiting; a task may queue others. */
void loop_defer(struct loop *l, struct loop_task *t);
/* Take it back, before its owner is freed. No-op when it is not queued. */
void loop_undefer(struct loop *l, struct loop_task *t);

/* Any thread: run own->fn in the loop. */
void loop_post(struct loop *l, struct loop_mail *own);

/* Part of the last period (about 100 ms) that the thread used a CPU, 0 to 100. Any thread. */
unsigned loop_busy_percent(const struct loop *l);
/* Called in the loop after each period; NULL: nothing. */
void loop_on_period(struct loop *l, void (*fn)(void *ctx, unsigned busy_percent), void *ctx);

#endif
