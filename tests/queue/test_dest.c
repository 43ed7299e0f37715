#include "queue/dest.h"

#include "core/thread.h"
#include "tests/tap.h"

#include <stdlib.h>

static struct qmgr qm;
static struct qloop loop = { .q = &qm };
static struct dests *dests;
static uint64_t next_id = 100;

static void no_timer(struct timer *t)
{
	(void)t;
}

static struct span route_to(uint8_t last)
{
	static char bytes[4][ROUTE_BYTES_MAX];
	static unsigned turn;
	char *b = bytes[turn++ % 4];
	struct route r = { .mailer = ROUTE_ESMTP,
			   .count = 1,
			   .host[0] = { .family = ADDR_IPV4, .ip = { 192, 0, 2, last } } };

	return span_of(b, route_encode(&r, b));
}

static struct ta *ta_of(const char *sender, unsigned rcpts)
{
	struct env_rcpt *r = calloc(rcpts, sizeof *r);
	struct envelope e = { .ta = next_id++,
			      .sender = span_str(sender),
			      .client = { .family = ADDR_IPV4, .ip = { 10, 0, 0, 1 } },
			      .rcpt = r,
			      .rcpt_count = rcpts };
	struct buf b = { 0 };
	int error;

	for (unsigned i = 0; i < rcpts; i++)
		r[i] = (struct env_rcpt){ .addr = SPAN("x@example.org"),
					  .idx = i,
					  .route = ENV_NO_ROUTE };
	envelope_encode(&e, &b);
	struct ta *ta = aq_ta_new(buf_span(&b), &(struct cdb_ref){ 0 }, &error);
	buf_release(&b);
	free(r);
	return ta;
}

static void add(struct dest *d, struct ta *ta)
{
	uint32_t *idx = malloc(ta->env.rcpt_count * sizeof *idx);

	for (uint32_t i = 0; i < ta->env.rcpt_count; i++)
		idx[i] = i;
	dest_add(d, ta, idx, ta->env.rcpt_count);
	free(idx);
}

/* One attempt for up to max recipients; returns the transaction it is for. */
static struct ta *start(struct dest *d, unsigned slots, unsigned max, struct lane **lane)
{
	struct lane *g = dest_next(d, slots);

	*lane = g;
	if (!g)
		return NULL;
	struct ta *ta = g->head->ta;
	unsigned left = g->head->count - g->head->at;
	dest_taken(g, left < max ? left : max);
	return ta;
}

static void order(void)
{
	struct dest *d = dests_get(dests, route_to(1));
	struct ta *a[3], *b = ta_of("bob@x", 1);
	struct lane *g;

	ok(d && dests_get(dests, route_to(1)) == d && dests_get(dests, route_to(2)) != d,
	   "one destination per route");
	ok(dests_get(dests, SPAN("junk")) == NULL, "bytes that are no route");
	for (int i = 0; i < 3; i++)
		add(d, a[i] = ta_of("list@x", 1));
	add(d, b);
	is_int(d->queued, 4, "four jobs wait");
	ok(start(d, 100, 10, &g) == a[0], "first in, first out within a sender");
	dest_done(g);
	ok(start(d, 100, 10, &g) == b, "then the other sender's turn, though it came last");
	dest_done(g);
	ok(start(d, 100, 10, &g) == a[1], "then the first one's again");
	dest_done(g);
	ok(start(d, 100, 10, &g) == a[2], "and again");
	dest_done(g);
	ok(!dest_waits(d) && d->queued == 0 && d->busy == 0, "empty");
	for (int i = 0; i < 3; i++)
		aq_ta_free(a[i]);
	aq_ta_free(b);
}

static void share(void)
{
	struct dest *d = dests_get(dests, route_to(3));
	struct ta *list[20], *one = ta_of("one@x", 1);
	struct lane *g, *of_list[20];
	unsigned n = 0;

	for (int i = 0; i < 20; i++)
		add(d, list[i] = ta_of("list@x", 1));
	for (int i = 0; i < 6; i++)
		if (start(d, 10, 10, &of_list[n]))
			n++;
	is_int(n, 6, "alone, a sender may have more than half of the slots");
	add(d, one);
	ok(start(d, 10, 10, &g) == one, "another one that comes gets the next slot");
	dest_done(g);
	struct ta *two = ta_of("two@x", 1);
	add(d, two);
	add(d, one);
	ok(start(d, 10, 10, &g) != list[6] && start(d, 10, 10, &g) != list[6],
	   "and so do others while it has its half");
	unsigned more = 0;
	for (int i = 0; i < 14; i++)
		more += start(d, 100, 10, &g) != NULL;
	is_int(more, 14, "when nobody else waits it goes on");
	ok(!dest_waits(d), "nothing waits");
	for (int i = 0; i < 20; i++)
		aq_ta_free(list[i]);
	aq_ta_free(one);
	aq_ta_free(two);
}

static void half(void)
{
	struct dest *d = dests_get(dests, route_to(5));
	struct ta *a = ta_of("a@x", 200), *b = ta_of("b@x", 200);
	struct lane *g;
	unsigned for_a = 0, for_b = 0;

	add(d, a);
	add(d, b);
	for (int i = 0; i < 10; i++) {
		struct ta *ta = start(d, 10, 10, &g);

		for_a += ta == a;
		for_b += ta == b;
	}
	ok(for_a == 5 && for_b == 5, "two senders have half of the slots each (%u, %u)", for_a,
	   for_b);
	ok(dest_next(d, 10) == NULL, "each has its share");
	dest_done(g);
	ok(dest_next(d, 10) == g, "who gives a slot back gets it again");
	aq_ta_free(a);
	aq_ta_free(b);
}

static unsigned drained;

static void count_job(struct qloop *l, struct job *j, void *ctx)
{
	(void)l;
	(void)ctx;
	drained += j->count - j->at;
}

static void parts(void)
{
	struct dest *d = dests_get(dests, route_to(4));
	struct ta *big = ta_of("big@x", 25);
	struct lane *g;

	add(d, big);
	start(d, 10, 10, &g);
	start(d, 10, 10, &g);
	is_int(d->queued, 1, "a job of 25 recipients is not done after two attempts of 10");
	is_int(dest_drain(d, loop_now(loop.loop) - 1, count_job, NULL), 0,
	       "nothing is older than that");
	is_int(dest_drain(d, INT64_MAX, count_job, NULL), 5, "the rest is taken out");
	is_int(drained, 5, "and handed over");
	ok(!dest_waits(d) && d->busy == 2, "the attempts go on");
	dest_done(g);
	dest_done(g);
	dests_sweep(dests, -1);
	ok(dests_get(dests, route_to(4)) != NULL, "made again after it was swept away");
	aq_ta_free(big);
}

static void together(void)
{
	struct dest *d = dests_get(dests, route_to(6));
	struct ta *a = ta_of("a@x", 40), *b = ta_of("a@x", 2);
	struct lane *g;
	bool good = true;

	for (uint32_t i = 0; i < 40; i++)
		dest_add(d, a, &i, 1);
	add(d, b);
	is_int(d->queued, 2, "recipients of one message that come one by one are one job");
	for (uint32_t i = 0; i < 40; i++)
		good = good && d->turn->head->idx[i] == i;
	ok(good && d->turn->head->count == 40, "with all of them, in order");
	ok(start(d, 100, 100, &g) == a, "they go out together");
	dest_done(g);
	ok(start(d, 100, 100, &g) == b, "and then the next");
	dest_done(g);
	aq_ta_free(a);
	aq_ta_free(b);
}

/* Members of two lists in one message: each list has jobs and turns of its own. */
static void owners(void)
{
	struct dest *d = dests_get(dests, route_to(7));
	struct ta *a = ta_of("a@x", 6);
	struct span owner[] = { SPAN("owner-1@x"), SPAN("owner-2@x") };
	struct lane *g;

	a->env.owner = owner;
	a->env.owner_count = 2;
	for (uint32_t i = 0; i < 6; i++)
		a->env.rcpt[i].owner = (uint16_t)(i % 3);
	uint32_t idx[] = { 0, 1, 2, 3, 4, 5 };
	for (unsigned at = 0, n; at < 6; at += n) {
		n = aq_first_owner(a, idx + at, 6 - at);
		is_int(n, 2, "recipients with one owner");
		dest_add(d, a, idx + at, n);
	}
	is_int(d->queued, 3, "a job for each");
	is_int(d->lanes, 3, "in a lane of its own");
	for (unsigned i = 0; i < 3; i++) {
		struct job *j = d->turn->head;
		uint32_t one = j->idx[0], two = j->idx[1];

		ok(j->count == 2 && one != two && one % 3 == two % 3, "job %u is of one owner", i);
		start(d, 100, 100, &g);
		dest_done(g);
	}
	aq_ta_free(a);
}

/* ---- taking out, in pieces, while others come and go */

enum { TAS = 60, RCPTS = 7 };

static struct ta *many[TAS];
static unsigned char
	where[TAS][RCPTS]; /* 0: elsewhere, 1: waits since before the walk, 2: came during it */
static unsigned picked, wrong;

static unsigned number_of(const struct ta *ta)
{
	unsigned i = 0;

	while (many[i] != ta)
		i++;
	return i;
}

static bool wanted(unsigned i, uint32_t idx)
{
	return (i + idx) % 3 == 0;
}

static bool want(void *ctx, const struct dest *d, const struct ta *ta, uint32_t idx)
{
	(void)ctx;
	(void)d;
	return wanted(number_of(ta), idx);
}

static void take(void *ctx, const struct dest *d, struct ta *ta, const uint32_t *idx,
		 unsigned count)
{
	(void)ctx;
	(void)d;
	for (unsigned i = 0; i < count; i++) {
		unsigned char *w = &where[number_of(ta)][idx[i]];

		wrong += !*w || !wanted(number_of(ta), idx[i]);
		*w = 0;
		picked++;
	}
}

static void begin_one(struct dest *d)
{
	struct lane *g = dest_next(d, 1000);

	if (!g)
		return;
	unsigned i = number_of(g->head->ta);
	for (uint32_t k = g->head->at; k < g->head->count && k < g->head->at + 2; k++) {
		wrong += !where[i][g->head->idx[k]];
		where[i][g->head->idx[k]] = 0;
	}
	unsigned left = g->head->count - g->head->at;
	dest_taken(g, left < 2 ? left : 2);
	dest_done(g);
}

static void come(struct dest *d, unsigned i, unsigned char mark)
{
	for (uint32_t k = 0; k < RCPTS; k++)
		if (!where[i][k]) {
			where[i][k] = mark;
			dest_add(d, many[i], &k, 1);
		}
}

static unsigned left_from_before(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TAS; i++)
		for (uint32_t k = 0; k < RCPTS; k++)
			n += where[i][k] == 1 && wanted(i, k);
	return n;
}

static void drain_one(struct dest *d, void *ctx)
{
	dest_drain(d, INT64_MAX, count_job, ctx);
}

static void pick(void)
{
	static const struct dest_pick p = { want, take, NULL };
	struct dest *d[5];
	unsigned missed = 0, bad_sum = 0;
	char sender[20];

	srand(1);
	dests_each(dests, drain_one, NULL);
	for (unsigned i = 0; i < TAS; i++) {
		sender[0] = (char)('a' + i % 9);
		sender[1] = 0;
		many[i] = ta_of(sender, RCPTS);
	}
	for (uint8_t i = 0; i < 5; i++)
		d[i] = dests_get(dests, route_to((uint8_t)(20 + i)));
	for (unsigned round = 0; round < 200; round++) {
		unsigned taken = 0, before = picked;

		for (unsigned i = 0; i < TAS; i++)
			for (uint32_t k = 0; k < RCPTS; k++)
				where[i][k] = where[i][k] ? 1 : 0;
		for (unsigned i = 0; i < 20; i++)
			come(d[rand() % 5], (unsigned)rand() % TAS, 1);
		dests_pick_begin(dests);
		while (dests_pick(dests, 1 + (unsigned)rand() % 20, &p, &taken)) {
			for (int i = rand() % 4; i > 0; i--)
				begin_one(d[rand() % 5]);
			if (rand() % 3 == 0)
				come(d[rand() % 5], (unsigned)rand() % TAS, 2);
		}
		missed += left_from_before();
		bad_sum += picked - before != taken;
	}
	is_int(missed, 0, "all that waited when a walk began and was wanted is taken out");
	is_int(wrong, 0, "nothing else is, and nothing twice");
	is_int(bad_sum, 0, "the walk says how many");
	ok(picked > 1000, "%u in 200 walks", picked);
	for (unsigned i = 0; i < 5; i++)
		while (dest_waits(d[i]))
			begin_one(d[i]);
	is_int(d[0]->queued + d[1]->queued + d[2]->queued + d[3]->queued + d[4]->queued, 0,
	       "the queues drain");
	for (unsigned i = 0; i < TAS; i++)
		aq_ta_free(many[i]);
}

int main(void)
{
	struct occ_setup s = {
		.max_entries = 100, .initial = 10, .max = 10, .keep_usec = 1, .retry_min_usec = 2
	};

	thread_main_register();
	aq_init(1000);
	parks_init();
	occ_init(&s);
	loop.loop = loop_new();
	dests = dests_new(&loop, no_timer);
	order();
	share();
	half();
	parts();
	together();
	owners();
	pick();
	rcu_barrier();
	return plan_done();
}
