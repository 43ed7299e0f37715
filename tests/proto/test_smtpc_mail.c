/* Transactions: content of every kind, LMTP, many recipients, servers that end in the middle. */
#include "proto/smtpc_mail.h"

#include "tests/proto/smtpc_fake.h"

static const struct env_rcpt three[] = {
	{ .addr = SPAN("a@x.test"), .idx = 0, .route = ENV_NO_ROUTE },
	{ .addr = SPAN("b@x.test"), .idx = 1, .route = ENV_NO_ROUTE },
	{ .addr = SPAN("c@x.test"), .idx = 2, .route = ENV_NO_ROUTE },
};
static const struct envelope usual = { .sender = SPAN("s@y.test"),
				       .rcpt_count = 1,
				       .rcpt = (struct env_rcpt *)three };
static const struct envelope triple = { .sender = SPAN("s@y.test"),
					.rcpt_count = 3,
					.rcpt = (struct env_rcpt *)three };

/* Lines of different lengths, some with a stuffed dot. Returns the bytes. */
static size_t lines(char *dst, size_t n, uint64_t *dots)
{
	size_t at = 0;

	*dots = 0;
	for (unsigned i = 0; at + 100 < n; i++) {
		if (i % 7 == 0) {
			dst[at++] = '.';
			dst[at++] = '.';
			++*dots;
		}
		at += (size_t)sprintf(
			dst + at, "%08u %.*s\r\n", i, (int)(i % 60),
			"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij");
	}
	return at;
}

struct content {
	const char *name, *in, *out;
	uint32_t flags;
	const char *ehlo;
	const char *command; /* must be among the commands */
};

static const struct content contents[] = {
	{ "empty", "", ".\r\n", 0, NULL, "DATA\n" },
	{ "one line", "x\r\n", "x\r\n.\r\n", 0, NULL, "DATA\n" },
	{ "without a line end", "x", "x\r\n.\r\n", 0, NULL, "DATA\n" },
	{ "ends in CR", "x\r", "x\r\r\n.\r\n", 0, NULL, "DATA\n" },
	{ "a stuffed dot alone", "..\r\n", "..\r\n.\r\n", 0, NULL, "DATA\n" },
	{ "raw", "a\nb\r.\r\n", "a\nb\r.\r\n", CDB_RAW, "PIPELINING\nCHUNKING\nBINARYMIME\n",
	  "BDAT 7 LAST\n" },
	{ "raw, empty", "", "", CDB_RAW, "PIPELINING\nCHUNKING\nBINARYMIME\n", "BDAT 0 LAST\n" },
	{ "raw, lock-step", "a\nb", "a\nb", CDB_RAW, "CHUNKING\nBINARYMIME\n", "BDAT 3 LAST\n" },
};

static void test_contents(void)
{
	for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
		const struct content *c = &contents[i];
		static struct fake f;

		fake_init(&f, NULL);
		if (c->ehlo) {
			f.ehlo = c->ehlo;
			f.pipelining = strstr(c->ehlo, "PIPELINING");
		}
		fake_deliver(&f, ROUTE_ESMTP, &usual, c->in, strlen(c->in), 0, c->flags);
		ok(fake_wait(&f, 1) && f.result[0].outcome[0] == MSG_DONE, "content %s: delivered",
		   c->name);
		is_mem(buf_span(&f.content).p, buf_span(&f.content).n, c->out, strlen(c->out),
		       c->name);
		ok(strstr(fake_log(&f), c->command) != NULL, "content %s: command", c->name);
		is_int(f.anomalies, 0, "nothing out of place");
		fake_free(&f);
	}
}

static void test_large(size_t n, uint8_t mailer, const char *name)
{
	static struct fake f;
	char *p = malloc(n + 200);
	uint64_t dots;
	size_t len = lines(p, n, &dots);

	fake_init(&f, NULL);
	if (mailer == ROUTE_LMTP_LOCAL) {
		int fd = sock_listen_unix(f.unix_path, 0600);

		fake_unlisten(&f);
		loop_io_add(f.loop, &f.listen, fd, EPOLLIN);
	}
	f.lmtp = mailer != ROUTE_ESMTP;
	fake_deliver(&f, mailer, &usual, p, len, dots, 0);
	ok(fake_wait(&f, 1) && f.result[0].outcome[0] == MSG_DONE, "%s: %zu bytes delivered", name,
	   len);
	memcpy(p + len, ".\r\n", 3);
	ok(span_eq(buf_span(&f.content), span_of(p, len + 3)), "%s: every byte as it was", name);
	fake_free(&f);
	free(p);
}

static void test_unreadable(void)
{
	static struct fake f;
	struct buf b = { 0 };
	struct msg_deliver d = { .attempt = 1, .ta = 0x100, .mailer = ROUTE_ESMTP, .len = 200 };
	char path[CDB_PATH_MAX];

	fake_init(&f, NULL);
	envelope_encode(&usual, &b);
	d.envelope = buf_span(&b);
	d.host = f.addr;
	is_int(smtpc_engine_deliver(&f.engine, &d), 0, "content that is not there");
	ok(f.result_count == 1 && f.result[0].outcome[0] == MSG_LATER &&
		   f.result[0].stage[0] == MSG_AT_CONTENT && !f.result[0].failure,
	   "later, at once");
	is_str(f.result[0].reply, "4.3.0 content not readable", "why");
	fake_content(&f, 0x200, "x\r\n", 3, 0, 0, &d);
	d.ta = 0x200;
	cdb_file_path(f.base, d.ta, path);
	int fd = open(path, O_WRONLY);
	ok(pwrite(fd, "y", 1, 20) == 1, "head is damaged");
	smtpc_engine_deliver(&f.engine, &d);
	ok(f.result_count == 2 && f.result[1].outcome[0] == MSG_FAILED &&
		   f.result[1].stage[0] == MSG_AT_CONTENT,
	   "damaged head: failed, at once");
	fake_content(&f, 0x200, "x\r\n", 3, 0, 0, &d);
	ok(pwrite(fd, "y", 1, CDB_HEAD) == 1, "content is damaged");
	smtpc_engine_deliver(&f.engine, &d);
	ok(fake_wait(&f, 3) && f.result[2].outcome[0] == MSG_FAILED &&
		   f.result[2].stage[0] == MSG_AT_CONTENT && f.result[2].conn == MSG_CONN_CLOSED,
	   "damaged content: failed, connection closed");
	is_int(f.messages, 0, "and no dot was sent");
	close(fd);
	fake_content(&f, 0x200, "x\r\n", 3, 0, CDB_DEAD, &d);
	smtpc_engine_deliver(&f.engine, &d);
	ok(f.result_count == 4 && f.result[3].outcome[0] == MSG_DONE && f.messages == 0,
	   "taken back by its writer: dropped, neither sent nor bounced");
	d.mailer = 77;
	is_int(smtpc_engine_deliver(&f.engine, &d), -EBADMSG, "an unknown mailer");
	d.mailer = ROUTE_ESMTP;
	d.envelope = SPAN("nonsense");
	is_int(smtpc_engine_deliver(&f.engine, &d), -EBADMSG, "an envelope that is none");
	is_int(f.result_count, 4, "have no result");
	buf_release(&b);
	fake_free(&f);
}

/* The file is cut while it is sent. */
/* Too large to be looked at as a whole: the final dot is kept back. */
static void test_damaged_large(size_t n, size_t at)
{
	static struct fake f;
	struct buf b = { 0 };
	struct msg_deliver d = { .attempt = 1, .ta = 0x300, .mailer = ROUTE_ESMTP };
	char path[CDB_PATH_MAX], *p = malloc(n + 200);
	uint64_t dots;
	size_t len = lines(p, n, &dots);

	fake_init(&f, NULL);
	d.host = f.addr;
	envelope_encode(&usual, &b);
	d.envelope = buf_span(&b);
	fake_content(&f, d.ta, p, len, dots, 0, &d);
	cdb_file_path(f.base, d.ta, path);
	int fd = open(path, O_WRONLY);
	ok(pwrite(fd, "\377", 1, (off_t)(CDB_HEAD + at)) == 1, "byte %zu of %zu is damaged", at,
	   len);
	close(fd);
	smtpc_engine_deliver(&f.engine, &d);
	ok(fake_wait(&f, 1) && f.result[0].outcome[0] == MSG_FAILED &&
		   f.result[0].stage[0] == MSG_AT_CONTENT && f.result[0].conn == MSG_CONN_CLOSED,
	   "failed, connection closed");
	fake_wait_open(&f, 0);
	is_int(f.messages, 0, "it never became a message");
	buf_release(&b);
	fake_free(&f);
	free(p);
}

static void test_cut(void)
{
	static struct fake f;
	size_t n = 4 << 20;
	char *p = malloc(n), path[CDB_PATH_MAX];
	uint64_t dots;
	size_t len = lines(p, n, &dots);

	fake_init(&f, NULL);
	f.rule[0] = (struct fake_rule){ "body", NULL, 0, "@stall" };
	cdb_file_path(f.base, f.next_ta << 8, path);
	fake_deliver(&f, ROUTE_ESMTP, &usual, p, len, dots, 0);
	usec_t end = clock_now() + 10 * USEC_PER_SEC;
	while (!f.deaf && clock_now() < end)
		loop_turn(f.loop, 10000);
	ok(truncate(path, 1 << 20) == 0, "content is cut while it is sent");
	f.deaf = false;
	ok(fake_wait(&f, 1) && f.result[0].outcome[0] == MSG_FAILED &&
		   f.result[0].stage[0] == MSG_AT_CONTENT,
	   "failed at CONTENT");
	is_int(f.messages, 0, "no dot was sent");
	fake_free(&f);
	free(p);
}

struct ending {
	const char *name, *stage, *answer, *reply;
	uint8_t outcome;
};

static const struct ending endings[] = {
	{ "552 while the text is sent", "body", "552 5.3.4 too much@close", "552 5.3.4 too much",
	  MSG_FAILED },
	{ "451 while the text is sent", "body", "451 4.3.1 full", "451 4.3.1 full", MSG_LATER },
	{ "421 while the text is sent", "body", "421 bye@close", "421 bye", MSG_LATER },
	{ "250 while the text is sent", "body", "250 2.0.0 queued", "4.5.0", MSG_LATER },
	{ "closed while the text is sent", "body", "@close", "4.4.2", MSG_LATER },
	{ "reset while the text is sent", "body", "@reset", "4.4.2", MSG_LATER },
	{ "250 right behind 354", "data", "354 go\r\n250 2.0.0 queued", "4.5.0", MSG_LATER },
	{ "554 right behind 354", "data", "354 go\r\n554 5.0.0 no", "554 5.0.0 no", MSG_FAILED },
	{ "250 more than asked at MAIL", "mail", "250 ok\r\n250 ok", "4.5.0", MSG_LATER },
	{ "two greetings", "connect", "220 a\r\n220 b", "4.5.0", MSG_LATER },
	{ "endless reply", "mail", NULL, "4.5.0 next hop sent an endless reply", MSG_LATER },
};

static void test_endings(void)
{
	size_t n = 6 << 20;
	char *p = malloc(n), *endless = malloc(300001);
	uint64_t dots;
	size_t len = lines(p, n, &dots);

	memset(endless, 'x', 300000);
	endless[300000] = 0;
	memcpy(endless, "250-", 4);
	for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
		const struct ending *e = &endings[i];
		static struct fake f;
		bool small = strcmp(e->stage, "body");

		fake_init(&f, NULL);
		f.rule[0] =
			(struct fake_rule){ e->stage, NULL, 0, e->answer ? e->answer : endless };
		fake_deliver(&f, ROUTE_ESMTP, &usual, small ? "x\r\n" : p, small ? 3 : len,
			     small ? 0 : dots, 0);
		ok(fake_wait(&f, 1) && f.result[0].outcome[0] == e->outcome &&
			   !strncmp(f.result[0].reply, e->reply, strlen(e->reply)),
		   "%s: outcome", e->name);
		if (f.result[0].outcome[0] != e->outcome ||
		    strncmp(f.result[0].reply, e->reply, strlen(e->reply)))
			diag("%u '%s'", f.result[0].outcome[0], f.result[0].reply);
		is_int(f.result[0].conn, MSG_CONN_CLOSED, "connection is closed");
		is_int(f.messages * !small, 0, "no dot was sent");
		fake_free(&f);
	}
	free(p);
	free(endless);
}

static void test_lmtp(void)
{
	static struct fake f;
	const struct fake_result *r;

	fake_init(&f, NULL);
	r = f.result;
	f.lmtp = true;
	f.rule[0] = (struct fake_rule){ "dot", "b@x", 0, "450 4.2.1 busy" };
	f.rule[1] = (struct fake_rule){ "dot", "c@x", 0, "550 5.2.1 disabled" };
	fake_deliver(&f, ROUTE_LMTP, &triple, "x\r\n", 3, 0, 0);
	ok(fake_wait(&f, 1), "LMTP: a result");
	ok(r->outcome[0] == MSG_DONE && r->outcome[1] == MSG_LATER && r->outcome[2] == MSG_FAILED,
	   "a reply for each recipient");
	is_str(r->last, "550 5.2.1 disabled", "that of the last");
	is_int(r->conn, MSG_CONN_IDLE, "the session is kept");
	ok(!strncmp(fake_log(&f), "LHLO ", 5) && !strstr(fake_log(&f), "EHLO"), "LHLO");
	fake_free(&f);

	fake_init(&f, NULL);
	r = f.result;
	f.lmtp = true;
	f.rule[0] = (struct fake_rule){ "rcpt", "a@x", 0, "550 5.1.1 no" };
	f.rule[1] = (struct fake_rule){ "dot", "c@x", 0, "421 4.3.2 bye@close" };
	fake_deliver(&f, ROUTE_LMTP, &triple, "x\r\n", 3, 0, 0);
	ok(fake_wait(&f, 1), "LMTP, one refused, closed after the first reply");
	ok(r->outcome[0] == MSG_FAILED && r->outcome[1] == MSG_DONE && r->outcome[2] == MSG_LATER,
	   "who was answered keeps the answer");
	ok(r->stage[0] == MSG_AT_RCPT && r->stage[1] == MSG_AT_DOT && r->stage[2] == MSG_AT_DOT,
	   "stages");
	fake_free(&f);

	fake_init(&f, NULL);
	r = f.result;
	f.lmtp = true;
	f.rule[0] = (struct fake_rule){ "ehlo", NULL, 0, "500 what" };
	fake_deliver(&f, ROUTE_LMTP, &triple, "x\r\n", 3, 0, 0);
	ok(fake_wait(&f, 1) && r->outcome[0] == MSG_LATER && r->failure &&
		   !strstr(fake_log(&f), "HELO m"),
	   "LHLO refused: no HELO, later");
	fake_free(&f);

	fake_init(&f, NULL);
	r = f.result;
	f.lmtp = true;
	f.rule[0] = (struct fake_rule){ "rcpt", NULL, 0, "550 5.1.1 no" };
	f.rule[1] = (struct fake_rule){ "data", NULL, 0, "354 go" };
	fake_deliver(&f, ROUTE_LMTP, &triple, "x\r\n", 3, 0, 0);
	ok(fake_wait(&f, 1) && r->outcome[2] == MSG_FAILED && r->conn == MSG_CONN_CLOSED,
	   "354 for nobody: closed, no reply would come");
	fake_free(&f);
}

static void test_local(void)
{
	static struct fake f;

	fake_init(&f, NULL);
	fake_deliver(&f, ROUTE_LMTP_LOCAL, &usual, "x\r\n", 3, 0, 0);
	ok(fake_wait(&f, 1) && f.result[0].outcome[0] == MSG_LATER && f.result[0].failure &&
		   f.result[0].stage[0] == MSG_AT_CONNECT,
	   "no LMTP socket: later");
	fake_free(&f);
}

static void test_many(const char *ehlo, uint32_t n)
{
	static struct fake f;
	struct env_rcpt *r = calloc(n, sizeof *r);
	char(*name)[160] = calloc(n, sizeof *name);
	struct envelope e = { .sender = SPAN("s@y.test"), .rcpt_count = n, .rcpt = r };
	uint32_t bad = 0;

	fake_init(&f, NULL);
	f.ehlo = ehlo;
	f.pipelining = strstr(ehlo, "PIPELINING");
	f.rule[0] = (struct fake_rule){ "rcpt", "7@x", 0, "550 5.1.1 no" };
	f.rule[1] = (struct fake_rule){ "rcpt", "3@x", 0, "450 4.2.1 later" };
	for (uint32_t i = 0; name && i < n; i++) {
		snprintf(name[i], sizeof *name, "%0100u@x.test", i);
		r[i] = (struct env_rcpt){ .addr = span_str(name[i]),
					  .idx = i,
					  .route = ENV_NO_ROUTE };
	}
	fake_deliver(&f, ROUTE_ESMTP, &e, "x\r\n", 3, 0, 0);
	ok(fake_wait(&f, 1), "%u recipients", n);
	for (uint32_t i = 0; i < n; i++) {
		unsigned want = i % 10 == 7 ? MSG_FAILED : i % 10 == 3 ? MSG_LATER : MSG_DONE;

		bad += f.result[0].outcome[i] != want;
	}
	is_int(bad, 0, "each has its own outcome");
	is_int(f.anomalies, 0, "in order");
	fake_free(&f);
	free(r);
	free(name);
}

/* ---- recipients that one transaction has no room for */

struct rest {
	const char *name, *ehlo;
	struct fake_rule rule[3];
	uint8_t outcome[3];
	const char *last; /* begin of the reply for the last one */
	int messages;
	const char *log; /* of what comes behind EHLO */
};

#define M     "MAIL FROM:<s@y.test>\n"
#define TO(x) "RCPT TO:<" x "@x.test>\n"

static const struct rest rests[] = {
	{ "452 once",
	  "PIPELINING\n",
	  { { "rcpt", "b@x", 1, "452 4.5.3 too many" },
	    { "rcpt", "c@x", 1, "452 4.5.3 too many" } },
	  { MSG_DONE, MSG_DONE, MSG_DONE },
	  "250 2.0.0",
	  2,
	  M TO("a") TO("b") TO("c") "DATA\n" M TO("b") TO("c") "DATA\n" },
	{ "452 without a code of its own, lock-step",
	  "",
	  { { "rcpt", "b@x", 1, "452 enough" }, { "rcpt", "c@x", 2, "552 enough" } },
	  { MSG_DONE, MSG_DONE, MSG_DONE },
	  "250 2.0.0",
	  3,
	  M TO("a") TO("b") TO("c") "DATA\n" M TO("b") TO("c") "DATA\n" M TO("c") "DATA\n" },
	{ "452 for ever",
	  "PIPELINING\n",
	  { { "rcpt", "c@x", 0, "452 4.5.3 too many" } },
	  { MSG_DONE, MSG_DONE, MSG_LATER },
	  "452 4.5.3 too many",
	  1,
	  M TO("a") TO("b") TO("c") "DATA\n" M TO("c") "DATA\n" },
	{ "452 with another reason",
	  "PIPELINING\n",
	  { { "rcpt", "c@x", 0, "452 4.2.2 full" } },
	  { MSG_DONE, MSG_DONE, MSG_LATER },
	  "452 4.2.2 full",
	  1,
	  M TO("a") TO("b") TO("c") "DATA\n" },
	{ "452, then DATA 554",
	  "PIPELINING\n",
	  { { "rcpt", "c@x", 1, "452 4.5.3 too many" }, { "data", 0, 1, "554 5.7.1 no" } },
	  { MSG_FAILED, MSG_FAILED, MSG_DONE },
	  "250 2.0.0",
	  1,
	  M TO("a") TO("b") TO("c") "DATA\nRSET\n" M TO("c") "DATA\n" },
	{ "452, then 550 after the dot",
	  "PIPELINING\n",
	  { { "rcpt", "c@x", 1, "452 4.5.3 too many" }, { "dot", 0, 1, "550 5.7.1 no" } },
	  { MSG_FAILED, MSG_FAILED, MSG_DONE },
	  "250 2.0.0",
	  2,
	  M TO("a") TO("b") TO("c") "DATA\n" M TO("c") "DATA\n" },
	{ "452, then closed",
	  "PIPELINING\n",
	  { { "rcpt", "c@x", 1, "452 4.5.3 too many" }, { "dot", 0, 1, "250 2.0.0 got it@close" } },
	  { MSG_DONE, MSG_DONE, MSG_LATER },
	  "4.4.2",
	  1,
	  M TO("a") TO("b") TO("c") "DATA\n" },
	{ "RCPTMAX=1",
	  "PIPELINING\nLIMITS RCPTMAX=1\n",
	  { { "rcpt", "b@x", 0, "550 5.1.1 no" } },
	  { MSG_DONE, MSG_FAILED, MSG_DONE },
	  "250 2.0.0",
	  2,
	  M TO("a") "DATA\n" M TO("b") "DATA\nRSET\n" M TO("c") "DATA\n" },
	{ "RCPTMAX=1 MAILMAX=2",
	  "PIPELINING\nLIMITS RCPTMAX=1 MAILMAX=2\n",
	  { { 0 } },
	  { MSG_DONE, MSG_DONE, MSG_LATER },
	  "452 4.5.3 next hop takes no more transactions",
	  2,
	  M TO("a") "DATA\n" M TO("b") "DATA\nQUIT\n" },
};

static void test_rest(const struct rest *t, uint8_t mailer)
{
	static struct fake f;
	const char *log;

	fake_init(&f, NULL);
	f.ehlo = t->ehlo;
	f.pipelining = strstr(t->ehlo, "PIPELINING");
	f.lmtp = mailer == ROUTE_LMTP;
	memcpy(f.rule, t->rule, sizeof t->rule);
	if (f.lmtp)
		for (int i = 0; i < 3; i++)
			if (f.rule[i].stage && !strcmp(f.rule[i].stage, "dot"))
				f.rule[i].times = 2;
	fake_deliver(&f, mailer, &triple, "x\r\n", 3, 0, 0);
	ok(fake_wait(&f, 1) && f.result_count == 1, "%s: one result", t->name);
	for (int i = 0; i < 3; i++)
		is_int(f.result[0].outcome[i], t->outcome[i], t->name);
	ok(!strncmp(f.result[0].last, t->last, strlen(t->last)), "%s: %s", t->name,
	   f.result[0].last);
	is_int(f.messages, t->messages, "as many transactions");
	is_int(f.conn_count, 1, "in one session");
	if (!strncmp(t->last, "452 4.5.3 next", 14))
		fake_wait_open(&f, 0);
	log = strchr(fake_log(&f), '\n') + 1;
	is_str(log, t->log, t->name);
	is_int(f.anomalies, 0, "nothing out of place");
	fake_free(&f);
}

/* ---- BDAT */

static const char all_in_one[] = "PIPELINING\nCHUNKING\n";

struct chunk {
	const char *name, *in;
	const char *out; /* NULL: the same */
	const char *command;
	const char *ehlo; /* NULL: all_in_one */
	uint8_t mailer;
	uint64_t dots;
	bool use_data;
};

static const struct chunk chunks[] = {
	{ .name = "a line", .in = "x\r\n", .command = "BDAT 3 LAST\n" },
	{ .name = "8-bit", .in = "\xe4\r\n", .command = "BDAT 3 LAST\n" },
	{ .name = "a dot within a line", .in = "a.\r\n", .command = "BDAT 4 LAST\n" },
	{ .name = "stuffed dots",
	  .in = "..\r\n",
	  .out = "..\r\n.\r\n",
	  .command = "DATA\n",
	  .dots = 1 },
	{ .name = "no line end", .in = "x", .out = "x\r\n.\r\n", .command = "DATA\n" },
	{ .name = "nothing", .in = "", .out = ".\r\n", .command = "DATA\n" },
	{ .name = "no PIPELINING",
	  .in = "x\r\n",
	  .out = "x\r\n.\r\n",
	  .command = "DATA\n",
	  .ehlo = "CHUNKING\n" },
	{ .name = "LMTP",
	  .in = "x\r\n",
	  .out = "x\r\n.\r\n",
	  .command = "DATA\n",
	  .mailer = ROUTE_LMTP },
	{ .name = "use_data",
	  .in = "x\r\n",
	  .out = "x\r\n.\r\n",
	  .command = "DATA\n",
	  .use_data = true },
};

static void test_chunk(const struct chunk *t)
{
	static struct fake f;
	struct smtpc_settings settings = { .use_data = t->use_data };
	const char *out = t->out ? t->out : t->in;

	fake_init(&f, &settings);
	f.ehlo = t->ehlo ? t->ehlo : all_in_one;
	f.pipelining = strstr(f.ehlo, "PIPELINING");
	f.lmtp = t->mailer == ROUTE_LMTP;
	for (int i = 1; i <= 2; i++) {
		fake_deliver(&f, t->mailer ? t->mailer : ROUTE_ESMTP, &usual, t->in, strlen(t->in),
			     t->dots, 0);
		ok(fake_wait(&f, i) && f.result[i - 1].outcome[0] == MSG_DONE && f.messages == i,
		   "BDAT, %s: delivered", t->name);
		is_mem(buf_span(&f.content).p, buf_span(&f.content).n, out, strlen(out), t->name);
	}
	ok(strstr(fake_log(&f), t->command) != NULL, "BDAT, %s: command", t->name);
	is_int(f.conn_count, 1, "both in one session");
	ok(!strstr(fake_log(&f), "RSET"), "which needs no RSET");
	is_int(f.anomalies, 0, "nothing out of place");
	fake_free(&f);
}

/* Answers while or after the content went out with the commands. */
struct chunk_answer {
	const char *name;
	struct fake_rule rule[2];
	uint8_t a, b; /* outcomes */
	uint8_t stage_b;
	const char *last; /* begin of the reply to b */
	unsigned conn;
	int messages, conns;
	const char *next; /* behind the first BDAT, in the log */
};

static const struct chunk_answer answers[] = {
	{ .name = "all in one segment",
	  .rule = { { "mail", 0, 0, "250 ok\r\n250 a\r\n250 b\r\n250 2.0.0 queued@stall" } },
	  .a = MSG_DONE,
	  .b = MSG_DONE,
	  .stage_b = MSG_AT_DOT,
	  .last = "250 2.0.0 queued",
	  .conn = MSG_CONN_IDLE,
	  .conns = 1 },
	{ .name = "one too many in the segment",
	  .rule = { { "mail", 0, 0, "250 ok\r\n250 a\r\n250 b\r\n250 queued\r\n250 x@stall" } },
	  .a = MSG_DONE,
	  .b = MSG_DONE,
	  .stage_b = MSG_AT_DOT,
	  .last = "250 queued",
	  .conn = MSG_CONN_IDLE,
	  .conns = 1 },
	{ .name = "one RCPT refused",
	  .rule = { { "rcpt", "b@x", 0, "550 5.1.1 no" } },
	  .a = MSG_DONE,
	  .b = MSG_FAILED,
	  .stage_b = MSG_AT_RCPT,
	  .last = "550 5.1.1 no",
	  .conn = MSG_CONN_IDLE,
	  .messages = 1,
	  .conns = 1,
	  .next = "MAIL" },
	{ .name = "all RCPT refused",
	  .rule = { { "rcpt", 0, 2, "450 4.7.1 wait" } },
	  .a = MSG_LATER,
	  .b = MSG_LATER,
	  .stage_b = MSG_AT_RCPT,
	  .last = "450 4.7.1 wait",
	  .conn = MSG_CONN_IDLE,
	  .conns = 1,
	  .next = "RSET\nMAIL" },
	{ .name = "all RCPT refused, BDAT 250",
	  .rule = { { "rcpt", 0, 2, "550 5.1.1 no" }, { "dot", 0, 1, "250 odd" } },
	  .a = MSG_FAILED,
	  .b = MSG_FAILED,
	  .stage_b = MSG_AT_RCPT,
	  .last = "550 5.1.1 no",
	  .conn = MSG_CONN_IDLE,
	  .conns = 1,
	  .next = "MAIL" },
	{ .name = "MAIL refused",
	  .rule = { { "mail", 0, 1, "550 5.1.8 no" } },
	  .a = MSG_FAILED,
	  .b = MSG_FAILED,
	  .stage_b = MSG_AT_MAIL,
	  .last = "550 5.1.8 no",
	  .conn = MSG_CONN_IDLE,
	  .conns = 1,
	  .next = "RSET\nMAIL" },
	{ .name = "451",
	  .rule = { { "dot", 0, 1, "451 4.3.0 later" } },
	  .a = MSG_LATER,
	  .b = MSG_LATER,
	  .stage_b = MSG_AT_DOT,
	  .last = "451 4.3.0 later",
	  .conn = MSG_CONN_IDLE,
	  .messages = 1,
	  .conns = 1,
	  .next = "RSET\nMAIL" },
	{ .name = "554",
	  .rule = { { "dot", 0, 1, "554 5.7.1 spam" } },
	  .a = MSG_FAILED,
	  .b = MSG_FAILED,
	  .stage_b = MSG_AT_DOT,
	  .last = "554 5.7.1 spam",
	  .conn = MSG_CONN_IDLE,
	  .messages = 1,
	  .conns = 1,
	  .next = "RSET\nMAIL" },
	{ .name = "421",
	  .rule = { { "dot", 0, 1, "421 4.3.2 bye@close" } },
	  .a = MSG_LATER,
	  .b = MSG_LATER,
	  .stage_b = MSG_AT_DOT,
	  .last = "421 4.3.2 bye",
	  .messages = 1,
	  .conns = 1 },
	{ .name = "354",
	  .rule = { { "dot", 0, 1, "354 what" } },
	  .a = MSG_LATER,
	  .b = MSG_LATER,
	  .stage_b = MSG_AT_DOT,
	  .last = "4.5.0",
	  .messages = 1,
	  .conns = 1 },
	{ .name = "closed without a reply",
	  .rule = { { "dot", 0, 1, "@close" } },
	  .a = MSG_LATER,
	  .b = MSG_LATER,
	  .stage_b = MSG_AT_DOT,
	  .last = "4.4.2",
	  .messages = 1,
	  .conns = 1 },
	{ .name = "closed at RCPT",
	  .rule = { { "rcpt", "b@x", 1, "@close" } },
	  .a = MSG_LATER,
	  .b = MSG_LATER,
	  .stage_b = MSG_AT_RCPT,
	  .last = "4.4.2",
	  .conns = 1 },
	{ .name = "500: DATA on another connection",
	  .rule = { { "dot", 0, 1, "500 5.5.1 what is BDAT" } },
	  .a = MSG_DONE,
	  .b = MSG_DONE,
	  .stage_b = MSG_AT_DOT,
	  .last = "250 2.0.0 queued",
	  .conn = MSG_CONN_IDLE,
	  .messages = 2,
	  .conns = 2,
	  .next = "EHLO mx.example.org\nMAIL FROM:<s@y.test>\nRCPT TO:<a@x.test>\nRCPT TO:<b@x.test>\nDATA\n" },
	{ .name = "502 and nobody accepted: closed",
	  .rule = { { "rcpt", 0, 2, "550 5.1.1 no" }, { "dot", 0, 1, "502 5.5.1 what is BDAT" } },
	  .a = MSG_FAILED,
	  .b = MSG_FAILED,
	  .stage_b = MSG_AT_RCPT,
	  .last = "550 5.1.1 no",
	  .conns = 1,
	  .next = "EHLO" },
	{ .name = "452 for one: two transactions",
	  .rule = { { "rcpt", "b@x", 1, "452 4.5.3 too many" } },
	  .a = MSG_DONE,
	  .b = MSG_DONE,
	  .stage_b = MSG_AT_DOT,
	  .last = "250 2.0.0 queued",
	  .conn = MSG_CONN_IDLE,
	  .messages = 2,
	  .conns = 1,
	  .next = "MAIL FROM:<s@y.test>\nRCPT TO:<b@x.test>\nBDAT 3 LAST\n" },
};

static void test_answer(const struct chunk_answer *t)
{
	static struct fake f;
	struct envelope two = triple;

	two.rcpt_count = 2;
	fake_init(&f, NULL);
	f.ehlo = all_in_one;
	memcpy(f.rule, t->rule, sizeof t->rule);
	fake_deliver(&f, ROUTE_ESMTP, &two, "x\r\n", 3, 0, 0);
	ok(fake_wait(&f, 1), "BDAT, %s: a result", t->name);
	const struct fake_result *r = &f.result[0];
	ok(r->outcome[0] == t->a && r->outcome[1] == t->b, "%s: outcomes", t->name);
	ok(r->stage[1] == t->stage_b && !strncmp(r->last, t->last, strlen(t->last)), "%s: %u %s",
	   t->name, r->stage[1], r->last);
	is_int(r->conn, t->conn, "connection");
	is_int(f.messages, t->messages, "messages");
	is_int(f.conn_count, t->conns, "connections");
	if (t->next) {
		fake_deliver(&f, ROUTE_ESMTP, &two, "x\r\n", 3, 0, 0);
		ok(fake_wait(&f, 2) && f.result[1].outcome[0] == MSG_DONE, "the next message");
		const char *at = strstr(fake_log(&f), "BDAT 3 LAST\n");

		ok(at && !strncmp(at + 12, t->next, strlen(t->next)), "%s: what comes next",
		   t->name);
		if (at && strncmp(at + 12, t->next, strlen(t->next)))
			diag("%s", at + 12);
	}
	is_int(f.anomalies, 0, "nothing out of place");
	fake_free(&f);
}

/* A server that answers before it has read all, over a connection that takes little at once. */
static void test_chunk_early(const char *answer, const char *text, uint8_t outcome)
{
	static struct fake f;
	size_t n = SMTPC_CHUNK_BYTES;
	char *p = malloc(n);
	int small = 1;

	memset(p, 'x', n);
	memcpy(p + n - 2, "\r\n", 2);
	fake_init(&f, NULL);
	f.ehlo = all_in_one;
	fake_deliver(&f, ROUTE_ESMTP, &usual, p, n, 0, 0);
	ok(fake_wait(&f, 1) && f.result[0].outcome[0] == MSG_DONE, "BDAT, largest: delivered");
	is_mem(buf_span(&f.content).p, buf_span(&f.content).n, p, n, "every byte");
	int fd = f.engine.sessions->io.st.fd;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	setsockopt(f.conn[0]->io.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	f.rule[0] = (struct fake_rule){ "body", NULL, 0, answer };
	fake_deliver(&f, ROUTE_ESMTP, &usual, p, n, 0, 0);
	ok(fake_wait(&f, 2), "answered while the content is sent");
	is_int(f.result[1].outcome[0], outcome, answer);
	ok(!strncmp(f.result[1].reply, text, strlen(text)), "%s", f.result[1].reply);
	is_int(f.result[1].conn, MSG_CONN_CLOSED, "closed");
	is_int(f.messages, 1, "and it has no second message");
	fake_free(&f);
	free(p);
}

static void test_chunk_damaged(void)
{
	static struct fake f;
	struct buf b = { 0 };
	struct msg_deliver d = { .attempt = 1, .ta = 0x300, .mailer = ROUTE_ESMTP };
	char path[CDB_PATH_MAX];

	fake_init(&f, NULL);
	f.ehlo = all_in_one;
	d.host = f.addr;
	envelope_encode(&usual, &b);
	d.envelope = buf_span(&b);
	fake_content(&f, d.ta, "x\r\n", 3, 0, 0, &d);
	cdb_file_path(f.base, d.ta, path);
	int fd = open(path, O_WRONLY);
	ok(pwrite(fd, "y", 1, CDB_HEAD) == 1, "content is damaged");
	close(fd);
	smtpc_engine_deliver(&f.engine, &d);
	ok(fake_wait(&f, 1) && f.result[0].outcome[0] == MSG_FAILED &&
		   f.result[0].stage[0] == MSG_AT_CONTENT,
	   "damaged content: nothing of it goes out by BDAT");
	ok(!strstr(fake_log(&f), "BDAT"), "not even the command");
	buf_release(&b);
	fake_free(&f);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++)
		test_rest(&rests[i], ROUTE_ESMTP);
	for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++)
		if (strncmp(rests[i].last, "4.4.2", 5))
			test_rest(&rests[i], ROUTE_LMTP);
	for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++)
		test_chunk(&chunks[i]);
	for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
		test_answer(&answers[i]);
	test_chunk_early("552 5.3.4 too much", "552 5.3.4 too much", MSG_FAILED);
	test_chunk_early("250 2.0.0 queued", "4.5.0", MSG_LATER);
	test_chunk_damaged();
	test_contents();
	test_large(65536, ROUTE_ESMTP, "just copied");
	test_large(66000, ROUTE_ESMTP, "sendfile");
	test_large(8 << 20, ROUTE_ESMTP, "sendfile and flow control");
	test_large(3 << 20, ROUTE_LMTP_LOCAL, "unix socket");
	test_unreadable();
	test_damaged_large(66000, 100);
	test_damaged_large(66000, 65900);
	test_damaged_large(6 << 20, 1000);
	test_cut();
	test_endings();
	test_lmtp();
	test_local();
	test_many("PIPELINING\n", 2000);
	test_many("", 200);
	return plan_done();
}
