#include "bench/source_worker.h"
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sysexits.h>
#include <unistd.h>
#include "bench/cli.h"
#include "bench/timerq.h"

enum { INPUT_BYTES = 64 << 10, EVENTS = 256 };
enum {
	SWEEP_USEC = 1000000,
	AGAIN_USEC = 10000,
	BACKOFF_MIN_USEC = 5000,
	BACKOFF_MAX_USEC = 500000
};

struct conn {
	int fd; /* -1: closed */
	bool writing;
	bool over; /* will not be used again */
	struct timerq_node timer;
	usec_t last_usec;
	usec_t backoff_usec;
	size_t tail_left;   /* of the text's tail */
	struct outbuf pend; /* commands that the socket did not take */
	struct source_sess sess;
};

struct source_worker {
	struct source_shared *shared;
	struct source_env env;
	pthread_t thread;
	int epoll_fd, wake_fd;
	bool stopped; /* has acted upon total->stopping */
	bool no_pwait2;
	struct timerq timers;
	struct timerq_node sweep_timer;
	unsigned conn_count, live;
	struct conn *conns;
	char in[INPUT_BYTES];
};

static void advance(struct source_worker *w, struct conn *c);

static void later(struct source_worker *w, struct conn *c, usec_t wait_usec)
{
	timerq_set(&w->timers, &c->timer, w->env.now_usec + wait_usec);
}

/* Doubles with every failure in a row. */
static void back_off(struct source_worker *w, struct conn *c)
{
	usec_t b = c->backoff_usec ? c->backoff_usec * 2 : BACKOFF_MIN_USEC;

	c->backoff_usec = b < BACKOFF_MAX_USEC ? b : BACKOFF_MAX_USEC;
	later(w, c, c->backoff_usec);
}

static void conn_over(struct source_worker *w, struct conn *c)
{
	source_sess_release(&w->env, &c->sess);
	c->over = true;
	w->live--;
}

static void close_fd(struct source_worker *w, struct conn *c)
{
	timerq_cancel(&w->timers, &c->timer);
	close(c->fd);
	c->fd = -1;
	source_sess_closed(&w->env, &c->sess);
	c->pend.n = c->tail_left = 0;
	c->writing = false;
}

/* No connection, or none that greets. A tolerant run tries again, another one ends here. */
static void connect_failed(struct source_worker *w, struct conn *c, const char *why)
{
	source_total_add(w->env.count, SOURCE_connect_failed, 1);
	if (why)
		source_total_error(w->env.count, "connect", why);
	if (w->env.opts->tolerant && !w->stopped) {
		back_off(w, c);
		return;
	}
	if (!w->env.opts->tolerant)
		atomic_store(&w->env.total->fatal, true);
	conn_over(w, c);
}

/* The connection has ended in this way. why: NULL when the error is noted already. */
static void hang_up(struct source_worker *w, struct conn *c, enum source_end end, const char *why)
{
	bool unused = c->sess.done == 0;

	close_fd(w, c);
	if (end == SOURCE_REFUSED || (end == SOURCE_BROKEN && unused && c->sess.number)) {
		connect_failed(w, c, why);
		return;
	}
	if (end == SOURCE_BROKEN && why)
		source_total_error(w->env.count, "connection", why);
	if (end == SOURCE_BROKEN && w->env.opts->tolerant && !w->stopped)
		back_off(w, c);
	else
		advance(w, c);
}

static enum source_end lost_kind(const struct conn *c)
{
	if (c->sess.phase == SOURCE_QUIT)
		return SOURCE_FINISHED;
	return c->sess.phase < SOURCE_READY ? SOURCE_REFUSED : SOURCE_BROKEN;
}

static void set_writing(struct source_worker *w, struct conn *c, bool writing)
{
	struct epoll_event ev = { .events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c };

	if (c->writing != writing && epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) == 0)
		c->writing = writing;
}

/* Sends head and as much of the tail as goes. Returns bytes of head and tail taken, or -1. */
static ssize_t send_both(struct source_worker *w, struct conn *c, const struct outbuf *head)
{
	const struct source_text *t = w->env.text;
	struct iovec iov[2] = { { head->p, head->n },
				{ t->tail + t->tail_n - c->tail_left, c->tail_left } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = c->tail_left ? 2 : 1 };
	ssize_t n;

	n = c->tail_left ? sendmsg(c->fd, &m, MSG_NOSIGNAL)
			 : send(c->fd, head->p, head->n, MSG_NOSIGNAL);
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

/* Sends what a session has to say. Returns false when the connection is gone. */
static bool flush(struct source_worker *w, struct conn *c)
{
	struct outbuf *out = &w->env.out;
	struct outbuf *head = out;

	if (c->sess.send_tail && c->tail_left == 0)
		c->tail_left = w->env.text->tail_n;
	if (c->pend.n) {
		outbuf_mem(&c->pend, out->p, out->n);
		out->n = 0;
		head = &c->pend;
	}
	if (head->n == 0 && c->tail_left == 0)
		return true;
	ssize_t n = send_both(w, c, head);
	if (n < 0) {
		out->n = 0;
		return false;
	}
	size_t head_n = head->n;
	outbuf_drop(head, (size_t)n);
	if ((size_t)n > head_n)
		c->tail_left -= (size_t)n - head_n;
	if (out->n) {
		outbuf_mem(&c->pend, out->p, out->n);
		out->n = 0;
	}
	if (c->tail_left == 0)
		c->sess.send_tail = false;
	set_writing(w, c, c->pend.n || c->tail_left);
	return true;
}

static void flush_or_hang_up(struct source_worker *w, struct conn *c)
{
	if (!flush(w, c))
		hang_up(w, c, lost_kind(c), strerror(errno));
}

static void open_conn(struct source_worker *w, struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int fd = endpoint_connect(&w->env.opts->server);

	if (fd == -EAGAIN || fd == -EADDRNOTAVAIL || fd == -EMFILE || fd == -ENFILE) {
		source_total_add(w->env.count, SOURCE_connect_again, 1);
		later(w, c, AGAIN_USEC);
		return;
	}
	if (fd < 0) {
		connect_failed(w, c, strerror(-fd));
		return;
	}
	c->fd = fd;
	c->last_usec = w->env.now_usec;
	source_sess_connected(&w->env, &c->sess);
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		hang_up(w, c, SOURCE_REFUSED, strerror(errno));
}

/* A session that is closed or ready does the next thing: wait, connect, send a message, or end. */
static void advance(struct source_worker *w, struct conn *c)
{
	struct source_sess *s = &c->sess;

	if (w->stopped && s->number)
		source_sess_release(&w->env, s);
	if (s->number == 0 && (s->phase == SOURCE_CLOSED || s->done < w->env.opts->per_connection))
		source_sess_assign(s, source_total_claim(w->env.total));
	if (s->number == 0) {
		if (s->phase == SOURCE_CLOSED) {
			conn_over(w, c);
		} else {
			source_sess_quit(&w->env, s);
			flush_or_hang_up(w, c);
		}
		return;
	}
	usec_t due = source_total_due(w->env.total, s->number);
	if (due > w->env.now_usec) {
		timerq_set(&w->timers, &c->timer, due);
	} else if (s->phase == SOURCE_CLOSED) {
		open_conn(w, c);
	} else {
		source_sess_start(&w->env, s);
		flush_or_hang_up(w, c);
	}
}

static void readable(struct source_worker *w, struct conn *c)
{
	ssize_t n = recv(c->fd, w->in, sizeof(w->in), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(w, c, lost_kind(c), n ? strerror(errno) : "closed by the server");
		return;
	}
	c->last_usec = w->env.now_usec;
	bool early = c->tail_left && c->sess.phase == SOURCE_DOT;
	enum source_end end = source_sess_feed(&w->env, &c->sess, w->in, (size_t)n);
	if (end == SOURCE_GOES_ON && early) {
		hang_up(w, c, SOURCE_BROKEN, "reply before the end of the content");
		w->env.out.n = 0;
		return;
	}
	if (end != SOURCE_GOES_ON) {
		w->env.out.n = 0;
		hang_up(w, c, end, NULL);
		return;
	}
	if (c->sess.phase != SOURCE_READY) {
		flush_or_hang_up(w, c);
		return;
	}
	if (c->sess.refused && w->env.opts->tolerant && !w->stopped) {
		back_off(w, c);
		return;
	}
	c->backoff_usec = 0;
	if (!c->timer.at)
		advance(w, c);
}

static void conn_event(struct source_worker *w, struct conn *c, uint32_t events)
{
	if (c->fd < 0)
		return;
	if (events & EPOLLOUT && !(events & (EPOLLERR | EPOLLHUP))) {
		if (!flush(w, c)) {
			hang_up(w, c, lost_kind(c), strerror(errno));
			return;
		}
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		readable(w, c);
}

/* Connections whose server says nothing. One that waits for its next message is meant to be silent.
 */
static void sweep(struct source_worker *w)
{
	usec_t before = w->env.now_usec - w->env.opts->reply_usec;

	for (unsigned i = 0; i < w->conn_count; i++) {
		struct conn *c = &w->conns[i];
		if (c->fd < 0 || c->sess.phase == SOURCE_READY || c->last_usec > before)
			continue;
		source_total_add(w->env.count, SOURCE_timeouts, 1);
		hang_up(w, c, lost_kind(c), "no reply in time");
	}
	timerq_set(&w->timers, &w->sweep_timer, w->env.now_usec + SWEEP_USEC);
}

/* Nothing new is begun: whoever waits for its time ends now, the others after what is under way. */
static void stop(struct source_worker *w)
{
	w->stopped = true;
	for (unsigned i = 0; i < w->conn_count; i++)
		if (w->conns[i].timer.at) {
			timerq_cancel(&w->timers, &w->conns[i].timer);
			advance(w, &w->conns[i]);
		}
}

static void abort_all(struct source_worker *w)
{
	w->stopped = true;
	for (unsigned i = 0; i < w->conn_count; i++) {
		struct conn *c = &w->conns[i];
		if (c->over)
			continue;
		if (c->fd >= 0)
			close_fd(w, c);
		timerq_cancel(&w->timers, &c->timer);
		conn_over(w, c);
	}
}

static void write_acked(struct source_worker *w)
{
	struct outbuf *b = &w->env.acked;

	while (b->n) {
		ssize_t n = write(w->shared->acked_fd, b->p, b->n);
		if (n < 0 && errno != EINTR)
			cli_die(EX_IOERR, "--acked %s: %s", w->env.opts->acked, strerror(errno));
		if (n > 0)
			outbuf_drop(b, (size_t)n);
	}
}

/* Waits with microseconds, which the schedule needs; older kernels round up to milliseconds. */
static int wait_events(struct source_worker *w, struct epoll_event *ev)
{
	usec_t now = clock_now();
	usec_t left = timerq_next(&w->timers, now + SWEEP_USEC) - now;

	if (left < 0)
		left = 0;
	if (!w->no_pwait2) {
		struct timespec ts = { left / USEC_PER_SEC, (left % USEC_PER_SEC) * 1000 };
		int n = epoll_pwait2(w->epoll_fd, ev, EVENTS, &ts, NULL);
		if (n >= 0 || errno != ENOSYS)
			return n;
		w->no_pwait2 = true;
	}
	return epoll_wait(w->epoll_fd, ev, EVENTS, (int)((left + 999) / 1000));
}

static void run_timer(struct source_worker *w, struct timerq_node *t)
{
	if (t == &w->sweep_timer)
		sweep(w);
	else
		advance(w, (struct conn *)((char *)t - offsetof(struct conn, timer)));
}

static void turn(struct source_worker *w, struct epoll_event *ev)
{
	struct source_total *total = w->env.total;
	int n = wait_events(w, ev);
	struct timerq_node *t;

	w->env.now_usec = clock_now();
	for (int i = 0; i < n; i++)
		if (ev[i].data.ptr)
			conn_event(w, ev[i].data.ptr, ev[i].events);
	while ((t = timerq_pop(&w->timers, w->env.now_usec)))
		run_timer(w, t);
	if (w->env.acked.n)
		write_acked(w);
	if (!w->stopped && atomic_load_explicit(&total->stopping, memory_order_relaxed))
		stop(w);
	if (atomic_load_explicit(&total->aborting, memory_order_relaxed) ||
	    atomic_load_explicit(&total->fatal, memory_order_relaxed))
		abort_all(w);
}

static void *loop(void *arg)
{
	struct source_worker *w = arg;
	struct epoll_event ev[EVENTS];
	const uint64_t one = 1;

	w->env.now_usec = clock_now();
	timerq_set(&w->timers, &w->sweep_timer, w->env.now_usec + SWEEP_USEC);
	for (unsigned i = 0; i < w->conn_count; i++)
		advance(w, &w->conns[i]);
	while (w->live)
		turn(w, ev);
	if (w->env.acked.n)
		write_acked(w);
	if (write(w->shared->done_fd, &one, sizeof(one)) < 0)
		cli_die(EX_OSERR, "eventfd: %s", strerror(errno));
	return NULL;
}

static void worker_free(struct source_worker *w)
{
	for (unsigned i = 0; i < w->conn_count; i++) {
		source_sess_free(&w->conns[i].sess);
		outbuf_free(&w->conns[i].pend);
	}
	free(w->conns);
	timerq_free(&w->timers);
	outbuf_free(&w->env.out);
	outbuf_free(&w->env.acked);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	free(w);
}

struct source_worker *source_worker_start(struct source_shared *shared, unsigned index,
					  unsigned sessions)
{
	struct source_worker *w = calloc(1, sizeof(*w));
	struct epoll_event ev = { .events =
					  EPOLLIN | EPOLLET }; /* data.ptr NULL: only to wake up */

	if (!w)
		return NULL;
	w->shared = shared;
	w->env = (struct source_env){ .opts = shared->opts,
				      .text = shared->text,
				      .total = shared->total,
				      .count = &shared->total->counts[index] };
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->conns = calloc(sessions, sizeof(*w->conns));
	if (w->epoll_fd < 0 || w->wake_fd < 0 || !w->conns ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev)) {
		worker_free(w);
		return NULL;
	}
	w->conn_count = w->live = sessions;
	for (unsigned i = 0; i < sessions; i++)
		w->conns[i].fd = -1;
	int rc = pthread_create(&w->thread, NULL, loop, w);
	if (rc == 0)
		return w;
	worker_free(w);
	errno = rc;
	return NULL;
}

void source_worker_wake(struct source_worker *w)
{
	const uint64_t one = 1;

	if (write(w->wake_fd, &one, sizeof(one)) < 0)
		return; /* it is already signalled */
}

void source_worker_join(struct source_worker *w)
{
	pthread_join(w->thread, NULL);
	worker_free(w);
}
