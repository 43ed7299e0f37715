#include "queue/occ.h"

#include "core/route.h"
#include "core/thread.h"
#include "tests/tap.h"

static const usec_t S = USEC_PER_SEC;

static struct occ_host *host(uint8_t last)
{
	struct addr a = { .family = ADDR_IPV4, .port = 25, .ip = { 192, 0, 2, last } };

	return occ_get(ROUTE_ESMTP, &a);
}

static unsigned take_all(struct occ_host *h, usec_t now)
{
	unsigned n = 0;

	while (n < 1000 && occ_take(h, 0, now) == OCC_FREE)
		n++;
	return n;
}

static void slow_start(void)
{
	struct occ_host *h = host(1);
	usec_t now = 100 * S;

	is_int(take_all(h, now), 4, "at first as many as initial_connections");
	is_int(occ_take(h, 3, now), OCC_FULL, "then full");
	is_int((int64_t)occ_waiters(h) & 8, 8, "who found it full is to be woken");
	is_int((int64_t)occ_waiters(h), 0, "once");
	occ_give(h, true, true, 0, now);
	is_int(take_all(h, now), 2, "a success gives the slot back and one more");
	for (int i = 0; i < 5; i++)
		occ_give(h, true, false, 0, now);
	is_int(take_all(h, now), 5, "an attempt without a delivery does not widen the window");
	for (int round = 0; round < 10; round++) {
		occ_give(h, true, true, 0, now);
		take_all(h, now);
	}
	is_int(atomic_load(&h->busy), 8, "never more than max_connections");
	for (int i = 0; i < 8; i++)
		occ_give(h, true, true, 0, now);
	occ_put(h);
}

static void down(void)
{
	struct occ_host *h = host(2);
	usec_t now = 200 * S;

	is_int(occ_take(h, 0, now), OCC_FREE, "first attempt");
	occ_give(h, false, false, 0, now);
	is_int(occ_take(h, 0, now + S), OCC_DOWN, "no connection: down for a while");
	is_int(occ_take(h, 0, now + 11 * S), OCC_FREE, "then probed");
	is_int(occ_take(h, 0, now + 11 * S), OCC_FULL, "by one attempt only");
	occ_give(h, false, false, 0, now + 11 * S);
	is_int(occ_take(h, 0, now + 22 * S), OCC_DOWN, "failed again: down for longer");
	is_int(occ_take(h, 0, now + 32 * S), OCC_FREE, "probed again");
	occ_give(h, true, false, 0, now + 32 * S);
	is_int(take_all(h, now + 32 * S), 4, "it is back: slow start from the beginning");
	for (int i = 0; i < 4; i++)
		occ_give(h, true, false, 0, now + 32 * S);
	occ_put(h);
}

/* A host that serves some sessions and refuses further ones. */
static void enough(void)
{
	struct occ_host *h = host(8);
	usec_t now = 250 * S;

	take_all(h, now);
	occ_give(h, true, true, 0, now);
	take_all(h, now);
	is_int(atomic_load(&h->busy), 5, "five sessions are wanted");
	occ_give(h, false, false, 0, now + 1);
	is_int(occ_take(h, 0, now + 1), OCC_FULL, "the fifth is refused: not down, but full");
	for (int i = 0; i < 3; i++) {
		occ_give(h, true, true, 0, now + 2);
		is_int(take_all(h, now + 2), 1, "a success does not widen it");
	}
	occ_give(h, true, true, 0, now + 2);
	is_int(take_all(h, now + 2), 2, "the fourth does");
	occ_give(h, false, false, 0, now + 3);
	int n = 0;
	do {
		occ_give(h, true, true, 0, now + 4);
		n++;
	} while (take_all(h, now + 4) == 1 && n < 100);
	is_int(n, 8, "refused again: twice as many");
	is_int(take_all(h, now + 4), 0, "one more");
	occ_give(h, false, false, 0, now + 4 + OCC_SERVES_USEC + 1);
	is_int(occ_take(h, 0, now + 4 + OCC_SERVES_USEC + 1), OCC_DOWN,
	       "refused when nothing went well for long: down");
	while (atomic_load(&h->busy))
		occ_give(h, true, false, 0, now + 30 * S);
	is_int(take_all(h, now + 30 * S), 4, "back");
	while (atomic_load(&h->busy) > 1)
		occ_give(h, true, true, 0, now + 30 * S);
	occ_give(h, false, false, 0, now + 31 * S);
	is_int(occ_take(h, 0, now + 31 * S), OCC_DOWN, "refused when it has no other: down");
	occ_put(h);
}

static void down_for_longer(void)
{
	struct occ_host *h = host(9);
	usec_t now = 300 * S;

	is_int(occ_take(h, 0, now), OCC_FREE, "an attempt that took long and failed");
	occ_give(h, false, false, 50 * S, now);
	is_int(occ_take(h, 0, now + 49 * S), OCC_DOWN, "down for as long as is said");
	is_int(occ_take(h, 0, now + 51 * S), OCC_FREE, "then probed");
	occ_give(h, false, false, 1 << 30, now + 51 * S);
	is_int(occ_take(h, 0, now + 51 * S + OCC_DOWN_MAX_USEC), OCC_FREE,
	       "never for more than the most");
	occ_give(h, false, false, 1 * S, now + 600 * S);
	is_int(occ_take(h, 0, now + 630 * S), OCC_DOWN, "nor for less than without it");
	occ_put(h);
}

static void table(void)
{
	struct occ_host *a = host(3), *b = host(3);
	struct addr addr = a->addr;

	ok(a == b, "one entry per mailer and address");
	addr.port = 26;
	struct occ_host *c = occ_get(ROUTE_ESMTP, &addr);
	ok(a != c, "another port is another host");
	struct occ_host *d = occ_get(ROUTE_LMTP, &a->addr);
	ok(a != d, "another mailer too");
	occ_put(b);
	occ_put(c);
	occ_put(d);
	addr = a->addr;
	occ_expire(clock_now() + 10000 * S);
	ok(occ_find(ROUTE_ESMTP, &addr) == a, "an entry that is held is not expired");
	occ_put(a);
	occ_expire(clock_now() + 10000 * S);
	ok(occ_find(ROUTE_ESMTP, &addr) == NULL, "one that nobody holds is, after octo");
}

static void bounds(void)
{
	unsigned before = occ_count();
	usec_t now = clock_now();

	for (uint8_t i = 100; i < 250; i++) {
		struct occ_host *h = host(i);

		occ_take(h, 0, now);
		occ_give(h, true, true, 0, now);
		occ_put(h);
	}
	is_int(occ_count(), before + 150, "what is needed is never refused");
	occ_expire(now);
	is_int(occ_count(), 100, "beyond max_entries what nobody holds goes before octo, no more");
	occ_expire(now);
	is_int(occ_count(), 100, "and no more the next time");
}

int main(void)
{
	struct occ_setup s = { .max_entries = 100,
			       .initial = 4,
			       .max = 8,
			       .keep_usec = 3600 * S,
			       .retry_min_usec = 20 * S };

	thread_main_register();
	occ_init(&s);
	slow_start();
	down();
	enough();
	down_for_longer();
	table();
	bounds();
	rcu_barrier();
	return plan_done();
}
