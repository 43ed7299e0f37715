/* Dialogues of a session with a next hop that answers by a script: every reply at every stage. */
#include "proto/smtpc_session.h"

#include "tests/proto/smtpc_fake.h"

#define D      MSG_DONE
#define L      MSG_LATER
#define P      MSG_FAILED
#define NO_EXT (const char *)""

/* Two recipients a@x.test and b@x.test, content of two lines. */
struct dialogue {
	const char *name;
	const char *ehlo; /* NULL: the usual */
	struct fake_rule rule[3];
	uint8_t a, b; /* outcomes */
	uint8_t stage_a, stage_b;
	const char *reply_a; /* begin of the text */
	bool failure;
	uint8_t conn;
	const char *log; /* NULL: not looked at */
	int messages;    /* taken by the server */
};

static const char usual_log[] = "EHLO mx.example.org\n"
				"MAIL FROM:<s@y.test> SIZE=12\n"
				"RCPT TO:<a@x.test>\n"
				"RCPT TO:<b@x.test>\n"
				"DATA\n";

static const struct dialogue dialogues[] = {
	{ .name = "all is accepted",
	  .a = D,
	  .b = D,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .conn = 1,
	  .reply_a = "250 2.0.0 queued",
	  .log = usual_log,
	  .messages = 1 },
	{ .name = "odd replies of the right class",
	  .rule = { { "mail", 0, 0, "250" },
		    { "rcpt", 0, 0, "251 will forward" },
		    { "dot", 0, 0, "299 fine" } },
	  .a = D,
	  .b = D,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .conn = 1,
	  .reply_a = "299 fine",
	  .messages = 1 },
	{ .name = "no extensions",
	  .ehlo = NO_EXT,
	  .a = D,
	  .b = D,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .conn = 1,
	  .reply_a = "250 2.0.0",
	  .log = "EHLO mx.example.org\nMAIL FROM:<s@y.test>\nRCPT TO:<a@x.test>\nRCPT TO:<b@x.test>\nDATA\n",
	  .messages = 1 },
	{ .name = "EHLO 500",
	  .rule = { { "ehlo", 0, 0, "500 what" } },
	  .a = D,
	  .b = D,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .conn = 1,
	  .reply_a = "250",
	  .log = "EHLO mx.example.org\nHELO mx.example.org\nMAIL FROM:<s@y.test>\nRCPT TO:<a@x.test>\n"
		 "RCPT TO:<b@x.test>\nDATA\n",
	  .messages = 1 },
	{ .name = "EHLO 550 and HELO 550",
	  .rule = { { "ehlo", 0, 0, "550 no" }, { "helo", 0, 0, "550 5.7.1 no" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_EHLO,
	  .stage_b = MSG_AT_EHLO,
	  .reply_a = "550 5.7.1 no",
	  .failure = true,
	  .log = "EHLO mx.example.org\nHELO mx.example.org\nQUIT\n" },
	{ .name = "EHLO 451",
	  .rule = { { "ehlo", 0, 0, "451 4.3.0 not now" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_EHLO,
	  .stage_b = MSG_AT_EHLO,
	  .reply_a = "451",
	  .failure = true,
	  .log = "EHLO mx.example.org\nQUIT\n" },
	{ .name = "EHLO 421",
	  .rule = { { "ehlo", 0, 0, "421 bye@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_EHLO,
	  .stage_b = MSG_AT_EHLO,
	  .reply_a = "421 bye",
	  .failure = true,
	  .log = "EHLO mx.example.org\n" },
	{ .name = "EHLO garbage",
	  .rule = { { "ehlo", 0, 0, "hello" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_EHLO,
	  .stage_b = MSG_AT_EHLO,
	  .reply_a = "4.5.0 next hop broke the protocol: hello",
	  .failure = true },
	{ .name = "EHLO close",
	  .rule = { { "ehlo", 0, 0, "@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_EHLO,
	  .stage_b = MSG_AT_EHLO,
	  .reply_a = "4.4.2 connection with 127.0.0.1 lost: closed",
	  .failure = true },
	{ .name = "EHLO stall",
	  .rule = { { "ehlo", 0, 0, "@stall" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_EHLO,
	  .stage_b = MSG_AT_EHLO,
	  .reply_a = "4.4.2 next hop did not answer in time",
	  .failure = true },
	{ .name = "greeting 421",
	  .rule = { { "connect", 0, 0, "421 4.3.2 not now@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_GREETING,
	  .stage_b = MSG_AT_GREETING,
	  .reply_a = "421 4.3.2 not now",
	  .failure = true,
	  .log = "" },
	{ .name = "greeting 450",
	  .rule = { { "connect", 0, 0, "450 busy" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_GREETING,
	  .stage_b = MSG_AT_GREETING,
	  .reply_a = "450 busy",
	  .failure = true,
	  .log = "QUIT\n" },
	{ .name = "greeting 554",
	  .rule = { { "connect", 0, 0, "554 5.3.2 no service" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_GREETING,
	  .stage_b = MSG_AT_GREETING,
	  .reply_a = "554 5.3.2 no service",
	  .failure = true,
	  .log = "QUIT\n" },
	{ .name = "greeting garbage",
	  .rule = { { "connect", 0, 0, "SSH-2.0-OpenSSH" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_GREETING,
	  .stage_b = MSG_AT_GREETING,
	  .reply_a = "4.5.0",
	  .failure = true,
	  .log = "" },
	{ .name = "greeting 354",
	  .rule = { { "connect", 0, 0, "354 odd" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_GREETING,
	  .stage_b = MSG_AT_GREETING,
	  .reply_a = "354 odd",
	  .failure = true },
	{ .name = "greeting close",
	  .rule = { { "connect", 0, 0, "@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_GREETING,
	  .stage_b = MSG_AT_GREETING,
	  .reply_a = "4.4.2 connection",
	  .failure = true },
	{ .name = "greeting stall",
	  .rule = { { "connect", 0, 0, "@stall" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_GREETING,
	  .stage_b = MSG_AT_GREETING,
	  .reply_a = "4.4.2 next hop did not",
	  .failure = true },

	{ .name = "MAIL 451",
	  .rule = { { "mail", 0, 0, "451 4.3.0 later" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "451 4.3.0 later",
	  .conn = 1 },
	{ .name = "MAIL 554",
	  .rule = { { "mail", 0, 0, "554 5.3.0 never" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "554 5.3.0 never",
	  .conn = 1 },
	{ .name = "MAIL 554 without pipelining",
	  .ehlo = NO_EXT,
	  .rule = { { "mail", 0, 0, "554 5.3.0 never" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "554 5.3.0 never",
	  .conn = 1,
	  .log = "EHLO mx.example.org\nMAIL FROM:<s@y.test>\n" },
	{ .name = "MAIL 554, everything pipelined 503",
	  .rule = { { "mail", 0, 0, "554 never" },
		    { "rcpt", 0, 0, "503 no" },
		    { "data", 0, 0, "503 no" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "554 never",
	  .conn = 1 },
	{ .name = "MAIL 554, but then 354",
	  .rule = { { "mail", 0, 0, "554 never" }, { "data", 0, 0, "354 go" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "554 never",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "MAIL 421",
	  .rule = { { "mail", 0, 0, "421 4.3.2 closing@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "421 4.3.2 closing" },
	{ .name = "MAIL garbage",
	  .rule = { { "mail", 0, 0, "999 nonsense" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "4.5.0 next hop broke the protocol: 999 nonsense" },
	{ .name = "MAIL 354",
	  .rule = { { "mail", 0, 0, "354 go" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "4.5.0" },
	{ .name = "MAIL close",
	  .rule = { { "mail", 0, 0, "@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "4.4.2 connection" },
	{ .name = "MAIL reset",
	  .rule = { { "mail", 0, 0, "@reset" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "4.4.2 connection" },
	{ .name = "MAIL stall",
	  .rule = { { "mail", 0, 0, "@stall" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_MAIL,
	  .stage_b = MSG_AT_MAIL,
	  .reply_a = "4.4.2 next hop did not" },

	{ .name = "RCPT 450 and 250",
	  .rule = { { "rcpt", "a@x", 0, "450 4.2.1 later" } },
	  .a = L,
	  .b = D,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "450 4.2.1 later",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "RCPT 550 and 250",
	  .rule = { { "rcpt", "a@x", 0, "550 5.1.1 no" } },
	  .a = P,
	  .b = D,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "550 5.1.1 no",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "RCPT 550 and 450",
	  .rule = { { "rcpt", "a@x", 0, "550 5.1.1 no" }, { "rcpt", 0, 0, "450 x" } },
	  .a = P,
	  .b = L,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "550 5.1.1 no",
	  .conn = 1 },
	{ .name = "RCPT 550 twice, DATA 503",
	  .rule = { { "rcpt", 0, 0, "550 5.1.1 no" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "550 5.1.1 no",
	  .conn = 1 },
	{ .name = "RCPT 550 twice, DATA 354: only a dot",
	  .rule = { { "rcpt", 0, 0, "550 5.1.1 no" }, { "data", 0, 0, "354 go" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "550 5.1.1 no",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "RCPT 550 twice without pipelining",
	  .ehlo = NO_EXT,
	  .rule = { { "rcpt", 0, 0, "550 5.1.1 no" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "550 5.1.1 no",
	  .conn = 1,
	  .log = "EHLO mx.example.org\nMAIL FROM:<s@y.test>\nRCPT TO:<a@x.test>\nRCPT TO:<b@x.test>\n" },
	{ .name = "RCPT 552 means later",
	  .rule = { { "rcpt", "a@x", 0, "552 too many" } },
	  .a = L,
	  .b = D,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "552 too many",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "RCPT 552 5.5.3 means later",
	  .rule = { { "rcpt", "a@x", 0, "552 5.5.3 too many" } },
	  .a = L,
	  .b = D,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "552 5.5.3",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "RCPT 552 5.2.2 does not",
	  .rule = { { "rcpt", "a@x", 0, "552 5.2.2 full" } },
	  .a = P,
	  .b = D,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "552 5.2.2",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "RCPT 421 at the second",
	  .rule = { { "rcpt", "b@x", 0, "421 4.7.0 enough@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "421 4.7.0 enough" },
	{ .name = "RCPT 550, then 421",
	  .rule = { { "rcpt", "a@x", 0, "550 5.1.1 no" },
		    { "rcpt", "b@x", 0, "421 enough@close" } },
	  .a = P,
	  .b = L,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "550 5.1.1 no" },
	{ .name = "RCPT garbage at the second",
	  .rule = { { "rcpt", "b@x", 0, "xyz" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "4.5.0 next hop broke the protocol: xyz" },
	{ .name = "RCPT close at the second",
	  .rule = { { "rcpt", "b@x", 0, "@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "4.4.2 connection" },
	{ .name = "RCPT stall at the second",
	  .rule = { { "rcpt", "b@x", 0, "@stall" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_RCPT,
	  .reply_a = "4.4.2 next hop did not" },
	{ .name = "RCPT in many lines",
	  .rule = { { "rcpt", "a@x", 0, "550-5.1.1 one\r\n550 5.1.1 two" } },
	  .a = P,
	  .b = D,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "550 5.1.1 one / two",
	  .conn = 1,
	  .messages = 1 },

	{ .name = "DATA 451",
	  .rule = { { "data", 0, 0, "451 4.3.0 later" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DATA,
	  .stage_b = MSG_AT_DATA,
	  .reply_a = "451 4.3.0 later",
	  .conn = 1 },
	{ .name = "DATA 554",
	  .rule = { { "data", 0, 0, "554 5.3.0 never" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_DATA,
	  .stage_b = MSG_AT_DATA,
	  .reply_a = "554 5.3.0 never",
	  .conn = 1 },
	{ .name = "DATA 421",
	  .rule = { { "data", 0, 0, "421 closing@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DATA,
	  .stage_b = MSG_AT_DATA,
	  .reply_a = "421 closing" },
	{ .name = "DATA 250",
	  .rule = { { "data", 0, 0, "250 ok" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DATA,
	  .stage_b = MSG_AT_DATA,
	  .reply_a = "4.5.0 next hop broke the protocol: 250 ok" },
	{ .name = "DATA garbage",
	  .rule = { { "data", 0, 0, "354go" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DATA,
	  .stage_b = MSG_AT_DATA,
	  .reply_a = "4.5.0" },
	{ .name = "DATA close",
	  .rule = { { "data", 0, 0, "@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DATA,
	  .stage_b = MSG_AT_DATA,
	  .reply_a = "4.4.2 connection" },
	{ .name = "DATA stall",
	  .rule = { { "data", 0, 0, "@stall" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DATA,
	  .stage_b = MSG_AT_DATA,
	  .reply_a = "4.4.2 next hop did not" },

	{ .name = "dot 451",
	  .rule = { { "dot", 0, 0, "451 4.3.0 later" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "451 4.3.0 later",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "dot 554",
	  .rule = { { "dot", 0, 0, "554 5.3.0 never" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "554 5.3.0 never",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "dot 552",
	  .rule = { { "dot", 0, 0, "552 too large" } },
	  .a = P,
	  .b = P,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "552 too large",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "dot 354",
	  .rule = { { "dot", 0, 0, "354 more" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "4.5.0",
	  .messages = 1 },
	{ .name = "dot 421",
	  .rule = { { "dot", 0, 0, "421 4.3.2 closing@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "421 4.3.2 closing",
	  .messages = 1 },
	{ .name = "dot garbage",
	  .rule = { { "dot", 0, 0, "ok" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "4.5.0",
	  .messages = 1 },
	{ .name = "dot close",
	  .rule = { { "dot", 0, 0, "@close" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "4.4.2 connection",
	  .messages = 1 },
	{ .name = "dot stall",
	  .rule = { { "dot", 0, 0, "@stall" } },
	  .a = L,
	  .b = L,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "4.4.2 next hop did not",
	  .messages = 1 },
	{ .name = "dot 250 and closed",
	  .rule = { { "dot", 0, 0, "250 2.0.0 queued@close" } },
	  .a = D,
	  .b = D,
	  .stage_a = MSG_AT_DOT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "250 2.0.0 queued",
	  .conn = 1,
	  .messages = 1 },
	{ .name = "dot after a refused RCPT",
	  .rule = { { "rcpt", "a@x", 0, "550 5.1.1 no" }, { "dot", 0, 0, "451 x" } },
	  .a = P,
	  .b = L,
	  .stage_a = MSG_AT_RCPT,
	  .stage_b = MSG_AT_DOT,
	  .reply_a = "550 5.1.1 no",
	  .conn = 1,
	  .messages = 1 },
};

static const struct env_rcpt two[] = {
	{ .addr = SPAN("a@x.test"), .idx = 4, .route = ENV_NO_ROUTE },
	{ .addr = SPAN("b@x.test"), .idx = 9, .route = ENV_NO_ROUTE },
};

static const struct envelope usual = { .sender = SPAN("s@y.test"),
				       .rcpt_count = 2,
				       .rcpt = (struct env_rcpt *)two };
static const char text[] = "A: b\r\n\r\n..x\r\n";

static void run_dialogue(const struct dialogue *d)
{
	static struct fake f;
	struct smtpc_settings settings = { .io_timeout_usec = 100000, .remote_port = 25 };

	fake_init(&f, &settings);
	if (d->ehlo) {
		f.ehlo = d->ehlo;
		f.pipelining = false;
	}
	memcpy(f.rule, d->rule, sizeof d->rule);
	is_int(fake_deliver(&f, ROUTE_ESMTP, &usual, text, sizeof text - 1, 1, 0), 0, d->name);
	bool came = fake_wait(&f, 1);
	struct fake_result *r = &f.result[0];
	ok(came && r->count == 2 && r->outcome[0] == d->a && r->outcome[1] == d->b, "%s: outcomes",
	   d->name);
	ok(r->stage[0] == d->stage_a && r->stage[1] == d->stage_b, "%s: stages", d->name);
	ok(!strncmp(r->reply, d->reply_a, strlen(d->reply_a)), "%s: reply", d->name);
	ok(r->failure == d->failure && r->conn == d->conn, "%s: failure %d, connection %u", d->name,
	   r->failure, r->conn);
	if (!strcmp(r->reply, "") || strncmp(r->reply, d->reply_a, strlen(d->reply_a)) ||
	    r->outcome[0] != d->a)
		diag("%u@%u %u@%u '%s' '%s'", r->outcome[0], r->stage[0], r->outcome[1],
		     r->stage[1], r->reply, r->last);
	/* What stalls is not read again; all others see the end of the session, or QUIT after the
	 * idle time. */
	f.deaf = false;
	smtpc_engine_stop(&f.engine);
	ok(fake_wait_open(&f, 0), "%s: closed at last", d->name);
	if (d->log) {
		const char *log = fake_log(&f);

		ok(!strncmp(log, d->log, strlen(d->log)), "%s: commands", d->name);
		if (strncmp(log, d->log, strlen(d->log)))
			diag("%s", log);
	}
	is_int(f.messages, d->messages, "content was sent as often as it should");
	is_int(f.anomalies, 0, "nothing out of place");
	if (d->messages && d->b == D)
		is_mem(buf_span(&f.content).p, buf_span(&f.content).n, "A: b\r\n\r\n..x\r\n.\r\n",
		       16, "content");
	is_int(f.result_count, 1, "one result");
	fake_free(&f);
}

static void test_refused(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	fake_unlisten(&f);
	fake_deliver(&f, ROUTE_ESMTP, &usual, text, sizeof text - 1, 1, 0);
	ok(fake_wait(&f, 1), "connection refused: a result");
	struct fake_result *r = &f.result[0];
	ok(r->outcome[0] == L && r->stage[0] == MSG_AT_CONNECT && r->failure &&
		   r->conn == MSG_CONN_CLOSED,
	   "later, at CONNECT, counts against the host");
	is_str(r->reply, "4.4.1 cannot connect to 127.0.0.1: Connection refused", "why");
	fake_free(&f);
}

static void test_no_address(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	f.addr.family = ADDR_NONE;
	fake_deliver(&f, ROUTE_ESMTP, &usual, text, sizeof text - 1, 1, 0);
	ok(fake_wait(&f, 1) && f.result[0].outcome[0] == L &&
		   f.result[0].stage[0] == MSG_AT_CONNECT,
	   "no address: later");
	fake_free(&f);
}

static void test_only_to(void)
{
	static struct fake f;
	struct smtpc_settings settings = { 0 };
	struct addr real;

	fake_init(&f, &settings);
	real = f.addr;
	f.engine.setup.settings.connect_only_to = real;
	f.engine.setup.settings.remote_port = real.port;
	f.addr = (struct addr){ .family = ADDR_IPV4, .ip = { 192, 0, 2, 1 } };
	fake_deliver(&f, ROUTE_ESMTP, &usual, text, sizeof text - 1, 1, 0);
	ok(fake_wait(&f, 1) && f.result[0].outcome[0] == D, "connect_only_to and remote_port");
	fake_free(&f);
}

static void test_limits(void)
{
	struct smtpc_settings rfc = { 0 }, own = { .io_timeout_usec = SMTPC_SEC(7) };
	static const struct {
		enum msg_stage stage;
		int sec;
	} rows[] = { { MSG_AT_GREETING, 300 }, { MSG_AT_MAIL, 300 },    { MSG_AT_RCPT, 300 },
		     { MSG_AT_DATA, 120 },     { MSG_AT_CONTENT, 180 }, { MSG_AT_DOT, 600 } };

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		is_int(smtpc_session_limit(&rfc, rows[i].stage), SMTPC_SEC(rows[i].sec),
		       msg_stage_name(rows[i].stage));
		is_int(smtpc_session_limit(&own, rows[i].stage), SMTPC_SEC(7),
		       "io_timeout counts for all");
	}
}

int main(void)
{
	for (size_t i = 0; i < sizeof dialogues / sizeof dialogues[0]; i++)
		run_dialogue(&dialogues[i]);
	test_refused();
	test_no_address();
	test_only_to();
	test_limits();
	return plan_done();
}
