#include "resolver/mailcheck.h"

#include "tests/resolver/ask_fixture.h"

static const struct {
	const char *name, *sender;
	uint32_t flags;
	const char *want;
} cases[] = {
	{ "no entry", "a@b.c", MSG_ASK_ACCESS, "cont" },
	{ "an entry", "bad@b.c", MSG_ASK_ACCESS, "error 551 5.7.1 No spammers" },
	{ "without the access flag", "bad@b.c", 0, "cont" },
	{ "the null reverse-path", "", MSG_ASK_ACCESS, "cont" },
	{ "session with quick:ok", "bad@b.c", MSG_ASK_ACCESS | MSG_ASK_CLIENT_OK, "cont" },
	{ "session with quick:relay", "bad@b.c", MSG_ASK_ACCESS | MSG_ASK_CLIENT_RELAY, "cont" },
	{ "a session that may relay is checked", "bad@b.c", MSG_ASK_ACCESS | MSG_ASK_MAY_RELAY,
	  "error 551 5.7.1 No spammers" },
	{ "discard", "trap@b.c", MSG_ASK_ACCESS, "quick discard" },
	{ "ok", "good@b.c", MSG_ASK_ACCESS, "ok" },
	{ "relay counts as ok", "relay@b.c", MSG_ASK_ACCESS, "ok" },
	{ "cont", "cont@b.c", MSG_ASK_ACCESS, "cont" },
	{ "a literal", "a@[192.0.2.1]", MSG_ASK_ACCESS, "cont" },
	{ "a literal that is none", "a@[192.0.2]", MSG_ASK_ACCESS,
	  "error 553 5.1.7 sender address is not valid" },
	{ "no local part", "@b.c", 0, "error 553 5.1.7 sender address is not valid" },
};

int main(void)
{
	thread_main_register();
	ask_fixture_maps("", "from:bad@b.c error:551 5.7.1 No spammers\nfrom:trap quick:discard\n"
			     "from:good@b.c ok\nfrom:relay@b.c relay\nfrom:cont@b.c cont\n");
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		is_str(ask_fixture(mailcheck_steps, "192.0.2.9", cases[i].flags, cases[i].sender),
		       cases[i].want, cases[i].name);
	ask_fixture_maps(NULL, NULL);
	is_str(ask_fixture(mailcheck_steps, "192.0.2.9", MSG_ASK_ACCESS, "a@b.c"), "cont",
	       "without maps");
	ask_fixture_end();
	return plan_done();
}
