#include "queue/select.h"
#include "core/ids.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

#define HOUR (3600 * (usec_t)USEC_PER_SEC)
#define ID1  "S0000000065F1A20301"
#define ID2  "S0000000065F1A20401"
#define ID3  "S0000000065F1A2FF01"

static struct route route_of(uint8_t mailer, const char *ip, uint16_t port)
{
	struct route r = { .mailer = mailer, .count = ip ? 1 : 0 };

	if (ip)
		addr_parse(span_str(ip), &r.host[0]);
	r.host[0].port = port;
	return r;
}

/* The row that most cases ask about. */
static struct route esmtp;
static struct select_row row;

static void make_row(void)
{
	esmtp = route_of(ROUTE_ESMTP, "192.0.2.1", 2525);
	row = (struct select_row){ .sender = SPAN("Joe@Source.test"),
				   .rcpt = SPAN("fred@Example.com"),
				   .route = &esmtp,
				   .age_usec = 2 * HOUR,
				   .size_bytes = 3 << 20,
				   .reply = SPAN("452 4.2.2 Mailbox full, try later"),
				   .state = SELECT_DEFERRED,
				   .attempts = 3 };
	id_parse(SPAN(ID1), &row.id);
	addr_parse(SPAN("10.1.2.3"), &row.client);
}

static void matches(void)
{
	static const struct {
		const char *text;
		bool want;
	} cases[] = {
		{ "", true },
		{ "all", true },
		{ "not all", false },
		{ ID1, true },
		{ "s0000000065f1a20301", true },
		{ ID2, false },
		{ ID2 " " ID1, true },
		{ ID2 "," ID1, true },
		{ ID2 " " ID3, false },
		{ "id=" ID1, true },
		{ "id=*A20301", true },
		{ "id=*A204??", false },
		{ ID1 " state=held", false },
		{ "from=joe@source.test", true },
		{ "sender=*@source.test", true },
		{ "from=\"\"", false },
		{ "from=<>", false },
		{ "from=<joe@Source.test>", true },
		{ "to=<*@example.com>", true },
		{ "from=<x@example.org>", false },
		{ "from!=<>", true },
		{ "to=fred@example.com", true },
		{ "to=FRED@*", true },
		{ "to=fred", false },
		{ "to=a@b,fred@example.com,c@d", true },
		{ "to!=a@b,fred@example.com", false },
		{ "to!=a@b,c@d", true },
		{ "rcpt=f??d@*", true },
		{ "rcpt=f?d@*", false },
		{ "domain=example.com", true },
		{ "domain=*.example.com", false },
		{ "domain=exam*", true },
		{ "host=192.0.2.1", true },
		{ "host=[192.0.2.1]", true },
		{ "host=[192.0.2.1]:2525", true },
		{ "host=192.0.2.1:2525", true },
		{ "host=192.0.2.1:25", false },
		{ "host=192.0.2.0/24", true },
		{ "host=esmtp:192.0.2.0/24", true },
		{ "host=lmtp:192.0.2.0/24", false },
		{ "host=esmtp:", true },
		{ "host=lmtp:", false },
		{ "host=*", true },
		{ "host=none", false },
		{ "host=2001:db8::1", false },
		{ "client=10.0.0.0/8", true },
		{ "client=10.1.2.4", false },
		{ "older=1h", true },
		{ "older=1h30m", true },
		{ "older=2h1s", false },
		{ "newer=1d", true },
		{ "newer=2h", false },
		{ "age>1h", true },
		{ "age<1h", false },
		{ "age>=2h", true },
		{ "age<=2h", true },
		{ "older=1h newer=1d", true },
		{ "reply=4xx", true },
		{ "reply=5XX", false },
		{ "reply=452", true },
		{ "reply=451", false },
		{ "reply=4.2.2", true },
		{ "reply=\"mailbox full\"", true },
		{ "reply=\"Mailbox  full\"", false },
		{ "reply=*later", true },
		{ "reply=later*", false },
		{ "reply=none", false },
		{ "reply!=none", true },
		{ "reply=5xx,full", true },
		{ "state=deferred", true },
		{ "state=active,held", false },
		{ "state!=held", true },
		{ "attempts=3", true },
		{ "attempts>3", false },
		{ "attempts>=3", true },
		{ "tries<4", true },
		{ "attempts!=3", false },
		{ "size>1MB", true },
		{ "size<3072k", false },
		{ "size=3145728", true },
		{ "to=fred@* from=joe@*", true },
		{ "to=fred@* and from=joe@*", true },
		{ "to=fred@* from=tom@*", false },
		{ "to=tom@* or from=joe@*", true },
		{ "to=tom@* or to=fred@* from=tom@*", false },
		{ "(to=tom@* or to=fred@*) from=joe@*", true },
		{ "(to=tom@* or to=fred@*)from=joe@*", true },
		{ "not to=tom@*", true },
		{ "not not to=tom@*", false },
		{ "!to=tom@*", true },
		{ "! to=fred@*", false },
		{ "NOT (to=tom@* OR to=fred@*)", false },
		{ "not to=tom@* state=deferred", true },
		{ "not (to=fred@* state=held)", true },
		{ "to=\"fred@example.com\"", true },
		{ "to=\"a,b\"@example.com", false },
		{ "  to=fred@*\tfrom=joe@*  ", true },
		{ "to=or or to=fred@*", true },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct select_error e = { 0 };
		struct select *s = select_parse(span_str(cases[i].text), &e);

		/* One case is an error on purpose: text after a quoted value. */
		if (!s && !strcmp(cases[i].text, "to=\"a,b\"@example.com")) {
			is_str(e.text, "a space is missing after the quoted value",
			       "text after a quoted value");
			continue;
		}
		ok(s && select_match(s, &row) == cases[i].want, "'%s' %s", cases[i].text,
		   cases[i].want ? "matches" : "does not match");
		if (!s)
			diag("at %zu: %s", e.at, e.text);
		select_free(s);
	}
}

static void other_rows(void)
{
	static const struct {
		const char *text;
		bool want;
	} cases[] = {
		{ "host=lmtp:", true }, { "host=none", false },  { "host=192.0.2.1", false },
		{ "reply=none", true }, { "reply=", false },     { "from=<>", true },
		{ "from=\"\"", true },  { "domain=\"\"", true }, { "age>0s", false },
		{ "newer=1s", true },   { "attempts=0", true },
	};
	struct route local = route_of(ROUTE_LMTP_LOCAL, NULL, 0);
	struct select_row r = {
		.rcpt = SPAN("local"), .route = &local, .age_usec = -5, .state = SELECT_ACTIVE
	};
	struct select_error e;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct select *s = select_parse(span_str(cases[i].text), &e);

		ok((s && select_match(s, &r)) == cases[i].want, "other row: '%s'", cases[i].text);
		select_free(s);
	}
	struct select *s = select_parse(SPAN("host=none"), &e);
	r.route = NULL;
	ok(select_match(s, &r), "no route is none");
	select_free(s);
	s = select_parse(SPAN("host=192.0.2.1:25"), &e);
	esmtp.host[0].port = 0;
	ok(select_match(s, &row), "port 0 is the default, 25");
	esmtp.host[0].port = 2525;
	select_free(s);
}

static void errors(void)
{
	static const struct {
		const char *text;
		size_t at;
		const char *part;
	} cases[] = {
		{ "fred@example.com", 0, "say from=fred@example.com or to=" },
		{ "to=a foo", 5, "'foo' is neither KEY=VALUE nor the id" },
		{ "too=a", 0, "'too' is no key" },
		{ "to=a too=b", 5, "'too' is no key" },
		{ "  too=a", 2, "'too' is no key" },
		{ "to=", 3, "a value is missing" },
		{ "to=a,", 5, "a value is missing" },
		{ "=a", 0, "a key is missing" },
		{ "to>a", 2, "only = and !=" },
		{ "to!a", 2, "expected !=" },
		{ "age=1h", 3, "older=1h" },
		{ "older>1h", 5, "only =" },
		{ "older=1x", 6, "is not a time" },
		{ "older=10", 6, "is not a time" },
		{ "older=200000d", 6, "is not a time" },
		{ "state=waiting", 6, "active, deferred, held or failed" },
		{ "attempts>many", 9, "a number" },
		{ "size>1x", 5, "a size" },
		{ "id=S12", 3, "the id of a message" },
		{ "host=example.com", 5, "an address or net" },
		{ "host=[192.0.2.1", 5, "an address or net" },
		{ "host=[192.0.2.1]:0", 5, "an address or net" },
		{ "host=[192.0.2.1]:70000", 5, "an address or net" },
		{ "client=fred", 7, "an address or net" },
		{ "(to=a", 0, "not closed" },
		{ "to=a)", 4, "unexpected ')'" },
		{ "()", 1, "unexpected ')'" },
		{ "to=a or", 7, "missing at the end" },
		{ "not", 3, "missing at the end" },
		{ "or to=a", 0, "" },
		{ "to=\"a", 3, "not closed" },
		{ "to=\"a\"b", 6, "a space is missing" },
		{ "((((((((((((((((((((((((((((((((((to=a", 32, "more than 32" },
	};
	struct select_error e;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct select *s = select_parse(span_str(cases[i].text), &e);

		if (!ok(!s && e.at == cases[i].at && strstr(e.text, cases[i].part), "error in '%s'",
			cases[i].text))
			diag("at %zu: %s", e.at, s ? "accepted" : e.text);
		select_free(s);
	}
	char *big = malloc(SELECT_TEXT_MAX + 2);
	memset(big, ' ', SELECT_TEXT_MAX + 2);
	ok(!select_parse(span_of(big, SELECT_TEXT_MAX + 1), &e) && strstr(e.text, "too long"),
	   "too long a text");
	free(big);
}

static void ids(void)
{
	static const struct {
		const char *text;
		int want; /* -1: any */
	} cases[] = {
		{ "", -1 },
		{ "all", -1 },
		{ ID1, 1 },
		{ ID1 " " ID2 " " ID1, 2 },
		{ "id=*1", -1 },
		{ "id!=" ID1, -1 },
		{ "not " ID1, -1 },
		{ ID1 " to=a", 1 },
		{ "to=a " ID1 "," ID2, 2 },
		{ ID1 " or to=a", -1 },
		{ ID1 " or " ID2, 2 },
		{ "(" ID1 " or " ID2 ") and " ID3, 1 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct select_error e;
		struct select *s = select_parse(span_str(cases[i].text), &e);
		const uint64_t *id;
		size_t n = 0;
		bool some = s && select_ids(s, &id, &n);

		is_int(some ? (int)n : -1, cases[i].want,
		       cases[i].text[0] ? cases[i].text : "(empty)");
		select_free(s);
	}
	struct select_error e;
	struct select *s = select_parse(SPAN("to=a host=lmtp:"), &e);
	is_int(select_keys(s), 1 << SELECT_TO | 1 << SELECT_HOST, "keys that it looks at");
	ok(span_eq(select_text(s), SPAN("to=a host=lmtp:")), "its text");
	ok(!select_is_empty(s), "not empty");
	select_free(s);
}

static void words(void)
{
	static const struct {
		const char *word[4];
		const char *want;
	} cases[] = {
		{ { "to=a", "from=b" }, "to=a from=b" },
		{ { "to=a or to=b" }, "to=a or to=b" },
		{ { "reply=mailbox full" }, "reply=\"mailbox full\"" },
		{ { "reply!=mailbox full", "to=a" }, "reply!=\"mailbox full\" to=a" },
		{ { "reply=say \"no\" \\ twice" }, "reply=\"say \\\"no\\\" \\\\ twice\"" },
		{ { "(", "to=a", "or", "to=b)" }, "( to=a or to=b)" },
		{ { "(to=a", "or", "to=b)" }, "(to=a or to=b)" },
		{ { "not to=a" }, "not to=a" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf b = { 0 };

		for (unsigned k = 0; k < 4 && cases[i].word[k]; k++)
			select_add_word(&b, span_str(cases[i].word[k]));
		buf_add(&b, "", 1);
		is_str(b.p, cases[i].want, cases[i].want);
		buf_release(&b);
	}
}

static void globs(void)
{
	static const struct {
		const char *pattern, *text;
		bool want;
	} cases[] = {
		{ "", "", true },       { "", "a", false },           { "*", "", true },
		{ "*", "abc", true },   { "a*c", "abbc", true },      { "a*c", "abcd", false },
		{ "*b*", "abc", true }, { "?", "", false },           { "??", "ab", true },
		{ "A", "a", true },     { "*a*b*a", "xaybza", true }, { "**", "x", true },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ok(select_match_glob(span_str(cases[i].pattern), span_str(cases[i].text)) ==
			   cases[i].want,
		   "glob '%s' of '%s'", cases[i].pattern, cases[i].text);
}

/* A member of an alias is found by the address that was given, too. */
static void originals(void)
{
	static const struct {
		const char *orcpt, *selector;
		bool want;
	} rows[] = {
		{ "rfc822;list@d.test", "to=list@d.test", true },
		{ "RFC822;List@d.test", "to=list@*", true },
		{ "rfc822;list+2Bx@d.test", "to=list+x@d.test", true },
		{ "rfc822;list+2Bx@d.test", "to=list+2Bx@d.test", false },
		{ "rfc822;list+", "to=list+", true },
		{ "rfc822;other@d.test", "to=list@d.test", false },
		{ "utf-8;list@d.test", "to=list@d.test", false },
		{ "rfc822;list@d.test", "to=member@x.test", true },
		{ "rfc822;list@d.test", "domain=d.test", false },
		{ "", "to=list@d.test", false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct select_row member = { .sender = SPAN("a@b"),
					     .rcpt = SPAN("member@x.test"),
					     .orcpt = span_str(rows[i].orcpt) };
		struct select_error e;
		struct select *s = select_parse(span_str(rows[i].selector), &e);

		ok(s && select_match(s, &member) == rows[i].want, "%s and ORCPT %s",
		   rows[i].selector, rows[i].orcpt);
		select_free(s);
	}
}

int main(void)
{
	make_row();
	matches();
	other_rows();
	errors();
	ids();
	words();
	globs();
	originals();
	return plan_done();
}
