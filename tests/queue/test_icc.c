#include "queue/icc.h"

#include "core/rcu.h"
#include "core/thread.h"
#include "tests/tap.h"

static const usec_t S = USEC_PER_SEC;

static struct addr ip(uint8_t last)
{
	return (struct addr){ .family = ADDR_IPV4, .ip = { 192, 0, 2, last } };
}

static void open_sessions(void)
{
	struct addr a = ip(1), b = ip(2);
	usec_t now = 1000 * S;

	for (int i = 0; i < 3; i++)
		is_int(icc_open(&a, now), ICC_OK, "below the limit of open sessions");
	is_int(icc_open(&a, now), ICC_TOO_MANY, "the fourth is one too many");
	is_int(icc_open(&b, now), ICC_OK, "another client is not concerned");
	icc_close(&a);
	is_int(icc_open(&a, now), ICC_OK, "a closed session makes room");
	a.port = 4711;
	is_int(icc_open(&a, now), ICC_TOO_MANY, "the port of the client does not matter");
	struct addr six = { .family = ADDR_IPV6, .ip = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
	is_int(icc_open(&six, now), ICC_OK, "IPv6");
}

static void rate(void)
{
	struct addr a = ip(9);
	usec_t now = 2000 * S;

	for (int i = 0; i < 10; i++, now += S) {
		if (icc_open(&a, now) != ICC_OK)
			ok(false, "connection %d within the rate", i);
		icc_close(&a);
	}
	is_int(icc_open(&a, now), ICC_TOO_FAST, "the eleventh within a minute");
	now += 45 * S;
	is_int(icc_open(&a, now), ICC_TOO_FAST, "the window slides: still the minute of the first");
	now += 70 * S;
	is_int(icc_open(&a, now), ICC_OK, "a quiet minute later");
	icc_close(&a);
}

static void bounds(void)
{
	usec_t now = 5000 * S;
	unsigned before = icc_count();

	for (int i = 0; i < 200; i++) {
		struct addr a = { .family = ADDR_IPV4, .ip = { 10, 0, 0, (uint8_t)i } };

		icc_open(&a, now);
		icc_close(&a);
	}
	ok(icc_count() <= 64, "never more clients than the table may hold (%u)", icc_count());
	icc_grow();
	ok(icc_count() >= before, "growing the table loses nobody");
	icc_expire(now + 10 * S);
	ok(icc_count() >= before, "quiet for 10 s is not long enough to be dropped");
	icc_expire(now + 1000 * S);
	ok(icc_count() < 10, "clients without sessions are dropped after a minute");
	struct addr extra = ip(77);
	icc_close(&extra);
	ok(true, "closing what was never counted is harmless");
}

int main(void)
{
	struct icc_setup s = { .max_entries = 64, .buckets = 65536, .max_open = 3, .max_rate = 10 };

	thread_main_register();
	icc_init(&s);
	open_sessions();
	rate();
	bounds();
	rcu_barrier();
	return plan_done();
}
