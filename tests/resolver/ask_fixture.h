/*
 * tests/resolver/ask_fixture.h - maps from texts, questions to the checks, answers as text.
 */
#ifndef TESTS_RESOLVER_ASK_FIXTURE_H
#define TESTS_RESOLVER_ASK_FIXTURE_H
#include "resolver/ask.h"
#include "tests/resolver/map_fixture.h"

#include "core/envelope.h"
#include "core/members.h"
#include "core/thread.h"

static struct ask_loop ask_fixture_loop = { .hostname = { "gw.test", 7 }, .max_parked = 4 };
static char ask_fixture_out[4096];
static const char *ask_fixture_sender = "author@far.test";

/* Publishes a map set of these texts; NULL: no such file. o: other options, NULL: the defaults. */
static inline void ask_fixture_maps_with(const char *mt, const char *access, const char *aliases,
					 const struct smar_options *opt)
{
	struct smar_options o = { .address_delimiter = '+' };
	struct report r = { 0 };

	if (opt)
		o = *opt;
	o.aliases_file =
		aliases ? fixture_map("aliases.db", aliases) : fixture_path("no-aliases.db");
	o.mailertable_file = mt ? fixture_file("mt", mt) : fixture_path("no-mt");
	o.access_map_file =
		access ? fixture_map("access.db", access) : fixture_path("no-access.db");
	struct mapset *s = mapset_load(&o, NULL, &r);
	if (!s)
		ok(false, "maps: %s", fixture_report(&r));
	/* The last question used the old one. */
	rcu_quiescent();
	mapset_publish(s);
	report_free(&r);
	free((char *)o.mailertable_file);
	free((char *)o.access_map_file);
	free((char *)o.aliases_file);
}

static inline void ask_fixture_maps(const char *mt, const char *access)
{
	ask_fixture_maps_with(mt, access, NULL, NULL);
}

/* Members as text behind what is there: " a@x (local) b@y [owner-l@x]". */
static char ask_fixture_members[4096];
static struct members_seen ask_fixture_seen;

static inline void ask_fixture_hand_out(struct ask *a, uint32_t part, struct span list)
{
	static char owner[20][200], mailer[200];
	static const char *const mailers[] = { "none", "esmtp", "lmtp", "local", "discard" };
	size_t cap = sizeof ask_fixture_members, n;
	struct members_item m;
	struct route r;
	int rc;

	(void)a;
	if (!part)
		*ask_fixture_members = 0;
	ok(!members_begin(&ask_fixture_seen, part), "part %u is the next one", part);
	while ((rc = members_next(&ask_fixture_seen, &list, &m)) == 1) {
		n = strlen(ask_fixture_members);
		if (m.type == MEMBERS_ROUTE && !route_decode(m.text, &r) &&
		    ask_fixture_seen.routes <= sizeof mailer)
			mailer[ask_fixture_seen.routes - 1] = (char)r.mailer;
		else if (m.type == MEMBERS_OWNER && ask_fixture_seen.owners <= 20)
			span_cstr(m.text, owner[ask_fixture_seen.owners - 1], sizeof owner[0]);
		else if (m.type == MEMBERS_TO)
			snprintf(ask_fixture_members + n, cap - n, " %.*s%s%s%s%s%s", (int)m.text.n,
				 m.text.p, m.owner ? " [" : "", m.owner ? owner[m.owner - 1] : "",
				 m.owner ? "]" : "", m.route == ENV_NO_ROUTE ? "" : " ",
				 m.route == ENV_NO_ROUTE ? "" : mailers[(int)mailer[m.route]]);
	}
	ok(rc == 0, "a part that can be read");
}

/* "quick relay | route", "error 550 5.7.1 relaying denied". */
static inline void ask_fixture_answer(struct ask *a)
{
	static const char *const words[] = { "cont", "ok", "relay", "error", "discard" };
	static const char *const mailers[] = { "none", "esmtp", "lmtp", "local", "discard" };
	char addr[ADDR_TEXT_MAX], *out = ask_fixture_out;
	size_t n, cap = sizeof ask_fixture_out;
	struct route r;

	n = (size_t)snprintf(out, cap, "%s%s", a->quick ? "quick " : "", words[a->action]);
	if (a->members) {
		snprintf(out + n, cap - n, " =%s", ask_fixture_members);
		ok(a->members == ask_fixture_seen.count && !a->route.n,
		   "the answer counts its members and has no route");
		return;
	}
	if (a->text.n)
		n += (size_t)snprintf(out + n, cap - n, " %.*s", (int)a->text.n, a->text.p);
	if (a->action == MSG_ACT_ERROR || !a->route.n || route_decode(a->route, &r))
		return;
	n += (size_t)snprintf(out + n, cap - n, " | %s", mailers[r.mailer]);
	for (unsigned i = 0; i < r.count && n < cap; i++) {
		addr_literal(&r.host[i], addr);
		n += (size_t)snprintf(out + n, cap - n, " %u^[%s]", r.host[i].port, addr);
	}
}

/* Asks about an address; the answer until the next call. */
static inline const char *ask_fixture(ask_step *const *steps, const char *client, uint32_t flags,
				      const char *subject)
{
	static int owner;
	struct ask a;

	ask_init(&a, &ask_fixture_loop, steps);
	addr_parse(span_str(client), &a.client);
	a.flags = flags;
	a.subject = span_str(subject);
	a.sender = span_str(ask_fixture_sender);
	a.hand_out = ask_fixture_hand_out;
	a.answer = ask_fixture_answer;
	a.owner = &owner;
	snprintf(ask_fixture_out, sizeof ask_fixture_out, "no answer");
	ask_run(&a);
	return ask_fixture_out;
}

/* After the last question. */
static inline void ask_fixture_end(void)
{
	rcu_quiescent();
	mapset_publish(NULL);
	rcu_barrier();
}

#endif
