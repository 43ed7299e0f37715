#include "resolver/address.h"

#include "tests/tap.h"

#include <errno.h>

static const struct {
	const char *text;
	int rc;
	const char *local, *domain;
	bool odd;
	enum addr_family literal;
} cases[] = {
	{ "user@dom.tld", 0, "user", "dom.tld", false, ADDR_NONE },
	{ "User+x@DOM", 0, "User+x", "DOM", false, ADDR_NONE },
	{ "user@dom.tld.", 0, "user", "dom.tld", false, ADDR_NONE },
	{ "postmaster", 0, "postmaster", "", false, ADDR_NONE },
	{ "\"user\"@dom", 0, "user", "dom", false, ADDR_NONE },
	{ "\"a\\\"b\\c\"@dom", 0, "a\"bc", "dom", true, ADDR_NONE },
	{ "\"a b\"@dom", 0, "a b", "dom", true, ADDR_NONE },
	{ "\"a@foreign\"@dom", 0, "a@foreign", "dom", true, ADDR_NONE },
	{ "\"\"@dom", 0, "", "dom", false, ADDR_NONE },
	{ "a@b@dom", 0, "a@b", "dom", true, ADDR_NONE },
	{ "\xc3\xa4@dom", 0, "\xc3\xa4", "dom", false, ADDR_NONE },
	{ "a@[192.0.2.1]", 0, "a", "[192.0.2.1]", false, ADDR_IPV4 },
	{ "a@[IPv6:2001:db8::1]", 0, "a", "[IPv6:2001:db8::1]", false, ADDR_IPV6 },
	{ "", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "@dom", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "a@", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "\"a@dom", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "\"@dom", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "\"a\\\"@dom", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "\"a\"b\"@dom", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "a@[192.0.2]", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "a@[", -EINVAL, NULL, NULL, false, ADDR_NONE },
	{ "a@[]", -EINVAL, NULL, NULL, false, ADDR_NONE },
};

int main(void)
{
	char longest[ADDRESS_MAX + 8];
	struct address a;

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc = address_split(span_str(cases[i].text), &a);

		is_int(rc, cases[i].rc, cases[i].text);
		if (rc || cases[i].rc)
			continue;
		is_mem(a.local.p, a.local.n, cases[i].local, strlen(cases[i].local),
		       "its local part");
		is_mem(a.domain.p, a.domain.n, cases[i].domain, strlen(cases[i].domain),
		       "its domain");
		ok(a.odd == cases[i].odd && a.literal.family == cases[i].literal, "odd, literal");
	}
	memset(longest, 'a', sizeof longest);
	memcpy(longest + 10, "@", 1);
	is_int(address_split(span_of(longest, ADDRESS_MAX), &a), 0, "the longest address");
	is_int(address_split(span_of(longest, ADDRESS_MAX + 1), &a), -EINVAL, "a longer one");
	return plan_done();
}
