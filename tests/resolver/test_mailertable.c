#include "resolver/mailertable.h"

#include "tests/resolver/map_fixture.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* A route as text: "esmtp 25 [192.0.2.1] [..]". */
static const char *route_text(const struct route *r)
{
	static const char *const mailers[] = { "none", "esmtp", "lmtp", "local", "discard" };
	static char out[400];
	char addr[ADDR_TEXT_MAX];
	size_t n = (size_t)snprintf(out, sizeof out, "%s", mailers[r->mailer]);

	for (unsigned i = 0; i < r->count && n < 300; i++) {
		addr_literal(&r->host[i], addr);
		n += (size_t)snprintf(out + n, sizeof out - n, " %u^[%s]", r->host[i].port, addr);
	}
	return out;
}

static const struct {
	const char *value, *want, *why;
} values[] = {
	{ "[192.0.2.1]", "esmtp 0^[192.0.2.1]", NULL },
	{ "esmtp:[192.0.2.1]", "esmtp 0^[192.0.2.1]", NULL },
	{ "2525^esmtp:[192.0.2.1]", "esmtp 2525^[192.0.2.1]", NULL },
	{ "2525^[192.0.2.1]", "esmtp 2525^[192.0.2.1]", NULL },
	{ "ESMTP:[192.0.2.1] [192.0.2.2]", "esmtp 0^[192.0.2.1] 0^[192.0.2.2]", NULL },
	{ "esmtp: [IPv6:2001:db8::1]\t[192.0.2.2]", "esmtp 0^[IPv6:2001:db8::1] 0^[192.0.2.2]",
	  NULL },
	{ "lmtp:", "local", NULL },
	{ " LMTP: ", "local", NULL },
	{ "24^lmtp:[127.0.0.1]", "lmtp 24^[127.0.0.1]", NULL },
	{ "24^lmtp:", NULL,
	  "expected [PORT^][esmtp:]HOST..., lmtp: or PORT^lmtp:HOST..., found \"24^lmtp:\"" },
	{ "lmtp:[127.0.0.1]", NULL, "expected lmtp: alone, or a port in front of it" },
	{ "esmtp:", NULL, "expected [PORT^]" },
	{ "25^", NULL, "expected [PORT^]" },
	{ "0^[192.0.2.1]", NULL, "expected a port from 1 to 65535 in front of ^, found \"0\"" },
	{ "65536^[192.0.2.1]", NULL,
	  "expected a port from 1 to 65535 in front of ^, found \"65536\"" },
	{ "^[192.0.2.1]", NULL, "expected a port" },
	{ "smtp^[192.0.2.1]", NULL, "expected a port" },
	{ "esmtp:smart.host", NULL,
	  "host names need DNS, which this version does not have), found \"smart.host\"" },
	{ "smart.host", NULL, "host names need DNS" },
	{ "192.0.2.1", NULL, "expected an address in brackets" },
	{ "[192.0.2]", NULL, "expected an IP address in brackets, found \"[192.0.2]\"" },
	{ "[192.0.2.1", NULL, "expected an IP address in brackets" },
	{ "[", NULL, "expected an IP address in brackets" },
	{ "[]", NULL, "expected an IP address in brackets" },
	{ "smtp:[192.0.2.1]", NULL, "expected a host" },
	{ "", NULL, "expected [PORT^]" },
};

static void test_values(void)
{
	for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
		char why[MAILERTABLE_WHY_MAX] = "";
		struct route r;
		int rc = mailertable_parse_value(span_str(values[i].value), &r, why);

		if (values[i].want) {
			is_int(rc, 0, values[i].value);
			is_str(rc ? why : route_text(&r), values[i].want, "its route");
		} else {
			is_int(rc, -EINVAL, values[i].value);
			if (!ok(strstr(why, values[i].why), "its message"))
				diag("%s", why);
		}
	}
	char many[ROUTE_HOSTS_MAX * 14 + 40], why[MAILERTABLE_WHY_MAX];
	struct route r;
	size_t n = 0;
	for (unsigned i = 0; i < ROUTE_HOSTS_MAX; i++)
		n += (size_t)sprintf(many + n, "[192.0.2.%u] ", i);
	is_int(mailertable_parse_value(span_of(many, n), &r, why), 0, "the most hosts");
	is_int(r.count, ROUTE_HOSTS_MAX, "all of them");
	n += (size_t)sprintf(many + n, "[192.0.2.200]");
	is_int(mailertable_parse_value(span_of(many, n), &r, why), -EINVAL, "one more");
}

static const char good[] = "# comment\n"
			   "localhost lmtp:\n"
			   "MY.Dom lmtp:\n"
			   ".my.dom 24^lmtp:[127.0.0.1]\n"
			   "a.my.dom 2525^esmtp:[192.0.2.1]\n"
			   ".tld [192.0.2.2]\n"
			   ". esmtp:[192.0.2.3]\n"
			   "  [192.0.2.4]\n";

static const struct {
	const char *domain, *want;
} lookups[] = {
	{ "localhost", "local" },
	{ "my.dom", "local" },
	{ "My.DOM", "local" },
	{ "a.my.dom", "esmtp 2525^[192.0.2.1]" },
	{ "b.my.dom", "lmtp 24^[127.0.0.1]" },
	{ "c.a.my.dom", "lmtp 24^[127.0.0.1]" },
	{ "x.tld", "esmtp 0^[192.0.2.2]" },
	{ "tld", "esmtp 0^[192.0.2.3] 0^[192.0.2.4]" },
	{ "else.where", "esmtp 0^[192.0.2.3] 0^[192.0.2.4]" },
	{ "", "esmtp 0^[192.0.2.3] 0^[192.0.2.4]" },
};

static void find_is(const struct mailertable *t, const char *domain, const char *want)
{
	struct mailertable_hit hit;
	struct route r;
	int rc = mailertable_find(t, span_str(domain), &hit);

	if (rc || route_decode(hit.route, &r)) {
		is_int(rc, want ? 0 : -ENOENT, domain);
		return;
	}
	ok(hit.mailer == r.mailer, "mailer of %s", domain);
	is_str(route_text(&r), want, domain);
}

static void test_lookups(void)
{
	struct report r = { 0 };
	struct mailertable *t = mailertable_from_text("mt", span_str(good), &r);
	char *path = fixture_map("mt.db", good);
	struct map *m = map_open_hash("mt", path, &r);
	struct mailertable *tm = m ? mailertable_from_map(m, &r) : NULL;

	map_put_ref(m);
	is_str(fixture_report(&r), "", "no complaint");
	if (!ok(t && tm, "a text and a map"))
		return;
	is_int((int64_t)mailertable_count(t), 6, "all entries");
	for (unsigned i = 0; i < sizeof lookups / sizeof *lookups; i++) {
		find_is(t, lookups[i].domain, lookups[i].want);
		find_is(tm, lookups[i].domain, lookups[i].want);
	}
	mailertable_put_ref(t);
	mailertable_put_ref(tm);
	t = mailertable_from_text("mt", SPAN("a.dom lmtp:\n"), &r);
	find_is(t, "b.dom", NULL);
	find_is(t, "x.a.dom", NULL);
	mailertable_put_ref(t);
	free(path);
	report_free(&r);
}

static const struct {
	const char *text, *want;
} broken[] = {
	{ "a lmtp:\nA lmtp:\n", "mt:2: duplicate entry \"A\", first in line 1\n" },
	{ "a..b lmtp:\n", "mt:1: expected a domain, .domain or a dot, found \"a..b\"\n" },
	{ ".. lmtp:\n", "mt:1: expected a domain, .domain or a dot, found \"..\"\n" },
	{ "a@b lmtp:\n", "mt:1: expected a domain, .domain or a dot, found \"a@b\"\n" },
	{ "a. lmtp:\n", "mt:1: expected a domain, .domain or a dot, found \"a.\"\n" },
	{ "a\n", "mt:1: expected a value behind the key\n" },
	{ "a lmtp:\nb [x]\n c\n# x\nd [\n",
	  "mt:2: expected an IP address in brackets, found \"[x]\"\n"
	  "mt:5: expected an IP address in brackets, found \"[\"\n" },
};

static void test_broken(void)
{
	for (unsigned i = 0; i < sizeof broken / sizeof *broken; i++) {
		struct report r = { 0 };

		ok(!mailertable_from_text("mt", span_str(broken[i].text), &r), "case %u is refused",
		   i);
		is_str(fixture_report(&r), broken[i].want, "its messages");
		report_free(&r);
	}
	struct report r = { 0 };
	char *path = fixture_map("bad.db", "a lmtp:\nb nonsense!\n");
	struct map *m = map_open_hash("m", path, &r), *pw = map_new_passwd("pw");
	ok(!mailertable_from_map(m, &r), "a map with a broken entry");
	ok(strstr(fixture_report(&r), "bad.db: entry \"b\": expected a host"), "is named");
	ok(!mailertable_from_map(pw, &r), "a passwd map is no mailertable");
	map_put_ref(m);
	map_put_ref(pw);
	free(path);
	report_free(&r);
}

static void test_files(void)
{
	struct report r = { 0 };
	char *none = fixture_path("none"), *path = fixture_file("mt", good),
	     *under = fixture_path("mt/x");
	struct mailertable *t = mailertable_from_file(none, &r);

	ok(t && !r.error_count && r.warning_count == 1,
	   "an absent file is an empty table and a warning");
	find_is(t, "a.b", NULL);
	mailertable_put_ref(t);
	t = mailertable_from_file(path, &r);
	is_int((int64_t)mailertable_count(t), 6, "a file");
	mailertable_put_ref(mailertable_get_ref(t));
	find_is(t, "my.dom", "local");
	mailertable_put_ref(t);
	ok(!mailertable_from_file(tap_tmpdir(), &r) && r.error_count == 1, "a folder is an error");
	ok(!mailertable_from_file(under, &r) && r.error_count == 2,
	   "what cannot be opened is an error");
	char *fifo = fixture_path("fifo");
	mkfifo(fifo, 0600);
	t = mailertable_from_file(fifo, &r);
	ok(t && mailertable_count(t) == 0, "a fifo does not block");
	mailertable_put_ref(t);
	free(fifo);
	free(none);
	free(path);
	free(under);
	report_free(&r);
}

/* More entries than the first table holds. */
static void test_many(void)
{
	enum { COUNT = 5000 };
	char *text = malloc(COUNT * 40), domain[32];
	size_t n = 0;
	unsigned found = 0;
	struct report r = { 0 };
	struct mailertable_hit hit;

	for (unsigned i = 0; i < COUNT; i++)
		n += (size_t)sprintf(text + n, "d%u.tld [10.0.%u.%u]\n", i, i / 256, i % 256);
	struct mailertable *t = mailertable_from_text("mt", span_of(text, n), &r);
	for (unsigned i = 0; i < COUNT; i++) {
		struct route route;

		snprintf(domain, sizeof domain, "d%u.tld", i);
		found += !mailertable_find(t, span_str(domain), &hit) &&
			 !route_decode(hit.route, &route) && route.host[0].ip[2] == i / 256 &&
			 route.host[0].ip[3] == i % 256;
	}
	is_int(found, COUNT, "each of 5000 domains has its own route");
	mailertable_put_ref(t);
	free(text);
	report_free(&r);
}

int main(void)
{
	test_values();
	test_lookups();
	test_broken();
	test_files();
	test_many();
	return plan_done();
}
