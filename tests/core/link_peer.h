/*
 * tests/core/link_peer.h - what the tests of core/link.h share: a loop, sides that note what they
 * are told, a server, and peers that write what they like.
 *
 * Owner: the main thread, which turns the loop.
 */
#ifndef TESTS_CORE_LINK_PEER_H
#define TESTS_CORE_LINK_PEER_H
#include "core/link.h"
#include "core/log.h"
#include "core/sock.h"
#include "core/thread.h"
#include "core/wire.h"
#include "tests/tap.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELLO = 1, LIMIT_USEC = 60 * USEC_PER_SEC };
static const uint32_t MAGIC = 0x4c586d73;

static struct loop *loop;
static char path[300];

/* Turns the loop until cond holds; its value at the end. */
#define UNTIL(cond)                                                                                \
	({                                                                                         \
		usec_t end_ = clock_now() + LIMIT_USEC;                                            \
		bool is_;                                                                          \
		while (!(is_ = (cond)) && clock_now() < end_)                                      \
			loop_turn(loop, 10 * USEC_PER_MSEC);                                       \
		is_;                                                                               \
	})

/* ---- one side of links. Links of another thread share one, hence the atomics. */

struct side {
	struct link *k;              /* the last one that came up */
	_Atomic(struct loop *) loop; /* where that was */
	atomic_uint ups, downs, messages;
	struct link_hello peer;
	unsigned number;
	uint64_t req;
	struct buf text; /* all bodies; not with `echo` */
	bool echo;       /* answer each with number + 1 and the same body */
	bool refuse;     /* each is a bad one */
};

static inline void side_up(struct link *k, const struct link_hello *peer)
{
	struct side *s = link_ctx(k);

	s->k = k;
	s->peer = *peer;
	atomic_store(&s->loop, link_loop(k));
	atomic_fetch_add(&s->ups, 1);
}

static inline void side_down(struct link *k)
{
	struct side *s = link_ctx(k);

	if (s->k == k)
		s->k = NULL;
	atomic_fetch_add(&s->downs, 1);
}

static inline void side_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct side *s = link_ctx(k);

	s->number = number;
	s->req = req;
	if (s->refuse)
		link_refuse(k, "a bad body");
	else if (s->echo)
		link_send(k, number + 1, req, body);
	else
		buf_add_span(&s->text, body);
	atomic_fetch_add(&s->messages, 1);
}

static const struct link_ops ops = { .up = side_up, .down = side_down, .message = side_message };
static const struct link_hello server_hello = { .component = "qmgr", .workers = 1, .instance = 7 };
static const struct link_hello client_hello = { .component = "smtps",
						.id = 3,
						.worker = 2,
						.workers = 4,
						.instance = 0x1234567890,
						.pid = 99 };

static inline bool side_text_is(const struct side *s, struct span want)
{
	return span_eq(buf_span(&s->text), want);
}

/* ---- a server that hands its links to `to` */

struct place {
	struct link_server *server;
	struct loop *to; /* NULL: refuses all */
	struct side side;
	unsigned picks;
};

static inline struct loop *place_pick(void *server_ctx, const struct link_hello *peer, void **ctx)
{
	struct place *p = server_ctx;

	p->picks += peer->workers > 0;
	*ctx = &p->side;
	return p->to;
}

static inline void place_open(struct place *p, struct loop *to)
{
	int fd = sock_listen_unix(path, 0777);

	p->to = to;
	p->server = fd < 0 ? NULL : link_listen(loop, fd, &server_hello, &ops, place_pick, p);
	if (!p->server) {
		diag("cannot listen on %s: %d", path, fd);
		exit(99);
	}
}

/* The server goes, with the link that came up last. */
static inline void place_close(struct place *p)
{
	link_server_free(p->server);
	link_free(p->side.k);
	p->side.k = NULL;
	buf_release(&p->side.text);
}

/* ---- a peer that writes what it likes */

static inline int raw_connect(void)
{
	int fd = sock_connect_unix(path);

	if (fd < 0) {
		diag("cannot connect: %d", fd);
		exit(99);
	}
	return fd;
}

static inline void add_frame_head(struct buf *b, uint32_t len, unsigned number, uint64_t req)
{
	char head[14];
	struct wire_w w = wire_writer(head, sizeof head);

	wire_put_u32(&w, len);
	wire_put_u16(&w, (uint16_t)number);
	wire_put_u64(&w, req);
	buf_add(b, head, w.n);
}

static inline void add_frame(struct buf *b, unsigned number, uint64_t req, struct span body)
{
	add_frame_head(b, (uint32_t)body.n + 10, number, req);
	buf_add_span(b, body);
}

struct hello_case {
	const char *name;
	uint32_t magic;
	uint16_t version;
	struct span component;
	uint32_t worker, workers;
	unsigned number;
	int extra; /* bytes more (or less) than there should be */
	bool good;
};

static inline void add_hello(struct buf *b, const struct hello_case *c)
{
	char body[200] = { 0 };
	struct wire_w w = wire_writer(body, sizeof body);

	wire_put_u32(&w, c->magic);
	wire_put_u16(&w, c->version);
	wire_put_str(&w, c->component);
	wire_put_u32(&w, 0);
	wire_put_u32(&w, c->worker);
	wire_put_u32(&w, c->workers);
	wire_put_u64(&w, 1);
	wire_put_u64(&w, 2);
	add_frame(b, c->number, 0, span_of(body, (size_t)((int)w.n + c->extra)));
}

static const struct hello_case plain = { .magic = 0x4c586d73,
					 .version = LINK_VERSION,
					 .component = { "smtpc", 5 },
					 .workers = 1,
					 .number = HELLO };

/* All of it, turning the loop while the socket is full. false: the other side has closed. */
static inline bool raw_write(int fd, struct span s)
{
	while (s.n) {
		ssize_t n = sendto(fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			loop_turn(loop, USEC_PER_MSEC);
		else
			s = span_from(s, (size_t)n);
	}
	return true;
}

/* Reads what has come; true when the other side has closed. */
static inline bool raw_gone(int fd, struct buf *in)
{
	for (;;) {
		char *to = buf_room(in, 65536);
		ssize_t n = recv(fd, to, 65536, MSG_DONTWAIT);

		if (n <= 0)
			return n == 0 || errno != EAGAIN;
		buf_wrote(in, (size_t)n);
	}
}

/* A connection that says these bytes is closed by the other side. */
static inline bool raw_is_closed(struct buf *say)
{
	struct buf in = { 0 };
	int fd = raw_connect();

	raw_write(fd, buf_span(say));
	bool closed = UNTIL(raw_gone(fd, &in));
	close(fd);
	buf_release(&in);
	return closed;
}

static inline void link_peer_begin(void)
{
	log_open(&(struct log_setup){ .level = 0 });
	thread_main_register();
	loop = loop_new();
	snprintf(path, sizeof path, "%s/sock", tap_tmpdir());
}

#endif
