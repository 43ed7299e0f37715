#include "core/link.h"

#include "tests/core/link_peer.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { NOBODY = 65534 };

/* ---- hellos that are refused */

static void test_hello(void)
{
	static const char long_name[40] = "0123456789012345678901234567890123456789";
	const struct hello_case table[] = {
		{ "as it should be", MAGIC, LINK_VERSION, SPAN("smtpc"), 0, 1, HELLO, 0, true },
		{ "longest name", MAGIC, LINK_VERSION, span_of(long_name, 31), 0, 1, HELLO, 0,
		  true },
		{ "last of 1024 workers", MAGIC, LINK_VERSION, SPAN("a"), 1023, 1024, HELLO, 0,
		  true },
		{ "newer version", MAGIC, LINK_VERSION + 1, SPAN("smtpc"), 0, 1, HELLO, 0, false },
		{ "version 0", MAGIC, 0, SPAN("smtpc"), 0, 1, HELLO, 0, false },
		{ "other magic", MAGIC + 1, LINK_VERSION, SPAN("smtpc"), 0, 1, HELLO, 0, false },
		{ "no name", MAGIC, LINK_VERSION, SPAN(""), 0, 1, HELLO, 0, false },
		{ "too long a name", MAGIC, LINK_VERSION, span_of(long_name, 32), 0, 1, HELLO, 0,
		  false },
		{ "NUL in the name", MAGIC, LINK_VERSION, SPAN("a\0b"), 0, 1, HELLO, 0, false },
		{ "no workers", MAGIC, LINK_VERSION, SPAN("smtpc"), 0, 0, HELLO, 0, false },
		{ "worker behind the last", MAGIC, LINK_VERSION, SPAN("smtpc"), 4, 4, HELLO, 0,
		  false },
		{ "1025 workers", MAGIC, LINK_VERSION, SPAN("smtpc"), 0, 1025, HELLO, 0, false },
		{ "a byte more", MAGIC, LINK_VERSION, SPAN("smtpc"), 0, 1, HELLO, 1, false },
		{ "a byte less", MAGIC, LINK_VERSION, SPAN("smtpc"), 0, 1, HELLO, -1, false },
		{ "cut in the name", MAGIC, LINK_VERSION, SPAN("smtpc"), 0, 1, HELLO, -30, false },
		{ "another message first", MAGIC, LINK_VERSION, SPAN("smtpc"), 0, 1, 20, 0, false },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const struct hello_case *c = &table[i];
		struct place p = { 0 };
		struct buf say = { 0 };

		place_open(&p, loop);
		add_hello(&say, c);
		if (c->good) {
			int fd = raw_connect();
			raw_write(fd, buf_span(&say));
			ok(UNTIL(p.side.ups) && p.picks == 1, "hello: %s", c->name);
			close(fd);
			UNTIL(p.side.downs);
		} else {
			ok(raw_is_closed(&say) && !p.side.ups && !p.side.downs && !p.picks,
			   "hello: %s is refused", c->name);
		}
		buf_release(&say);
		place_close(&p);
	}
	struct place nobody = { 0 };
	struct buf say = { 0 };
	place_open(&nobody, NULL);
	add_hello(&say, &plain);
	ok(raw_is_closed(&say) && nobody.picks == 1 && !nobody.side.ups,
	   "who is not wanted is closed");
	buf_release(&say);
	place_close(&nobody);
}

/* A server of another version: the client does not come up, and tries again. */
static void test_hello_of_server(void)
{
	struct side c = { 0 };
	struct buf in = { 0 }, say = { 0 };
	struct hello_case newer = plain;
	int fd, listener = sock_listen_unix(path, 0600);

	newer.version++;
	add_hello(&say, &newer);
	struct link *k = link_connect(loop, path, &client_hello, &ops, &c);
	for (int i = 0; i < 3; i++) {
		ok(UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0), "try %d",
		   i + 1);
		raw_write(fd, buf_span(&say));
		ok(UNTIL(raw_gone(fd, &in)) && !c.ups && !c.downs, "a newer server is left");
		close(fd);
	}
	say.r = say.w = 0;
	add_hello(&say, &plain);
	add_frame(&say, 40, 4, SPAN("right behind"));
	UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	raw_write(fd, buf_span(&say));
	ok(UNTIL(c.messages == 1) && c.ups == 1 && side_text_is(&c, SPAN("right behind")),
	   "one of the same version is taken");
	link_free(k);
	close(fd);
	close(listener);
	buf_release(&say);
	buf_release(&in);
	buf_release(&c.text);
}

/* ---- hostile bytes */

static void test_lengths(void)
{
	static const struct {
		uint32_t len;
		bool good;
	} table[] = { { 10, true },
		      { 0, false },
		      { 9, false },
		      { LINK_FRAME_MAX + 1, false },
		      { UINT32_MAX, false } };

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct place p = { 0 };
		struct buf say = { 0 }, in = { 0 };

		place_open(&p, loop);
		add_hello(&say, &plain);
		add_frame(&say, 20, 1, SPAN("good"));
		add_frame_head(&say, table[i].len, 20, 2);
		int fd = raw_connect();
		raw_write(fd, buf_span(&say));
		if (table[i].good) {
			ok(UNTIL(p.side.messages == 2) && link_is_up(p.side.k), "length %u",
			   table[i].len);
		} else {
			bool gone = UNTIL(raw_gone(fd, &in));
			ok(gone && p.side.messages == 1 && p.side.ups == 1 && p.side.downs == 1,
			   "length %u closes the link, what came before it counts", table[i].len);
		}
		close(fd);
		UNTIL(p.side.downs);
		buf_release(&say);
		buf_release(&in);
		place_close(&p);
	}
}

static void test_refuse(void)
{
	struct place p = { .side.refuse = true };
	struct buf say = { 0 };

	place_open(&p, loop);
	add_hello(&say, &plain);
	add_frame(&say, 20, 1, SPAN("bad"));
	add_frame(&say, 20, 2, SPAN("never seen"));
	ok(raw_is_closed(&say), "a bad body closes the link");
	ok(p.side.messages == 1 && p.side.downs == 1, "what stands behind it is not looked at");
	buf_release(&say);
	place_close(&p);
}

/* The same bytes in pieces of any size say the same. */
static void test_pieces(void)
{
	static const size_t sizes[] = { 1, 2, 13, 14, 15, 61 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct place p = { 0 };
		struct buf say = { 0 };

		place_open(&p, loop);
		add_hello(&say, &plain);
		for (unsigned n = 0; n < 30; n++)
			add_frame(&say, 20, n, SPAN("0123456789"));
		int fd = raw_connect();
		for (struct span s = buf_span(&say); s.n;) {
			struct span piece = span_head(s, sizes[i]);
			raw_write(fd, piece);
			s = span_from(s, piece.n);
			loop_turn(loop, 0);
		}
		ok(UNTIL(p.side.messages == 30) && buf_len(&p.side.text) == 300 && p.side.req == 29,
		   "pieces of %zu bytes", sizes[i]);
		close(fd);
		UNTIL(p.side.downs);
		buf_release(&say);
		place_close(&p);
	}
}

static void test_noise(void)
{
	enum { ROUNDS = 400 };
	const char *seed = getenv("SMX_TEST_SEED");
	unsigned r = seed ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)clock_now();
	struct place p = { .side.echo = true };
	struct buf say = { 0 };

	diag("SMX_TEST_SEED=%u", r);
	place_open(&p, loop);
	for (int i = 0; i < ROUNDS; i++) {
		say.r = say.w = 0;
		if (i % 2)
			add_hello(&say, &plain);
		for (int n = rand_r(&r) % 300; n > 0; n--) {
			char byte = (char)(rand_r(&r) % 4 ? rand_r(&r) : 0);
			buf_add(&say, &byte, 1);
		}
		if (i % 4 == 3)
			add_frame_head(&say, (uint32_t)rand_r(&r) % 60, (unsigned)rand_r(&r), 1);
		int fd = raw_connect();
		raw_write(fd, buf_span(&say));
		loop_turn(loop, 0);
		close(fd);
	}
	ok(UNTIL(p.side.ups == ROUNDS / 2 && p.side.downs == ROUNDS / 2),
	   "every link that noise came over is up once and down once");
	struct side c = { 0 };
	struct link *k = link_connect(loop, path, &client_hello, &ops, &c);
	UNTIL(c.ups);
	link_send(k, 20, 1, SPAN("still here"));
	ok(UNTIL(side_text_is(&c, SPAN("still here"))), "the server serves the next one");
	link_free(k);
	UNTIL(p.side.downs == ROUNDS / 2 + 1);
	buf_release(&say);
	buf_release(&c.text);
	place_close(&p);
}

/* ---- other users */

/* A stranger has taken the place of the server. */
static void test_stranger_server(void)
{
	struct side c = { 0 };
	struct buf in = { 0 };
	char own[sizeof path + 8];

	snprintf(own, sizeof own, "%s-own", path);
	int fd, listener = sock_listen_unix(own, 0777);
	if (seteuid(NOBODY) || listen(listener, 10) || seteuid(0))
		exit(99);
	struct link *k = link_connect(loop, own, &client_hello, &ops, &c);
	ok(UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) &&
		   UNTIL(raw_gone(fd, &in)) && !buf_len(&in) && !c.ups,
	   "a server of a stranger gets no hello");
	link_free(k);
	close(fd);
	close(listener);
	buf_release(&in);
}

static void test_stranger(void)
{
	struct place p = { 0 };
	struct buf say = { 0 }, in = { 0 };

	if (geteuid() != 0) {
		skip("only root can become a stranger");
		return;
	}
	test_stranger_server();
	add_hello(&say, &plain);
	if (chmod(tap_tmpdir(), 0755) || seteuid(NOBODY))
		exit(99);
	bool reachable = !access(tap_tmpdir(), X_OK);
	if (seteuid(0))
		exit(99);
	if (!reachable) {
		skip("a stranger does not reach %s", tap_tmpdir());
		return;
	}
	for (int allow = 0; allow <= 1; allow++) {
		struct side *s = &p.side;
		unsigned ups = s->ups;

		if (allow)
			link_allow_uid(NOBODY);
		place_open(&p, loop);
		if (seteuid(NOBODY))
			exit(99);
		int fd = raw_connect();
		if (seteuid(0))
			exit(99);
		ok(link_peer_allowed(fd), "root may be talked to");
		raw_write(fd, buf_span(&say));
		if (allow)
			ok(UNTIL(s->ups > ups), "a user who was allowed is let in");
		else
			ok(UNTIL(raw_gone(fd, &in)) && !s->ups && !p.picks && !buf_len(&in),
			   "a stranger is closed without a word");
		close(fd);
		UNTIL(s->downs == s->ups);
		place_close(&p);
	}
	buf_release(&say);
	buf_release(&in);
}

/* ---- no descriptors */

/* How often somebody asked for a connection. */
static unsigned accepts;

int accept4(int fd, struct sockaddr *restrict sa, socklen_t *restrict n, int flags)
{
	accepts++;
	return (int)syscall(SYS_accept4, fd, sa, n, flags);
}

/* A listening socket stays ready while accept() fails: the loop must not turn for that. */
static void test_no_descriptors(void)
{
	struct place p = { 0 };
	struct buf say = { 0 };
	struct rlimit old, low;

	place_open(&p, loop);
	add_hello(&say, &plain);
	int fd = raw_connect(), next = dup(fd);
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
	raw_write(fd, buf_span(&say));
	ok(UNTIL(p.side.ups), "and then it is let in");
	close(fd);
	UNTIL(p.side.downs);
	buf_release(&say);
	place_close(&p);
}

/* ---- what takes seconds, or a lot of memory */

static void test_slow(void)
{
	const char *slow = getenv("SMX_TEST_SLOW");
	struct place p = { 0 };
	struct side c = { 0 };
	struct buf say = { 0 }, in = { 0 };

	if (!slow || strcmp(slow, "1")) {
		skip("a peer without a hello, a peer that does not read: SMX_TEST_SLOW=1");
		return;
	}
	place_open(&p, loop);
	int mute = raw_connect();
	ok(UNTIL(raw_gone(mute, &in)) && !p.side.ups, "who says nothing is closed after a while");
	close(mute);
	place_close(&p);

	int fd, listener = sock_listen_unix(path, 0600);
	struct link *k = link_connect(loop, path, &client_hello, &ops, &c);
	UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	add_hello(&say, &plain);
	raw_write(fd, buf_span(&say));
	UNTIL(c.ups);
	char *large = calloc(1, LINK_FRAME_MAX);
	for (int i = 0; i < LINK_BACKLOG_MAX / LINK_FRAME_MAX + 1; i++)
		link_send(k, 20, 0, span_of(large, LINK_FRAME_MAX - 10));
	free(large);
	ok(UNTIL(c.downs == 1), "who does not read is given up");
	link_free(k);
	close(fd);
	close(listener);
	buf_release(&say);
	buf_release(&in);
}

int main(void)
{
	link_peer_begin();
	test_hello();
	test_hello_of_server();
	test_lengths();
	test_refuse();
	test_pieces();
	test_noise();
	test_stranger();
	test_no_descriptors();
	test_slow();
	loop_free(loop);
	return plan_done();
}
