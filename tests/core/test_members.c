#include "core/members.h"

#include "core/envelope.h"
#include "core/route.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

static struct buf part;

static void add(uint8_t type, struct span text, uint32_t route, uint16_t owner)
{
	struct members_item m = { .type = type, .text = text, .route = route, .owner = owner };

	if (members_add(&part, &m))
		abort();
}

static void clear(void)
{
	part.r = part.w = 0;
}

/* What the whole part gives: 0 at its end, or the error. */
static int walk(struct members_seen *seen)
{
	struct span rest = buf_span(&part);
	struct members_item m;
	int rc;

	while ((rc = members_next(seen, &rest, &m)) == 1)
		;
	return rc;
}

static void test_round_trip(void)
{
	struct members_seen seen = { 0 };
	struct members_item m;

	add(MEMBERS_ROUTE, SPAN("to here"), 0, 0);
	add(MEMBERS_OWNER, SPAN("owner-list@x.test"), 0, 0);
	add(MEMBERS_TO, SPAN("a@x.test"), 0, 1);
	add(MEMBERS_TO, SPAN("b@x.test"), ENV_NO_ROUTE, 0);
	struct span rest = buf_span(&part);
	is_int(members_begin(&seen, 0), 0, "the first part");
	is_int(members_next(&seen, &rest, &m), 1, "a route");
	ok(m.type == MEMBERS_ROUTE && span_eq(m.text, SPAN("to here")), "as it was");
	is_int(members_next(&seen, &rest, &m), 1, "an owner");
	ok(m.type == MEMBERS_OWNER && span_eq(m.text, SPAN("owner-list@x.test")), "as it was");
	is_int(members_next(&seen, &rest, &m), 1, "a member");
	ok(m.type == MEMBERS_TO && span_eq(m.text, SPAN("a@x.test")) && !m.route && m.owner == 1,
	   "with both");
	is_int(members_next(&seen, &rest, &m), 1, "another");
	ok(span_eq(m.text, SPAN("b@x.test")) && m.route == ENV_NO_ROUTE && !m.owner, "with none");
	is_int(members_next(&seen, &rest, &m), 0, "the end");
	clear();
	add(MEMBERS_TO, SPAN("c@x.test"), 0, 1);
	is_int(members_begin(&seen, 1), 0, "the second part");
	is_int(walk(&seen), 0, "names what came in the first");
	is_int(seen.count, 3, "all are counted");
	is_int(members_begin(&seen, 3), -EBADMSG, "a part is missing");
	is_int(members_begin(&seen, 1), -EBADMSG, "a part comes twice");
	is_int(members_begin(&seen, 0), 0, "it begins anew");
	is_int(walk(&seen), -EBADMSG, "and has forgotten the route");
	clear();
}

static void test_refused(void)
{
	static char text[ENV_ADDR_MAX + ROUTE_BYTES_MAX];
	const struct {
		const char *name;
		uint8_t type;
		struct span text;
		uint32_t route;
		uint16_t owner;
	} bad[] = {
		{ "no type", 0, SPAN("x"), 0, 0 },
		{ "an unknown type", 4, SPAN("x"), 0, 0 },
		{ "a member without an address", MEMBERS_TO, SPAN(""), ENV_NO_ROUTE, 0 },
		{ "an owner without an address", MEMBERS_OWNER, SPAN(""), 0, 0 },
		{ "a member that is too long", MEMBERS_TO, span_of(text, ENV_ADDR_MAX + 1),
		  ENV_NO_ROUTE, 0 },
		{ "an owner that is too long", MEMBERS_OWNER, span_of(text, ENV_ADDR_MAX + 1), 0,
		  0 },
		{ "a route that is too long", MEMBERS_ROUTE, span_of(text, ROUTE_BYTES_MAX + 1), 0,
		  0 },
		{ "a route that is not there", MEMBERS_TO, SPAN("a@b"), 0, 0 },
		{ "an owner that is not there", MEMBERS_TO, SPAN("a@b"), ENV_NO_ROUTE, 1 },
	};

	memset(text, 'x', sizeof text);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct members_seen seen = { 0 };

		clear();
		add(bad[i].type, bad[i].text, bad[i].route, bad[i].owner);
		is_int(walk(&seen), -EBADMSG, bad[i].name);
	}
	clear();
	add(MEMBERS_TO, SPAN("a@b"), ENV_NO_ROUTE, 0);
	uint32_t whole = part.w;
	for (uint32_t n = 1; n < whole; n++) {
		struct members_seen seen = { 0 };

		part.w = n;
		if (walk(&seen) != -EBADMSG)
			ok(false, "%u bytes of %u are accepted", n, whole);
	}
	struct members_seen full = { .count = ENV_RCPTS_MAX };
	part.w = whole;
	is_int(walk(&full), -EBADMSG, "one member too many");
	clear();
	full = (struct members_seen){ .owners = ENV_OWNERS_MAX };
	add(MEMBERS_OWNER, SPAN("a@b"), 0, 0);
	is_int(walk(&full), -EBADMSG, "one owner too many");
}

int main(void)
{
	test_round_trip();
	test_refused();
	buf_release(&part);
	return plan_done();
}
