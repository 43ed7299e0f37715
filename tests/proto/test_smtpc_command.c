#include "proto/smtpc_command.h"

#include "tests/tap.h"

#include <stdio.h>

enum {
	ALL = EHLO_PIPELINING | EHLO_SIZE | EHLO_8BITMIME | EHLO_CHUNKING | EHLO_BINARYMIME |
	      EHLO_DSN | EHLO_SMTPUTF8
};

struct row {
	const char *name;
	uint32_t caps;
	uint64_t size_max;
	uint32_t content_flags;
	bool send_8bit;
	struct envelope env;
	struct env_rcpt rcpt;
	const char *mail, *rcpt_line; /* NULL: refused */
	const char *refused;          /* begin of the text */
};

#define SENDER .sender = SPAN("s@y.test")
#define RCPT   .rcpt = { .addr = SPAN("a@x.test") }

static const struct row rows[] = {
	{ .name = "nothing offered",
	  .env = { SENDER },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test>\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "null sender",
	  .caps = EHLO_SIZE,
	  RCPT,
	  .mail = "MAIL FROM:<> SIZE=90\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "size fits exactly",
	  .caps = EHLO_SIZE,
	  .size_max = 90,
	  .env = { SENDER },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test> SIZE=90\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "too large",
	  .caps = EHLO_SIZE,
	  .size_max = 89,
	  .env = { SENDER },
	  RCPT,
	  .refused = "5.3.4 next hop takes messages up to 89 bytes" },
	{ .name = "8-bit content, 8BITMIME",
	  .caps = EHLO_8BITMIME,
	  .content_flags = CDB_8BIT,
	  .env = { SENDER },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test> BODY=8BITMIME\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "8-bit content, no 8BITMIME",
	  .content_flags = CDB_8BIT,
	  .env = { SENDER, .body = ENV_BODY_8BITMIME },
	  RCPT,
	  .refused = "5.6.3" },
	{ .name = "8-bit content, no 8BITMIME, send_8bit",
	  .content_flags = CDB_8BIT,
	  .send_8bit = true,
	  .env = { SENDER, .body = ENV_BODY_8BITMIME },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test>\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "seven-bit content with BODY=8BITMIME never bounces",
	  .env = { SENDER, .body = ENV_BODY_8BITMIME },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test>\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "BODY=8BITMIME is passed on",
	  .caps = EHLO_8BITMIME,
	  .env = { SENDER, .body = ENV_BODY_8BITMIME },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test> BODY=8BITMIME\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "binary",
	  .caps = EHLO_CHUNKING | EHLO_BINARYMIME,
	  .content_flags = CDB_RAW | CDB_8BIT,
	  .env = { SENDER, .body = ENV_BODY_BINARYMIME },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test> BODY=BINARYMIME\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "binary without BINARYMIME",
	  .caps = EHLO_CHUNKING | EHLO_8BITMIME,
	  .content_flags = CDB_RAW,
	  .env = { SENDER, .body = ENV_BODY_BINARYMIME },
	  RCPT,
	  .refused = "5.6.1" },
	{ .name = "binary without CHUNKING",
	  .caps = EHLO_BINARYMIME,
	  .content_flags = CDB_RAW,
	  .env = { SENDER, .body = ENV_BODY_BINARYMIME },
	  RCPT,
	  .refused = "5.6.1" },
	{ .name = "SMTPUTF8 sender",
	  .caps = EHLO_SMTPUTF8 | EHLO_8BITMIME,
	  .env = { .sender = SPAN("\xd0\xb0@y.test"), .flags = ENV_SMTPUTF8 },
	  RCPT,
	  .mail = "MAIL FROM:<\xd0\xb0@y.test> SMTPUTF8\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "SMTPUTF8 sender, not offered",
	  .caps = EHLO_8BITMIME,
	  .env = { .sender = SPAN("\xd0\xb0@y.test"), .flags = ENV_SMTPUTF8 },
	  RCPT,
	  .refused = "553 5.6.7" },
	{ .name = "SMTPUTF8 recipient, not offered",
	  .caps = EHLO_8BITMIME,
	  .env = { SENDER, .flags = ENV_SMTPUTF8 },
	  .rcpt = { .addr = SPAN("\xd0\xb0@x.test") },
	  .refused = "553 5.6.7" },
	{ .name = "SMTPUTF8 header perhaps, not offered",
	  .caps = EHLO_8BITMIME,
	  .content_flags = CDB_8BIT,
	  .env = { SENDER, .flags = ENV_SMTPUTF8 },
	  RCPT,
	  .refused = "553 5.6.7" },
	{ .name = "SMTPUTF8 asked for without need, not offered",
	  .caps = EHLO_8BITMIME,
	  .env = { SENDER, .flags = ENV_SMTPUTF8 },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test>\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "ORCPT with UTF-8",
	  .caps = EHLO_SMTPUTF8 | EHLO_DSN,
	  .env = { SENDER, .flags = ENV_SMTPUTF8 },
	  .rcpt = { .addr = SPAN("a@x.test"), .orcpt = SPAN("utf-8;\xc3\xa9@x.test") },
	  .mail = "MAIL FROM:<s@y.test> SMTPUTF8\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test> ORCPT=utf-8;\xc3\xa9@x.test\r\n" },
	{ .name = "ORCPT with UTF-8 to a host without SMTPUTF8: the 7-bit form",
	  .caps = EHLO_DSN,
	  .env = { SENDER, .flags = ENV_SMTPUTF8 },
	  .rcpt = { .addr = SPAN("a@x.test"), .orcpt = SPAN("utf-8;\xc3\xa9\\x{2B}@x.test") },
	  .mail = "MAIL FROM:<s@y.test>\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test> ORCPT=utf-8;\\x{E9}\\x{2B}@x.test\r\n" },
	{ .name = "SMTPUTF8 asked for without need, offered",
	  .caps = EHLO_SMTPUTF8,
	  .env = { SENDER, .flags = ENV_SMTPUTF8 },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test> SMTPUTF8\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "DSN",
	  .caps = EHLO_DSN,
	  .env = { SENDER, .ret = ENV_RET_HDRS, .envid = SPAN("QQ+20314159") },
	  .rcpt = { .addr = SPAN("a@x.test"),
		    .orcpt = SPAN("rfc822;o+2Ba@x.test"),
		    .notify = ENV_NOTIFY_SUCCESS | ENV_NOTIFY_FAILURE | ENV_NOTIFY_DELAY },
	  .mail = "MAIL FROM:<s@y.test> RET=HDRS ENVID=QQ+20314159\r\n",
	  .rcpt_line =
		  "RCPT TO:<a@x.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;o+2Ba@x.test\r\n" },
	{ .name = "DSN never, RET=FULL",
	  .caps = EHLO_DSN,
	  .env = { SENDER, .ret = ENV_RET_FULL },
	  .rcpt = { .addr = SPAN("a@x.test"), .notify = ENV_NOTIFY_NEVER },
	  .mail = "MAIL FROM:<s@y.test> RET=FULL\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test> NOTIFY=NEVER\r\n" },
	{ .name = "DSN not offered",
	  .env = { SENDER, .ret = ENV_RET_FULL, .envid = SPAN("x") },
	  .rcpt = { .addr = SPAN("a@x.test"),
		    .orcpt = SPAN("rfc822;a"),
		    .notify = ENV_NOTIFY_NEVER },
	  .mail = "MAIL FROM:<s@y.test>\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "a parameter that is none is left out",
	  .caps = EHLO_DSN,
	  .env = { SENDER, .envid = SPAN("x SIZE=0") },
	  .rcpt = { .addr = SPAN("a@x.test"), .orcpt = SPAN("rfc822;a\r\nDATA") },
	  .mail = "MAIL FROM:<s@y.test>\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
	{ .name = "quoted local part as it is",
	  .env = { .sender = SPAN("\"s \\\" x>\"@y.test") },
	  .rcpt = { .addr = SPAN("Postmaster") },
	  .mail = "MAIL FROM:<\"s \\\" x>\"@y.test>\r\n",
	  .rcpt_line = "RCPT TO:<Postmaster>\r\n" },
	{ .name = "line end in the sender",
	  .env = { .sender = SPAN("s@y.test>\r\nRCPT TO:<v@z.test") },
	  RCPT,
	  .refused = "5.1.7" },
	{ .name = "line end in the recipient",
	  .env = { SENDER },
	  .rcpt = { .addr = SPAN("a@x.test>\nRCPT TO:<v@z.test") },
	  .refused = "5.1.3" },
	{ .name = "everything",
	  .caps = ALL,
	  .content_flags = CDB_8BIT,
	  .env = { SENDER, .flags = ENV_SMTPUTF8, .ret = ENV_RET_FULL, .envid = SPAN("e") },
	  RCPT,
	  .mail = "MAIL FROM:<s@y.test> SIZE=90 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=e\r\n",
	  .rcpt_line = "RCPT TO:<a@x.test>\r\n" },
};

static void start(struct smtpc_job *j, struct smtpc_rcpt *state, const struct envelope *e,
		  struct env_rcpt *rcpt, uint32_t n, uint32_t flags)
{
	memset(j, 0, sizeof *j);
	memset(state, 0, n * sizeof *state);
	j->arena = arena_new();
	j->env = *e;
	j->env.rcpt = rcpt;
	j->env.rcpt_count = j->open_count = n;
	j->rcpt = state;
	j->rec.head = (struct cdb_head){ .content_bytes = 100, .dots = 10, .flags = flags };
}

static void is_text(struct buf *b, const char *want, const char *name)
{
	buf_add(b, "", 1);
	is_str(b->p + b->r, want, name);
	buf_eat(b, buf_len(b));
}

static void run(const struct row *row)
{
	struct smtpc_job j;
	struct smtpc_rcpt state;
	struct env_rcpt rcpt = row->rcpt;
	struct ehlo e = { .caps = row->caps, .size_max = row->size_max };
	struct buf b = { 0 };

	start(&j, &state, &row->env, &rcpt, 1, row->content_flags);
	smtpc_command_check(&j, &e, row->send_8bit);
	if (row->refused) {
		char text[200];

		span_cstr(state.reply, text, sizeof text);
		ok(state.set && state.skip && state.outcome == MSG_FAILED &&
			   state.stage == MSG_AT_CONTENT &&
			   !strncmp(text, row->refused, strlen(row->refused)),
		   "%s: refused with '%s'", row->name, text);
	} else if (ok(!state.set && !state.skip, "%s: can be sent", row->name)) {
		smtpc_command_mail(&j, &e, &b);
		is_text(&b, row->mail, row->name);
		smtpc_command_rcpt(&j, &e, 0, &b);
		is_text(&b, row->rcpt_line, row->name);
	}
	buf_release(&b);
	arena_free(j.arena);
}

static void test_some(void)
{
	struct smtpc_job j;
	struct smtpc_rcpt state[4];
	struct env_rcpt rcpt[4] = { { .addr = SPAN("a@x.test") },
				    { .addr = SPAN("\xc3\xa4@x.test") },
				    { .addr = SPAN("c@x.test") },
				    { .addr = SPAN("d@x.test") } };
	struct envelope env = { SENDER };
	struct ehlo e = { .rcpt_max = 2 };

	start(&j, state, &env, rcpt, 4, 0);
	smtpc_command_check(&j, &e, false);
	ok(!state[0].skip && !state[2].skip, "two are named");
	ok(state[1].skip && state[1].outcome == MSG_FAILED, "one needs SMTPUTF8");
	ok(state[3].skip && !state[3].set, "RCPTMAX=2: the last one in the next transaction");
	is_int(j.open_count, 3, "three are open");
	smtpc_job_set(&j, 0, MSG_DONE, MSG_AT_DOT, SPAN("250 ok"));
	smtpc_command_check(&j, &e, false);
	ok(state[0].skip && !state[2].skip && !state[3].skip, "who is left is named then");
	arena_free(j.arena);
}

static void test_domains(void)
{
	struct smtpc_job j;
	struct smtpc_rcpt state[20];
	struct env_rcpt rcpt[20] = { 0 };
	char name[20][16];
	struct envelope env = { SENDER };
	struct ehlo e = { .rcpt_domain_max = 2 };
	unsigned named = 0;

	for (int i = 0; i < 20; i++) {
		snprintf(name[i], sizeof name[i], "u%d@%c.test", i, i % 2 ? 'a' + i / 2 : 'A');
		rcpt[i].addr = span_str(name[i]);
	}
	start(&j, state, &env, rcpt, 20, 0);
	smtpc_command_check(&j, &e, false);
	for (int i = 0; i < 20; i++)
		named += !state[i].skip;
	ok(!state[0].skip && !state[1].skip && !state[3].skip && state[5].skip && !state[18].skip,
	   "RCPTDOMAINMAX=2: two domains are named, without regard to case");
	is_int(named, 12, "all of theirs");
	e.rcpt_domain_max = 999999;
	smtpc_command_check(&j, &e, false);
	for (int i = 0; i < 20; i++)
		ok(!state[i].skip, "a limit that is not reached");
	arena_free(j.arena);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		run(&rows[i]);
	test_some();
	test_domains();
	return plan_done();
}
