#include "proto/smtps_worker.h"

#include "core/err.h"
#include "core/loop.h"
#include "core/thread.h"
#include "proto/smtps_accept.h"
#include "proto/smtps_links.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_session.h"
#include "proto/smtps_stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	ACCEPT_BATCH = 16,
	BUSY_PERCENT = 75, /* the next loop gets work */
	BUSY_PERIODS = 2,
	QUIET_PERCENT = 40, /* this loop takes no more */
	QUIET_USEC = USEC_PER_SEC,
	PRESS_USEC = USEC_PER_SEC,
	STOP_LINGER_USEC = 2 * USEC_PER_SEC,
	DRAIN_USEC = 10000,           /* between looks for answers that are on their way */
	POOL_SESSIONS_MAX = 10000000, /* the largest max_sessions: a reload may raise it */
};

struct smtps_worker {
	struct smtps_host host; /* first */
	struct smtps_shared *shared;
	unsigned n;
	struct loop *loop;
	struct smtps_links *links;
	struct smtps_accept accept;
	pthread_t thread;
	/* Packing. */
	atomic_bool active;   /* is to accept */
	atomic_bool mail_out; /* activate_mail is on its way */
	struct loop_mail activate_mail;
	unsigned busy_periods;
	usec_t quiet_usec, last_period;
	atomic_uint sessions; /* for other threads */
	/* The end. */
	struct loop_mail stop_mail;
	struct timer stop, press, drain;
	struct loop_task check; /* a session has ended */
	bool forced;
};

#define OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static struct smtps_worker *worker_of(struct smtps_host *h)
{
	return OF(h, struct smtps_worker, host);
}

/* ---- what sessions need */

static usec_t host_now(struct smtps_host *h)
{
	return loop_now(worker_of(h)->loop);
}

static usec_t host_wall(struct smtps_host *h)
{
	(void)h;
	return clock_wall();
}

static void host_timer_set(struct smtps_host *h, struct timer *t, usec_t at)
{
	loop_timer_set(worker_of(h)->loop, t, at);
}

static void host_timer_stop(struct smtps_host *h, struct timer *t)
{
	loop_timer_stop(worker_of(h)->loop, t);
}

static void host_defer(struct smtps_host *h, struct loop_task *t)
{
	loop_defer(worker_of(h)->loop, t);
}

static void host_watch(struct smtps_host *h, struct smtps_session *s, uint32_t events)
{
	if (loop_io_mod(worker_of(h)->loop, &s->io, events))
		smtps_session_kill(s, "epoll");
}

/* Sessions are over and qmgr has said what became of their messages. */
static void end_when_empty(struct smtps_worker *w)
{
	if (!w->host.stopping || w->host.session_count)
		return;
	if (w->host.commits.used_count)
		loop_timer_after(w->loop, &w->drain, DRAIN_USEC);
	else
		loop_stop(w->loop);
}

static void drain_fired(struct timer *t)
{
	end_when_empty(OF(t, struct smtps_worker, drain));
}

static void check_task(struct loop_task *t)
{
	struct smtps_worker *w = OF(t, struct smtps_worker, check);

	if (w->host.stopping)
		end_when_empty(w);
	else if (!w->accept.armed)
		smtps_accept_update(&w->accept);
}

/* The session is still counted, so what follows from its end waits for the end of the turn. */
static void host_ended(struct smtps_host *h, struct smtps_session *s)
{
	struct smtps_worker *w = worker_of(h);

	loop_io_del(w->loop, &s->io);
	atomic_fetch_sub_explicit(&w->shared->sessions, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&w->sessions, 1, memory_order_relaxed);
	w->accept.starved = false;
	loop_defer(w->loop, &w->check);
}

static const struct smtps_host_ops host_ops = { .now = host_now,
						.wall = host_wall,
						.timer_set = host_timer_set,
						.timer_stop = host_timer_stop,
						.defer = host_defer,
						.watch = host_watch,
						.ended = host_ended };

/* ---- accepting */

static unsigned sessions_max(const struct smtps_worker *w)
{
	unsigned option = w->host.conf->o.max_sessions, fds = w->shared->sessions_max;

	return option < fds ? option : fds;
}

static void press_fired(struct timer *t)
{
	struct smtps_worker *w = OF(t, struct smtps_worker, press);
	struct smtps_session *next;
	unsigned max = sessions_max(w);
	unsigned open = atomic_load_explicit(&w->shared->sessions, memory_order_relaxed);

	w->host.pressed = open > max - max / 10 || w->host.credit.level > 0;
	if (!w->host.pressed || w->host.stopping)
		return;
	for (struct smtps_session *s = w->host.first; s; s = next) {
		next = s->next;
		smtps_session_press(s);
	}
	loop_timer_after(w->loop, &w->press, PRESS_USEC);
}

/* Few places are left: from now on idle sessions are looked at every second. */
static void look_at_pressure(struct smtps_worker *w, unsigned open, unsigned max)
{
	if ((open > max - max / 10 || w->host.credit.level > 0) && !timer_isset(&w->press))
		loop_timer_after(w->loop, &w->press, PRESS_USEC);
}

static bool accept_may(struct smtps_accept *a, bool *wait)
{
	struct smtps_worker *w = OF(a, struct smtps_worker, accept);
	const struct smtps_host *h = &w->host;
	unsigned max = sessions_max(w);
	unsigned open = atomic_load_explicit(&w->shared->sessions, memory_order_relaxed);
	unsigned armed = atomic_load_explicit(&w->shared->armed, memory_order_relaxed);
	unsigned share = armed > 1 ? (max + armed - 1) / armed : max;

	if (!atomic_load_explicit(&w->active, memory_order_relaxed) || h->stopping)
		return false;
	look_at_pressure(w, open, max);
	if ((h->credit.level >= 2 && !h->credit.lets_in) || h->session_count >= h->credit.sessions)
		return false;
	if (h->session_count >= share || open >= max) {
		*wait = true;
		return false;
	}
	return true;
}

static unsigned accept_batch(struct smtps_accept *a)
{
	return OF(a, struct smtps_worker, accept)->host.credit.level ? 1 : ACCEPT_BATCH;
}

static void session_io(struct loop_io *io, uint32_t events)
{
	smtps_session_ready(OF(io, struct smtps_session, io), events);
}

static void accept_take(struct smtps_accept *a, int own_fd, const struct addr *client, bool local)
{
	struct smtps_worker *w = OF(a, struct smtps_worker, accept);
	struct stream st;

	stream_init(&st, own_fd);
	struct smtps_session *s =
		smtps_session_new(&w->host, &st, client, local ? SMTPS_SE_LOCAL : 0);
	if (!s) {
		struct span busy = SPAN("421 4.3.2 Too many sessions\r\n");

		stream_write(&st, busy);
		stream_close(&st);
		return;
	}
	atomic_fetch_add_explicit(&w->shared->sessions, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&w->sessions, 1, memory_order_relaxed);
	s->io.fn = session_io;
	if (loop_io_add(w->loop, &s->io, own_fd, EPOLLIN)) {
		smtps_session_kill(s, "epoll");
		return;
	}
	smtps_session_start(s);
}

static void credit_changed(void *ctx)
{
	struct smtps_worker *w = ctx;

	smtps_accept_update(&w->accept);
}

/* ---- packing */

static void set_active(struct smtps_worker *w, bool on)
{
	if (atomic_load_explicit(&w->active, memory_order_relaxed) == on || w->host.stopping)
		return;
	atomic_store_explicit(&w->active, on, memory_order_relaxed);
	atomic_fetch_add_explicit(&w->shared->armed, on ? 1u : (unsigned)-1, memory_order_relaxed);
	stats_add(SMTPS_ST_workers_armed, on ? 1 : (uint64_t)-1);
	w->quiet_usec = 0;
	w->busy_periods = 0;
	smtps_accept_update(&w->accept);
}

static void activate(struct loop_mail *m)
{
	struct smtps_worker *w = OF(m, struct smtps_worker, activate_mail);

	atomic_store_explicit(&w->mail_out, false, memory_order_release);
	set_active(w, true);
}

static void activate_other(struct smtps_worker *o)
{
	if (atomic_load_explicit(&o->active, memory_order_relaxed) ||
	    atomic_exchange_explicit(&o->mail_out, true, memory_order_acquire))
		return;
	loop_post(o->loop, &o->activate_mail);
}

static void period(void *ctx, unsigned busy_percent)
{
	struct smtps_worker *w = ctx;
	struct smtps_shared *sh = w->shared;
	usec_t now = loop_now(w->loop), took = now - w->last_period;
	bool serialize = w->host.conf->o.flags & SMTPS_F_SERIALIZE_ACCEPT;

	w->last_period = now;
	w->busy_periods = busy_percent > BUSY_PERCENT ? w->busy_periods + 1 : 0;
	w->quiet_usec = busy_percent < QUIET_PERCENT ? w->quiet_usec + took : 0;
	if (!atomic_load_explicit(&w->active, memory_order_relaxed) || sh->worker_count < 2)
		return;
	if (w->busy_periods >= BUSY_PERIODS) {
		unsigned next = serialize ? (w->n + 1) % sh->worker_count : w->n + 1;

		w->busy_periods = 0;
		if (next < sh->worker_count)
			activate_other(sh->worker[next]);
		if (serialize)
			set_active(w, false); /* it has handed the sockets on */
	} else if (w->n > 0 && !serialize && w->quiet_usec >= QUIET_USEC) {
		set_active(w, false);
	}
}

/* ---- reload, stop */

struct conf_mail {
	struct loop_mail mail;
	struct smtps_worker *w;
	struct smtps_conf *conf;
};

static void take_conf(struct loop_mail *m)
{
	struct conf_mail *c = OF(m, struct conf_mail, mail);
	struct smtps_conf *old = c->w->host.conf;

	c->w->host.conf = c->conf;
	smtps_conf_put(old);
	smtps_accept_update(&c->w->accept);
	free(c);
}

int smtps_worker_reload(struct smtps_worker *w, struct smtps_conf *conf)
{
	struct conf_mail *c = malloc(sizeof *c);

	if (!c)
		return -ENOMEM;
	*c = (struct conf_mail){ .mail.fn = take_conf, .w = w, .conf = smtps_conf_get(conf) };
	loop_post(w->loop, &c->mail);
	return 0;
}

static void stop_fired(struct timer *t)
{
	struct smtps_worker *w = OF(t, struct smtps_worker, stop);
	struct smtps_session *next;

	if (w->forced) {
		loop_stop(w->loop);
		return;
	}
	w->forced = true;
	for (struct smtps_session *s = w->host.first; s; s = next) {
		next = s->next;
		smtps_session_stop_now(s);
	}
	loop_timer_after(w->loop, &w->stop, STOP_LINGER_USEC);
}

static void stop(struct loop_mail *m)
{
	struct smtps_worker *w = OF(m, struct smtps_worker, stop_mail);
	struct smtps_session *next;

	smtps_accept_stop(&w->accept);
	w->host.stopping = true;
	loop_timer_after(w->loop, &w->stop, w->host.conf->o.stop_timeout);
	for (struct smtps_session *s = w->host.first; s; s = next) {
		next = s->next;
		smtps_session_stop(s);
	}
	end_when_empty(w);
}

void smtps_worker_stop(struct smtps_worker *w)
{
	loop_post(w->loop, &w->stop_mail);
}

/* ---- life */

struct smtps_worker *smtps_worker_new(struct smtps_shared *sh, unsigned n, struct smtps_conf *conf,
				      int *error)
{
	struct smtps_worker *w = xcalloc(1, sizeof *w);
	struct smtps_links_setup links = {
		.host = &w->host, .hello = sh->hello, .credit = credit_changed, .ctx = w
	};

	w->shared = sh;
	w->n = n;
	w->host.ops = &host_ops;
	w->activate_mail.fn = activate;
	w->stop_mail.fn = stop;
	w->stop.fn = stop_fired;
	w->press.fn = press_fired;
	w->drain.fn = drain_fired;
	w->check.fn = check_task;
	w->accept.may = accept_may;
	w->accept.batch = accept_batch;
	w->accept.take = accept_take;
	w->loop = links.loop = loop_new();
	links.hello.worker = n;
	*error = -ENOMEM;
	if (!w->loop || smtps_host_init(&w->host, conf, POOL_SESSIONS_MAX))
		return NULL;
	w->links = smtps_links_new(&links);
	if (!w->links)
		return NULL;
	*error = 0;
	return w;
}

struct loop *smtps_worker_loop(struct smtps_worker *w)
{
	return w->loop;
}

void smtps_worker_segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes_or_end, bool sealed)
{
	struct smtps_worker *w = ctx;

	smtps_links_segment(w->links, seg, gen, bytes_or_end, sealed);
}

void smtps_worker_spare(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes)
{
	struct smtps_worker *w = ctx;

	smtps_links_spare(w->links, seg, gen, bytes);
}

void smtps_worker_punched(void *ctx, uint64_t seg, uint64_t gen, int error, uint64_t left)
{
	struct smtps_worker *w = ctx;

	smtps_links_punched(w->links, seg, gen, error, left);
}

static void thread_main(void *arg)
{
	struct smtps_worker *w = arg;

	stats_thread();
	w->host.cdb = w->shared->cdb;
	smtps_accept_init(&w->accept, w->loop, w->shared);
	w->last_period = loop_now(w->loop);
	loop_on_period(w->loop, period, w);
	if (w->n == 0)
		set_active(w, true);
	loop_run(w->loop);
	while (w->host.first)
		smtps_session_kill(w->host.first, "stop");
	loop_turn(w->loop, 0);
}

int smtps_worker_start(struct smtps_worker *w, int cpu)
{
	char name[16];

	snprintf(name, sizeof name, "smtps-%u", w->n);
	return thread_start(&w->thread, name, cpu, thread_main, w);
}

void smtps_worker_join(struct smtps_worker *w)
{
	thread_join(w->thread);
}

void smtps_worker_free(struct smtps_worker *w)
{
	smtps_links_free(w->links);
	smtps_host_free(&w->host);
	loop_free(w->loop);
	free(w);
}

unsigned smtps_worker_busy_percent(const struct smtps_worker *w)
{
	return loop_busy_percent(w->loop);
}

unsigned smtps_worker_sessions(const struct smtps_worker *w)
{
	return atomic_load_explicit(&w->sessions, memory_order_relaxed);
}

bool smtps_worker_armed(const struct smtps_worker *w)
{
	return atomic_load_explicit(&w->active, memory_order_relaxed);
}
