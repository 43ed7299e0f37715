#include "bench/sink_worker.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "bench/cli.h"
#include "bench/timerq.h"

enum { INPUT_BYTES = 256 << 10, EVENTS = 256, ACCEPTS = 64 };
enum { SWEEP_USEC = 1000000, ACCEPT_PAUSE_USEC = 100000 };

enum kind { LISTENER = 0, CONNECTION, WAKE };

/* First member of whatever epoll points at. */
struct watch {
	enum kind kind;
	int fd;
};

enum interest { READ = 0, WRITE, MUTED };

struct conn {
	struct watch watch;
	enum interest interest;
	struct timerq_node timer;
	usec_t last_usec;
	struct conn *next, *prev; /* open connections, or the free list */
	struct outbuf hold;       /* input that waits for its end or for a pause */
	struct outbuf pend;       /* replies that the socket did not take */
	struct sink_sess sess;
};

struct sink_worker {
	struct sink_shared *shared;
	struct sink_env env;
	pthread_t thread;
	int epoll_fd;
	_Atomic bool stop;
	struct watch wake;
	struct watch listeners[SINK_LISTEN_MAX];
	struct timerq timers;
	struct timerq_node accept_timer; /* armed while out of descriptors */
	struct timerq_node sweep_timer;
	struct conn *open, *free;
	char in[INPUT_BYTES];
};

static void set_interest(struct sink_worker *w, struct conn *c, enum interest interest)
{
	static const uint32_t events[] = {
		[READ] = EPOLLIN, [WRITE] = EPOLLOUT, [MUTED] = EPOLLRDHUP
	};
	struct epoll_event ev = { .events = events[interest], .data.ptr = c };

	if (c->interest != interest && epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, c->watch.fd, &ev) == 0)
		c->interest = interest;
}

static void conn_close(struct sink_worker *w, struct conn *c)
{
	timerq_cancel(&w->timers, &c->timer);
	close(c->watch.fd);
	c->watch.fd = -1;
	sink_sess_end(&w->env, &c->sess);
	sink_sess_recycle(&c->sess);
	c->hold.n = c->pend.n = 0;
	if (c->prev)
		c->prev->next = c->next;
	else
		w->open = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->next = w->free;
	w->free = c;
}

/* Sends what is pending. Returns false when the connection is gone. */
static bool push(struct sink_worker *w, struct conn *c)
{
	ssize_t n = send(c->watch.fd, c->pend.p, c->pend.n, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	if (n > 0)
		outbuf_drop(&c->pend, (size_t)n);
	set_interest(w, c, c->pend.n ? WRITE : READ);
	return true;
}

/* Sends the replies of this turn, all in one. Returns false when the connection is gone. */
static bool flush(struct sink_worker *w, struct conn *c)
{
	struct outbuf *out = &w->env.out;

	if (out->n == 0)
		return true;
	if (c->pend.n == 0) {
		ssize_t n = send(c->watch.fd, out->p, out->n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			out->n = 0;
			return false;
		}
		if (n > 0)
			outbuf_drop(out, (size_t)n);
		if (out->n == 0)
			return true;
	}
	outbuf_mem(&c->pend, out->p, out->n);
	out->n = 0;
	set_interest(w, c, WRITE);
	return true;
}

/* After a session has run: send, close, or wait for its pause. Returns false when it is closed. */
static bool settle(struct sink_worker *w, struct conn *c)
{
	if (!flush(w, c) || (c->sess.closing && c->pend.n == 0)) {
		conn_close(w, c);
		return false;
	}
	if (c->sess.pause_until && c->sess.pause_until != INT64_MAX)
		timerq_set(&w->timers, &c->timer, c->sess.pause_until);
	return true;
}

static void serve_held(struct sink_worker *w, struct conn *c)
{
	size_t used = sink_sess_feed(&w->env, &c->sess, c->hold.p, c->hold.n);

	outbuf_drop(&c->hold, used);
	settle(w, c);
}

static void readable(struct sink_worker *w, struct conn *c)
{
	ssize_t n = recv(c->watch.fd, w->in, sizeof(w->in), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(w, c);
		return;
	}
	c->last_usec = w->env.now_usec;
	if (c->hold.n) {
		outbuf_mem(&c->hold, w->in, (size_t)n);
		serve_held(w, c);
		return;
	}
	size_t used = sink_sess_feed(&w->env, &c->sess, w->in, (size_t)n);
	if (settle(w, c) && used < (size_t)n)
		outbuf_mem(&c->hold, w->in + used, (size_t)n - used);
}

static void conn_event(struct sink_worker *w, struct conn *c, uint32_t events)
{
	if (c->interest == WRITE) {
		if (!push(w, c) || (c->sess.closing && c->pend.n == 0))
			conn_close(w, c);
		else if (c->pend.n == 0 && c->hold.n)
			serve_held(w, c);
	} else if (c->sess.pause_until) {
		if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
			conn_close(w, c);
		else
			set_interest(w, c, MUTED);
	} else {
		readable(w, c);
	}
}

static struct conn *conn_new(struct sink_worker *w, int fd)
{
	struct conn *c = w->free;

	if (c)
		w->free = c->next;
	else if (!(c = calloc(1, sizeof(*c))))
		return NULL;
	c->watch = (struct watch){ CONNECTION, fd };
	c->interest = READ;
	c->last_usec = w->env.now_usec;
	c->prev = NULL;
	c->next = w->open;
	if (c->next)
		c->next->prev = c;
	w->open = c;
	return c;
}

static bool is_full(struct sink_worker *w)
{
	const struct sink_total *t = w->env.total;
	uint64_t max = w->env.opts->session_max;

	return max < UINT32_MAX &&
	       sink_total_get(t, SINK_sessions_total) - sink_total_get(t, SINK_sessions_closed) >
		       max;
}

static void greet(struct sink_worker *w, int fd)
{
	struct conn *c = conn_new(w, fd);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (!c) {
		close(fd);
		return;
	}
	sink_total_add(w->env.count, SINK_sessions_total, 1);
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		conn_close(w, c);
		return;
	}
	if (is_full(w)) {
		sink_total_add(w->env.count, SINK_refused_full, 1);
		outbuf_str(&w->env.out, "421 4.3.2 too many connections\r\n");
		c->sess.closing = true;
	} else {
		sink_sess_begin(&w->env, &c->sess);
	}
	settle(w, c);
}

static void listen_on(struct sink_worker *w, unsigned i, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &w->listeners[i] };

	if (w->env.opts->threads > 1)
		ev.events |= EPOLLEXCLUSIVE;
	epoll_ctl(w->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, w->listeners[i].fd, &ev);
}

/* Out of descriptors: a listener left armed would spin. */
static void pause_accept(struct sink_worker *w)
{
	cli_warn("accept: %s", strerror(errno));
	for (unsigned i = 0; i < w->env.opts->listen_count; i++)
		listen_on(w, i, false);
	timerq_set(&w->timers, &w->accept_timer, w->env.now_usec + ACCEPT_PAUSE_USEC);
}

static void accept_some(struct sink_worker *w, int listen_fd)
{
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			greet(w, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			   errno == ENOBUFS) {
			if (!w->accept_timer.at)
				pause_accept(w);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static void sweep(struct sink_worker *w)
{
	usec_t before = w->env.now_usec - w->env.opts->idle_usec;

	for (struct conn *c = w->open, *next; c; c = next) {
		next = c->next;
		bool waits = c->sess.pause_until && c->sess.pause_until != INT64_MAX;
		if (waits || c->last_usec > before)
			continue;
		sink_total_add(w->env.count, SINK_idle_closed, 1);
		outbuf_str(&w->env.out, "421 4.4.2 nothing came for too long\r\n");
		c->sess.closing = true;
		flush(w, c);
		conn_close(w, c);
	}
	timerq_set(&w->timers, &w->sweep_timer, w->env.now_usec + SWEEP_USEC);
}

static void run_timer(struct sink_worker *w, struct timerq_node *t)
{
	if (t == &w->sweep_timer) {
		sweep(w);
	} else if (t == &w->accept_timer) {
		for (unsigned i = 0; i < w->env.opts->listen_count; i++)
			listen_on(w, i, true);
	} else {
		struct conn *c = (struct conn *)((char *)t - offsetof(struct conn, timer));
		sink_sess_resume(&w->env, &c->sess);
		c->last_usec = w->env.now_usec;
		if (c->interest == MUTED)
			set_interest(w, c, READ);
		if (c->pend.n)
			settle(w, c);
		else
			serve_held(w, c);
	}
}

static int wait_msec(const struct sink_worker *w)
{
	usec_t left = timerq_next(&w->timers, w->env.now_usec + SWEEP_USEC) - w->env.now_usec;

	return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

static void *loop(void *arg)
{
	struct sink_worker *w = arg;
	struct epoll_event ev[EVENTS];

	w->env.now_usec = clock_now();
	timerq_set(&w->timers, &w->sweep_timer, w->env.now_usec + SWEEP_USEC);
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		int n = epoll_wait(w->epoll_fd, ev, EVENTS, wait_msec(w));
		w->env.now_usec = clock_now();
		for (int i = 0; i < n; i++) {
			struct watch *watch = ev[i].data.ptr;
			if (watch->kind == CONNECTION)
				conn_event(w, (struct conn *)watch, ev[i].events);
			else if (watch->kind == LISTENER)
				accept_some(w, watch->fd);
		}
		struct timerq_node *t;
		while ((t = timerq_pop(&w->timers, w->env.now_usec)))
			run_timer(w, t);
	}
	while (w->open)
		conn_close(w, w->open);
	return NULL;
}

static void worker_free(struct sink_worker *w)
{
	for (struct conn *c = w->free, *next; c; c = next) {
		next = c->next;
		sink_sess_free(&c->sess);
		outbuf_free(&c->hold);
		outbuf_free(&c->pend);
		free(c);
	}
	timerq_free(&w->timers);
	outbuf_free(&w->env.out);
	if (w->wake.fd >= 0)
		close(w->wake.fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	free(w);
}

struct sink_worker *sink_worker_start(struct sink_shared *shared, unsigned index)
{
	struct sink_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->shared = shared;
	w->env = (struct sink_env){ .opts = shared->opts,
				    .total = shared->total,
				    .count = &shared->total->counts[index],
				    .rng = shared->opts->seed + index,
				    .limit_slot = &shared->limit_slot,
				    .dump_number = &shared->dump_number };
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake = (struct watch){ WAKE, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &w->wake };
	if (w->epoll_fd < 0 || w->wake.fd < 0 ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake.fd, &ev)) {
		worker_free(w);
		return NULL;
	}
	for (unsigned i = 0; i < shared->opts->listen_count; i++) {
		w->listeners[i] = (struct watch){ LISTENER, shared->listen_fds[i] };
		listen_on(w, i, true);
	}
	int rc = pthread_create(&w->thread, NULL, loop, w);
	if (rc == 0)
		return w;
	worker_free(w);
	errno = rc;
	return NULL;
}

void sink_worker_stop(struct sink_worker *w)
{
	const uint64_t one = 1;

	atomic_store(&w->stop, true);
	if (write(w->wake.fd, &one, sizeof(one)) < 0)
		return; /* it is already signalled */
}

void sink_worker_join(struct sink_worker *w)
{
	pthread_join(w->thread, NULL);
	worker_free(w);
}
