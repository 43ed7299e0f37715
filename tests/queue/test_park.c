#include "queue/park.h"

#include "core/thread.h"
#include "tests/tap.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MIN = 100 * USEC_PER_SEC, MAX = 1000 * USEC_PER_SEC };

static unsigned woken;

static void wake(void)
{
	woken++;
}

/* How many the keeper was told of; they are looked at. */
static unsigned told(void)
{
	unsigned n = 0;

	for (struct park *p = parks_told(), *next; p; p = next, n++) {
		next = p->told_next;
		atomic_store(&p->told, false);
		park_put(p);
	}
	return n;
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

/* What destinations without end get that take turns, each one recipient at a time. */
static void fill(unsigned max, unsigned dests, unsigned *in_aq)
{
	unsigned total = 0;
	bool more = true;

	while (more) {
		more = false;
		for (unsigned i = 0; i < dests; i++)
			if (in_aq[i] < park_share(max, total)) {
				in_aq[i]++;
				total++;
				more = total < max;
			}
	}
}

static void share(void)
{
	enum { M = 100000 };
	unsigned in_aq[2000] = { 0 };

	is_int(park_share(M, 0), M, "an empty AQ");
	fill(M, 1, in_aq);
	ok(in_aq[0] == M / 2, "one alone gets half: %u", in_aq[0]);
	ok(park_share(M, M / 2) == M / 2, "and leaves the other half for the next");
	for (unsigned n = 2; n <= 64; n *= 2) {
		unsigned total = 0, least = UINT_MAX, most = 0;

		memset(in_aq, 0, sizeof in_aq);
		fill(M, n, in_aq);
		for (unsigned i = 0; i < n; i++) {
			total += in_aq[i];
			least = in_aq[i] < least ? in_aq[i] : least;
			most = in_aq[i] > most ? in_aq[i] : most;
		}
		ok(most - least <= 1 && most <= M / (n + 1) + 1 && total < M,
		   "%u of them get the same, %u each, and leave %u", n, most, M - total);
	}
	/* One was there first: the next finds room, and it gets back to its part when it has less. */
	unsigned first = M / 2, second = 0;
	while (second < park_share(M, first + second))
		second++;
	ok(second == M / 4, "one that comes later has room at once: %u", second);
	is_int(park_share_room(M, 0, 0), M / 2, "at one go it gets as much");
	is_int(park_share_room(M, M / 4, 0), 37500, "or half of what others have left");
	is_int(park_share_room(M, M / 2, M / 2), 0, "and no more than that");
	is_int(park_share_room(M, M, 300), 1 + M / 256 - 300,
	       "a full AQ: some for each all the same");
	is_int(park_share(M, M), 1 + M / 256, "as far as it has less");
	is_int(park_share(10, 10), 1, "however small it is");
}

static void counts(void)
{
	struct park *p = park_get(route_to(1));
	struct rcpt r[3] = { { .state = 0 } };

	aq_take(10);
	is_int(park_room(p, 10), 500, "ten new ones and nothing else");
	park_came(p, 10);
	aq_take(400);
	park_came(p, 400);
	is_int(park_room(p, 0), (590 - 410) / 2, "the rest of its share");
	aq_take(300);
	is_int(park_room(p, 0), 0, "no room when it has more than is left");
	aq_give(300);
	for (int i = 0; i < 3; i++)
		park_add(p, &r[i]);
	ok(atomic_load(&p->parked) == 3 && atomic_load(&r[0].park) == p->id, "three are parked");
	is_int(park_room(p, 100), 0, "new ones wait behind them");
	is_int((long)parks_numbers().backlog, 3, "for room only");
	told();
	park_gone(p, 400);
	aq_give(400);
	ok(told() == 1 && woken, "the keeper hears when it has less than half of its share");
	is_int(park_room(p, 5), 493, "when all have room, new ones go on");
	park_take(&r[0]);
	ok(atomic_load(&p->parked) == 2 && atomic_load(&p->coming) == 1, "one is on its way");
	ok(park_arrived(&r[0], p) && !atomic_load(&p->coming) && !atomic_load(&r[0].park),
	   "and there");
	ok(!park_arrived(&r[0], p), "once");
	park_take(&r[1]);
	ok(!park_arrived(&r[1], NULL), "another goes elsewhere");
	park_take(&r[2]);
	park_arrived(&r[2], p);
	is_int((long)parks_numbers().recipients, 0, "none is parked");
	park_gone(p, 10);
	aq_give(10);
	told();
	park_put(p);
}

static void states(void)
{
	struct park *p = park_get(route_to(2)), *other = park_get(route_to(3));
	struct rcpt r[2] = { { .state = 0 } };
	usec_t now = clock_steady(), next;

	ok(park_get(route_to(2)) == p, "equal routes have one entry");
	park_put(p);
	ok(p->id != other->id && park_find(p->id) == p && !park_find(12345), "found by its number");
	park_close(p, MIN, MAX);
	next = atomic_load(&p->wall_next);
	ok(next >= now + MIN && next <= clock_steady() + MIN + MIN / 10,
	   "closed for the shortest delay");
	is_int(park_room(p, 1), 0, "nothing goes there");
	park_close(p, MIN, MAX);
	ok(atomic_load(&p->wall_next) == next, "others that see the same change nothing");
	ok(!park_probe(p), "it is not its time yet");
	park_add(p, &r[0]);
	is_int((long)parks_numbers().backlog, 0, "what waits for a host is no backlog");
	park_hurry(p);
	ok(park_probe(p) && !park_probe(p), "when somebody says now, one is brought, once");
	is_int(park_room(p, 1), 0, "others wait for what it says");
	told();
	park_take(&r[0]);
	park_arrived(&r[0], NULL);
	is_int(told(), 1, "it went elsewhere: the keeper hears that nothing will be said");
	park_close(p, MIN, MAX);
	ok(atomic_load(&p->wall_next) >= now + 2 * (usec_t)MIN, "the next delay is doubled");
	for (int i = 0; i < 10; i++) {
		park_hurry(p);
		park_probe(p);
		park_close(p, MIN, MAX);
	}
	ok(atomic_load(&p->wall_next) <= clock_steady() + MAX, "up to the longest");
	park_open(p);
	ok(park_room(p, 1) && !atomic_load(&p->wall_next) && !atomic_load(&p->failures),
	   "open: all that is forgotten");
	park_close(p, MIN, MAX);
	park_add(p, &r[1]);
	struct addr host = { .family = ADDR_IPV4, .ip = { 192, 0, 2, 3 } };
	parks_host_up(ROUTE_ESMTP, &host);
	ok(atomic_load(&p->wall_next) > clock_steady(), "another host is up");
	host.ip[3] = 2;
	parks_host_up(ROUTE_LMTP, &host);
	ok(atomic_load(&p->wall_next) > clock_steady(), "by another mailer");
	parks_host_up(ROUTE_ESMTP, &host);
	ok(atomic_load(&p->wall_next) <= clock_steady(), "its own");
	park_take(&r[1]);
	park_arrived(&r[1], NULL);
	told();
	uint64_t id = p->id;
	park_put(p);
	parks_sweep();
	ok(!park_find(id) && park_find(other->id), "forgotten when nobody needs it");
	park_put(other);
}

static void suspension(void)
{
	struct park *p = park_get_suspension(7);
	struct rcpt r = { .state = RCPT_DEFERRED };
	usec_t next;

	ok(park_get_suspension(7) == p, "one entry for each suspension");
	park_put(p);
	park_add(p, &r);
	park_hurry(p);
	ok(!park_probe(p), "nobody probes it");
	ok(!strcmp(park_of(&r, &next), "suspended") && !next, "it waits until it is resumed");
	atomic_store(&p->wall_next, 5);
	ok(park_of(&r, &next) && next == 5, "or for its end");
	park_open(p);
	is_int(told(), 1, "the keeper hears of its end");
	is_int((long)parks_numbers().backlog, 0, "which is no backlog");
	park_take(&r);
	park_arrived(&r, NULL);
	told();
	park_put(p);
	parks_sweep();
}

static void places(void)
{
	struct park *p = park_get(route_to(4));

	p->k.ta = 100;
	p->k.idx = 5;
	ok(park_dry(p), "all rows are read");
	park_written(p, 90, 7);
	park_written(p, 95, 0);
	ok(!park_dry(p), "there are others meanwhile");
	park_rewind(p);
	ok(p->k.ta == 90 && p->k.idx == 7, "back to the first of them");
	park_written(p, 200, 0);
	park_rewind(p);
	ok(p->k.ta == 90 && p->k.idx == 7, "never forward");
	ok(park_dry(p), "all rows are read again");
	told();
	park_put(p);
}

/* A database with two heads; then recipients of these and of a third. */
static void loaded(void)
{
	char dir[300], log_dir[300], why[300], value[STORE_PARK_MAX];
	struct store_setup set = { .dir = dir,
				   .log_dir = log_dir,
				   .cache_bytes = 1 << 20,
				   .page_bytes = 4096,
				   .log_bytes = 4 << 20 };
	struct store_batch *b = store_batch_new();
	struct store_park closed = { .wall_next = clock_steady() + MAX,
				     .failures = 3,
				     .route = route_to(50) },
			  open = { .route = route_to(51) };
	struct store_key k1 = store_key_park(1000), k2 = store_key_park(2000);
	bool created;
	int error;

	snprintf(dir, sizeof dir, "%s/defedb", tap_tmpdir());
	snprintf(log_dir, sizeof log_dir, "%s/ibdb", tap_tmpdir());
	mkdir(dir, 0700);
	mkdir(log_dir, 0700);
	struct store *s = store_open(&set, &error, why, sizeof why, &created);
	store_put(s, b, STORE_META, store_key_span(&k1),
		  span_of(value, store_park_encode(&closed, value)));
	store_put(s, b, STORE_META, store_key_span(&k2),
		  span_of(value, store_park_encode(&open, value)));
	store_write(s, b);
	is_int(parks_load(s), 0, "heads are loaded");
	struct park *p = park_find(1000), *q = park_find(2000);
	ok(p && q && park_get(route_to(50)) == p, "found by number and route");
	ok(p && atomic_load(&p->state) == PARK_CLOSED && atomic_load(&p->failures) == 3 &&
		   atomic_load(&p->wall_next) == closed.wall_next,
	   "as it was");
	ok(q && atomic_load(&q->state) == PARK_OPEN, "open what was open");
	struct store_deferred d = { .park = 1000 };
	ok(parks_load_rcpt(&d) && atomic_load(&p->parked) == 1, "a recipient is counted");
	d.park = 3000;
	ok(!parks_load_rcpt(&d) && park_find(3000) &&
		   atomic_load(&park_find(3000)->state) == PARK_OPEN,
	   "one without a head is brought at once");
	ok(park_get(route_to(52))->id > 3000, "numbers go on behind all that were seen");
	store_batch_free(b);
	store_close(s);
}

int main(void)
{
	thread_main_register();
	aq_init(1000);
	parks_init();
	parks_on_told(wake);
	share();
	counts();
	states();
	suspension();
	places();
	loaded();
	return plan_done();
}
