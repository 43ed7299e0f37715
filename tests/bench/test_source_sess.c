#include "bench/source_sess.h"

#include "tests/tap.h"

#include <stdio.h>

/* One dialogue: the server's replies, the client's verbs, and what was counted. Content shows as
 * "TEXT". */
static const struct {
	const char *name;
	const char *replies;
	const char *says;
	enum source_end end;
	bool pipeline, lmtp, bdat;
	uint32_t rcpts, per_connection;
	uint64_t accepted, tempfailed, rejected, unknown, abandoned;
} cases[] = {
	{ .name = "one message",
	  .replies = "220 a\n250 b\n250\n250\n354\n250\n221\n",
	  .says = "EHLO MAIL RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .accepted = 1 },
	{ .name = "two on one connection",
	  .replies = "220 a\n250 b\n250\n250\n354\n250\n250\n250\n354\n250\n221\n",
	  .says = "EHLO MAIL RCPT DATA TEXT MAIL RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .per_connection = 2,
	  .accepted = 2 },
	{ .name = "EHLO refused",
	  .replies = "220 a\n500\n250\n250\n250\n354\n250\n221\n",
	  .says = "EHLO HELO MAIL RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .accepted = 1 },
	{ .name = "no greeting", .replies = "554 a\n", .says = "", .end = SOURCE_REFUSED },
	{ .name = "421 greeting", .replies = "421 a\n", .says = "", .end = SOURCE_REFUSED },
	{ .name = "HELO refused too",
	  .replies = "220 a\n500\n500\n",
	  .says = "EHLO HELO",
	  .end = SOURCE_REFUSED },
	{ .name = "MAIL refused",
	  .replies = "220 a\n250\n450\n221\n",
	  .says = "EHLO MAIL QUIT",
	  .end = SOURCE_FINISHED,
	  .tempfailed = 1 },
	{ .name = "RCPT refused",
	  .replies = "220 a\n250\n250\n550\n221\n",
	  .says = "EHLO MAIL RCPT QUIT",
	  .end = SOURCE_FINISHED,
	  .rejected = 1 },
	{ .name = "RCPT refused, RSET before the next",
	  .replies = "220 a\n250\n250\n550\n250\n250\n250\n354\n250\n221\n",
	  .per_connection = 2,
	  .says = "EHLO MAIL RCPT RSET MAIL RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .rejected = 1,
	  .accepted = 1 },
	{ .name = "one of two recipients",
	  .replies = "220 a\n250\n250\n550\n250\n354\n250\n221\n",
	  .rcpts = 2,
	  .says = "EHLO MAIL RCPT RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .accepted = 1 },
	{ .name = "4yz and 5yz make 5yz",
	  .replies = "220 a\n250\n250\n550\n450\n221\n",
	  .rcpts = 2,
	  .says = "EHLO MAIL RCPT RCPT QUIT",
	  .end = SOURCE_FINISHED,
	  .rejected = 1 },
	{ .name = "DATA refused",
	  .replies = "220 a\n250\n250\n250\n451\n221\n",
	  .says = "EHLO MAIL RCPT DATA QUIT",
	  .end = SOURCE_FINISHED,
	  .tempfailed = 1 },
	{ .name = "content refused",
	  .replies = "220 a\n250\n250\n250\n354\n552\n221\n",
	  .says = "EHLO MAIL RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .rejected = 1 },
	{ .name = "3yz to the content is no yes",
	  .replies = "220 a\n250\n250\n250\n354\n354\n221\n",
	  .says = "EHLO MAIL RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .rejected = 1 },
	{ .name = "421 to the content",
	  .replies = "220 a\n250\n250\n250\n354\n421\n",
	  .says = "EHLO MAIL RCPT DATA TEXT",
	  .end = SOURCE_BROKEN,
	  .tempfailed = 1 },
	{ .name = "lost after the content",
	  .replies = "220 a\n250\n250\n250\n354\n",
	  .says = "EHLO MAIL RCPT DATA TEXT",
	  .unknown = 1 },
	{ .name = "lost before",
	  .replies = "220 a\n250\n250\n",
	  .says = "EHLO MAIL RCPT",
	  .abandoned = 1 },
	{ .name = "rubbish",
	  .replies = "220 a\n250\nhello\n",
	  .says = "EHLO MAIL",
	  .end = SOURCE_BROKEN,
	  .abandoned = 1 },
	{ .name = "pipelining",
	  .replies = "220 a\n250-x\n250 PIPELINING\n250\n250\n354\n250\n221\n",
	  .pipeline = true,
	  .says = "EHLO MAIL+RCPT+DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .accepted = 1 },
	{ .name = "pipelining that was not offered",
	  .replies = "220 a\n250\n250\n250\n354\n250\n221\n",
	  .pipeline = true,
	  .says = "EHLO MAIL RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .accepted = 1 },
	{ .name = "pipelined, MAIL refused",
	  .replies = "220 a\n250 PIPELINING\n450\n503\n503\n221\n",
	  .pipeline = true,
	  .says = "EHLO MAIL+RCPT+DATA QUIT",
	  .end = SOURCE_FINISHED,
	  .rejected = 1 },
	{ .name = "pipelined, 354 for nobody",
	  .replies = "220 a\n250 PIPELINING\n250\n550\n354\n554\n221\n",
	  .pipeline = true,
	  .says = "EHLO MAIL+RCPT+DATA . QUIT",
	  .end = SOURCE_FINISHED,
	  .rejected = 1 },
	{ .name = "LMTP, one of two",
	  .replies = "220 a\n250\n250\n250\n250\n354\n450\n250\n221\n",
	  .lmtp = true,
	  .rcpts = 2,
	  .says = "LHLO MAIL RCPT RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .accepted = 1 },
	{ .name = "LMTP, none of two",
	  .replies = "220 a\n250\n250\n250\n250\n354\n450\n450\n221\n",
	  .lmtp = true,
	  .rcpts = 2,
	  .says = "LHLO MAIL RCPT RCPT DATA TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .tempfailed = 1 },
	{ .name = "BDAT",
	  .replies = "220 a\n250 CHUNKING\n250\n250\n250\n250\n221\n",
	  .bdat = true,
	  .says = "EHLO MAIL RCPT BDAT+BDAT+TEXT QUIT",
	  .end = SOURCE_FINISHED,
	  .accepted = 1 },
	{ .name = "BDAT that is not offered",
	  .replies = "220 a\n250\n",
	  .bdat = true,
	  .says = "EHLO",
	  .end = SOURCE_REFUSED },
};

struct fixture {
	struct source_opts opts;
	struct source_text text;
	struct source_total total;
	struct source_env env;
	struct source_sess sess;
	struct outbuf says;
};

static void note(struct outbuf *says, const char *word, size_t n, bool first)
{
	if (says->n)
		outbuf_mem(says, first ? " " : "+", 1);
	outbuf_mem(says, word, n);
}

/* What one write says: its verbs, and TEXT when the tail follows. Header fields between do not
 * count. */
static void note_out(struct fixture *f)
{
	struct outbuf *out = &f->env.out;
	bool first = true;

	for (size_t i = 0; i < out->n;) {
		const char *p = out->p + i;
		const char *lf = memchr(p, '\n', out->n - i);
		size_t n = strcspn(p, " \r");
		if (memchr(p, ':', n) == NULL) {
			note(&f->says, p, n, first);
			first = false;
		}
		i += (size_t)(lf - p) + 1;
	}
	if (f->sess.send_tail) {
		note(&f->says, "TEXT", 4, first);
		f->sess.send_tail = false;
	}
	out->n = 0;
}

/* What the worker does with a session that is ready. */
static void next_message(struct fixture *f)
{
	if (f->sess.phase != SOURCE_READY)
		return;
	if (f->sess.number == 0 && f->sess.done < f->opts.per_connection)
		source_sess_assign(&f->sess, source_total_claim(&f->total));
	if (f->sess.number)
		source_sess_start(&f->env, &f->sess);
	else
		source_sess_quit(&f->env, &f->sess);
}

static enum source_end talk(struct fixture *f, const char *replies, bool by_byte)
{
	enum source_end end = SOURCE_GOES_ON;

	source_sess_assign(&f->sess, source_total_claim(&f->total));
	source_sess_connected(&f->env, &f->sess);
	while (*replies && end == SOURCE_GOES_ON) {
		size_t n = by_byte ? 1 : strcspn(replies, "\n") + 1;
		end = source_sess_feed(&f->env, &f->sess, replies, n);
		replies += n;
		if (end == SOURCE_GOES_ON)
			next_message(f);
		note_out(f);
	}
	source_sess_closed(&f->env, &f->sess);
	return end;
}

static void begin(struct fixture *f, size_t i)
{
	*f = (struct fixture){
		.opts = { .threads = 1,
			  .sessions = 1,
			  .rcpts = cases[i].rcpts ? cases[i].rcpts : 1,
			  .per_connection = cases[i].per_connection ? cases[i].per_connection : 1,
			  .pipeline = cases[i].pipeline,
			  .lmtp = cases[i].lmtp,
			  .bdat = cases[i].bdat,
			  .length = 10,
			  .first_number = 1,
			  .run = "r",
			  .from = "a@b",
			  .to = "c@d",
			  .hostname = "h",
			  .acked = "-" }
	};
	f->opts.messages = f->opts.per_connection;
	source_text_init(&f->text, &f->opts);
	source_total_init(&f->total, &f->opts);
	f->env = (struct source_env){ .opts = &f->opts,
				      .text = &f->text,
				      .total = &f->total,
				      .count = f->total.counts,
				      .now_usec = 1000 };
}

static void finish(struct fixture *f)
{
	source_sess_free(&f->sess);
	source_text_free(&f->text);
	source_total_free(&f->total);
	outbuf_free(&f->env.out);
	outbuf_free(&f->env.acked);
	outbuf_free(&f->says);
}

static void test_dialogues(bool by_byte)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct fixture f;
		begin(&f, i);
		enum source_end end = talk(&f, cases[i].replies, by_byte);
		outbuf_mem(&f.says, "", 1);
		const struct source_total *t = &f.total;
		bool good = end == cases[i].end && strcmp(f.says.p, cases[i].says) == 0 &&
			    source_total_get(t, SOURCE_accepted) == cases[i].accepted &&
			    source_total_get(t, SOURCE_tempfailed) == cases[i].tempfailed &&
			    source_total_get(t, SOURCE_rejected) == cases[i].rejected &&
			    source_total_get(t, SOURCE_unknown) == cases[i].unknown &&
			    source_total_get(t, SOURCE_abandoned) == cases[i].abandoned;
		ok(good, "%s%s", cases[i].name, by_byte ? ", byte by byte" : "");
		if (!good)
			diag("end %d '%s' accepted %d temp %d rejected %d unknown %d abandoned %d",
			     end, f.says.p, (int)source_total_get(t, SOURCE_accepted),
			     (int)source_total_get(t, SOURCE_tempfailed),
			     (int)source_total_get(t, SOURCE_rejected),
			     (int)source_total_get(t, SOURCE_unknown),
			     (int)source_total_get(t, SOURCE_abandoned));
		finish(&f);
	}
}

static void run_named(struct fixture *f, const char *name)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, name) == 0) {
			begin(f, i);
			talk(f, cases[i].replies, false);
		}
}

static void test_acked(void)
{
	static struct fixture f;

	run_named(&f, "two on one connection");
	is_mem(f.env.acked.p, f.env.acked.n, "r-1\nr-2\n", 8, "acknowledged ids, in order");
	finish(&f);
	run_named(&f, "one of two recipients");
	is_mem(f.env.acked.p, f.env.acked.n, "r-1 2c@d\n", 9,
	       "with the recipients that were accepted");
	finish(&f);
	run_named(&f, "LMTP, one of two");
	is_mem(f.env.acked.p, f.env.acked.n, "r-1 2c@d\n", 9,
	       "LMTP: those that the final dot confirmed");
	is_int((int64_t)source_total_get(&f.total, SOURCE_recipients), 1, "LMTP: counted too");
	finish(&f);
	run_named(&f, "content refused");
	is_int((int64_t)f.env.acked.n, 0, "nothing for a refused one");
	finish(&f);
}

/* A connection that had worked and is closed before MAIL is answered: the message goes out over
 * another one. */
static void test_again(void)
{
	static struct fixture f;
	const char first[] = "220 a\n250 b\n250\n250\n354\n250\n";

	begin(&f, 1);
	talk(&f, first, false);
	is_int(f.sess.number, 2, "the second message was not given up");
	is_int((int64_t)source_total_get(&f.total, SOURCE_abandoned), 0,
	       "and does not count as lost");
	source_sess_release(&f.env, &f.sess);
	is_int(f.sess.number, 0, "released");
	is_int((int64_t)source_total_claim(&f.total), 3, "its place goes to a new number");
	is_int((int64_t)source_total_claim(&f.total), 0, "and there is no more");
	finish(&f);
}

static void test_schedule(void)
{
	static struct fixture f;

	begin(&f, 0);
	is_int(source_total_due(&f.total, 5), 0, "no schedule without a rate");
	f.opts.rate_per_sec = 100;
	is_int(source_total_due(&f.total, 1) - f.total.begin_usec, 0, "the first at once");
	is_int(source_total_due(&f.total, 51) - f.total.begin_usec, 500000,
	       "the fifty-first after half a second");
	finish(&f);
}

int main(void)
{
	test_dialogues(false);
	test_dialogues(true);
	test_acked();
	test_again();
	test_schedule();
	return plan_done();
}
