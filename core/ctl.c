#include "core/ctl.h"

#include "core/link.h"
#include "core/log.h"
#include "core/sock.h"
#include "core/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	REQUEST_BYTES = 65536,
	READ_BYTES = 8192,
	CONNS_MAX = 64,
	TIMEOUT_USEC = 30 * USEC_PER_SEC,
	NO_FDS_PAUSE_USEC = USEC_PER_SEC,
};

/* READ: the request comes; RUN: the verb goes on when the peer has read; WAIT: for ctl_resume();
 * LAST: all is said. */
enum state { ST_READ = 0, ST_RUN, ST_WAIT, ST_LAST };

struct conn {
	struct ctl_request rq;
	struct loop_io io;
	struct timer timer;
	struct ctl_server *server;
	struct conn *next, **prev;
	struct buf in, out;
	const struct ctl_verb *verb; /* NULL: none was begun */
	enum state state;
	bool running, resumed;
};

struct ctl_server {
	struct loop *loop;
	struct loop_io io;
	struct timer pause;
	char *path;
	const struct ctl_verb *verbs;
	void *ctx;
	struct conn *conns;
	unsigned count;
};

#define CONN_OF(member_ptr, member)                                                                \
	((struct conn *)((char *)(member_ptr)-offsetof(struct conn, member)))

/* ---- verbs that every program has */

static enum ctl_step run_help(struct ctl_request *rq);
static enum ctl_step run_stats(struct ctl_request *rq);
static enum ctl_step run_metrics(struct ctl_request *rq);
static enum ctl_step run_log_level(struct ctl_request *rq);

static const struct ctl_verb built_in[] = {
	{ "help", "help", run_help, NULL },
	{ "stats", "stats [text|json|metrics]", run_stats, NULL },
	{ "metrics", "metrics", run_metrics, NULL },
	{ "log_level", "log_level [N]", run_log_level, NULL },
	{ NULL, NULL, NULL, NULL },
};

/* Without memory the answer is cut; the peer sees that its end is missing. */
static enum ctl_step run_help(struct ctl_request *rq)
{
	const struct ctl_verb *const tables[] = { CONN_OF(rq, rq)->server->verbs, built_in };

	for (unsigned t = 0; t < 2; t++)
		for (const struct ctl_verb *v = tables[t]; v && v->name; v++)
			buf_printf(rq->out, "%s\n", v->help ? v->help : v->name);
	return CTL_DONE;
}

static enum ctl_step run_metrics(struct ctl_request *rq)
{
	if (!stats_print_openmetrics(rq->out))
		buf_printf(rq->out, "# EOF\n");
	return CTL_DONE;
}

static void print_json(struct buf *out)
{
	buf_printf(out, "{\"process\":\"%s\",", stats_prefix());
	size_t before = buf_len(out);
	int rc = stats_print_json(out);
	if (!rc && buf_len(out) == before)
		out->w--; /* the comma of no member */
	if (!rc)
		buf_printf(out, "}\n");
}

static enum ctl_step run_stats(struct ctl_request *rq)
{
	if (span_eq(rq->args, SPAN("metrics")))
		return run_metrics(rq);
	if (span_eq(rq->args, SPAN("json")))
		print_json(rq->out);
	else if (!rq->args.n || span_eq(rq->args, SPAN("text")))
		stats_print_text(rq->out);
	else
		buf_printf(rq->out, "error: usage: stats [text|json|metrics]\n");
	return CTL_DONE;
}

static enum ctl_step run_log_level(struct ctl_request *rq)
{
	uint64_t level;

	if (rq->args.n && span_u64(rq->args, 99, &level)) {
		buf_printf(rq->out, "error: usage: log_level is a number from 0 to 99\n");
		return CTL_DONE;
	}
	if (rq->args.n) {
		log_set_level((unsigned)level);
		log_event(LOG_LV_ERROR, LOG_SEV_INFO, "ctl", "log_level=%u", (unsigned)level);
	}
	buf_printf(rq->out, "log_level=%u\n", __atomic_load_n(&log_level_now, __ATOMIC_RELAXED));
	return CTL_DONE;
}

/* ---- one connection */

static void conn_free(struct conn *c)
{
	struct ctl_server *s = c->server;

	if (c->verb && c->verb->end)
		c->verb->end(&c->rq);
	loop_timer_stop(s->loop, &c->timer);
	int fd = c->io.fd;
	loop_io_del(s->loop, &c->io);
	close(fd);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->count--;
	buf_release(&c->in);
	buf_release(&c->out);
	free(c);
}

static void conn_timeout(struct timer *t)
{
	conn_free(CONN_OF(t, timer));
}

/* The peer has 30 s from now, unless it is us that it waits for. */
static void conn_progress(struct conn *c)
{
	if (c->state == ST_WAIT)
		loop_timer_stop(c->server->loop, &c->timer);
	else
		loop_timer_after(c->server->loop, &c->timer, TIMEOUT_USEC);
}

/* Sends what is there. False: the peer is gone. */
static bool conn_flush(struct conn *c)
{
	while (buf_len(&c->out)) {
		struct span s = buf_span(&c->out);
		ssize_t n = send(c->io.fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		buf_eat(&c->out, (size_t)n);
		conn_progress(c);
	}
	return true;
}

static void conn_run(struct conn *c)
{
	c->running = true;
	c->resumed = false;
	enum ctl_step step = c->verb->run(&c->rq);
	c->running = false;
	if (step == CTL_DONE)
		c->state = ST_LAST;
	else
		c->state = step == CTL_WAIT && !c->resumed ? ST_WAIT : ST_RUN;
	conn_progress(c);
}

/* One round: send, let the verb go on once all is sent, send. May free c. */
static void conn_go(struct conn *c)
{
	bool alive = conn_flush(c);

	if (alive && c->state == ST_RUN && !buf_len(&c->out)) {
		conn_run(c);
		alive = conn_flush(c);
	}
	if (!alive || (c->state == ST_LAST && !buf_len(&c->out))) {
		conn_free(c);
		return;
	}
	/* The next round of a verb that has more to say is another turn: others come between. */
	bool out = buf_len(&c->out) || c->state == ST_RUN;
	if (loop_io_mod(c->server->loop, &c->io, out ? EPOLLOUT : 0))
		conn_free(c);
}

static const struct ctl_verb *find_verb(const struct ctl_verb *table, struct span name)
{
	for (const struct ctl_verb *v = table; v && v->name; v++)
		if (span_eq(name, span_str(v->name)))
			return v;
	return NULL;
}

static void conn_say(struct conn *c, const char *text)
{
	buf_add_span(&c->out, span_str(text));
	c->state = ST_LAST;
}

static void begin_verb(struct conn *c, struct span line)
{
	struct span name = span_word(&line, " \t");
	const struct ctl_verb *v = find_verb(c->server->verbs, name);

	if (!v)
		v = find_verb(built_in, name);
	if (!v) {
		conn_say(c, "error: usage: unknown request, try help\n");
		return;
	}
	c->verb = v;
	c->state = ST_RUN;
	c->rq = (struct ctl_request){
		.args = span_trim(line), .out = &c->out, .ctx = c->server->ctx, .self = &c->rq
	};
}

static void begin_http(struct conn *c, struct span line)
{
	struct span method = span_word(&line, " ");
	struct span target = span_word(&line, " ");

	/* A query changes nothing. */
	target = span_head(target, span_chr(target, '?'));
	if (!span_eq(method, SPAN("GET"))) {
		conn_say(
			c,
			"HTTP/1.0 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n");
	} else if (!span_eq(target, SPAN("/metrics"))) {
		conn_say(c, "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	} else {
		buf_printf(
			&c->out,
			"HTTP/1.0 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; "
			"charset=utf-8\r\nConnection: close\r\n\r\n");
		begin_verb(c, SPAN("metrics"));
		/* Our own verb, even if the program has one of this name. */
		c->verb = find_verb(built_in, SPAN("metrics"));
		/* The head is not something that the peer has to read first. */
		conn_run(c);
	}
}

static bool is_http(struct span line)
{
	size_t sp = span_rchr(line, ' ');

	return sp < line.n && span_startswith(span_from(line, sp + 1), SPAN("HTTP/1."));
}

/* HTTP has a header section (RFC 9112 2.1); it is read so that closing does not reset the
 * connection. */
static bool http_complete(struct span all)
{
	return span_find(all, SPAN("\r\n\r\n")) < all.n || span_find(all, SPAN("\n\n")) < all.n;
}

/* Begins the request if it is complete. */
static void conn_parse(struct conn *c, bool eof)
{
	struct span all = buf_span(&c->in);
	size_t nl = span_chr(all, '\n');
	struct span line = span_head(all, nl);

	if (nl == all.n && !eof) {
		if (all.n >= REQUEST_BYTES)
			conn_say(c, "error: usage: request too long\n");
		return;
	}
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (!is_http(line))
		begin_verb(c, line);
	else if (eof || http_complete(all))
		begin_http(c, line);
	else if (all.n >= REQUEST_BYTES)
		conn_say(
			c,
			"HTTP/1.0 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n");
}

/* False: the peer is gone, or there is no memory for it. */
static bool conn_read(struct conn *c)
{
	char *to = buf_room(&c->in, READ_BYTES);
	ssize_t n = to ? recv(c->io.fd, to, READ_BYTES, MSG_DONTWAIT) : -1;

	if (!to)
		return false;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (!n && !buf_len(&c->in))
		return false;
	buf_wrote(&c->in, (size_t)n);
	conn_progress(c);
	conn_parse(c, n == 0);
	return true;
}

static void conn_ready(struct loop_io *io, uint32_t events)
{
	struct conn *c = CONN_OF(io, io);

	if (c->state == ST_READ) {
		if (!conn_read(c))
			conn_free(c);
		else if (c->state != ST_READ)
			conn_go(c);
		return;
	}
	if (events & (EPOLLHUP | EPOLLERR))
		conn_free(c);
	else
		conn_go(c);
}

void ctl_resume(struct ctl_request *rq)
{
	struct conn *c = CONN_OF(rq->self, rq);

	c->resumed = true;
	if (c->running || c->state != ST_WAIT)
		return;
	c->state = ST_RUN;
	conn_progress(c);
	/* It goes on in the next turn; when that cannot be had, the timer ends it. */
	loop_io_mod(c->server->loop, &c->io, EPOLLOUT);
}

/* ---- the server */

/* The peer reads it although its request is not: a Unix socket keeps what was sent before close. */
static void refuse(int fd, const char *why)
{
	ssize_t n = send(fd, why, strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)n;
	close(fd);
}

static void conn_add(struct ctl_server *s, int fd)
{
	if (!link_peer_allowed(fd)) {
		refuse(fd, "error: denied: you may not ask it\n");
		return;
	}
	struct conn *c = s->count < CONNS_MAX ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		refuse(fd, "error: busy: too many ask at once, try again\n");
		return;
	}
	c->server = s;
	c->io.fn = conn_ready;
	c->timer.fn = conn_timeout;
	if (loop_io_add(s->loop, &c->io, fd, EPOLLIN)) {
		free(c);
		close(fd);
		return;
	}
	c->next = s->conns;
	if (c->next)
		c->next->prev = &c->next;
	c->prev = &s->conns;
	s->conns = c;
	s->count++;
	conn_progress(c);
}

static void listen_again(struct timer *t)
{
	struct ctl_server *s =
		(struct ctl_server *)((char *)t - offsetof(struct ctl_server, pause));

	loop_io_mod(s->loop, &s->io, EPOLLIN);
}

static void listener_ready(struct loop_io *io, uint32_t events)
{
	struct ctl_server *s = (struct ctl_server *)((char *)io - offsetof(struct ctl_server, io));

	(void)events;
	for (int i = 0; i < CONNS_MAX; i++) {
		int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_add(s, fd);
			continue;
		}
		if (sock_is_shortage(errno)) {
			loop_io_mod(s->loop, &s->io, 0);
			loop_timer_after(s->loop, &s->pause, NO_FDS_PAUSE_USEC);
		}
		return;
	}
}

struct ctl_server *ctl_listen(struct loop *l, const char *path, const struct ctl_verb *verbs,
			      void *ctx, int *error)
{
	struct ctl_server *s = calloc(1, sizeof *s);
	int fd;

	*error = -ENOMEM;
	if (!s || !(s->path = strdup(path)))
		goto out;
	fd = sock_listen_unix(path, 0660);
	*error = fd;
	if (fd < 0)
		goto out;
	s->loop = l;
	s->verbs = verbs;
	s->ctx = ctx;
	s->io.fn = listener_ready;
	s->pause.fn = listen_again;
	*error = loop_io_add(l, &s->io, fd, EPOLLIN);
	if (!*error)
		return s;
	unlink(path);
	close(fd);
out:
	if (s)
		free(s->path);
	free(s);
	return NULL;
}

void ctl_wait(struct ctl_server *s, bool wait)
{
	loop_io_mod(s->loop, &s->io, wait ? 0 : EPOLLIN);
}

void ctl_free(struct ctl_server *s)
{
	if (!s)
		return;
	while (s->conns)
		conn_free(s->conns);
	int fd = s->io.fd;
	loop_timer_stop(s->loop, &s->pause);
	loop_io_del(s->loop, &s->io);
	unlink(s->path);
	close(fd);
	free(s->path);
	free(s);
}

/* ---- a tool's side */

static int write_fd(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -EIO;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int send_request(int sock, const char *request)
{
	struct buf b = { 0 };
	int rc = buf_printf(&b, "%s\n", request);

	while (!rc && buf_len(&b)) {
		struct span s = buf_span(&b);
		ssize_t n = send(sock, s.p, s.n, MSG_NOSIGNAL);

		if (n >= 0)
			buf_eat(&b, (size_t)n);
		else if (errno != EINTR)
			rc = -errno;
	}
	buf_release(&b);
	return rc;
}

int ctl_ask(const char *path, const char *request, int fd)
{
	char part[16384];
	int sock = sock_connect_unix(path);

	if (sock < 0)
		return sock;
	int rc = fcntl(sock, F_SETFL, 0) ? -errno : send_request(sock, request);
	while (!rc) {
		ssize_t n = recv(sock, part, sizeof part, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = -errno;
		else if (n == 0)
			break;
		else
			rc = write_fd(fd, part, (size_t)n);
	}
	close(sock);
	return rc;
}
