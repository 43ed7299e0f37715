#include "core/link.h"

#include "core/msg.h"
#include "tests/core/link_peer.h"

static atomic_uint sends;

/* In place of that of libc: core/link.c has no other way out. */
ssize_t send(int fd, const void *p, size_t n, int flags)
{
	atomic_fetch_add(&sends, 1);
	return sendto(fd, p, n, flags, NULL, 0);
}

/* ---- hello, messages, descriptors of a link */

static void test_talk(void)
{
	struct place p = { .side.echo = true };
	struct side c = { 0 };

	place_open(&p, loop);
	struct link *k = link_connect(loop, path, &client_hello, &ops, &c);
	ok(!link_is_up(k) && !link_is_up(NULL), "a new link is not up");
	is_int(link_send(k, 20, 1, SPAN("x")), -ENOTCONN, "nothing can be sent yet");
	ok(UNTIL(c.ups && p.side.ups) && link_is_up(k) && link_is_up(p.side.k),
	   "both sides are up");
	ok(link_loop(k) == loop && c.k == k, "in the loop that was named");
	is_str(link_peer(k)->component, "qmgr", "the client knows the server");
	const struct link_hello *h = link_peer(p.side.k);
	ok(!strcmp(h->component, "smtps") && h->id == 3 && h->worker == 2 && h->workers == 4 &&
		   h->instance == 0x1234567890 && h->pid == 99,
	   "and the server the client");
	ok(!memcmp(h, &p.side.peer, sizeof *h), "up() was told the same");
	is_int(link_send(k, 20, 77, SPAN("body")), 0, "a message");
	ok(UNTIL(c.messages == 1) && p.side.number == 20 && p.side.req == 77,
	   "comes with number and id");
	ok(c.number == 21 && c.req == 77 && side_text_is(&c, SPAN("body")), "and comes back");
	is_int(link_send(k, 20, UINT64_MAX, SPAN("")), 0, "an empty body");
	ok(UNTIL(c.messages == 2) && c.req == UINT64_MAX, "the largest request id");

	p.side.echo = false;
	is_int(link_put(k, 5, id_lease, &(struct msg_id_lease){ .count = 4711 }), 0, "link_put()");
	struct msg_id_lease m = { 0 };
	ok(UNTIL(p.side.messages == 3) && p.side.number == MSG_id_lease &&
		   !msg_id_lease_decode(buf_span(&p.side.text), &m) && m.count == 4711,
	   "encodes and sends");
	struct side other = { 0 };
	link_set_ctx(k, &other);
	link_send(p.side.k, 30, 0, SPAN("to the other"));
	ok(UNTIL(other.messages) && link_ctx(k) == &other, "the context can be changed");
	link_free(k);
	ok(UNTIL(p.side.downs == 1) && !p.side.k, "the server hears of the end");
	is_int(c.downs + other.downs, 0, "who frees its link is not told");
	link_free(NULL);
	buf_release(&c.text);
	buf_release(&other.text);
	place_close(&p);
}

/* ---- frames: gathered, taken back, large */

static void test_frames(void)
{
	enum { MANY = 5000 };
	struct place p = { 0 };
	struct side c = { 0 };
	struct buf want = { 0 };

	place_open(&p, loop);
	struct link *k = link_connect(loop, path, &client_hello, &ops, &c);
	UNTIL(c.ups && p.side.ups);
	unsigned before = sends;
	for (unsigned i = 0; i < MANY; i++) {
		buf_printf(&want, "%u,", i);
		if (i % 100 == 50) {
			struct buf *b = link_begin(k, 20, i);
			buf_add(b, "half of one", 11);
			if (link_end(k, -ENOMEM) != -ENOMEM)
				ok(false, "link_end() returns the error of the encoder");
		}
		char one[20];
		link_send(k, 20, i, span_of(one, (size_t)snprintf(one, sizeof one, "%u,", i)));
	}
	ok(UNTIL(p.side.messages == MANY), "%u messages of one turn arrive", MANY);
	is_int(sends - before, 1, "in one write");
	ok(side_text_is(&p.side, buf_span(&want)), "in order, without those that were taken back");
	buf_release(&p.side.text);

	size_t most = LINK_FRAME_MAX - 10;
	char *large = calloc(1, most + 1);
	for (size_t i = 0; i < most; i++)
		large[i] = (char)(i * 31 >> 3);
	is_int(link_send(k, 21, 0, span_of(large, most + 1)), -EMSGSIZE, "one byte too large");
	is_int(link_send(k, 21, 1, span_of(large, most)), 0, "the largest message");
	ok(UNTIL(p.side.messages == MANY + 1) && side_text_is(&p.side, span_of(large, most)),
	   "arrives whole");
	free(large);
	buf_release(&want);
	link_free(k);
	UNTIL(p.side.downs);
	place_close(&p);
}

/* ---- the other side goes and comes back */

static void test_reconnect(void)
{
	struct place p = { .side.echo = true };
	struct side c = { 0 };

	struct link *k = link_connect(loop, path, &client_hello, &ops, &c);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, 20 * USEC_PER_MSEC);
	ok(!c.ups && !c.downs, "nobody listens yet");
	for (unsigned round = 1; round <= 3; round++) {
		place_open(&p, loop);
		ok(UNTIL(c.ups == round) && link_is_up(k), "round %u: up by itself", round);
		link_send(k, 20, round, SPAN("a"));
		ok(UNTIL(c.messages == round) && c.req == round, "messages pass");
		link_send(k, 20, 99, SPAN("lost, the server is gone"));
		place_close(&p);
		ok(UNTIL(c.downs == round) && !link_is_up(k), "the server goes");
		ok(link_send(k, 20, 0, SPAN("x")) == -ENOTCONN && !link_begin(k, 20, 0),
		   "nothing is sent while it is away");
	}
	is_int(c.messages, 3, "what was on its way is not repeated");
	link_free(k);
	buf_release(&c.text);
}

/* Connections that have not said hello go with the server. */
static void test_server_goes(void)
{
	struct place p = { 0 };
	struct side c = { 0 };
	struct buf in = { 0 }, say = { 0 };

	place_open(&p, loop);
	int mute = raw_connect();
	struct link *k = link_connect(loop, path, &client_hello, &ops, &c);
	UNTIL(c.ups && p.side.ups);
	link_server_free(p.server);
	add_hello(&say, &plain);
	raw_write(mute, buf_span(&say));
	ok(UNTIL(raw_gone(mute, &in)) && p.picks == 1,
	   "no hello is taken after the end of the server");
	link_send(p.side.k, 20, 1, SPAN("x"));
	ok(UNTIL(c.messages == 1) && !c.downs, "links stay");
	link_free(p.side.k);
	link_free(k);
	close(mute);
	buf_release(&in);
	buf_release(&say);
	buf_release(&c.text);
}

/* ---- links that live in another loop */

static void run_loop(void *arg)
{
	loop_run(arg);
}

static void test_move(void)
{
	enum { MANY = 300 };
	struct place p = { .side.echo = true };
	struct buf say = { 0 }, in = { 0 };
	struct loop *other = loop_new();
	pthread_t thread;

	place_open(&p, other);
	if (thread_start(&thread, "other", THREAD_ANY_CPU, run_loop, other))
		exit(99);
	add_hello(&say, &plain);
	size_t hello_n = buf_len(&say);
	for (unsigned i = 0; i < 3; i++)
		add_frame(&say, 20, i, SPAN("0123456789"));
	int fd = raw_connect();
	raw_write(fd, buf_span(&say));
	size_t answer_n = 14 + 4 + 2 + 4 + 4 + 12 + 16 + 3 * (14 + 10);
	ok(UNTIL(raw_gone(fd, &in) || buf_len(&in) >= answer_n) && buf_len(&in) == answer_n,
	   "what came right behind the hello is answered by the other loop");
	ok(UNTIL(p.side.messages == 3) && p.side.loop == other, "the link lives there");
	close(fd);
	ok(UNTIL(p.side.downs == 1), "and ends there");

	/* These are gone before, while or after they move. */
	for (unsigned i = 0; i < MANY; i++) {
		fd = raw_connect();
		raw_write(fd, i % 3 ? buf_span(&say) : span_head(buf_span(&say), hello_n));
		if (i % 2)
			loop_turn(loop, 0);
		close(fd);
	}
	ok(UNTIL(p.side.downs == MANY + 1) && p.side.ups == MANY + 1, "%u that close at once",
	   MANY);
	loop_stop(other);
	thread_join(thread);
	loop_free(other);
	buf_release(&say);
	buf_release(&in);
	place_close(&p);
}

/* ---- requests that wait for an answer */

static void test_requests(void)
{
	enum { MANY = 1000 };
	struct link_requests *t = link_requests_new();
	static uint64_t id[MANY];
	static char what[MANY];
	unsigned wrong = 0;

	ok(!link_request_take(t, 0) && !link_request_peek(t, 1), "nothing is asked yet");
	for (unsigned i = 0; i < MANY; i++)
		id[i] = link_request_add(t, &what[i]);
	for (unsigned i = 0; i < MANY; i++)
		for (unsigned k = 0; k < i; k++)
			wrong += id[i] == id[k] || !id[i];
	is_int(wrong, 0, "ids are all different, none is 0");
	ok(link_request_peek(t, id[5]) == &what[5] && link_request_peek(t, id[5]) == &what[5],
	   "peek keeps it");
	ok(link_request_take(t, id[5]) == &what[5], "take gives it");
	ok(!link_request_take(t, id[5]) && !link_request_peek(t, id[5]), "once");
	ok(!link_request_take(t, 0) && !link_request_take(t, UINT64_MAX) &&
		   !link_request_take(t, id[7] + 1000) &&
		   !link_request_take(t, id[7] + (1ull << 40)) &&
		   link_request_peek(t, id[7]) == &what[7],
	   "unknown ids find nothing and change nothing");

	uint64_t last = id[MANY - 1];
	for (unsigned i = 0; i < 100 * MANY; i++) {
		unsigned at = i * 7 % MANY;
		void *got = link_request_take(t, id[at]);
		wrong += got != (id[at] && at != 5 ? &what[at] : NULL) && i < MANY;
		uint64_t fresh = link_request_add(t, &what[at]);
		wrong += fresh <= last || link_request_take(t, id[at]) != NULL;
		last = id[at] = fresh;
	}
	is_int(wrong, 0, "an id is never used again, however often its place is");
	for (unsigned i = 0; i < MANY; i++)
		wrong += link_request_take(t, id[i]) != &what[i];
	is_int(wrong, 0, "in the end every one is found");
	link_requests_free(t);
	link_requests_free(NULL);
}

int main(void)
{
	link_peer_begin();
	test_talk();
	test_frames();
	test_reconnect();
	test_server_goes();
	test_move();
	test_requests();
	loop_free(loop);
	return plan_done();
}
