/*
 * tests/fuzz/fuzz_rows.c - any bytes as keys and values of the queues' database.
 *
 * What is accepted is safe to look at, and a key or a value of the newest form is the same bytes again.
 */
#include "core/err.h"
#include "queue/store.h"
#include "queue/store_key.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct span a, struct span b)
{
	if (!span_eq(a, b))
		panic("other bytes when it is encoded again");
}

static void as_key(struct span s)
{
	uint64_t park, ta;
	struct store_key k;
	uint32_t idx;
	usec_t wall;
	bool is_rcpt;

	if (store_key_parse(s, &ta, &idx, &is_rcpt)) {
		k = is_rcpt ? store_key_rcpt(ta, idx) : store_key_ta(ta);
		same(store_key_span(&k), s);
	}
	if (store_key_due_parse(s, &wall, &ta, &idx)) {
		k = store_key_due(wall, ta, idx);
		same(store_key_span(&k), s);
	}
	if (store_key_parked_parse(s, &park, &ta, &idx)) {
		k = store_key_parked(park, ta, idx);
		same(store_key_span(&k), s);
	}
	if (store_key_park_parse(s, &park)) {
		k = store_key_park(park);
		same(store_key_span(&k), s);
	}
}

/* Inside of what was given? */
static void within(struct span part, struct span s)
{
	if (part.n && (part.p < s.p || part.p + part.n > s.p + s.n))
		panic("a part that is elsewhere");
}

static void as_value(struct span s)
{
	char again[STORE_DEFERRED_MAX + STORE_PARK_MAX];
	struct store_deferred d;
	struct store_park p;
	struct cdb_ref ref;
	struct span envelope;

	if (!store_ta_decode(s, &ref, &envelope)) {
		within(envelope, s);
		store_ta_is_again(s);
		if (store_ta_head_encode(&ref, again) != STORE_TA_HEAD ||
		    memcmp(again + 1, s.p + 1, STORE_TA_HEAD - 1))
			panic("another place when it is encoded again");
	}
	if (!store_deferred_decode(s, &d)) {
		struct store_deferred e;

		within(d.reply, s);
		within(d.route, s);
		if (d.route.n > ROUTE_BYTES_MAX)
			return;
		size_t n = store_deferred_encode(&d, again);
		if (n > STORE_DEFERRED_MAX || store_deferred_decode(span_of(again, n), &e) ||
		    e.wall_next != d.wall_next || e.attempts != d.attempts || e.park != d.park ||
		    e.held != d.held || e.forced != d.forced || !span_eq(e.route, d.route))
			panic("another recipient when it is encoded again");
	}
	if (!store_park_decode(s, &p)) {
		within(p.route, s);
		if (p.route.n <= ROUTE_BYTES_MAX)
			same(span_of(again, store_park_encode(&p, again)), s);
	}
	store_mark_reported(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = span_of(data, size);

	as_key(s);
	as_value(s);
	return 0;
}
