#include "resolver/alias_text.h"

#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *name, *key, *value, *why; /* NULL: it is good */
} entries[] = {
	{ "R 3.9.3, a local user", "myalias", "localuser", NULL },
	{ "a list", "mylist", "<user1@my.dom> <user2@my.dom>", NULL },
	{ "tabs and many spaces", "mylist", "<user1@my.dom>\t  <user2@my.dom>", NULL },
	{ "an owner", "owner-mylist", "someuser", NULL },
	{ "a whole address as key", "vuser1@virt1.tld", "user1", NULL },
	{ "local:", "user++", "local:", NULL },
	{ "LOCAL:", "user", "LOCAL:", NULL },
	{ "R 4.3.2", "abuse", "user+abuse", NULL },
	{ "R 3.12.3", "alias*@.domain", "user${extension}@${subdomain}.domain", NULL },
	{ "all macros", "a*@.b", "<${user}${delimiter}${detail}${extension}@${domain}>", NULL },
	{ "an unknown macro is a local part", "a", "${what}", NULL },
	{ "a whole domain", "@dom.tld", "user", NULL },
	{ "one address without brackets", "a", "b@c.tld", NULL },
	{ "a local part in brackets", "a", "<b> <c>", NULL },
	{ "an address literal", "a", "<b@[192.0.2.1]> <c@[IPv6:2001:db8::1]>", NULL },
	{ "quoted local parts", "a", "<\"b >c\"@d.tld> <\"e\\\"f\"@d.tld>", NULL },
	{ "UTF-8",
	  "gr\xc3\xbc\xc3\x9f"
	  "e",
	  "<\xc3\xa4@\xc3\xb6.tld>", NULL },
	{ "commas", "a", "<b@c>, <d@e>", "not by commas" },
	{ "commas without brackets", "a", "b@c.tld, d@e.tld", "not by commas" },
	{ "two without brackets", "a", "b c", "need <>" },
	{ "one of two without brackets", "a", "<b@c.tld> d", "need <>" },
	{ "the first without brackets", "a", "Bob <b@c.tld>", "need <>" },
	{ "nobody", "a", "<b@c.tld> <>", "nobody" },
	{ "no end", "a", "<b@c.tld> <d@e.tld", "closing >" },
	{ "no space between", "a", "<b@c.tld><d@e.tld>", "white space behind" },
	{ "no local part", "a", "<@c.tld>", "expected addresses" },
	{ "no domain", "a", "<b@>", "expected addresses" },
	{ "an odd domain", "a", "<b@c..tld>", "expected addresses" },
	{ "a bad literal", "a", "<b@[300.1.1.1]>", "expected addresses" },
	{ "a space in a local part", "a", "<b c@d.tld>", "expected addresses" },
	{ "a file", "a", "\"|/bin/x", "expected addresses" },
	{ "a key in brackets", "<a@b.tld>", "c", "as key" },
	{ "a key with two @", "a@b@c.tld", "d", "as key" },
	{ "a key without a domain behind @", "a@", "d", "behind the @" },
	{ "a key of a domain with a space in it", "a@b c", "d", "behind the @" },
};

static void test_entries(void)
{
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
		const char *why = NULL;
		int rc = alias_text_check(span_str(entries[i].key), span_str(entries[i].value),
					  &why);

		if (!entries[i].why)
			ok(!rc, "%s is good%s%s", entries[i].name, why ? ": " : "", why ? why : "");
		else
			ok(rc && why && strstr(why, entries[i].why), "%s: %s", entries[i].name,
			   why ? why : "(accepted)");
	}
}

static const struct {
	const char *name, *addr, *want; /* NULL: -EINVAL */
} made[] = {
	{ "user", "${user}@x.tld", "joe@x.tld" },
	{ "detail", "${detail}@x.tld", "home@x.tld" },
	{ "domain", "a@${domain}", "a@sub.dom.tld" },
	{ "subdomain", "a@${subdomain}.x.tld", "a@sub.x.tld" },
	{ "delimiter", "a${delimiter}b@x.tld", "a+b@x.tld" },
	{ "extension", "a${extension}@x.tld", "a+home@x.tld" },
	{ "tag, which aliases have not", "a${tag}@x.tld", "a@x.tld" },
	{ "unknown ones stay", "${what}@x.tld", "${what}@x.tld" },
	{ "one without an end stays", "${user@x.tld", "${user@x.tld" },
	{ "a domain is put behind", "${user}", "joe@here.tld" },
	{ "behind a quoted @ too", "\"a@b\"", "\"a@b\"@here.tld" },
	{ "nothing left", "${tag}", NULL },
	{ "no domain left", "a@${tag}", NULL },
	{ "a line end", "a\r\n@x.tld", NULL },
};

static void test_macros(void)
{
	struct alias_macros m = { .user = SPAN("joe"),
				  .detail = SPAN("home"),
				  .domain = SPAN("sub.dom.tld"),
				  .subdomain = SPAN("sub"),
				  .delimiter = '+',
				  .has_detail = true };
	char dst[ADDRESS_MAX + 1];

	for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
		int n = alias_text_make(span_str(made[i].addr), &m, SPAN("here.tld"), dst);

		if (n >= 0)
			dst[n] = 0;
		if (made[i].want)
			is_str(n < 0 ? "(refused)" : dst, made[i].want, made[i].name);
		else
			ok(n < 0, "%s is no address", made[i].name);
	}
	m.has_detail = false;
	int n = alias_text_make(SPAN("a${extension}@x.tld"), &m, SPAN("here.tld"), dst);
	ok(n > 0 && span_eq(span_of(dst, (size_t)n), SPAN("a@x.tld")),
	   "no extension without a detail");
	n = alias_text_make(SPAN("${user}@x.tld"), NULL, SPAN("here.tld"), dst);
	ok(n > 0 && span_eq(span_of(dst, (size_t)n), SPAN("${user}@x.tld")), "no macros wanted");
	m.user = SPAN("a b");
	ok(alias_text_make(SPAN("${user}@x.tld"), &m, SPAN("here.tld"), dst) < 0,
	   "what needs quotes does not come out of a macro");
	m.user = SPAN("x> y");
	ok(alias_text_make(SPAN("${user}@x.tld"), &m, SPAN("here.tld"), dst) < 0,
	   "nothing ends a path early");
	static char longer[ADDRESS_MAX];
	memset(longer, 'a', sizeof longer);
	m.user = span_of(longer, sizeof longer);
	ok(alias_text_make(SPAN("${user}@x.tld"), &m, SPAN("here.tld"), dst) < 0, "too long");
	ok(alias_text_make(SPAN("${user}"), &m, SPAN("here.tld"), dst) < 0,
	   "too long with its domain");
}

int main(void)
{
	test_entries();
	test_macros();
	return plan_done();
}
