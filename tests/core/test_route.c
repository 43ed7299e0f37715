#include "core/route.h"

#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

static struct route make(uint8_t mailer, unsigned count)
{
	struct route r = { .mailer = mailer, .count = (uint8_t)count, .ttl_sec = 300 };

	for (unsigned i = 0; i < count; i++) {
		char text[ADDR_TEXT_MAX] = "192.0.2.0";

		addr_parse(i % 2 ? SPAN("2001:db8::5") : span_str(text), &r.host[i]);
		r.host[i].ip[3] = (uint8_t)(r.host[i].ip[3] + i);
		r.host[i].port = (uint16_t)(i * 1000);
	}
	return r;
}

static void test_round_trip(uint8_t mailer, unsigned count)
{
	struct route r = make(mailer, count), back;
	char bytes[ROUTE_BYTES_MAX];
	size_t n = route_encode(&r, bytes);
	unsigned accepted = 0;

	ok(n <= sizeof bytes && route_decode(span_of(bytes, n), &back) == 0,
	   "mailer %u, %u hosts: %zu bytes", mailer, count, n);
	bool same = back.mailer == mailer && back.count == count && back.ttl_sec == 0;
	for (unsigned i = 0; i < count; i++)
		same = same && addr_eq(&r.host[i], &back.host[i]);
	ok(same, "all comes back");
	for (size_t cut = 0; cut < n; cut++)
		accepted += route_decode(span_of(bytes, cut), &back) == 0;
	is_int(accepted, 0, "no shorter form is accepted");
	char longer[ROUTE_BYTES_MAX + 1] = { 0 };
	memcpy(longer, bytes, n);
	is_int(route_decode(span_of(longer, n + 1), &back), -EBADMSG, "nor a longer one");
	r.ttl_sec = 999;
	char again[ROUTE_BYTES_MAX];
	is_mem(again, route_encode(&r, again), bytes, n,
	       "equal routes have equal bytes whatever their time to live");
}

static void test_hostile(void)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t n;
	} t[] = {
		{ "empty", "", 0 },
		{ "another format", "\x02\x01\x00", 3 },
		{ "an unknown mailer", "\x01\x05\x00", 3 },
		{ "SMTP without a host", "\x01\x01\x00", 3 },
		{ "LMTP without a host", "\x01\x02\x00", 3 },
		{ "more hosts than there may be", "\x01\x01\xff", 3 },
		{ "an unknown family", "\x01\x01\x01\x05\x00\x00\x01\x02\x03\x04", 10 },
		{ "no family", "\x01\x01\x01\x00\x00\x00\x01\x02\x03\x04", 10 },
	};
	struct route r;

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		is_int(route_decode(span_of(t[i].bytes, t[i].n), &r), -EBADMSG, t[i].name);
	srandom(5);
	unsigned bad = 0;
	for (unsigned i = 0; i < 100000; i++) {
		char b[48];
		size_t n = (size_t)random() % sizeof b;

		for (size_t k = 0; k < n; k++)
			b[k] = (char)(random() % (k < 4 ? 7 : 256));
		if (!route_decode(span_of(b, n), &r)) {
			char back[ROUTE_BYTES_MAX];

			bad += !span_eq(span_of(b, n), span_of(back, route_encode(&r, back)));
		}
	}
	is_int(bad, 0, "random bytes that are accepted are what encoding gives");
}

int main(void)
{
	test_round_trip(ROUTE_NONE, 0);
	test_round_trip(ROUTE_ESMTP, 1);
	test_round_trip(ROUTE_LMTP, 2);
	test_round_trip(ROUTE_LMTP_LOCAL, 0);
	test_round_trip(ROUTE_DISCARD, 0);
	test_round_trip(ROUTE_ESMTP, ROUTE_HOSTS_MAX);
	test_hostile();
	return plan_done();
}
