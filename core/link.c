#include "core/link.h"

#include "core/err.h"
#include "core/log.h"
#include "core/sock.h"
#include "core/wire.h"

#include <stdlib.h>
#include <unistd.h>

enum { FRAME_HEAD = 14, HELLO = 1, READ_BYTES = 65536 };
enum {
	RETRY_FIRST_USEC = 1000, /* the peer is probably being started, too */
	RETRY_MIN_USEC = 10000,
	RETRY_MAX_USEC = 1000000,
	HELLO_TIMEOUT_USEC = 10000000,
	NO_FDS_PAUSE_USEC = 100000
};
static const uint32_t HELLO_MAGIC = 0x4c586d73; /* "smXL" */

struct link {
	struct loop *loop;
	struct loop_io io;
	struct buf in, out;
	uint32_t frame_at; /* start in out of the frame being built */
	bool up, server, dead, have_peer;
	const struct link_ops *ops;
	void *ctx;
	struct link_hello me, peer;
	struct loop_task flush, kill;
	struct timer timer; /* client: connect again; both: hello must come */
	struct loop_mail move;
	usec_t retry_usec;
	struct link_server *srv; /* accepted, but no hello yet: in its list */
	struct link *next_new, **prev_new;
	char path[];
};

struct link_server {
	struct loop *loop;
	struct loop_io io;
	struct link_hello me;
	const struct link_ops *ops;
	link_pick_fn *pick;
	void *ctx;
	struct link *fresh; /* no hello yet */
	struct timer pause; /* no descriptors: listens again then */
};

static uid_t allowed[8];
static unsigned allowed_count;

void link_allow_uid(uid_t uid)
{
	if (allowed_count < sizeof allowed / sizeof allowed[0])
		allowed[allowed_count++] = uid;
}

bool link_peer_allowed(int fd)
{
	uid_t uid;
	gid_t gid;
	pid_t pid;

	if (sock_peer(fd, &uid, &gid, &pid))
		return false;
	if (uid == 0 || uid == geteuid())
		return true;
	for (unsigned i = 0; i < allowed_count; i++)
		if (allowed[i] == uid)
			return true;
	return false;
}

static void link_ready(struct loop_io *io, uint32_t events);
static void flush_task(struct loop_task *t);
static void kill_task(struct loop_task *t);

static struct link *link_alloc(struct loop *l, const struct link_hello *me,
			       const struct link_ops *ops, const char *path)
{
	size_t n = strlen(path) + 1;
	struct link *k = calloc(1, sizeof *k + n);

	if (!k)
		return NULL;
	memcpy(k->path, path, n);
	k->loop = l;
	k->io.fd = -1;
	k->io.fn = link_ready;
	k->ops = ops;
	k->me = *me;
	k->flush.fn = flush_task;
	k->kill.fn = kill_task;
	k->retry_usec = RETRY_FIRST_USEC;
	return k;
}

static void die(struct link *k)
{
	if (!k->dead) {
		k->dead = true;
		loop_defer(k->loop, &k->kill);
	}
}

void link_refuse(struct link *k, const char *why)
{
	if (!k->dead)
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "link",
			  "peer=%s, worker=%u, stat=refused, reason=%s",
			  k->have_peer ? k->peer.component : "?", k->peer.worker, why);
	die(k);
}

static void send_hello(struct link *k)
{
	struct buf *b = &k->out;
	char body[128];
	struct wire_w w = wire_writer(body, sizeof body);

	wire_put_u32(&w, HELLO_MAGIC);
	wire_put_u16(&w, LINK_VERSION);
	wire_put_str(&w, span_str(k->me.component));
	wire_put_u32(&w, k->me.id);
	wire_put_u32(&w, k->me.worker);
	wire_put_u32(&w, k->me.workers);
	wire_put_u64(&w, k->me.instance);
	wire_put_u64(&w, k->me.pid);
	char head[FRAME_HEAD];
	struct wire_w h = wire_writer(head, sizeof head);
	wire_put_u32(&h, (uint32_t)(FRAME_HEAD - 4 + w.n));
	wire_put_u16(&h, HELLO);
	wire_put_u64(&h, 0);
	if (buf_add(b, head, h.n) || buf_add(b, body, w.n))
		die(k);
	loop_defer(k->loop, &k->flush);
}

static bool get_hello(struct span body, struct link_hello *out)
{
	struct wire_r r = wire_reader(body);

	memset(out, 0, sizeof *out);
	if (wire_get_u32(&r) != HELLO_MAGIC || wire_get_u16(&r) != LINK_VERSION)
		return false;
	struct span name = wire_get_str(&r);
	if (!name.n || name.n >= sizeof out->component || memchr(name.p, 0, name.n))
		return false;
	span_cstr(name, out->component, sizeof out->component);
	out->id = wire_get_u32(&r);
	out->worker = wire_get_u32(&r);
	out->workers = wire_get_u32(&r);
	out->instance = wire_get_u64(&r);
	out->pid = wire_get_u64(&r);
	return wire_done(&r) && out->workers > 0 && out->workers <= 1024 &&
	       out->worker < out->workers;
}

static int flush_now(struct link *k)
{
	while (buf_len(&k->out)) {
		struct span s = buf_span(&k->out);
		ssize_t n = send(k->io.fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				return -errno;
			if (buf_len(&k->out) > LINK_BACKLOG_MAX)
				return -ENOBUFS;
			return loop_io_mod(k->loop, &k->io, EPOLLIN | EPOLLOUT);
		}
		buf_eat(&k->out, (size_t)n);
	}
	return loop_io_mod(k->loop, &k->io, EPOLLIN);
}

static void flush_task(struct loop_task *t)
{
	struct link *k = (struct link *)((char *)t - offsetof(struct link, flush));

	if (!k->dead && k->io.fd >= 0 && flush_now(k))
		die(k);
}

static void come_up(struct link *k)
{
	k->up = true;
	k->retry_usec = RETRY_MIN_USEC;
	loop_timer_stop(k->loop, &k->timer);
	if (k->ops->up)
		k->ops->up(k, &k->peer);
}

/* Runs in the loop that was picked. */
static void moved_in(struct loop_mail *m)
{
	struct link *k = (struct link *)((char *)m - offsetof(struct link, move));
	int fd = k->io.fd;

	if (loop_io_add(k->loop, &k->io, fd, EPOLLIN)) {
		close(fd);
		die(k);
		return;
	}
	send_hello(k);
	come_up(k);
	/* What came right behind the hello is in `in` already. */
	link_ready(&k->io, 0);
}

static void leave_server(struct link *k)
{
	if (!k->srv)
		return;
	*k->prev_new = k->next_new;
	if (k->next_new)
		k->next_new->prev_new = k->prev_new;
	k->srv = NULL;
}

/* false: the link lives in another loop now, where it may be gone already. */
static bool server_hello(struct link *k)
{
	struct link_server *s = k->srv;
	void *ctx = NULL;

	leave_server(k);
	struct loop *to = s->pick(s->ctx, &k->peer, &ctx);
	if (!to) {
		link_refuse(k, "not wanted");
		return true;
	}
	int fd = k->io.fd;
	k->ctx = ctx;
	if (to == k->loop) {
		send_hello(k);
		come_up(k);
		return true;
	}
	loop_timer_stop(k->loop, &k->timer);
	loop_io_del(k->loop, &k->io);
	k->io.fd = fd;
	k->loop = to;
	k->move.fn = moved_in;
	loop_post(to, &k->move);
	return false;
}

/* One frame; false: the link has left this loop or is dead. */
static bool frame(struct link *k, unsigned number, uint64_t req, struct span body)
{
	if (!k->have_peer) {
		if (number != HELLO || !get_hello(body, &k->peer)) {
			link_refuse(k, "no hello of this version");
			return false;
		}
		k->have_peer = true;
		if (!k->server) {
			come_up(k);
			return !k->dead;
		}
		return true;
	}
	k->ops->message(k, number, req, body);
	return !k->dead;
}

static void parse(struct link *k)
{
	while (!k->dead && buf_len(&k->in) >= FRAME_HEAD) {
		struct span s = buf_span(&k->in);
		struct wire_r r = wire_reader(s);
		uint32_t len = wire_get_u32(&r);
		unsigned number = wire_get_u16(&r);
		uint64_t req = wire_get_u64(&r);

		if (len < FRAME_HEAD - 4 || len > LINK_FRAME_MAX) {
			link_refuse(k, "frame length");
			return;
		}
		if (s.n < 4 + (size_t)len) {
			if (!buf_room(&k->in, 4 + (size_t)len - s.n))
				die(k);
			return;
		}
		bool first = !k->have_peer;
		bool go_on =
			frame(k, number, req, span_of(s.p + FRAME_HEAD, len - (FRAME_HEAD - 4)));
		buf_eat(&k->in, 4 + (size_t)len);
		if (!go_on)
			return;
		if (first && k->server && !server_hello(k))
			return;
	}
}

static void link_ready(struct loop_io *io, uint32_t events)
{
	struct link *k = (struct link *)((char *)io - offsetof(struct link, io));

	if (k->dead)
		return;
	if ((events & EPOLLOUT) && flush_now(k)) {
		die(k);
		return;
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		parse(k);
		return;
	}
	char *to = buf_room(&k->in, READ_BYTES);
	if (!to) {
		die(k);
		return;
	}
	ssize_t n = recv(k->io.fd, to, k->in.cap - k->in.w, MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			die(k);
		return;
	}
	buf_wrote(&k->in, (size_t)n);
	parse(k);
}

static void close_fd(struct link *k)
{
	int fd = k->io.fd;

	if (fd >= 0) {
		loop_io_del(k->loop, &k->io);
		close(fd);
		k->io.fd = -1;
	}
	loop_timer_stop(k->loop, &k->timer);
	leave_server(k);
	buf_release(&k->in);
	buf_release(&k->out);
	k->have_peer = false;
}

static void client_timer(struct timer *t);

static void retry_later(struct link *k)
{
	k->timer.fn = client_timer;
	loop_timer_set(k->loop, &k->timer, clock_now() + k->retry_usec);
	k->retry_usec += k->retry_usec / 4;
	if (k->retry_usec > RETRY_MAX_USEC)
		k->retry_usec = RETRY_MAX_USEC;
}

static void kill_task(struct loop_task *t)
{
	struct link *k = (struct link *)((char *)t - offsetof(struct link, kill));
	bool was_up = k->up;

	close_fd(k);
	k->up = k->dead = false;
	if (was_up && k->ops->down)
		k->ops->down(k);
	if (k->server) {
		loop_undefer(k->loop, &k->flush);
		free(k);
	} else {
		retry_later(k);
	}
}

static void hello_timeout(struct timer *t)
{
	struct link *k = (struct link *)((char *)t - offsetof(struct link, timer));

	link_refuse(k, "no hello in time");
}

static void client_timer(struct timer *t)
{
	struct link *k = (struct link *)((char *)t - offsetof(struct link, timer));
	int fd = sock_connect_unix(k->path);

	if (fd < 0 || !link_peer_allowed(fd) || loop_io_add(k->loop, &k->io, fd, EPOLLIN)) {
		if (fd >= 0)
			close(fd);
		retry_later(k);
		return;
	}
	k->timer.fn = hello_timeout;
	loop_timer_set(k->loop, &k->timer, clock_now() + HELLO_TIMEOUT_USEC);
	send_hello(k);
}

struct link *link_connect(struct loop *l, const char *path, const struct link_hello *me,
			  const struct link_ops *ops, void *ctx)
{
	struct link *k = link_alloc(l, me, ops, path);

	if (!k)
		return NULL;
	k->ctx = ctx;
	k->timer.fn = client_timer;
	loop_timer_set(l, &k->timer, clock_now());
	return k;
}

void link_free(struct link *k)
{
	if (!k)
		return;
	close_fd(k);
	loop_undefer(k->loop, &k->kill);
	loop_undefer(k->loop, &k->flush);
	free(k);
}

static void listen_again(struct timer *t)
{
	struct link_server *s =
		(struct link_server *)((char *)t - offsetof(struct link_server, pause));

	if (loop_io_mod(s->loop, &s->io, EPOLLIN))
		loop_timer_after(s->loop, &s->pause, NO_FDS_PAUSE_USEC);
}

/* The socket stays ready while nothing can be accepted: do not spin. */
static void pause_listening(struct link_server *s)
{
	loop_io_mod(s->loop, &s->io, 0);
	loop_timer_after(s->loop, &s->pause, NO_FDS_PAUSE_USEC);
}

static void server_ready(struct loop_io *io, uint32_t events)
{
	struct link_server *s =
		(struct link_server *)((char *)io - offsetof(struct link_server, io));

	(void)events;
	for (int i = 0; i < 16; i++) {
		int fd = accept4(s->io.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (sock_is_shortage(errno))
				pause_listening(s);
			return;
		}
		struct link *k =
			link_peer_allowed(fd) ? link_alloc(s->loop, &s->me, s->ops, "") : NULL;
		if (!k || loop_io_add(s->loop, &k->io, fd, EPOLLIN)) {
			close(fd);
			free(k);
			continue;
		}
		k->server = true;
		k->srv = s;
		k->next_new = s->fresh;
		k->prev_new = &s->fresh;
		if (k->next_new)
			k->next_new->prev_new = &k->next_new;
		s->fresh = k;
		k->timer.fn = hello_timeout;
		loop_timer_after(s->loop, &k->timer, HELLO_TIMEOUT_USEC);
	}
}

struct link_server *link_listen(struct loop *l, int fd, const struct link_hello *me,
				const struct link_ops *ops, link_pick_fn *pick, void *server_ctx)
{
	struct link_server *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	*s = (struct link_server){
		.loop = l, .me = *me, .ops = ops, .pick = pick, .ctx = server_ctx
	};
	s->io.fn = server_ready;
	s->pause.fn = listen_again;
	if (loop_io_add(l, &s->io, fd, EPOLLIN)) {
		free(s);
		return NULL;
	}
	return s;
}

void link_server_free(struct link_server *s)
{
	int fd = s->io.fd;

	while (s->fresh)
		link_free(s->fresh);
	loop_timer_stop(s->loop, &s->pause);
	loop_io_del(s->loop, &s->io);
	close(fd);
	free(s);
}

bool link_is_up(const struct link *k)
{
	return k && k->up && !k->dead;
}

void *link_ctx(const struct link *k)
{
	return k->ctx;
}

void link_set_ctx(struct link *k, void *ctx)
{
	k->ctx = ctx;
}

struct loop *link_loop(const struct link *k)
{
	return k->loop;
}

const struct link_hello *link_peer(const struct link *k)
{
	return &k->peer;
}

struct buf *link_begin(struct link *k, unsigned number, uint64_t req)
{
	if (!link_is_up(k))
		return NULL;
	char *to = buf_room(&k->out, FRAME_HEAD);
	if (!to)
		return NULL;
	struct wire_w w = wire_writer(to, FRAME_HEAD);
	wire_put_u32(&w, 0);
	wire_put_u16(&w, (uint16_t)number);
	wire_put_u64(&w, req);
	buf_wrote(&k->out, FRAME_HEAD);
	/* Relative to the first unread byte: buf_room() may move the bytes. */
	k->frame_at = (uint32_t)buf_len(&k->out) - FRAME_HEAD;
	return &k->out;
}

int link_end(struct link *k, int rc)
{
	uint32_t len = (uint32_t)buf_len(&k->out) - k->frame_at - 4;

	if (!rc && len > LINK_FRAME_MAX)
		rc = -EMSGSIZE;
	if (rc) {
		k->out.w = k->out.r + k->frame_at;
		return rc;
	}
	memcpy(k->out.p + k->out.r + k->frame_at, &len, 4);
	loop_defer(k->loop, &k->flush);
	return 0;
}

int link_send(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct buf *b = link_begin(k, number, req);

	return b ? link_end(k, buf_add_span(b, body)) : -ENOTCONN;
}

size_t link_unsent(const struct link *k)
{
	return buf_len(&k->out);
}

struct slot {
	uint64_t id; /* 0: free */
	void *what;
	uint32_t next_free;
};

struct link_requests {
	struct slot *slot;
	uint32_t count, cap, free; /* free: slot number + 1, 0: none */
	uint64_t serial;
};

enum { SLOT_BITS = 24 };

struct link_requests *link_requests_new(void)
{
	return calloc(1, sizeof(struct link_requests));
}

void link_requests_free(struct link_requests *t)
{
	if (t)
		free(t->slot);
	free(t);
}

uint64_t link_request_add(struct link_requests *t, void *what)
{
	uint32_t i;

	if (t->free) {
		i = t->free - 1;
		t->free = t->slot[i].next_free;
	} else {
		if (t->count == t->cap) {
			uint32_t cap = t->cap ? t->cap * 2 : 64;
			struct slot *s =
				cap <= 1u << SLOT_BITS ? realloc(t->slot, cap * sizeof *s) : NULL;

			if (!s)
				return 0;
			t->slot = s;
			t->cap = cap;
		}
		i = t->count++;
	}
	t->slot[i] = (struct slot){ .id = ++t->serial << SLOT_BITS | i, .what = what };
	return t->slot[i].id;
}

void *link_request_peek(struct link_requests *t, uint64_t req)
{
	uint32_t i = (uint32_t)req & ((1u << SLOT_BITS) - 1);

	return req && i < t->count && t->slot[i].id == req ? t->slot[i].what : NULL;
}

void *link_request_take(struct link_requests *t, uint64_t req)
{
	void *what = link_request_peek(t, req);

	if (what) {
		uint32_t i = (uint32_t)req & ((1u << SLOT_BITS) - 1);

		t->slot[i].id = 0;
		t->slot[i].next_free = t->free;
		t->free = i + 1;
	}
	return what;
}
