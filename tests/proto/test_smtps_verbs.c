/*
 * tests/proto/test_smtps_verbs.c - every verb in every phase: its reply, and that the session is in
 * step behind it.
 */
#include "proto/smtps_verbs.h"

#include "core/log.h"
#include "tests/proto/smtps_fake.h"
#include "tests/tap.h"

enum phase { START = 0, READY, MAIL, RCPT, CHUNK, REFUSED, COMMIT, PHASES };

/* How each is entered; the last reply of that. */
static const struct {
	const char *name, *say, *last;
} phases[PHASES] = {
	[START] = { "START", "", "220 *" },
	[READY] = { "READY", "HELO x\r\n", "250 gw.test" },
	[MAIL] = { "MAIL", "HELO x\r\nMAIL FROM:<a@b.test>\r\n", "250 2.1.0 *" },
	[RCPT] = { "RCPT", "HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n",
		   "250 2.1.5 *" },
	[CHUNK] = { "CHUNK",
		    "HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 3\r\na\r\n",
		    "250 2.0.0 Chunk received" },
	[REFUSED] = { "REFUSED", "", "554 5.7.1 Go away" },
	/* qmgr works on a message: what is said now is answered behind it, as in READY. */
	[COMMIT] = { "COMMIT",
		     "HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n.\r\n",
		     "354 *" },
};

#define NO_HELO  "503 5.5.1 EHLO or HELO first"
#define NO_MAIL  "503 5.5.1 MAIL first"
#define TWICE    "503 5.5.1 Sender given already"
#define CHUNKS   "503 5.5.1 BDAT has begun"
#define NO_RCPT  "554 5.5.1 No valid recipients"
#define SEQUENCE "503 5.5.1 Bad sequence of commands"
#define DENIED   "550 5.7.0 XCLIENT is not allowed"
#define OK       "250 2.0.0 OK"
#define ARGUMENT "501 5.5.4 Argument required"
#define NONE     "501 5.5.4 No argument allowed"
#define UNKNOWN  "500 5.5.1 Command not recognized"
#define SENDER   "250 2.1.0 Sender ok"
#define RECEIVER "250 2.1.5 Recipient ok"
#define TAKEN    "250 2.0.0 S* accepted"
#define PART     "250 2.0.0 Chunk received"
#define ALL(r)                                                                                     \
	{                                                                                          \
		r, r, r, r, r                                                                      \
	}

/* What is said, and the replies in START, READY, MAIL, RCPT, CHUNK. In REFUSED all but QUIT is one
 * 503. NULL: the session ends. */
static const struct {
	const char *say;
	const char *reply[REFUSED];
} rows[] = {
	{ "EHLO x", ALL("250 LIMITS *") },
	{ "HELO x", ALL("250 gw.test") },
	{ "ehlo x", ALL("250 LIMITS *") },
	{ "EHLO", ALL("501 5.5.4 Invalid domain name") },
	{ "HELO", ALL("501 5.5.4 Invalid domain name") },
	{ "HELO a b", ALL("501 5.5.4 Invalid domain name") },
	{ "EHLO gw.TEST", ALL("550 5.7.1 That is not your name") },
	{ "MAIL FROM:<a@b.test>", { NO_HELO, SENDER, TWICE, TWICE, CHUNKS } },
	{ "MAIL FROM:<>", { NO_HELO, SENDER, TWICE, TWICE, CHUNKS } },
	{ "mail from:<a@b.test> ", { NO_HELO, SENDER, TWICE, TWICE, CHUNKS } },
	{ "MAIL", { NO_HELO, ARGUMENT, TWICE, TWICE, CHUNKS } },
	{ "MAIL FROM:<a@b.test> X",
	  { NO_HELO, "555 5.5.4 Unsupported parameter", TWICE, TWICE, CHUNKS } },
	{ "MAIL FROM: <a@b.test>",
	  { NO_HELO, "501 5.5.2 Syntax: MAIL FROM:<address>", TWICE, TWICE, CHUNKS } },
	{ "RCPT TO:<e@d.test>", { NO_MAIL, NO_MAIL, RECEIVER, RECEIVER, CHUNKS } },
	{ "RCPT TO:<pOSTMASTER>", { NO_MAIL, NO_MAIL, RECEIVER, RECEIVER, CHUNKS } },
	{ "RCPT", { NO_MAIL, NO_MAIL, "501 5.5.2 *", "501 5.5.2 *", CHUNKS } },
	{ "RCPT TO:<e>", { NO_MAIL, NO_MAIL, "553 5.1.3 *", "553 5.1.3 *", CHUNKS } },
	{ "RCPT TO:<e@d.test> X=y", { NO_MAIL, NO_MAIL, "555 5.5.4 *", "555 5.5.4 *", CHUNKS } },
	{ "RCPT TO:<bad@d.test>", { NO_MAIL, NO_MAIL, "550 5.1.1 *", "550 5.1.1 *", CHUNKS } },
	{ "DATA", { NO_MAIL, NO_MAIL, NO_RCPT, "354 End data with CRLF.CRLF", CHUNKS } },
	{ "DATA x", { NO_MAIL, NO_MAIL, NO_RCPT, NONE, CHUNKS } },
	{ "BDAT 3\r\na", { NO_MAIL, NO_MAIL, NO_RCPT, PART, PART } },
	{ "BDAT 3 LAST\r\na", { NO_MAIL, NO_MAIL, NO_RCPT, TAKEN, TAKEN } },
	{ "bdat 0 last", { NO_MAIL, NO_MAIL, NO_RCPT, TAKEN, TAKEN } },
	{ "BDAT", { NULL } },
	{ "BDAT x", { NULL } },
	{ "BDAT 1 x", { NULL } },
	{ "RSET", ALL("250 2.0.0 Reset") },
	{ "RSET x", ALL(NONE) },
	{ "NOOP", ALL(OK) },
	{ "NOOP RCPT TO:<x>", ALL(OK) },
	{ "noop ", ALL(OK) },
	{ "VRFY x", ALL("252 2.5.2 *") },
	{ "VRFY", ALL(ARGUMENT) },
	{ "EXPN x", ALL("502 5.5.1 *") },
	{ "EXPN", ALL("502 5.5.1 *") },
	{ "HELP", ALL("214 2.0.0 *") },
	{ "HELP MAIL", ALL("214 2.0.0 *") },
	{ "QUIT x", ALL(NONE) },
	{ "XCLIENT ADDR=192.0.2.7", { DENIED, DENIED, SEQUENCE, SEQUENCE, CHUNKS } },
	{ "XCLIENT", { ARGUMENT, ARGUMENT, SEQUENCE, SEQUENCE, CHUNKS } },
	{ "STARTTLS", ALL(UNKNOWN) },
	{ "AUTH PLAIN", ALL(UNKNOWN) },
	{ "TURN", ALL(UNKNOWN) },
	{ "ETRN x", ALL(UNKNOWN) },
	{ "SEND FROM:<a@b.test>", ALL(UNKNOWN) },
	{ "FOO", ALL(UNKNOWN) },
	{ "", ALL(UNKNOWN) },
	{ " NOOP", ALL(UNKNOWN) },
	{ "NOOPX", ALL(UNKNOWN) },
	{ "NOOP\tx", ALL(UNKNOWN) },
	{ "MAIL\xa0"
	  "FROM:<a@b.test>",
	  ALL(UNKNOWN) },
	{ "NO\xc3\x96P", ALL(UNKNOWN) },
};

static void say(struct fake *f, const char *text)
{
	buf_add_span(&f->to_server, span_str(text));
	fake_pump(f);
}

/* The last line that came; the rest is left out. False: it is another one. */
static bool last_is(struct fake *f, const char *want)
{
	struct span all = buf_span(&f->to_client);

	if (!span_endswith(all, SPAN("\r\n")))
		return !want;
	all.n -= 2;
	size_t lf = span_rchr(all, '\n');
	bool good = want && fake_match(want, lf == all.n ? all : span_from(all, lf + 1));
	if (!good)
		diag("got \"%.*s\"", (int)all.n, all.p);
	buf_eat(&f->to_client, buf_len(&f->to_client));
	return good;
}

static void check(struct fake *f, enum phase ph, unsigned row)
{
	const char *want = ph == REFUSED  ? "503 5.5.1 Connection was refused, only QUIT"
			   : ph == COMMIT ? rows[row].reply[READY]
					  : rows[row].reply[ph];
	if (ph == REFUSED && !strcmp(rows[row].say, "QUIT x"))
		want = NONE;
	bool ends = !rows[row].reply[0] && ph != REFUSED;

	f->rule[1].action = ph == REFUSED ? MSG_ACT_ERROR : MSG_ACT_CONT;
	fake_connect(f, "192.0.2.1", false);
	f->silent = false;
	char *enter = xstrdup(phases[ph].say), *dot = strstr(enter, ".\r\n");
	if (dot) {
		/* The final dot comes when qmgr does not answer any more. */
		*dot = 0;
		say(f, enter);
		f->silent = true;
		*dot = '.';
		say(f, dot);
	} else {
		say(f, enter);
	}
	free(enter);
	bool good = last_is(f, phases[ph].last);
	say(f, rows[row].say);
	say(f, "\r\n");
	if (ph == COMMIT) {
		good &= !buf_len(&f->to_client);
		f->silent = false;
		fake_pump(f);
		good &= span_startswith(buf_span(&f->to_client), SPAN("250 2.0.0 S"));
	}
	if (ends) {
		good &= last_is(f, "501 5.5.4 Syntax: BDAT size [LAST]") && f->server_shut;
	} else {
		good &= last_is(f, want);
		say(f, want && span_startswith(span_str(want), SPAN("354")) ? ".\r\n" : "");
		buf_eat(&f->to_client, buf_len(&f->to_client));
		say(f, "QUIT\r\n");
		good &= last_is(f, "221 2.0.0 Bye");
	}
	ok(good, "%s: \"%.*s\"", phases[ph].name, (int)strcspn(rows[row].say, "\r"), rows[row].say);
	fake_disconnect(f);
}

int main(void)
{
	static struct fake f;

	log_set_level(0);
	smtps_stats_define();
	stats_thread();
	if (!fake_init(
		    &f, tap_tmpdir(),
		    "flags = { access };"
		    "max_bad_commands_per_session = 100; max_bad_commands_per_transaction = 100;"))
		return 1;
	f.rule[0] = (struct fake_rule){ "rcpt", "bad*", "550 5.1.1 No", MSG_ACT_ERROR, false };
	f.rule[1] = (struct fake_rule){ "client", "*", "550 5.7.1 Go away", MSG_ACT_CONT, false };
	f.rules = 2;
	for (enum phase ph = START; ph < PHASES; ph++)
		for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
			check(&f, ph, i);
	ok(!f.host.session_count && !f.host.rcpt_count && !f.wait_count, "nothing is left over");
	fake_free(&f);
	return plan_done();
}
