#include "resolver/lookup.h"

#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static char *all_keys(struct lookup *l)
{
	char *out = NULL;
	size_t n;
	FILE *f = open_memstream(&out, &n);
	struct span key;

	while (lookup_next(l, &key))
		fprintf(f, "%.*s ", (int)key.n, key.p);
	fclose(f);
	return out;
}

static void keys_are(struct lookup *l, const char *want, const char *name)
{
	char *got = all_keys(l);

	is_str(got, want, name);
	free(got);
}

static const struct {
	const char *name, *domain;
	unsigned flags;
	const char *want;
} domains[] = {
	{ "R 3.12.1", "sub2.sub1.tld", LOOKUP_DEFAULT, "sub2.sub1.tld .sub1.tld .tld . " },
	{ "without the default", "sub2.sub1.tld", 0, "sub2.sub1.tld .sub1.tld .tld " },
	{ "upper case", "A.TLD", LOOKUP_DEFAULT, "a.tld .tld . " },
	{ "one label", "localhost", LOOKUP_DEFAULT, "localhost . " },
	{ "a literal has no parts", "[192.0.2.1]", LOOKUP_DEFAULT, "[192.0.2.1] . " },
	{ "empty", "", LOOKUP_DEFAULT, ". " },
	{ "odd dots", ".a..b.", 0, ".a..b. ..b. .b. . " },
};

static const struct {
	const char *name, *addr, *nets, *want;
} addrs[] = {
	{ "IPv4", "192.0.2.1", "", "192.0.2.1 192.0.2 192.0 192 " },
	{ "IPv6, 16-bit steps", "2001:db8::1", "",
	  "IPv6:2001:db8::1 IPv6:2001:db8:0:0:0:0:0:1 IPv6:2001:db8:0:0:0:0:0 IPv6:2001:db8:0:0:0:0 "
	  "IPv6:2001:db8:0:0:0 IPv6:2001:db8:0:0 IPv6:2001:db8:0 IPv6:2001:db8 IPv6:2001 " },
	{ "IPv4 nets between", "10.1.255.3", "10.1.240.0/20 0.0.0.0/0 10.1.255.3/32 10.0.0.0/8",
	  "10.1.255.3 10.1.255.3/32 10.1.255 10.1.240.0/20 10.1 10 10.0.0.0/8 0.0.0.0/0 " },
	{ "IPv6 nets between", "2001:db8:ffff::1", "IPv6:2001:db8:c000::/34 IPv6:2001:db8::/32",
	  "IPv6:2001:db8:ffff::1 IPv6:2001:db8:ffff:0:0:0:0:1 IPv6:2001:db8:ffff:0:0:0:0 IPv6:2001:db8:ffff:0:0:0 "
	  "IPv6:2001:db8:ffff:0:0 IPv6:2001:db8:ffff:0 IPv6:2001:db8:ffff IPv6:2001:db8:c000::/34 IPv6:2001:db8 "
	  "IPv6:2001:db8::/32 IPv6:2001 " },
	{ "nets of the other family", "10.1.2.3", "IPv6:2001:db8::/20",
	  "10.1.2.3 10.1.2 10.1 10 " },
};

static const struct {
	const char *name, *local, *domain;
	unsigned flags;
	const char *want;
} boxes[] = {
	{ "plain", "user", "d.tld", 0,
	  "to:user*@d.tld to:user@d.tld to:@d.tld to:user*@.tld to:user@.tld to:@.tld " },
	{ "with detail", "user+x", "tld", 0,
	  "to:user+x@tld to:user++@tld to:user+*@tld to:user*@tld to:@tld " },
	{ "with an empty detail", "user+", "tld", 0,
	  "to:user+@tld to:user+*@tld to:user*@tld to:@tld " },
	{ "the first delimiter counts", "u+a+b", "tld", 0,
	  "to:u+a+b@tld to:u++@tld to:u+*@tld to:u*@tld to:@tld " },
	{ "detail matched implicitly", "user+x", "tld", LOOKUP_MATCH_DETAIL,
	  "to:user+x@tld to:user++@tld to:user+*@tld to:user*@tld to:user@tld to:@tld " },
	{ "then the local part alone", "user", "tld", LOOKUP_LOCAL_PART,
	  "to:user*@tld to:user@tld to:@tld to:user* to:user " },
	{ "the local part alone with detail", "user+x", "tld", LOOKUP_LOCAL_PART,
	  "to:user+x@tld to:user++@tld to:user+*@tld to:user*@tld to:@tld to:user+x to:user++ to:user+* to:user* " },
	{ "no domain", "user", "", LOOKUP_LOCAL_PART, "to:user* to:user " },
	{ "no user in front of the delimiter", "+x", "tld", 0, "to:+x*@tld to:+x@tld to:@tld " },
	{ "the case of the local part stays, that of the domain does not", "User", "TLD", 0,
	  "to:User*@tld to:User@tld to:@tld " },
	{ "a literal", "user", "[192.0.2.1]", 0,
	  "to:user*@[192.0.2.1] to:user@[192.0.2.1] to:@[192.0.2.1] " },
	{ "an empty local part", "", "tld", LOOKUP_LOCAL_PART, "to:@tld " },
};

static void test_nets(void)
{
	static const struct {
		const char *key;
		int want;
	} keys[] = {
		{ "10.1.0.0/16", 0 },        { "10.1", 0 },
		{ "10.1.0.1/16", -EINVAL },  { "10.1/16", -EINVAL },
		{ "10.1.0.0/33", -EINVAL },  { "IPv6:2001:db8::/32", 0 },
		{ "ipv6:2001:db8::/32", 0 }, { "2001:db8::/32", -EINVAL },
		{ "x/8", -EINVAL },          { "IPv6:2001:0db8::/32", -EINVAL },
		{ "IPv6:::/0", 0 },          { "IPv6:::1/128", 0 },
	};

	for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct lookup_nets nets = { 0 };

		is_int(lookup_nets_add(&nets, span_str(keys[i].key)), keys[i].want, keys[i].key);
	}
}

static void test_addrs(void)
{
	for (unsigned i = 0; i < sizeof addrs / sizeof *addrs; i++) {
		struct lookup_nets nets = { 0 };
		struct span rest = span_str(addrs[i].nets), word;
		struct lookup l;
		struct addr a;

		while ((word = span_word(&rest, " ")).n)
			lookup_nets_add(&nets, word);
		addr_parse(span_str(addrs[i].addr), &a);
		lookup_addr(&l, SPAN(""), &a, &nets);
		keys_are(&l, addrs[i].want, addrs[i].name);
	}
	struct addr none = { 0 }, some;
	struct lookup l;
	lookup_addr(&l, SPAN("t:"), &none, NULL);
	keys_are(&l, "", "no address");
	addr_parse(SPAN("10.0.0.1"), &some);
	lookup_addr(&l, SPAN("cltaddr:"), &some, NULL);
	keys_are(&l, "cltaddr:10.0.0.1 cltaddr:10.0.0 cltaddr:10.0 cltaddr:10 ",
		 "with a tag, without nets");
}

static void test_long(void)
{
	char local[600];
	struct lookup l;

	memset(local, 'u', sizeof local);
	lookup_mailbox(&l, SPAN("to:"), span_of(local, sizeof local), SPAN("tld"), '+',
		       LOOKUP_LOCAL_PART);
	keys_are(&l, "to:@tld ", "keys that are too long are left out");
	lookup_domain(&l, SPAN(""), span_of(local, sizeof local), LOOKUP_DEFAULT);
	keys_are(&l, ". ", "a domain that is too long");
	lookup_mailbox(&l, SPAN("to:"), SPAN("a=b"), SPAN("tld"), '=', 0);
	keys_are(&l, "to:a=b@tld to:a=+@tld to:a=*@tld to:a*@tld to:@tld ", "another delimiter");
}

int main(void)
{
	struct lookup l;

	for (unsigned i = 0; i < sizeof domains / sizeof *domains; i++) {
		lookup_domain(&l, SPAN(""), span_str(domains[i].domain), domains[i].flags);
		keys_are(&l, domains[i].want, domains[i].name);
	}
	test_addrs();
	test_nets();
	for (unsigned i = 0; i < sizeof boxes / sizeof *boxes; i++) {
		lookup_mailbox(&l, SPAN("to:"), span_str(boxes[i].local), span_str(boxes[i].domain),
			       '+', boxes[i].flags);
		keys_are(&l, boxes[i].want, boxes[i].name);
	}
	test_long();
	return plan_done();
}
