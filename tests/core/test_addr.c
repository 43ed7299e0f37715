#include "core/addr.h"

#include "tests/tap.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

static void test_parse(void)
{
	static const struct {
		const char *in, *text, *literal; /* text NULL: refused */
		bool loopback;
	} t[] = {
		{ "192.0.2.1", "192.0.2.1", "192.0.2.1", false },
		{ "0.0.0.0", "0.0.0.0", "0.0.0.0", false },
		{ "255.255.255.255", "255.255.255.255", "255.255.255.255", false },
		{ "127.0.0.1", "127.0.0.1", "127.0.0.1", true },
		{ "127.9.9.9", "127.9.9.9", "127.9.9.9", true },
		{ "::1", "::1", "IPv6:::1", true },
		{ "::", "::", "IPv6:::", false },
		{ "2001:DB8::1", "2001:db8::1", "IPv6:2001:db8::1", false },
		{ "IPv6:2001:db8::1", "2001:db8::1", "IPv6:2001:db8::1", false },
		{ "ipv6:fe80:0:0:0:1:2:3:4", "fe80::1:2:3:4", "IPv6:fe80::1:2:3:4", false },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		  "IPv6:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false },
		{ "", NULL, NULL, false },
		{ "IPv6:", NULL, NULL, false },
		{ "IPv6:192.0.2.1", NULL, NULL, false },
		{ "192.0.2", NULL, NULL, false },
		{ "192.0.2.256", NULL, NULL, false },
		{ "192.0.2.1 ", NULL, NULL, false },
		{ "192.0.2.1.", NULL, NULL, false },
		{ "0192.0.2.1", NULL, NULL, false },
		{ "1:2:3:4:5:6:7:8:9", NULL, NULL, false },
		{ "fe80::1%lo", NULL, NULL, false },
		{ "host.example", NULL, NULL, false },
		{ "111111111111111111111111111111111111111111111111111111111111111111111111", NULL,
		  NULL, false },
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct addr a = { .family = 99 };
		char text[ADDR_TEXT_MAX], literal[ADDR_TEXT_MAX];
		int rc = addr_parse(span_str(t[i].in), &a);

		if (!t[i].text) {
			ok(rc == -EINVAL && a.family == 99, "refused: '%s'", t[i].in);
			continue;
		}
		ok(rc == 0 && addr_text(&a, text) == strlen(text) && !strcmp(text, t[i].text) &&
			   addr_literal(&a, literal) == strlen(literal) &&
			   !strcmp(literal, t[i].literal) &&
			   addr_is_loopback(&a) == t[i].loopback && !a.port,
		   "parsed: '%s' is %s, %s", t[i].in, text, literal);
	}
	struct addr a;
	is_int(addr_parse(SPAN("1.2.3.4\0.5"), &a), -EINVAL, "refused: a NUL inside");
}

static void test_sockaddr(void)
{
	struct sockaddr_storage ss;
	struct addr a, b;

	addr_parse(SPAN("192.0.2.7"), &a);
	a.port = 25;
	socklen_t n = addr_to_sockaddr(&a, &ss);
	const struct sockaddr_in *in = (const void *)&ss;
	ok(n == sizeof *in && in->sin_family == AF_INET && in->sin_port == htons(25) &&
		   in->sin_addr.s_addr == htonl(0xc0000207),
	   "IPv4 to sockaddr");
	addr_from_sockaddr((void *)&ss, &b);
	ok(addr_eq(&a, &b), "and back");
	addr_parse(SPAN("2001:db8::7"), &a);
	a.port = 587;
	ok(addr_to_sockaddr(&a, &ss) == sizeof(struct sockaddr_in6), "IPv6 to sockaddr");
	addr_from_sockaddr((void *)&ss, &b);
	ok(addr_eq(&a, &b), "and back");
	addr_parse(SPAN("::ffff:192.0.2.7"), &a);
	addr_to_sockaddr(&a, &ss);
	addr_from_sockaddr((void *)&ss, &b);
	addr_parse(SPAN("192.0.2.7"), &a);
	ok(addr_ip_eq(&a, &b), "IPv4-mapped IPv6 of a socket becomes IPv4");
	ss.ss_family = AF_UNIX;
	addr_from_sockaddr((void *)&ss, &b);
	ok(b.family == ADDR_IPV4 && addr_is_loopback(&b) && !b.port,
	   "a unix socket is 127.0.0.1 port 0");
}

static void test_equal(void)
{
	struct addr a, b;

	addr_parse(SPAN("192.0.2.7"), &a);
	b = a;
	b.port = 1;
	ok(addr_ip_eq(&a, &b) && !addr_eq(&a, &b), "the port counts only where it should");
	ok(addr_ip_hash(&a) == addr_ip_hash(&b) && addr_hash(&a) != addr_hash(&b), "so in hashes");
	addr_parse(SPAN("192.0.2.8"), &b);
	ok(!addr_ip_eq(&a, &b) && addr_ip_hash(&a) != addr_ip_hash(&b), "other addresses differ");
}

static void test_net(void)
{
	static const struct {
		const char *net, *in, *out; /* in NULL: no net */
	} t[] = {
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "192.0.2.128/25", "192.0.2.255", "192.0.2.127" },
		{ "192.0.2.1", "192.0.2.1", "192.0.2.2" },
		{ "192.0.2.1/32", "192.0.2.1", "192.0.2.0" },
		{ "0.0.0.0/0", "255.1.2.3", "::1" },
		{ "10", "10.1.2.3", "1.0.0.1" },
		{ "192.168.7", "192.168.7.255", "192.168.8.0" },
		{ "192.168.7.", "192.168.7.1", "192.168.6.255" },
		{ "2001:db8::/32", "2001:db8:ffff::", "2001:db9::" },
		{ "2001:db8::1", "2001:db8::1", "2001:db8::2" },
		{ "::/0", "2001:db8::1", "10.0.0.1" },
		{ "fe80::/10", "febf::1", "fec0::1" },
		{ "", NULL, NULL },
		{ "10/8", NULL, NULL },
		{ "10.0.0.0/33", NULL, NULL },
		{ "10.0.0.0/", NULL, NULL },
		{ "10.0.0.0/-1", NULL, NULL },
		{ "::/129", NULL, NULL },
		{ "256", NULL, NULL },
		{ "1..2", NULL, NULL },
		{ ".", NULL, NULL },
		{ "1.2.3.4.5", NULL, NULL },
		{ "example", NULL, NULL },
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct addr_net net;
		struct addr in, out;
		int rc = addr_net_parse(span_str(t[i].net), &net);

		if (!t[i].in) {
			is_int(rc, -EINVAL, t[i].net);
			continue;
		}
		addr_parse(span_str(t[i].in), &in);
		addr_parse(span_str(t[i].out), &out);
		ok(rc == 0 && addr_net_has(&net, &in) && !addr_net_has(&net, &out),
		   "net %s has %s, not %s", t[i].net, t[i].in, t[i].out);
	}
}

static void test_unmap(void)
{
	static const char *const table[][2] = {
		{ "::ffff:192.0.2.1", "192.0.2.1" }, { "::ffff:0:0", "0.0.0.0" },
		{ "::192.0.2.1", "::192.0.2.1" },    { "2001:db8::1", "2001:db8::1" },
		{ "192.0.2.1", "192.0.2.1" },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct addr a, want;

		addr_parse(span_str(table[i][0]), &a);
		addr_parse(span_str(table[i][1]), &want);
		a.port = want.port = 25;
		addr_unmap(&a);
		ok(addr_eq(&a, &want), "%s is %s", table[i][0], table[i][1]);
	}
}

int main(void)
{
	test_unmap();
	test_parse();
	test_sockaddr();
	test_equal();
	test_net();
	return plan_done();
}
