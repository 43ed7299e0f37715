#include "resolver/rcptcheck.h"

#include "tests/resolver/ask_fixture.h"

enum {
	A = MSG_ASK_ACCESS,
	MAY = MSG_ASK_MAY_RELAY,
	NOLOCAL = MSG_ASK_LOCAL_NO_RELAY,
	QOK = MSG_ASK_CLIENT_OK,
	QRELAY = MSG_ASK_CLIENT_RELAY
};
#define DENIED   "error 550 5.7.1 relaying denied"
#define NO_ROUTE "error 451 4.4.3 no route: DNS is not available"
#define ESMTP    " | esmtp 25^[192.0.2.25]"

static const char mt[] = "local.test lmtp:\n"
			 "gw.test lmtp:\n"
			 "inet.test 24^lmtp:[127.0.0.1]\n"
			 "relay.test 25^esmtp:[192.0.2.25]\n"
			 ".sub.test 25^esmtp:[192.0.2.25]\n";

static const char access_text[] = "to:@relay.test relay\n"
				  "to:closed@relay.test error:451 4.3.3 Try main MX server\n"
				  "to:gone@relay.test reject\n"
				  "to:trap@relay.test discard\n"
				  "to:okay@relay.test ok\n"
				  "to:cont@relay.test cont\n"
				  "to:fast@relay.test quick:relay\n"
				  "to:nobody@local.test error:550 5.1.1 nobody here\n"
				  "to:all@local.test quick:ok\n"
				  "to:trap@local.test quick:discard\n"
				  "to:broken@local.test what\n"
				  "to:@far.test relay\n";

static const struct {
	const char *name, *rcpt;
	uint32_t flags;
	const char *want;
} cases[] = {
	/* 1: may it be relayed at all? */
	{ "a local domain", "a@local.test", A, "cont | local" },
	{ "a local domain in upper case", "a@LOCAL.Test", A, "cont | local" },
	{ "a local domain, no access flag", "a@local.test", 0, "cont | local" },
	{ "a local domain that does not imply relaying", "a@local.test", A | NOLOCAL, DENIED },
	{ "the same, the session may relay", "a@local.test", A | NOLOCAL | MAY, "cont | local" },
	{ "LMTP over TCP is not local", "a@inet.test", A, DENIED },
	{ "a subdomain of a local domain is not local", "a@x.local.test", A, DENIED },
	{ "an unknown domain", "a@other.test", A, DENIED },
	{ "an unknown domain, no access flag", "a@other.test", 0, DENIED },
	{ "the session may relay", "a@inet.test", A | MAY, "cont | lmtp 24^[127.0.0.1]" },
	{ "the session may relay, without access flag", "a@inet.test", MAY,
	  "cont | lmtp 24^[127.0.0.1]" },
	{ "quick:relay for the session", "a@inet.test", A | QRELAY, "cont | lmtp 24^[127.0.0.1]" },
	{ "quick:ok alone does not relay", "a@inet.test", A | QOK, DENIED },
	{ "to: relay", "a@relay.test", A, "relay" ESMTP },
	{ "to: relay needs the access flag", "a@relay.test", 0, DENIED },
	{ "to: relay in a session with quick:ok", "a@relay.test", A | QOK, "relay" ESMTP },
	{ "to: quick:relay", "fast@relay.test", A, "quick relay" ESMTP },
	{ "to: ok does not relay", "okay@relay.test", A, DENIED },
	{ "to: cont does not relay", "cont@relay.test", A, DENIED },
	{ "to: error is the reply", "closed@relay.test", A, "error 451 4.3.3 Try main MX server" },
	{ "to: reject", "gone@relay.test", A, "error 550 5.7.0 Rejected." },
	{ "to: discard", "trap@relay.test", A, "discard" ESMTP },
	/* 2: other restrictions */
	{ "to: error for a local recipient", "nobody@local.test", A,
	  "error 550 5.1.1 nobody here" },
	{ "needs the access flag", "nobody@local.test", 0, "cont | local" },
	{ "quick:relay for the session overrides it", "nobody@local.test", A | QRELAY,
	  "cont | local" },
	{ "quick:ok overrides it where relaying is allowed", "nobody@local.test", A | QOK,
	  "cont | local" },
	{ "may relay does not override it", "nobody@local.test", A | MAY,
	  "error 550 5.1.1 nobody here" },
	{ "to: error although the session may relay", "closed@relay.test", A | MAY,
	  "error 451 4.3.3 Try main MX server" },
	{ "to: quick:ok", "all@local.test", A, "quick ok | local" },
	{ "to: quick:discard", "trap@local.test", A, "quick discard | local" },
	{ "a broken entry", "broken@local.test", A, "error 451 4.3.5 local configuration error" },
	/* 3: where does it go? */
	{ "a subdomain entry", "a@x.sub.test", A | MAY, "cont" ESMTP },
	{ "it is not for the domain itself", "a@sub.test", A | MAY, NO_ROUTE },
	{ "no entry", "a@other.test", A | MAY, NO_ROUTE },
	{ "relay, but no route", "a@far.test", A, NO_ROUTE },
	{ "an address literal", "a@[192.0.2.77]", A | MAY, "cont | esmtp 0^[192.0.2.77]" },
	{ "an IPv6 literal", "a@[IPv6:2001:db8::7]", A | MAY, "cont | esmtp 0^[IPv6:2001:db8::7]" },
	{ "an address literal is relaying", "a@[192.0.2.77]", A, DENIED },
	{ "a final dot", "a@local.test.", A, "cont | local" },
	/* 4: addresses */
	{ "<postmaster>", "Postmaster", A, "cont | local" },
	{ "<postmaster>, also where local domains are closed", "postmaster", A | NOLOCAL,
	  "cont | local" },
	{ "another local part alone", "root", A | MAY,
	  "error 550 5.1.3 recipient address has no domain" },
	{ "no address", "", A | MAY, "error 553 5.1.3 recipient address is not valid" },
	{ "a broken literal", "a@[300.1.1.1]", A | MAY,
	  "error 553 5.1.3 recipient address is not valid" },
	{ "a quoted local part", "\"gone\"@relay.test", A, "error 550 5.7.0 Rejected." },
	{ "a quoted @ does not make another domain", "\"a@relay.test\"@other.test", A, DENIED },
};

static const struct {
	const char *rcpt, *want;
} routes[] = {
	{ "a@local.test", "cont | local" },
	{ "a@relay.test", "cont" ESMTP },
	{ "closed@relay.test", "cont" ESMTP },
	{ "a@other.test", NO_ROUTE },
	{ "a@[192.0.2.77]", "cont | esmtp 0^[192.0.2.77]" },
	{ "postmaster", "cont | local" },
	{ "a@[x]", "error 553 5.1.3 recipient address is not valid" },
};

int main(void)
{
	thread_main_register();
	ask_fixture_maps(mt, access_text);
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		is_str(ask_fixture(rcptcheck_steps, "192.0.2.9", cases[i].flags, cases[i].rcpt),
		       cases[i].want, cases[i].name);
	for (unsigned i = 0; i < sizeof routes / sizeof *routes; i++)
		is_str(ask_fixture(rcptcheck_route_steps, "192.0.2.9", 0, routes[i].rcpt),
		       routes[i].want, routes[i].rcpt);

	ask_fixture_maps(". [192.0.2.1]\n", NULL);
	is_str(ask_fixture(rcptcheck_steps, "127.0.0.1", A | MAY, "a@any.test"),
	       "cont | esmtp 0^[192.0.2.1]", "the default entry");
	is_str(ask_fixture(rcptcheck_steps, "127.0.0.1", A, "a@any.test"), DENIED,
	       "nothing special for 127.0.0.1; the default entry is no permission");
	ask_fixture_maps(NULL, NULL);
	is_str(ask_fixture(rcptcheck_steps, "127.0.0.1", A, "a@any.test"), DENIED, "without maps");
	is_str(ask_fixture(rcptcheck_steps, "127.0.0.1", A | MAY, "a@any.test"), NO_ROUTE,
	       "without maps, the session may relay");
	ask_fixture_end();
	return plan_done();
}
