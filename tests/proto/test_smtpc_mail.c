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

int main(void)
{
	test_contents();
	test_large(65536, ROUTE_ESMTP, "just copied");
	test_large(66000, ROUTE_ESMTP, "sendfile");
	test_large(8 << 20, ROUTE_ESMTP, "sendfile and flow control");
	test_large(3 << 20, ROUTE_LMTP_LOCAL, "unix socket");
	test_unreadable();
	test_cut();
	test_endings();
	test_lmtp();
	test_local();
	test_many("PIPELINING\n", 2000);
	test_many("", 200);
	return plan_done();
}
