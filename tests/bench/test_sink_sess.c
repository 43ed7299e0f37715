#include "bench/sink_sess.h"

#include "tests/tap.h"

#include <stdio.h>

#define HELLO "EHLO x\r\n"
#define MAIL  "MAIL FROM:<a@b>\r\n"
#define RCPT  "RCPT TO:<c@d>\r\n"
#define TEXT  "X-SMX-ID: r-1\r\n\r\nbody\r\n.\r\n"

/* One dialogue: what the client sends, the reply codes it gets. A reply of several lines counts
 * once. */
static const struct {
	const char *name;
	const char *in;
	const char *codes;
	bool lmtp, closing;
	unsigned offers; /* 0: the usual ones */
	unsigned mail_max;
	const char *fail, *drop;
	unsigned messages, recipients;
} cases[] = {
	{ .name = "one message",
	  .in = HELLO MAIL RCPT "DATA\r\n" TEXT "QUIT\r\n",
	  .codes = "220 250 250 250 354 250 221",
	  .closing = true,
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "two messages",
	  .in = HELLO MAIL RCPT "DATA\r\n" TEXT MAIL RCPT RCPT "DATA\r\n" TEXT,
	  .codes = "220 250 250 250 354 250 250 250 250 354 250",
	  .messages = 2,
	  .recipients = 3 },
	{ .name = "no more messages on a connection",
	  .in = HELLO MAIL RCPT "DATA\r\n" TEXT MAIL RCPT "RSET\r\n" MAIL,
	  .mail_max = 2,
	  .codes = "220 250 250 250 354 250 250 250 250 421",
	  .closing = true,
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "HELO, verbs in any case",
	  .in = "helo x\r\nmail from:<>\r\nrcpt to:<c@d>\r\ndata\r\n" TEXT,
	  .codes = "220 250 250 250 354 250",
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "order",
	  .in = MAIL RCPT HELLO RCPT "DATA\r\n" MAIL MAIL "DATA\r\n",
	  .codes = "220 503 503 250 503 503 250 503 503" },
	{ .name = "RSET",
	  .in = HELLO MAIL RCPT "RSET\r\n" RCPT "NOOP\r\nVRFY a\r\n",
	  .codes = "220 250 250 250 250 503 250 252" },
	{ .name = "EHLO in between resets",
	  .in = HELLO MAIL RCPT HELLO RCPT,
	  .codes = "220 250 250 250 250 503" },
	{ .name = "syntax",
	  .in = "EHLO\r\n" HELLO "MAIL a\r\nFOO\r\n\r\nMAIL FROM:<a@b> X=1\r\n" MAIL
		"RCPT TO:<>\r\nDATA x\r\n",
	  .codes = "220 501 250 501 500 500 555 250 501 503" },
	{ .name = "bare LF in a command",
	  .in = HELLO "NOOP\nNOOP\r\n",
	  .codes = "220 250 500 250" },
	{ .name = "LF . LF is content",
	  .in = HELLO MAIL RCPT "DATA\r\n\r\na\n.\nMAIL\r\n.\r\n",
	  .codes = "220 250 250 250 354 250",
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "refused recipient",
	  .in = HELLO MAIL RCPT "RCPT TO:<no@d>\r\nDATA\r\n" TEXT,
	  .fail = "rcpt:550:100%:no@",
	  .codes = "220 250 250 250 550 354 250",
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "refused content",
	  .in = HELLO MAIL RCPT "DATA\r\n" TEXT MAIL,
	  .fail = "dot:451 4.3.0 full",
	  .codes = "220 250 250 250 354 451 250" },
	{ .name = "told no after it counted",
	  .in = HELLO MAIL RCPT "DATA\r\n" TEXT,
	  .fail = "accepted:450",
	  .codes = "220 250 250 250 354 450",
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "421 closes",
	  .in = HELLO MAIL RCPT,
	  .fail = "mail:421",
	  .codes = "220 250 421",
	  .closing = true },
	{ .name = "refused greeting closes",
	  .in = HELLO,
	  .fail = "connect:554",
	  .codes = "554",
	  .closing = true },
	{ .name = "dropped at DATA",
	  .in = HELLO MAIL RCPT "DATA\r\n" TEXT,
	  .drop = "data",
	  .codes = "220 250 250 250",
	  .closing = true },
	{ .name = "dropped in the content",
	  .in = HELLO MAIL RCPT "DATA\r\n" TEXT,
	  .drop = "body",
	  .codes = "220 250 250 250 354",
	  .closing = true },
	{ .name = "dropped after it counted",
	  .in = HELLO MAIL RCPT "DATA\r\n" TEXT,
	  .drop = "accepted",
	  .codes = "220 250 250 250 354",
	  .closing = true,
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "LMTP: one reply each",
	  .in = "LHLO x\r\n" MAIL RCPT "RCPT TO:<no@d>\r\n" RCPT "DATA\r\n" TEXT MAIL,
	  .lmtp = true,
	  .fail = "dot:450:100%:no@",
	  .codes = "220 250 250 250 250 250 354 250 450 250 250",
	  .messages = 1,
	  .recipients = 2 },
	{ .name = "LMTP: no EHLO", .in = HELLO, .lmtp = true, .codes = "220 500" },
	{ .name = "SMTP: no LHLO", .in = "LHLO x\r\n", .codes = "220 500" },
	{ .name = "BDAT",
	  .in = HELLO MAIL RCPT "BDAT 17\r\nX-SMX-ID: r-1\r\n\r\nBDAT 5 LAST\r\n.\r\n\r\nQUIT\r\n",
	  .offers = SINK_CHUNKING | SINK_PIPELINING,
	  .codes = "220 250 250 250 250 250 221",
	  .closing = true,
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "empty last BDAT",
	  .in = HELLO MAIL RCPT "BDAT 17\r\nX-SMX-ID: r-1\r\n\r\nBDAT 0 LAST\r\n" MAIL,
	  .offers = SINK_CHUNKING,
	  .codes = "220 250 250 250 250 250 250",
	  .messages = 1,
	  .recipients = 1 },
	{ .name = "BDAT without recipients is swallowed",
	  .in = HELLO MAIL "BDAT 6\r\nQUIT\r\nBDAT 0 LAST\r\n" MAIL,
	  .offers = SINK_CHUNKING,
	  .codes = "220 250 250 503 503 250" },
	{ .name = "BDAT that was not offered",
	  .in = HELLO MAIL RCPT "BDAT 2 LAST\r\nab",
	  .codes = "220 250 250 250 501",
	  .closing = true },
	{ .name = "SMTPUTF8 not offered",
	  .in = HELLO "MAIL FROM:<\xc3\xa4@b>\r\n",
	  .codes = "220 250 501" },
	{ .name = "SMTPUTF8",
	  .in = HELLO "MAIL FROM:<\xc3\xa4@b> SMTPUTF8\r\nRCPT TO:<\xc3\xb6@d>\r\n",
	  .offers = SINK_SMTPUTF8,
	  .codes = "220 250 250 250" },
};

/* Code of each reply, with blanks between. */
static void codes_of(const struct outbuf *out, char *dst, size_t cap)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i + 4 <= out->n;) {
		const char *lf = memchr(out->p + i, '\n', out->n - i);
		if (out->p[i + 3] == ' ' || out->p[i + 3] == '\r')
			at += (size_t)snprintf(dst + at, cap - at, "%s%.3s", at ? " " : "",
					       out->p + i);
		i = lf ? (size_t)(lf - out->p) + 1 : out->n;
	}
}

struct fixture {
	struct sink_opts opts;
	struct sink_total total;
	struct sink_env env;
	struct sink_sess sess;
	_Atomic int64_t slot;
	_Atomic uint64_t number;
};

static void begin(struct fixture *f)
{
	sink_total_init(&f->total, 1, 1000);
	f->env = (struct sink_env){ .opts = &f->opts,
				    .total = &f->total,
				    .count = f->total.counts,
				    .now_usec = 1000000,
				    .rng = 1,
				    .limit_slot = &f->slot,
				    .dump_number = &f->number };
	f->opts.hostname = "sink.test";
	f->opts.rcpt_max = 100;
	sink_sess_begin(&f->env, &f->sess);
}

static void end(struct fixture *f)
{
	outbuf_free(&f->env.out);
	sink_sess_free(&f->sess);
	sink_total_free(&f->total);
}

/* Feeds in pieces, keeping what was not taken, as the worker does. */
static void feed(struct fixture *f, const char *in, size_t step)
{
	struct outbuf hold = { 0 };
	size_t n = strlen(in);

	for (size_t at = 0; at < n; at += step) {
		outbuf_mem(&hold, in + at, n - at < step ? n - at : step);
		outbuf_drop(&hold, sink_sess_feed(&f->env, &f->sess, hold.p, hold.n));
	}
	outbuf_free(&hold);
}

static void test_dialogues(size_t step)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct fixture f;
		const char *why;
		char got[400];
		f = (struct fixture){ 0 };
		f.opts.lmtp = cases[i].lmtp;
		f.opts.mail_max = cases[i].mail_max;
		f.opts.offers = cases[i].offers ? cases[i].offers
						: SINK_PIPELINING | SINK_8BITMIME | SINK_SIZE |
							  SINK_ENHANCED;
		if (cases[i].fail)
			fault_add(&f.opts.faults, FAULT_FAIL, cases[i].fail, &why);
		if (cases[i].drop)
			fault_add(&f.opts.faults, FAULT_DROP, cases[i].drop, &why);
		begin(&f);
		feed(&f, cases[i].in, step);
		codes_of(&f.env.out, got, sizeof(got));
		bool good = strcmp(got, cases[i].codes) == 0 &&
			    f.sess.closing == cases[i].closing &&
			    sink_total_get(&f.total, SINK_messages) == cases[i].messages &&
			    sink_total_get(&f.total, SINK_recipients) == cases[i].recipients;
		ok(good, "%s, %zu bytes at a time", cases[i].name, step);
		if (!good)
			diag("got  '%s'\n# want '%s', closing %d, %d messages", got, cases[i].codes,
			     f.sess.closing, (int)sink_total_get(&f.total, SINK_messages));
		end(&f);
	}
}

static void test_delay(void)
{
	static struct fixture f;
	const char *why;
	const char in[] = HELLO MAIL RCPT "DATA\r\n" TEXT "NOOP\r\n";
	char got[100];

	fault_add(&f.opts.faults, FAULT_DELAY, "dot:100ms", &why);
	begin(&f);
	size_t used = sink_sess_feed(&f.env, &f.sess, in, sizeof(in) - 1);
	is_int((int64_t)(sizeof(in) - 1 - used), 6, "delay: what follows is not taken");
	is_int(f.sess.pause_until, 1100000, "delay: until then");
	is_int((int64_t)sink_total_get(&f.total, SINK_messages), 0, "delay: it does not count yet");
	f.env.out.n = 0;
	f.env.now_usec = f.sess.pause_until;
	sink_sess_resume(&f.env, &f.sess);
	used += sink_sess_feed(&f.env, &f.sess, in + used, sizeof(in) - 1 - used);
	codes_of(&f.env.out, got, sizeof(got));
	is_str(got, "250 250", "delay: then both are answered");
	is_int((int64_t)sink_total_get(&f.total, SINK_messages), 1, "delay: and it counts");
	is_int((int64_t)used, sizeof(in) - 1, "delay: all is taken");
	end(&f);
}

static void test_limit(void)
{
	static struct fixture f;
	usec_t waits[3];

	f.opts.limit_per_sec = 10;
	begin(&f);
	for (int i = 0; i < 3; i++) {
		f.env.now_usec = 1000000;
		feed(&f, i ? MAIL RCPT "DATA\r\n" TEXT : HELLO MAIL RCPT "DATA\r\n" TEXT, 1000);
		waits[i] = f.sess.pause_until ? f.sess.pause_until - 1000000 : 0;
		if (waits[i])
			sink_sess_resume(&f.env, &f.sess);
	}
	ok(waits[0] == 0 && waits[1] == 100000 && waits[2] == 200000,
	   "limit: every tenth of a second one");
	f.slot = SINK_LIMIT_LIFTED;
	feed(&f, MAIL RCPT "DATA\r\n" TEXT, 1000);
	ok(f.sess.pause_until == 0, "limit: lifted, no wait");
	is_int(f.slot, SINK_LIMIT_LIFTED, "limit: stays lifted");
	end(&f);
}

static void test_stall(void)
{
	static struct fixture f;
	const char *why;

	fault_add(&f.opts.faults, FAULT_STALL, "mail", &why);
	begin(&f);
	f.env.out.n = 0;
	feed(&f, MAIL, 1000);
	feed(&f, HELLO MAIL, 1000);
	ok(f.sess.pause_until == INT64_MAX, "stall: for ever");
	f.env.out.n = 0;
	sink_sess_resume(&f.env, &f.sess);
	ok(f.env.out.n == 0 && f.sess.pause_until == INT64_MAX, "stall: also when asked to go on");
	end(&f);
}

/* Who knows RFC 9422 ends the connection itself. */
static void test_limits(void)
{
	static struct fixture f;

	f.opts.mail_max = 7;
	begin(&f);
	f.env.out.n = 0;
	feed(&f, HELLO, 1000);
	ok(memmem(f.env.out.p, f.env.out.n, "250 LIMITS MAILMAX=7\r\n", 22), "LIMITS is offered");
	end(&f);
}

/* Bytes that no client would send: nothing is accepted, nothing breaks. */
static void test_rubbish(void)
{
	static struct fixture f;
	static char line[3 * SINK_LINE_MAX];
	uint64_t r = 1;

	begin(&f);
	memset(line, 'A', sizeof(line) - 1);
	feed(&f, line, 700);
	ok(f.sess.closing, "a line without end closes");
	end(&f);
	for (unsigned round = 0; round < 200; round++) {
		f = (struct fixture){ 0 };
		f.opts.offers = 127;
		begin(&f);
		for (size_t i = 0; i < sizeof(line) - 1; i++) {
			r = msgid_mix(r);
			line[i] = "\r\n.<>: \t\"\\MAILRCPTDATAFROMTO0\xff"[r % 30];
		}
		memcpy(line, HELLO MAIL RCPT, sizeof(HELLO MAIL RCPT) - 1);
		memcpy(line + 200, "\r\nBDAT 100\r\n", 12);
		memcpy(line + 1000, "\r\nDATA\r\n", 8);
		feed(&f, line, 1 + round % 97);
		end(&f);
	}
	ok(true, "200 rounds of rubbish survived");
}

int main(void)
{
	test_dialogues(100000);
	test_dialogues(1);
	test_dialogues(7);
	test_delay();
	test_limit();
	test_stall();
	test_limits();
	test_rubbish();
	return plan_done();
}
