#include "core/envelope.h"

#include "core/route.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { RCPTS = 3 };

static char long_addr[ENV_ADDR_MAX + 2];
static char route_bytes[ROUTE_BYTES_MAX + 1];
static struct span routes[2];
static struct env_rcpt rcpts[RCPTS];

static struct envelope make(void)
{
	memset(long_addr, 'a', sizeof long_addr);
	memset(route_bytes, 'r', sizeof route_bytes);
	routes[0] = SPAN("route one");
	routes[1] = SPAN("");
	rcpts[0] = (struct env_rcpt){ .addr = SPAN("one@example.org"), .idx = 0, .route = 0 };
	rcpts[1] = (struct env_rcpt){ .addr = span_of(long_addr, ENV_ADDR_MAX),
				      .orcpt = SPAN("rfc822;two+40example.org"),
				      .idx = 5,
				      .route = ENV_NO_ROUTE,
				      .notify = ENV_NOTIFY_FAILURE | ENV_NOTIFY_DELAY };
	rcpts[2] = (struct env_rcpt){ .addr = SPAN("p\xc3\xa4@example.org"),
				      .idx = UINT32_MAX,
				      .route = 1 };
	struct envelope e = {
		.ta = 0x407CE49200,
		.wall_arrival = 1795352456123456,
		.sender = SPAN("sender@example.org"),
		.body = ENV_BODY_8BITMIME,
		.ret = ENV_RET_HDRS,
		.flags = ENV_SMTPUTF8 | ENV_DSN,
		.envid = SPAN("QQ314159"),
		.route_count = 2,
		.route = routes,
		.rcpt_count = RCPTS,
		.rcpt = rcpts,
	};
	addr_parse(SPAN("2001:db8::9"), &e.client);
	e.client.port = 4711;
	return e;
}

static struct span owners[2];

/* The same with members of two lists. */
static struct envelope make_list(void)
{
	struct envelope e = make();

	owners[0] = SPAN("owner-one@example.org");
	owners[1] = span_of(long_addr, ENV_ADDR_MAX);
	e.owner_count = 2;
	e.owner = owners;
	rcpts[0].owner = 2;
	rcpts[1].owner = 1;
	rcpts[2].kind = ENV_KIND_LIST;
	return e;
}

static bool same(const struct envelope *a, const struct envelope *b)
{
	bool eq = a->ta == b->ta && a->wall_arrival == b->wall_arrival &&
		  span_eq(a->sender, b->sender) && addr_eq(&a->client, &b->client) &&
		  a->body == b->body && a->ret == b->ret && a->flags == b->flags &&
		  span_eq(a->envid, b->envid) && a->route_count == b->route_count &&
		  a->rcpt_count == b->rcpt_count;

	for (uint32_t i = 0; eq && i < a->route_count; i++)
		eq = span_eq(a->route[i], b->route[i]);
	for (uint32_t i = 0; eq && i < a->rcpt_count; i++) {
		const struct env_rcpt *x = &a->rcpt[i], *y = &b->rcpt[i];

		eq = span_eq(x->addr, y->addr) && span_eq(x->orcpt, y->orcpt) && x->idx == y->idx &&
		     x->route == y->route && x->notify == y->notify && x->owner == y->owner &&
		     x->kind == y->kind;
	}
	eq = eq && a->owner_count == b->owner_count;
	for (uint32_t i = 0; eq && i < a->owner_count; i++)
		eq = span_eq(a->owner[i], b->owner[i]);
	return eq;
}

static void test_round_trip(const struct envelope *e, const char *name)
{
	struct arena *a = arena_new();
	struct buf b = { 0 };
	struct envelope back;
	unsigned accepted = 0;

	is_int(envelope_encode(e, &b), 0, name);
	ok(envelope_decode(buf_span(&b), a, &back) == 0 && same(e, &back), "%s: all comes back",
	   name);
	for (size_t cut = 0; cut < buf_len(&b); cut++) {
		/* A copy, so that reading beyond its end is seen. */
		char *copy = malloc(cut + 1);

		memcpy(copy, b.p, cut);
		accepted += envelope_decode(span_of(copy, cut), a, &back) == 0;
		free(copy);
	}
	is_int(accepted, 0, "no shorter form is accepted");
	buf_add(&b, "", 1);
	is_int(envelope_decode(buf_span(&b), a, &back), -EBADMSG, "nor a longer one");
	buf_release(&b);
	arena_free(a);
}

static void test_limits(void)
{
	struct buf b = { 0 };
	struct span over = span_of(long_addr, ENV_ADDR_MAX + 1);
	struct envelope e = make();

	e.sender = over;
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "a sender that is too long");
	e = make();
	e.envid = over;
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "an ENVID that is too long");
	e = make();
	rcpts[2].addr = over;
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "a recipient that is too long");
	e = make();
	rcpts[2].orcpt = over;
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "an ORCPT that is too long");
	e = make();
	routes[1] = span_of(route_bytes, ROUTE_BYTES_MAX + 1);
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "a route that is too long");
	e = make();
	e.rcpt_count = ENV_RCPTS_MAX + 1;
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "too many recipients");
	e = make();
	rcpts[2].route = 2;
	is_int(envelope_encode(&e, &b), -EINVAL, "a route that is not there");
	e = make_list();
	rcpts[0].owner = 3;
	is_int(envelope_encode(&e, &b), -EINVAL, "an owner that is not there");
	e = make_list();
	rcpts[0].kind = ENV_KIND_LIST + 1;
	is_int(envelope_encode(&e, &b), -EINVAL, "an unknown kind");
	e = make_list();
	owners[1] = SPAN("");
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "an owner without an address");
	e = make_list();
	owners[1] = over;
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "an owner that is too long");
	e = make_list();
	e.owner_count = ENV_OWNERS_MAX + 1;
	is_int(envelope_encode(&e, &b), -EMSGSIZE, "too many owners");
	is_int((int64_t)buf_len(&b), 0, "what is refused leaves nothing in the buffer");
	buf_release(&b);
}

/* Single bytes of a good one changed: whatever is accepted must be what encoding gives, and safe to
 * walk. */
static void test_hostile(struct envelope e, const char *name)
{
	struct envelope back;
	struct buf b = { 0 }, again = { 0 };
	unsigned bad = 0, accepted = 0;

	envelope_encode(&e, &b);
	srandom(9);
	for (unsigned i = 0; i < 30000; i++) {
		struct arena *a = arena_new();
		char *copy = malloc(buf_len(&b));

		memcpy(copy, b.p, buf_len(&b));
		for (long k = random() % 3; k >= 0; k--)
			copy[(size_t)random() % buf_len(&b)] =
				(char)(random() % 2 ? random() : 255);
		if (!envelope_decode(span_of(copy, buf_len(&b)), a, &back)) {
			accepted++;
			again.r = again.w = 0;
			bad += envelope_encode(&back, &again) != 0 ||
			       buf_len(&again) != buf_len(&b);
			for (uint32_t k = 0; k < back.rcpt_count; k++)
				bad += (back.rcpt[k].route != ENV_NO_ROUTE &&
					back.rcpt[k].route >= back.route_count) ||
				       (back.rcpt[k].owner && !envelope_sender(&back, k).n);
		}
		free(copy);
		arena_free(a);
	}
	ok(accepted > 100 && !bad, "%s, changed bytes: %u of 30000 accepted, each a good envelope",
	   name, accepted);
	buf_release(&b);
	buf_release(&again);
}

/* What was on disk before there were owners is read as it was, and written so. */
static void test_former_format(void)
{
	struct envelope e = make(), back;
	struct arena *a = arena_new();
	struct buf b = { 0 };

	envelope_encode(&e, &b);
	is_int(b.p[0], 1, "without owners the format is the former one");
	is_int(envelope_decode(buf_span(&b), a, &back), 0, "which is read");
	ok(span_eq(envelope_sender(&back, 1), e.sender), "each recipient has the sender");
	b.r = b.w = 0;
	e = make_list();
	envelope_encode(&e, &b);
	is_int(b.p[0], 2, "with owners it is another");
	is_int(envelope_decode(buf_span(&b), a, &back), 0, "which is read");
	ok(span_eq(envelope_sender(&back, 0), owners[1]) &&
		   span_eq(envelope_sender(&back, 1), owners[0]) &&
		   span_eq(envelope_sender(&back, 2), e.sender),
	   "each recipient has its own sender");
	b.p[0] = 3;
	is_int(envelope_decode(buf_span(&b), a, &back), -EBADMSG, "an unknown format is refused");
	buf_release(&b);
	arena_free(a);
}

static void test_counts(void)
{
	struct envelope e = make(), back;
	struct arena *a = arena_new();
	struct buf b = { 0 };
	uint32_t huge[] = { UINT32_MAX, UINT32_MAX - 1, 0x20000000, 100001, 1000 };

	e.route_count = e.rcpt_count = 0;
	e.sender = e.envid = (struct span){ NULL, 0 };
	envelope_encode(&e, &b);
	size_t at_routes = buf_len(&b) - 8, at_rcpts = buf_len(&b) - 4;
	for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
		memcpy(b.p + at_routes, &huge[i], 4);
		is_int(envelope_decode(buf_span(&b), a, &back), -EBADMSG,
		       "a number of routes that are not there");
		memset(b.p + at_routes, 0, 4);
		memcpy(b.p + at_rcpts, &huge[i], 4);
		is_int(envelope_decode(buf_span(&b), a, &back), -EBADMSG,
		       "a number of recipients that are not there");
		memset(b.p + at_rcpts, 0, 4);
	}
	is_int(envelope_decode(buf_span(&b), a, &back), 0, "with both 0 it is good");
	ok(arena_bytes(a) < 10000, "no memory was taken for them");
	buf_release(&b);
	arena_free(a);
}

int main(void)
{
	struct envelope e = make(), bounce = { .ta = 1 };

	test_round_trip(&e, "a full envelope");
	test_round_trip(&bounce, "an empty one from nowhere");
	addr_parse(SPAN("192.0.2.1"), &bounce.client);
	test_round_trip(&bounce, "from IPv4");
	e = make_list();
	test_round_trip(&e, "a list");
	test_limits();
	test_former_format();
	test_counts();
	test_hostile(make(), "plain");
	test_hostile(make_list(), "a list");
	return plan_done();
}
