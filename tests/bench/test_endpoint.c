#include "bench/endpoint.h"

#include "tests/tap.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_parse(void)
{
	static const struct {
		const char *text;
		bool passive;
		int family; /* -1: refused */
		int port;
	} t[] = {
		{ "127.0.0.1:2525", false, AF_INET, 2525 },
		{ "inet:127.0.0.1:2525", false, AF_INET, 2525 },
		{ "127.0.0.1", false, AF_INET, 25 },
		{ "[::1]:26", false, AF_INET6, 26 },
		{ "[::1]", false, AF_INET6, 25 },
		{ "unix:/tmp/x", false, AF_UNIX, 0 },
		{ "::1:25", false, -1, 0 },
		{ "[::1", false, -1, 0 },
		{ "[::1]x", false, -1, 0 },
		{ "127.0.0.1:", false, -1, 0 },
		{ "unix:", false, -1, 0 },
		{ ":25", false, -1, 0 },
		{ "127.0.0.1:0", true, AF_INET, 0 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct endpoint e;
		char why[256] = "";
		int rc = endpoint_parse(t[i].text, AF_UNSPEC, t[i].passive, &e, why, sizeof(why));
		int port = -1;
		if (rc == 0 && e.sa.ss_family == AF_INET)
			port = ntohs(((struct sockaddr_in *)&e.sa)->sin_port);
		else if (rc == 0 && e.sa.ss_family == AF_INET6)
			port = ntohs(((struct sockaddr_in6 *)&e.sa)->sin6_port);
		else if (rc == 0)
			port = 0;
		if (t[i].family < 0)
			ok(rc == -EINVAL && why[0], "'%s' is refused with a reason", t[i].text);
		else
			ok(rc == 0 && e.sa.ss_family == t[i].family && port == t[i].port, "'%s'",
			   t[i].text);
	}
}

static void round_trip(const char *text, const char *name)
{
	struct endpoint e;
	char why[256] = "", port[64];
	int rc = endpoint_parse(text, AF_UNSPEC, true, &e, why, sizeof(why));
	int l = rc ? rc : endpoint_listen(&e, 8, NULL);

	if (l == -EADDRNOTAVAIL || l == -EAFNOSUPPORT) {
		skip("%s: this machine has no such address", name);
		return;
	}
	ok(l >= 0, "%s: listens", name);
	if (!endpoint_is_unix(&e)) {
		snprintf(port, sizeof(port), "%.*s:%u", (int)(sizeof(port) - 8),
			 strchr(text, ']') ? "[::1]" : "127.0.0.1", endpoint_port(l));
		endpoint_parse(port, AF_UNSPEC, false, &e, why, sizeof(why));
	}
	int c = endpoint_connect(&e), a = -1;
	ok(c >= 0, "%s: connects", name);
	for (int i = 0; i < 1000000 && (a = accept(l, NULL, NULL)) < 0; i++)
		;
	ok(a >= 0 && write(c, "x", 1) == 1 && read(a, why, 1) == 1, "%s: a byte goes through",
	   name);
	close(a);
	close(c);
	close(l);
}

static void test_unix_stale(void)
{
	struct endpoint e;
	char text[128], why[256];

	snprintf(text, sizeof(text), "unix:%s/stale", tap_tmpdir());
	endpoint_parse(text, AF_UNSPEC, true, &e, why, sizeof(why));
	int one = endpoint_listen(&e, 8, NULL);
	int two = endpoint_listen(&e, 8, NULL);
	is_int(two, -EADDRINUSE, "a socket with a listener stays");
	close(one);
	two = endpoint_listen(&e, 8, NULL);
	ok(two >= 0, "one without is replaced");
	close(two);
	unlink(text + 5);
	is_int(endpoint_connect(&e), -ENOENT, "no socket, no connection");
}

static void test_device(void)
{
	struct endpoint e;
	char why[256], text[64];

	endpoint_parse("0.0.0.0:0", AF_UNSPEC, true, &e, why, sizeof(why));
	int l = endpoint_listen(&e, 8, "lo");
	if (l == -EPERM || l == -ENODEV) {
		skip("no right to choose an interface, or no lo");
		return;
	}
	snprintf(text, sizeof(text), "127.1.2.3:%u", endpoint_port(l));
	endpoint_parse(text, AF_UNSPEC, false, &e, why, sizeof(why));
	int c = endpoint_connect(&e);
	ok(l >= 0 && c >= 0, "all addresses of one interface");
	close(c);
	close(l);
	endpoint_parse("0.0.0.0:0", AF_UNSPEC, true, &e, why, sizeof(why));
	is_int(endpoint_listen(&e, 8, "no-such-if"), -ENODEV, "an interface that is not there");
}

int main(void)
{
	char text[128];

	test_parse();
	round_trip("127.0.0.1:0", "IPv4");
	round_trip("[::1]:0", "IPv6");
	snprintf(text, sizeof(text), "unix:%s/s", tap_tmpdir());
	round_trip(text, "unix");
	test_unix_stale();
	test_device();
	return plan_done();
}
