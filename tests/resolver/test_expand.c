#include "resolver/expand.h"
#include "resolver/mailcheck.h"
#include "resolver/rcptcheck.h"

#include "tests/resolver/ask_fixture.h"

#define NO_USER "error 550 5.1.1 no such user here"
#define CONFIG  "error 451 4.3.5 local configuration error"
#define LOOP    "error 554 5.4.6 alias loop"
#define DENIED  "error 550 5.7.1 relaying denied"

static const char mt[] = "local.test lmtp:\n"
			 "gw.test lmtp:\n"
			 "virt.test lmtp:\n"
			 "host.virt.test lmtp:\n"
			 "far.test 25^esmtp:[192.0.2.25]\n"
			 "tcp.test 24^lmtp:[127.0.0.1]\n";

struct row {
	const char *name, *rcpt, *want;
};

struct table {
	const char *name;
	unsigned flags;
	const char *aliases;
	const struct row *rows;
};

/* ---- flags */

static const struct row localpart[] = {
	{ "a local part", "one@local.test", "cont = u1@gw.test local" },
	{ "in any local domain", "one@virt.test", "cont = u1@gw.test local" },
	{ "case does not matter", "ONE@Local.Test", "cont = u1@gw.test local" },
	{ "not in others", "one@far.test", "cont | esmtp 25^[192.0.2.25]" },
	{ "LMTP over TCP is not local", "one@tcp.test", "cont | lmtp 24^[127.0.0.1]" },
	{ "a whole address is no key", "two@local.test", NO_USER },
	{ "a detail does not match", "one+x@local.test", NO_USER },
	{ "but with a star", "star+x@local.test", "cont = u3@gw.test local" },
	{ "and the star without one", "star@local.test", "cont = u3@gw.test local" },
	{ "++ needs a detail", "plus@local.test", NO_USER },
	{ "++ with one", "plus+x@local.test", "cont = u4@gw.test local" },
	{ "<postmaster>", "postmaster", "cont = u5@gw.test local" },
	{ "several", "list@local.test", "cont = a@far.test esmtp b@gw.test local c@nowhere.test" },
	{ "local: is the address itself", "here@local.test", "cont | local" },
	{ "a quoted one is no local part", "\"one@local.test\"@local.test", NO_USER },
	{ NULL, NULL, NULL }
};
static const char localpart_text[] = "one: u1\ntwo@local.test: u2\nstar*: u3\nplus++: u4\n"
				     "postmaster: u5\nlist: <a@far.test> <b> <c@nowhere.test>\n"
				     "here: local:\n";

static const struct row local_domains[] = {
	{ "R 3.9.3: its own domain", "myalias@local.test", "cont = user1@gw.test local" },
	{ "another domain", "myalias@virt.test", NO_USER },
	{ "the other alias", "another@virt.test", "cont = user2@gw.test local" },
	{ "the other one there", "another@local.test", NO_USER },
	{ "a local part alone is no key", "alone@local.test", NO_USER },
	{ "a domain that is not local", "x@far.test", "cont | esmtp 25^[192.0.2.25]" },
	{ "the rest of a domain", "any@host.virt.test", "cont = user3@gw.test local" },
	{ "of that the quoted ones too", "\"a b\"@host.virt.test", "cont = user3@gw.test local" },
	{ NULL, NULL, NULL }
};
static const char local_domains_text[] =
	"myalias@local.test: user1\nanother@virt.test: user2\n"
	"alone: user9\nx@far.test: user9\n@host.virt.test: user3\n";

static const struct row all_domains[] = {
	{ "a remote domain", "x@far.test", "cont = user1@gw.test local" },
	{ "one without an entry", "x@nowhere.test", "cont = user2@gw.test local" },
	{ "a local one", "x@local.test", "cont = user3@gw.test local" },
	{ "no alias", "y@far.test", "cont | esmtp 25^[192.0.2.25]" },
	{ "an address literal", "x@[192.0.2.7]", "cont = user4@gw.test local" },
	{ NULL, NULL, NULL }
};
static const char all_domains_text[] = "x@far.test: user1\nx@nowhere.test: user2\n"
				       "x@local.test: user3\nx@[192.0.2.7]: user4\n";

static const struct row both_keys[] = {
	{ "the whole address first", "a@local.test", "cont = whole@gw.test local" },
	{ "then the local part", "a@virt.test", "cont = part@gw.test local" },
	{ NULL, NULL, NULL }
};

static const struct row match_detail[] = {
	{ "a detail matches", "one+x@local.test", "cont = u1@gw.test local" },
	{ "more exact ones come first", "one+y@local.test", "cont = u2@gw.test local" },
	{ NULL, NULL, NULL }
};

static const struct row macros[] = {
	{ "R 3.12.3", "alias@host.virt.test", "cont = user@host.far.test" },
	{ "R 3.12.3, detail", "alias+detail@host.virt.test", "cont = user+detail@host.far.test" },
	{ "user and domain", "m+d@local.test", "cont = m_d_+_local.test@far.test esmtp" },
	{ "what is no address any more", "empty@local.test", CONFIG },
	{ NULL, NULL, NULL }
};
static const char macros_text[] =
	"alias*@.virt.test: user${extension}@${subdomain}.far.test\n"
	"m*@local.test: ${user}_${detail}_${delimiter}_${domain}@far.test\n"
	"empty@local.test: <${detail}@far.test>\n";

static const struct row plain_macros[] = { { "they are text without the flag", "m@local.test",
					     "cont = ${user}@far.test esmtp" },
					   { NULL, NULL, NULL } };

static const struct row preserve[] = {
	{ "the domain stays", "one@virt.test", "cont = u1@virt.test local" },
	{ "of each", "list@virt.test", "cont = a@virt.test local b@far.test esmtp" },
	{ "through the next alias", "next@virt.test", "cont = u1@virt.test local" },
	{ NULL, NULL, NULL }
};

/* ---- nesting */

static const struct row nesting[] = {
	{ "five levels", "l1@local.test", "cont = end@far.test esmtp" },
	{ "six", "l0@local.test", "error 554 5.4.6 aliases are nested too deep" },
	{ "one that contains itself", "self@local.test",
	  "cont = self@gw.test local copy@far.test esmtp" },
	{ "also when it was reached by another", "toself@local.test",
	  "cont = self@gw.test local copy@far.test esmtp" },
	{ "a circle of two", "a@local.test", LOOP },
	{ "somewhere inside", "outer@local.test", LOOP },
	{ "the same twice is no circle", "twice@local.test",
	  "cont = end@far.test esmtp end@far.test esmtp" },
	{ "lists in lists keep the places", "all@local.test",
	  "cont = x@far.test esmtp end@far.test esmtp y@far.test esmtp" },
	{ "an alias to a local address", "tohere@local.test", "cont = here@gw.test local" },
	{ "a broken entry", "broken@local.test", CONFIG },
	{ "one inside", "tobroken@local.test", CONFIG },
	{ NULL, NULL, NULL }
};
static const char nesting_text[] =
	"l0: l1\nl1: l2\nl2: l3\nl3: l4\nl4: l5\nl5: end@far.test\n"
	"self: <self> <copy@far.test>\ntoself: self\na: b\nb: a\nouter: <x@far.test> <a>\n"
	"twice: <l5> <l5>\nall: <x@far.test> <l4> <y@far.test>\nhere: local:\ntohere: here\n"
	"broken: <a@far.test> b\ntobroken: broken\n";

/* ---- owners */

static const struct row owners[] = {
	{ "a list", "list@local.test",
	  "cont = a@gw.test [owner-list@local.test] local b@far.test [owner-list@local.test] esmtp" },
	{ "the domain is that of the list", "list@virt.test",
	  "cont = a@gw.test [owner-list@virt.test] local b@far.test [owner-list@virt.test] esmtp" },
	{ "case as it came", "LIST@local.test",
	  "cont = a@gw.test [owner-LIST@local.test] local b@far.test [owner-LIST@local.test] esmtp" },
	{ "an inner list has its own", "outer@local.test",
	  "cont = x@far.test [owner-outer@local.test] esmtp a@gw.test [owner-list@gw.test] local "
	  "b@far.test [owner-list@gw.test] esmtp" },
	{ "one without takes that of the outer", "outer2@local.test",
	  "cont = p@far.test [owner-outer2@local.test] esmtp" },
	{ "a list without an owner around one", "plain@local.test",
	  "cont = a@gw.test [owner-list@gw.test] local b@far.test [owner-list@gw.test] esmtp z@far.test esmtp" },
	{ "the owner is an alias", "owner-list@local.test", "cont = boss@far.test esmtp" },
	{ "and exists as local:", "third@local.test",
	  "cont = t@far.test [owner-third@local.test] esmtp" },
	{ "without the detail", "det+x@local.test",
	  "cont = d@far.test [owner-det@local.test] esmtp" },
	{ NULL, NULL, NULL }
};
static const char owners_text[] =
	"list: <a> <b@far.test>\nowner-list: boss@far.test\n"
	"outer: <x@far.test> <list>\nowner-outer: boss@far.test\n"
	"inner2: p@far.test\nouter2: inner2\nowner-outer2: boss@far.test\n"
	"plain: <list> <z@far.test>\nthird: t@far.test\nowner-third: local:\n"
	"det*: d@far.test\nowner-det: boss@far.test\n";

static const struct row catch_all[] = { { "one that takes all is no owner", "list@local.test",
					  "cont = a@far.test esmtp" },
					{ NULL, NULL, NULL } };

static const struct table tables[] = {
	{ "localpart", SMAR_ALIASES_F_LOCALPART, localpart_text, localpart },
	{ "no flag is localpart", 0, localpart_text, localpart },
	{ "local_domains", SMAR_ALIASES_F_LOCAL_DOMAINS, local_domains_text, local_domains },
	{ "all_domains", SMAR_ALIASES_F_ALL_DOMAINS, all_domains_text, all_domains },
	{ "both", SMAR_ALIASES_F_LOCALPART | SMAR_ALIASES_F_LOCAL_DOMAINS,
	  "a: part\na@local.test: whole\n", both_keys },
	{ "implicitly_match_detail", SMAR_ALIASES_F_IMPLICITLY_MATCH_DETAIL, "one: u1\none+y: u2\n",
	  match_detail },
	{ "replace_macros", SMAR_ALIASES_F_LOCAL_DOMAINS | SMAR_ALIASES_F_REPLACE_MACROS,
	  macros_text, macros },
	{ "no replace_macros", 0, "m: ${user}@far.test\n", plain_macros },
	{ "preserve_domain", SMAR_ALIASES_F_PRESERVE_DOMAIN,
	  "one: u1\nlist: <a> <b@far.test>\nnext: one\n", preserve },
	{ "nesting", 0, nesting_text, nesting },
	{ "owners", 0, owners_text, owners },
	{ "owners and a catch-all", SMAR_ALIASES_F_LOCAL_DOMAINS,
	  "list@local.test: a@far.test\n@local.test: boss@far.test\n", catch_all },
};

static const char *ask_rcpt(const char *rcpt)
{
	return ask_fixture(rcptcheck_steps, "192.0.2.9", MSG_ASK_ACCESS | MSG_ASK_MAY_RELAY, rcpt);
}

static void test_tables(void)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		const struct table *t = &tables[i];
		struct smar_options o = { .address_delimiter = '+', .aliases_flags = t->flags };

		diag("%s", t->name);
		ask_fixture_maps_with(mt, NULL, t->aliases, &o);
		for (const struct row *r = t->rows; r->name; r++)
			is_str(ask_rcpt(r->rcpt), r->want, r->name);
	}
}

static void test_delimiter(void)
{
	struct smar_options o = { .address_delimiter = '-',
				  .aliases_flags = SMAR_ALIASES_F_REPLACE_MACROS };

	ask_fixture_maps_with(mt, NULL, "one-*: u${extension}@far.test\n", &o);
	is_str(ask_rcpt("one-x@local.test"), "cont = u-x@far.test esmtp", "another delimiter");
	is_str(ask_rcpt("one+x@local.test"), NO_USER, "then + is none");
}

static void test_checks(void)
{
	static const char access[] = "to:trap@local.test discard\n"
				     "to:shut@local.test error:550 5.7.1 shut\n"
				     "to:hidden@far.test error:550 5.7.1 no\n";
	uint32_t f = MSG_ASK_ACCESS;

	ask_fixture_maps_with(mt, access,
			      "trap: a@far.test\nshut: a@far.test\nok: hidden@far.test\n", NULL);
	is_str(ask_fixture(rcptcheck_steps, "192.0.2.9", f, "trap@local.test"), "discard | local",
	       "discard comes before members");
	is_str(ask_fixture(rcptcheck_steps, "192.0.2.9", f, "shut@local.test"),
	       "error 550 5.7.1 shut", "access is asked about the alias");
	is_str(ask_fixture(rcptcheck_steps, "192.0.2.9", f, "ok@local.test"),
	       "cont = hidden@far.test esmtp", "not about its members, and they need no relaying");
	is_str(ask_fixture(rcptcheck_steps, "192.0.2.9", f, "a@far.test"), DENIED,
	       "which is denied otherwise");
	is_str(ask_fixture(rcptcheck_steps, "192.0.2.9", f, "PostMaster@local.test"),
	       "cont | local", "a postmaster is everywhere");
	is_str(ask_fixture(rcptcheck_route_steps, "192.0.2.9", 0, "ok@local.test"), "cont | local",
	       "qmgr's question does not follow aliases");
	is_str(ask_fixture(rcptcheck_notice_steps, "192.0.2.9", MSG_ASK_NOTICE, "ok@local.test"),
	       "cont = hidden@far.test esmtp", "that for notices does");
	is_str(ask_fixture(rcptcheck_notice_steps, "192.0.2.9", MSG_ASK_NOTICE, "a@nowhere.test"),
	       "cont", "and needs no route");
	is_str(ask_fixture(rcptcheck_notice_steps, "192.0.2.9", MSG_ASK_NOTICE, "no@local.test"),
	       "cont | local", "nor a user");
	ask_fixture_sender = "";
	ask_fixture_maps_with(mt, NULL, owners_text, NULL);
	is_str(ask_rcpt("list@local.test"), "cont = a@gw.test local b@far.test esmtp",
	       "mail from <> stays from <>");
	ask_fixture_sender = "author@far.test";
}

static void sender_is(const char *sender, const char *want, const char *name)
{
	is_str(ask_fixture(mailcheck_steps, "192.0.2.9", MSG_ASK_ACCESS, sender), want, name);
}

/* R 4.3.2: who exists? */
static void test_users(void)
{
	struct smar_map users = { .name = "users", .type = SMAR_MAP_HASH };
	struct smar_options o = { .address_delimiter = '+',
				  .map = { .item = &users, .count = 1 },
				  .local_user_map_name = "users" };

	users.file = fixture_map("users.db", "joe x\njim* x\nann@virt.test x\n");
	ask_fixture_maps_with(mt, NULL, NULL, NULL);
	is_str(ask_rcpt("any@local.test"), "cont | local", "without maps everybody exists");
	sender_is("any@local.test", "cont", "as sender too");
	ask_fixture_maps_with(mt, NULL, NULL, &o);
	is_str(ask_rcpt("joe@local.test"), "cont | local", "a local user");
	is_str(ask_rcpt("JOE@virt.test"), "cont | local", "in any local domain and case");
	is_str(ask_rcpt("jim+x@virt.test"), "cont | local", "with a detail");
	is_str(ask_rcpt("joe+x@virt.test"), NO_USER, "not with a detail");
	is_str(ask_rcpt("ann@virt.test"), "cont | local", "with its domain");
	is_str(ask_rcpt("ann@local.test"), NO_USER, "not in another one");
	is_str(ask_rcpt("any@far.test"), "cont | esmtp 25^[192.0.2.25]",
	       "others are no users of ours");
	sender_is("joe@local.test", "cont", "a sender who exists");
	sender_is("nobody@local.test", "error 550 5.1.8 no such sender here", "one who does not");
	sender_is("nobody@far.test", "cont", "one of elsewhere");
	sender_is("", "cont", "nobody at all");
	o.local_user_map_flags = SMAR_LOCAL_USER_F_IMPLICITLY_MATCH_DETAIL;
	ask_fixture_maps_with(mt, NULL, "list: <who@local.test>\nowner-list: joe\n", &o);
	is_str(ask_rcpt("joe+x@virt.test"), "cont | local", "implicitly_match_detail");
	is_str(ask_rcpt("list@virt.test"), "cont = who@local.test [owner-list@virt.test] local",
	       "an alias exists without a user; its members are taken as they are");
	is_str(ask_rcpt("who@virt.test"), NO_USER, "in neither map");
	sender_is("owner-list@local.test", "cont", "an owner exists");
}

/* Members far over what is handed out at once come whole and in order. */
static void test_long_list(void)
{
	enum { MEMBERS = 20000 };
	struct buf text = { 0 };

	buf_printf(&text, "many:");
	for (unsigned i = 0; i < MEMBERS; i++)
		buf_printf(&text, " <member%u@far.test>", i);
	buf_printf(&text,
		   "\nowner-many: a@far.test\nfour: <many> <many> <many> <many> <many> <many>\n");
	ask_fixture_maps_with(mt, NULL, text.p, NULL);
	ok(strstr(ask_rcpt("many@local.test"),
		  "cont = member0@far.test [owner-many@local.test] esmtp "
		  "member1@far.test"),
	   "20000 members");
	is_int(ask_fixture_seen.count, MEMBERS, "all of them");
	ok(ask_fixture_seen.parts > 1 && ask_fixture_seen.routes == 1,
	   "in %u parts, with one route", ask_fixture_seen.parts);
	is_str(ask_rcpt("four@local.test"), "error 550 5.2.4 alias has too many members",
	       "120000 are too many");
	buf_release(&text);
}

int main(void)
{
	thread_main_register();
	test_tables();
	test_delimiter();
	test_checks();
	test_users();
	test_long_list();
	ask_fixture_end();
	return plan_done();
}
