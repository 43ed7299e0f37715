#include "proto/proxyhdr.h"

#include "tests/tap.h"

#include <string.h>

struct row {
	const char *name;
	struct span in;
	enum proxyhdr_result result;
	const char *addr;
	unsigned port;
	size_t rest;
};

#define IN(lit)                                                                                    \
	{                                                                                          \
		lit, sizeof(lit) - 1                                                               \
	}
#define SIG    "\r\n\r\n\0\r\nQUIT\n"
#define V6     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x05"

static const struct row rows[] = {
	{ "v1 IPv4", IN("PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\nEHLO"), PROXYHDR_ADDR,
	  "192.0.2.1", 56324, 4 },
	{ "v1 IPv6", IN("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), PROXYHDR_ADDR, "2001:db8::1", 1,
	  0 },
	{ "v1 unknown", IN("PROXY UNKNOWN\r\n"), PROXYHDR_SAME, NULL, 0, 0 },
	{ "v1 unknown with more", IN("PROXY UNKNOWN a b c d e f g\r\nX"), PROXYHDR_SAME, NULL, 0,
	  1 },
	{ "v1 wrong family", IN("PROXY TCP4 ::1 ::1 1 2\r\n"), PROXYHDR_BAD, NULL, 0, 0 },
	{ "v1 port", IN("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n"), PROXYHDR_BAD, NULL, 0, 0 },
	{ "v1 two spaces", IN("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), PROXYHDR_BAD, NULL, 0,
	  0 },
	{ "v1 one word more", IN("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), PROXYHDR_BAD, NULL, 0,
	  0 },
	{ "v1 one word less", IN("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), PROXYHDR_BAD, NULL, 0,
	  0 },
	{ "v1 too long",
	  IN("PROXY UNKNOWN "
	     "12345678901234567890123456789012345678901234567890"
	     "12345678901234567890123456789012345678901234567890\r\n"),
	  PROXYHDR_BAD, NULL, 0, 0 },
	{ "v1 mapped", IN("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), PROXYHDR_ADDR, "192.0.2.1", 1,
	  0 },
	{ "v1 LF alone", IN("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), PROXYHDR_BAD, NULL, 0, 0 },
	{ "v1 the longest",
	  IN("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\nX"),
	  PROXYHDR_SAME, NULL, 0, 1 },
	{ "SMTP", IN("EHLO client.test\r\n"), PROXYHDR_BAD, NULL, 0, 0 },
	{ "lower case", IN("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), PROXYHDR_BAD, NULL, 0, 0 },
	{ "v2 IPv4",
	  IN(SIG "\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x04\xd2\0\x19"
		 "EHLO"),
	  PROXYHDR_ADDR, "192.0.2.1", 1234, 4 },
	{ "v2 IPv4 and TLV",
	  IN(SIG "\x21\x11\0\x0f\xc0\0\x02\x01\xc0\0\x02\x02\x04\xd2\0\x19"
		 "abc"),
	  PROXYHDR_ADDR, "192.0.2.1", 1234, 0 },
	{ "v2 IPv6", IN(SIG "\x21\x21\0\x24" V6 V6 "\x04\xd2\0\x19"), PROXYHDR_ADDR, "2001:db8::1",
	  1234, 0 },
	{ "v2 mapped", IN(SIG "\x21\x21\0\x24" MAPPED V6 "\x04\xd2\0\x19"), PROXYHDR_ADDR,
	  "192.0.2.5", 1234, 0 },
	{ "v2 local", IN(SIG "\x20\0\0\0"), PROXYHDR_SAME, NULL, 0, 0 },
	{ "v2 unix", IN(SIG "\x21\x31\0\x01x"), PROXYHDR_SAME, NULL, 0, 0 },
	{ "v2 UDP", IN(SIG "\x21\x12\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x04\xd2\0\x19"),
	  PROXYHDR_BAD, NULL, 0, 0 },
	{ "v2 too short for IPv6", IN(SIG "\x21\x21\0\x04xxxx"), PROXYHDR_BAD, NULL, 0, 0 },
	{ "v2 version", IN(SIG "\x31\x11\0\0"), PROXYHDR_BAD, NULL, 0, 0 },
	{ "v2 command", IN(SIG "\x22\x11\0\0"), PROXYHDR_BAD, NULL, 0, 0 },
	{ "v2 too long", IN(SIG "\x21\x11\xff\xff"), PROXYHDR_BAD, NULL, 0, 0 },
};

static void check(const struct row *t)
{
	struct addr a = { 0 };
	struct span in = t->in;
	bool more = true;

	is_int(proxyhdr_take(&in, &a), t->result, t->name);
	if (t->result == PROXYHDR_BAD)
		return;
	is_int((int64_t)in.n, (int64_t)t->rest, "what follows");
	if (t->addr) {
		char text[ADDR_TEXT_MAX];

		addr_text(&a, text);
		is_str(text, t->addr, t->name);
		is_int(a.port, t->port, "port");
	}
	for (size_t n = 0; n + t->rest < t->in.n && more; n++) {
		in = span_head(t->in, n);
		more = proxyhdr_take(&in, &a) == PROXYHDR_MORE;
	}
	ok(more, "%s: incomplete as long as it is", t->name);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		check(&rows[i]);
	return plan_done();
}
