/*
 * tests/fuzz/fuzz_envelope.c - any bytes as an encoded envelope, and as a part of the members of an
 * alias.
 *
 * What is accepted is safe to walk and is encoded again as the same bytes.
 */
#include "core/envelope.h"
#include "core/members.h"

#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_envelope(struct span s)
{
	struct arena *a = arena_new();
	struct buf again = { 0 };
	struct envelope e;

	if (!envelope_decode(s, a, &e)) {
		for (uint32_t i = 0; i < e.rcpt_count; i++) {
			if (e.rcpt[i].owner && !envelope_sender(&e, i).n)
				panic("an owner without an address");
			if (e.rcpt[i].route != ENV_NO_ROUTE && e.rcpt[i].route >= e.route_count)
				panic("a route that is not there");
		}
		if (envelope_encode(&e, &again) || !span_eq(buf_span(&again), s))
			panic("other bytes when it is encoded again");
	}
	buf_release(&again);
	arena_free(a);
}

static void as_members(struct span s)
{
	struct members_seen seen = { 0 };
	struct members_item m;
	struct buf again = { 0 };
	struct span rest = s;
	int rc;

	if (members_begin(&seen, 0))
		panic("part 0 is refused");
	while ((rc = members_next(&seen, &rest, &m)) == 1)
		if (members_add(&again, &m))
			panic("no memory");
	if (!span_eq(buf_span(&again), span_head(s, s.n - rest.n)))
		panic("other bytes when they are encoded again");
	buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = span_of(data, size);

	as_envelope(s);
	as_members(s);
	return 0;
}
