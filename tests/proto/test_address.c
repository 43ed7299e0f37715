#include "proto/address.h"

#include "tests/tap.h"

#include <stdio.h>
#include <string.h>

struct row {
	const char *in;
	enum address_error result;
	const char *mailbox, *local, *domain;
};

static const struct row rows[] = {
	{ "<>", ADDRESS_OK, "", "", "" },
	{ "<a@b.test>", ADDRESS_OK, "a@b.test", "a", "b.test" },
	{ "<A.b+c@X-1.Test> SIZE=1", ADDRESS_OK, "A.b+c@X-1.Test", "A.b+c", "X-1.Test" },
	{ "<!#$%&'*+-/=?^_`{|}~@b.test>", ADDRESS_OK, "!#$%&'*+-/=?^_`{|}~@b.test",
	  "!#$%&'*+-/=?^_`{|}~", "b.test" },
	{ "<\"a b\"@b.test>", ADDRESS_OK, "\"a b\"@b.test", "\"a b\"", "b.test" },
	{ "<\"a\\\"b\"@b.test>", ADDRESS_OK, "\"a\\\"b\"@b.test", "\"a\\\"b\"", "b.test" },
	{ "<\"a@c>d\"@b.test>", ADDRESS_OK, "\"a@c>d\"@b.test", "\"a@c>d\"", "b.test" },
	{ "<\"\"@b.test>", ADDRESS_OK, "\"\"@b.test", "\"\"", "b.test" },
	{ "<a@[192.0.2.1]>", ADDRESS_OK, "a@[192.0.2.1]", "a", "[192.0.2.1]" },
	{ "<a@[IPv6:2001:db8::1]>", ADDRESS_OK, "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]" },
	{ "<a@[x-tag:any.thing:1]>", ADDRESS_OK, "a@[x-tag:any.thing:1]", "a",
	  "[x-tag:any.thing:1]" },
	{ "<@h1.test:a@b.test>", ADDRESS_OK, "a@b.test", "a", "b.test" },
	{ "<@h1.test,@[192.0.2.1]:a@b.test>", ADDRESS_OK, "a@b.test", "a", "b.test" },
	{ "<postmaster>", ADDRESS_NO_DOMAIN, "postmaster", "postmaster", "" },
	{ "<\xc3\xa4@\xc3\xb6.test>", ADDRESS_OK, "\xc3\xa4@\xc3\xb6.test", "\xc3\xa4",
	  "\xc3\xb6.test" },
	{ "<a@b>", ADDRESS_OK, "a@b", "a", "b" },
	{ "", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "a@b.test", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@b.test", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@b.test x>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "< a@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<.a@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a.@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a..b@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a b@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@b@c.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a(c)@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<\"a@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<\"a\"b@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<\"a\\\"@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<\"a\tb\"@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@b..test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@.b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@b.test.>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@-b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@b-.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@b_c.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@[192.0.2]>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@[192.0.2.256]>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@[2001:db8::1]>", ADDRESS_OK, "a@[2001:db8::1]", "a", "[2001:db8::1]" },
	{ "<a@[IPv6:192.0.2.1]>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@[IPv6:1::2::3]>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@[tag:]>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@[]>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<a@[192.0.2.1>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<@h1.test,a@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<@h1.test:>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<\xe4@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<\xc0\xaf@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<\xed\xa0\x80@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
	{ "<\"\\\xc3\xa4\"@b.test>", ADDRESS_SYNTAX, NULL, NULL, NULL },
};

static void check(const struct row *t)
{
	struct span in = span_str(t->in);
	struct address a;

	is_int(address_path(&in, &a), t->result, t->in);
	if (!t->mailbox) {
		ok(in.n == strlen(t->in), "%s: the input stays", t->in);
		return;
	}
	is_mem(a.mailbox.p, a.mailbox.n, t->mailbox, strlen(t->mailbox), "mailbox");
	is_mem(a.local.p, a.local.n, t->local, strlen(t->local), "local part");
	is_mem(a.domain.p, a.domain.n, t->domain, strlen(t->domain), "domain");
	ok(!in.n || in.p[0] == ' ', "%s: moves behind the path", t->in);
	bool high = false;
	for (const char *p = t->mailbox; *p; p++)
		high |= (unsigned char)*p > 127;
	ok(a.utf8 == high, "%s: utf8", t->in);
}

/* <local@domain> of these lengths. */
static enum address_error lengths(size_t local, size_t domain)
{
	char text[1024];
	size_t n = 0;
	struct address a;

	text[n++] = '<';
	for (size_t i = 0; i < local; i++)
		text[n++] = 'l';
	text[n++] = '@';
	for (size_t i = 0; i < domain; i++)
		text[n++] = i % 50 == 49 && i + 1 < domain ? '.' : 'd';
	text[n++] = '>';
	struct span in = span_of(text, n);
	return address_path(&in, &a);
}

int main(void)
{
	char label[80] = "<a@";

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		check(&rows[i]);
	is_int(lengths(64, 189), ADDRESS_OK, "256 octets with brackets");
	is_int(lengths(64, 190), ADDRESS_LONG, "257 octets");
	is_int(lengths(65, 20), ADDRESS_LONG, "local part of 65");
	is_int(lengths(1, 300), ADDRESS_LONG, "domain of 300");
	memset(label + 3, 'x', 63);
	memcpy(label + 66, ">", 2);
	struct span in = span_str(label);
	struct address a;
	is_int(address_path(&in, &a), ADDRESS_OK, "label of 63");
	memcpy(label + 66, "x>", 3);
	in = span_str(label);
	is_int(address_path(&in, &a), ADDRESS_SYNTAX, "label of 64");
	ok(address_domain_ok(SPAN("client.test"), false), "EHLO name");
	ok(address_domain_ok(SPAN("[IPv6:::1]"), false), "EHLO literal");
	ok(!address_domain_ok(SPAN("client.test x"), false), "EHLO with more");
	ok(!address_domain_ok(SPAN("\xc3\xa4.test"), false) &&
		   address_domain_ok(SPAN("\xc3\xa4.test"), true),
	   "EHLO in UTF-8");
	ok(!address_domain_ok(SPAN(""), false), "EHLO with nothing");
	return plan_done();
}
