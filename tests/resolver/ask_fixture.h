/*
 * tests/resolver/ask_fixture.h - maps from texts, questions to the checks, answers as text.
 */
#ifndef TESTS_RESOLVER_ASK_FIXTURE_H
#define TESTS_RESOLVER_ASK_FIXTURE_H
#include "resolver/ask.h"
#include "tests/resolver/map_fixture.h"

#include "core/thread.h"

static struct ask_loop ask_fixture_loop = { .hostname = { "gw.test", 7 }, .max_parked = 4 };
static char ask_fixture_out[2048];

/* Publishes a map set of these two texts; NULL: no such file. */
static inline void ask_fixture_maps(const char *mt, const char *access)
{
	struct smar_options o = { .address_delimiter = '+' };
	struct report r = { 0 };

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
