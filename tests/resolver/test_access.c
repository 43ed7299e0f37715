#include "resolver/access.h"

#include "tests/resolver/map_fixture.h"

#include <errno.h>

/* A value as text: "quick relay", "error 550 5.7.1 x". */
static const char *value_text(int rc, const struct access_value *v)
{
	static const char *const words[] = { "cont", "ok", "relay", "error", "discard" };
	static char out[ACCESS_TEXT_MAX + 40];
	char bytes[ACCESS_TEXT_MAX + 8];

	if (rc == -ENOENT)
		return "none";
	if (rc == -EINVAL)
		return "broken";
	struct span reply = v->action == MSG_ACT_ERROR ? access_reply(v, bytes) : SPAN("");
	snprintf(out, sizeof out, "%s%s%s%.*s", v->quick ? "quick " : "", words[v->action],
		 reply.n ? " " : "", (int)reply.n, reply.p);
	return out;
}

static const struct {
	const char *value, *want;
} values[] = {
	{ "relay", "relay" },
	{ "OK", "ok" },
	{ " cont ", "cont" },
	{ "discard", "discard" },
	{ "reject", "error 550 5.7.0 Rejected." },
	{ "quick:reject", "quick error 550 5.7.0 Rejected." },
	{ "quick:relay", "quick relay" },
	{ "Quick: ok", "quick ok" },
	{ "error:550 5.7.1 No spammers", "error 550 5.7.1 No spammers" },
	{ "error: 451 4.3.3 Try main MX server", "error 451 4.3.3 Try main MX server" },
	{ "quick:error:551 5.7.1 no", "quick error 551 5.7.1 no" },
	{ "error:550 go away", "error 550 5.7.0 go away" },
	{ "error:450 4.7 x", "error 450 4.7.0 4.7 x" },
	{ "error:550 5.7.1", "error 550 5.7.1" },
	{ "error:550 4.7.1 classes differ", "broken" },
	{ "error:250 2.0.0 no error", "broken" },
	{ "error:660 x", "broken" },
	{ "error:55 x", "broken" },
	{ "error:550", "broken" },
	{ "error:550-5.7.1 x", "broken" },
	{ "error:", "broken" },
	{ "error:550 5.7.1 t\xc3\xa4xt", "broken" },
	{ "quick:", "broken" },
	{ "quick:quick:ok", "broken" },
	{ "relays", "broken" },
	{ "", "broken" },
};

static const char text[] =
	"cltaddr:127 relay\n"
	"cltaddr:10 error:551 5.7.1 No direct mail from 10.x.y.z\n"
	"cltaddr:10.12 quick:relay\n"
	"cltaddr:10.12.0.128/25 reject\n"
	"cltaddr:10.12.0.200 ok\n"
	"cltaddr:IPv6:2001:db8:1 relay\n"
	"cltaddr:IPv6:2001:db8::/32 reject\n"
	"from:@spammer.domain reject\n"
	"from:@.spammer.domain error:551 5.7.1 No spammers in subdomains either\n"
	"from:good@spammer.domain relay\n"
	"to:root error:551 5.7.1 No mail to root\n"
	"to:abuse quick:ok\n"
	"to:@primary.domain relay\n"
	"to:user++@detail.domain discard\n"
	"to:user+*@detail.domain ok\n"
	"to:user*@detail.domain relay\n"
	"to:odd@victim.dom relay\n"
	"to:@broken.domain nonsense\n";

static const struct {
	const char *tag, *item, *want;
} lookups[] = {
	{ "cltaddr", "127.0.0.1", "relay" },
	{ "cltaddr", "10.1.2.3", "error 551 5.7.1 No direct mail from 10.x.y.z" },
	{ "cltaddr", "10.12.1.1", "quick relay" },
	{ "cltaddr", "10.12.0.129", "error 550 5.7.0 Rejected." },
	{ "cltaddr", "10.12.0.127", "quick relay" },
	{ "cltaddr", "10.12.0.200", "ok" },
	{ "cltaddr", "11.0.0.1", "none" },
	{ "cltaddr", "2001:db8:1::5", "relay" },
	{ "cltaddr", "2001:db8:2::5", "error 550 5.7.0 Rejected." },
	{ "cltaddr", "2001:db9::1", "none" },
	{ "from", "a@spammer.domain", "error 550 5.7.0 Rejected." },
	{ "from", "A@x.Spammer.Domain", "error 551 5.7.1 No spammers in subdomains either" },
	{ "from", "Good@spammer.domain", "ok" },
	{ "from", "a@xspammer.domain", "none" },
	{ "from", "root@x.y", "none" },
	{ "to", "root@any.domain", "error 551 5.7.1 No mail to root" },
	{ "to", "\"root\"@any.domain", "error 551 5.7.1 No mail to root" },
	{ "to", "ROOT@any.domain", "error 551 5.7.1 No mail to root" },
	{ "to", "root+x@any.domain", "none" },
	{ "to", "abuse@primary.domain", "relay" },
	{ "to", "abuse@x", "quick ok" },
	{ "to", "postmaster", "none" },
	{ "to", "root", "error 551 5.7.1 No mail to root" },
	{ "to", "a@sub.primary.domain", "none" },
	{ "to", "user+x@detail.domain", "discard" },
	{ "to", "user+@detail.domain", "ok" },
	{ "to", "user@detail.domain", "relay" },
	{ "to", "user1@detail.domain", "none" },
	{ "to", "odd@victim.dom", "relay" },
	{ "to", "\"odd@victim.dom\"@foreign.dom", "none" },
	{ "to", "a@broken.domain", "broken" },
	{ "to", "from:@spammer.domain", "none" },
};

static void look_up(const struct access *a, unsigned i)
{
	struct access_value v;
	struct address box;
	struct addr addr;
	int rc = -EIO;

	if (!strcmp(lookups[i].tag, "cltaddr")) {
		addr_parse(span_str(lookups[i].item), &addr);
		rc = access_client(a, &addr, &v);
	} else if (!address_split(span_str(lookups[i].item), &box)) {
		rc = access_mailbox(a, *lookups[i].tag == 't' ? ACCESS_TO : ACCESS_FROM, &box, &v);
	}
	is_str(value_text(rc, &v), lookups[i].want, lookups[i].item);
}

static struct access *open_access(const char *name, const char *content, struct report *r)
{
	char *path = content ? fixture_map(name, content) : fixture_path(name);
	struct map *m = map_open_hash("access_map", path, r);

	free(path);
	return m ? access_new(m, '+', r) : NULL;
}

static void test_warnings(void)
{
	static const struct {
		const char *content, *want;
	} warned[] = {
		{ "to:a x\n", "entry \"to:a\": expected [quick:] relay" },
		{ "from:a relay\n", "entry \"from:a\": relay counts as ok for a sender" },
		{ "cltaddr:10.1.0.1/16 relay\n", "entry \"cltaddr:10.1.0.1/16\" never matches" },
		{ "protectedrcpt:a x\n", "" },
		{ "to:a relay\n", "" },
	};

	for (unsigned i = 0; i < sizeof warned / sizeof *warned; i++) {
		struct report r = { 0 };
		struct access *a = open_access("warn.db", warned[i].content, &r);

		ok(a && !r.error_count, "a map with an odd entry is used");
		is_int(r.warning_count, *warned[i].want != 0, "number of warnings");
		ok(strstr(fixture_report(&r), warned[i].want), "%s", warned[i].want);
		access_put_ref(a);
		report_free(&r);
	}
}

int main(void)
{
	struct report r = { 0 };
	struct access_value v;

	for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
		int rc = access_parse_value(span_str(values[i].value), &v);

		is_str(value_text(rc, &v), values[i].want, values[i].value);
	}
	struct access *a = open_access("access.db", text, &r);
	for (unsigned i = 0; i < sizeof lookups / sizeof *lookups; i++)
		look_up(a, i);
	access_put_ref(access_get_ref(a));
	access_put_ref(a);
	is_int(r.warning_count, 2, "relay for a sender and nonsense are named");
	report_free(&r);
	r = (struct report){ 0 };
	test_warnings();
	a = open_access("absent.db", NULL, &r);
	struct addr addr;
	addr_parse(SPAN("127.0.0.1"), &addr);
	is_int(access_client(a, &addr, &v), -ENOENT, "an absent map has no entries");
	is_int(r.warning_count, 1, "but one warning");
	access_put_ref(a);
	report_free(&r);
	return plan_done();
}
