#include "resolver/clientcheck.h"

#include "tests/resolver/ask_fixture.h"

static const struct {
	const char *name, *client;
	uint32_t flags;
	const char *want;
} cases[] = {
	{ "relay", "127.0.0.1", MSG_ASK_ACCESS, "relay" },
	{ "without the access flag nothing is looked up", "127.0.0.1", 0, "cont" },
	{ "a net", "10.1.2.3", MSG_ASK_ACCESS, "error 551 5.7.1 no" },
	{ "quick", "10.2.2.3", MSG_ASK_ACCESS, "quick error 550 5.7.0 Rejected." },
	{ "discard", "10.3.2.3", MSG_ASK_ACCESS, "discard" },
	{ "cont", "10.4.2.3", MSG_ASK_ACCESS, "cont" },
	{ "ok", "10.5.2.3", MSG_ASK_ACCESS, "ok" },
	{ "a broken entry", "10.6.2.3", MSG_ASK_ACCESS,
	  "error 451 4.3.5 local configuration error" },
	{ "no entry", "192.0.2.1", MSG_ASK_ACCESS, "cont" },
	{ "IPv6", "2001:db8::5", MSG_ASK_ACCESS, "quick relay" },
	{ "not an address", "", MSG_ASK_ACCESS, "cont" },
};

int main(void)
{
	thread_main_register();
	ask_fixture_maps(
		"", "cltaddr:127 relay\ncltaddr:10 error:551 5.7.1 no\ncltaddr:10.2 quick:reject\n"
		    "cltaddr:10.3 discard\ncltaddr:10.4 cont\ncltaddr:10.5 ok\ncltaddr:10.6 hm\n"
		    "cltaddr:IPv6:2001:db8 quick:relay\n");
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		is_str(ask_fixture(clientcheck_steps, cases[i].client, cases[i].flags, ""),
		       cases[i].want, cases[i].name);
	ask_fixture_maps(NULL, NULL);
	is_str(ask_fixture(clientcheck_steps, "127.0.0.1", MSG_ASK_ACCESS, ""), "cont",
	       "nothing special for 127.0.0.1 without a map");
	ask_fixture_end();
	return plan_done();
}
