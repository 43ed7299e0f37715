#include "bench/source_sess.h"
#include <stdlib.h>
#include <sysexits.h>
#include "bench/cli.h"

static void count(struct source_env *env, enum source_stat stat)
{
	source_total_add(env->count, stat, 1);
}

static bool is_good(const struct source_sess *s, unsigned hundred)
{
	return s->reply.code / 100 == hundred;
}

static void error_reply(struct source_env *env, struct source_sess *s, const char *what)
{
	source_total_error(env->count, what, s->reply.text[0] ? s->reply.text : "unexpected reply");
}

/* ---- results */

static void forget_message(struct source_sess *s)
{
	s->number = 0;
	s->ended = true;
}

/* The message has failed in this way; a tolerant run sends another one instead. */
static void fail(struct source_env *env, struct source_sess *s, enum source_stat result)
{
	if (s->number == 0)
		return;
	count(env, result);
	if (env->opts->tolerant)
		source_total_unclaim(env->total);
	forget_message(s);
}

static void fail_by_code(struct source_env *env, struct source_sess *s)
{
	s->refused = s->code < 500;
	fail(env, s, s->code < 500 ? SOURCE_tempfailed : SOURCE_rejected);
}

static void note_acked(struct source_env *env, struct source_sess *s)
{
	struct outbuf *b = &env->acked;

	source_text_id(env->text, b, s->number);
	for (uint32_t i = 0; s->rcpt_state && i < env->opts->rcpts; i++)
		if (s->rcpt_state[i]) {
			outbuf_mem(b, " ", 1);
			source_text_rcpt_addr(env->text, b, s->number, i);
		}
	outbuf_mem(b, "\n", 1);
}

static void succeed(struct source_env *env, struct source_sess *s)
{
	count(env, SOURCE_accepted);
	source_total_add(env->count, SOURCE_recipients, s->dot_ok);
	hist_add(&env->count->latency,
		 env->now_usec > s->begin_usec ? (uint64_t)(env->now_usec - s->begin_usec) : 0);
	if (env->opts->acked)
		note_acked(env, s);
	s->refused = false;
	forget_message(s);
}

static void note_refusal(struct source_env *env, struct source_sess *s, const char *what)
{
	if (s->reply.code > s->code)
		s->code = s->reply.code;
	if (s->code < 400)
		s->code = 550; /* a 2yz or 3yz where it makes no sense */
	error_reply(env, s, what);
}

/* ---- what is sent */

static void send_rcpt(struct source_env *env, struct source_sess *s, uint32_t i)
{
	source_text_rcpt(env->text, &env->out, s->number, i);
}

/* Content: behind DATA's 354 at once, with BDAT in two chunks, the fields and the rest. */
static void send_content(struct source_env *env, struct source_sess *s)
{
	struct outbuf *out = &env->out;

	if (env->opts->bdat) {
		struct outbuf head = { 0 };
		source_text_head(env->text, &head, s->number, env->now_usec);
		outbuf_fmt(out, "BDAT %zu\r\n", head.n);
		outbuf_mem(out, head.p, head.n);
		outbuf_fmt(out, "BDAT %zu LAST\r\n", env->text->tail_n);
		outbuf_free(&head);
	} else {
		source_text_head(env->text, out, s->number, env->now_usec);
	}
	s->send_tail = true;
	source_total_add(env->count, SOURCE_bytes, env->text->tail_n);
}

/* What follows the last RCPT. */
static void send_data(struct source_env *env, struct source_sess *s)
{
	if (env->opts->bdat)
		send_content(env, s);
	else
		outbuf_str(&env->out, "DATA\r\n");
}

void source_sess_start(struct source_env *env, struct source_sess *s)
{
	usec_t due = source_total_due(env->total, s->number);

	if (!s->tried) {
		s->begin_usec = due ? due : env->now_usec;
		count(env, SOURCE_attempted);
	}
	s->tried = true;
	s->code = 0;
	s->rcpt_at = s->rcpt_ok = s->dot_ok = s->lmtp_at = 0;
	s->open = s->ended = s->refused = false;
	s->piped = env->opts->pipeline && s->offers_pipelining;
	if (s->rcpt_state)
		memset(s->rcpt_state, 0, env->opts->rcpts);
	source_text_mail(env->text, &env->out, s->number);
	s->phase = SOURCE_MAIL;
	if (!s->piped)
		return;
	for (uint32_t i = 0; i < env->opts->rcpts; i++)
		send_rcpt(env, s, i);
	send_data(env, s);
}

void source_sess_quit(struct source_env *env, struct source_sess *s)
{
	outbuf_str(&env->out, "QUIT\r\n");
	s->phase = SOURCE_QUIT;
}

/* The dialogue about this message is over. */
static void message_ends(struct source_env *env, struct source_sess *s)
{
	s->done++;
	s->phase = SOURCE_READY;
	if (s->open && s->done < env->opts->per_connection) {
		outbuf_str(&env->out, "RSET\r\n");
		s->phase = SOURCE_RSET;
	}
	s->open = false;
}

/* ---- one handler per phase; it returns what becomes of the connection */

static enum source_end got_greeting(struct source_env *env, struct source_sess *s)
{
	if (!is_good(s, 2)) {
		error_reply(env, s, "greeting");
		return SOURCE_REFUSED;
	}
	outbuf_str(&env->out, env->opts->lmtp ? "LHLO " : env->opts->helo_only ? "HELO " : "EHLO ");
	outbuf_str(&env->out, env->opts->hostname);
	outbuf_mem(&env->out, "\r\n", 2);
	s->phase = env->opts->helo_only && !env->opts->lmtp ? SOURCE_HELO : SOURCE_EHLO;
	return SOURCE_GOES_ON;
}

static enum source_end got_ehlo(struct source_env *env, struct source_sess *s)
{
	if (is_good(s, 2)) {
		s->offers_pipelining = s->reply.offers & REPLY_PIPELINING;
		s->offers_chunking = s->reply.offers & REPLY_CHUNKING;
		s->phase = SOURCE_READY;
		count(env, SOURCE_connections);
		if (!env->opts->bdat || s->offers_chunking)
			return SOURCE_GOES_ON;
		source_total_error(env->count, "EHLO", "--bdat, but CHUNKING is not offered");
		return SOURCE_REFUSED;
	}
	if (!is_good(s, 5) || env->opts->lmtp || env->opts->bdat) {
		error_reply(env, s, "EHLO");
		return SOURCE_REFUSED;
	}
	outbuf_str(&env->out, "HELO "); /* RFC 5321 3.2 */
	outbuf_str(&env->out, env->opts->hostname);
	outbuf_mem(&env->out, "\r\n", 2);
	s->phase = SOURCE_HELO;
	return SOURCE_GOES_ON;
}

static enum source_end got_helo(struct source_env *env, struct source_sess *s)
{
	if (!is_good(s, 2)) {
		error_reply(env, s, "HELO");
		return SOURCE_REFUSED;
	}
	s->phase = SOURCE_READY;
	count(env, SOURCE_connections);
	return SOURCE_GOES_ON;
}

static enum source_end got_mail(struct source_env *env, struct source_sess *s)
{
	s->open = is_good(s, 2);
	if (!s->open)
		note_refusal(env, s, "MAIL");
	if (s->piped || s->open) {
		s->phase = SOURCE_RCPT;
		if (!s->piped)
			send_rcpt(env, s, 0);
		return SOURCE_GOES_ON;
	}
	fail_by_code(env, s);
	message_ends(env, s);
	return SOURCE_GOES_ON;
}

static enum source_end got_rcpt(struct source_env *env, struct source_sess *s)
{
	if (is_good(s, 2)) {
		s->rcpt_ok++;
		if (s->rcpt_state)
			s->rcpt_state[s->rcpt_at] = 1;
	} else {
		count(env, is_good(s, 4) ? SOURCE_rcpt_tempfailed : SOURCE_rcpt_rejected);
		note_refusal(env, s, "RCPT");
	}
	if (++s->rcpt_at < env->opts->rcpts) {
		if (!s->piped)
			send_rcpt(env, s, s->rcpt_at);
		return SOURCE_GOES_ON;
	}
	if (!s->piped && s->rcpt_ok == 0) {
		fail_by_code(env, s);
		message_ends(env, s);
		return SOURCE_GOES_ON;
	}
	if (!s->piped)
		send_data(env, s);
	s->phase = env->opts->bdat ? SOURCE_CHUNK : SOURCE_DATA;
	return SOURCE_GOES_ON;
}

static enum source_end got_data(struct source_env *env, struct source_sess *s)
{
	bool go = is_good(s, 3);

	if (go && s->rcpt_ok && s->open) {
		send_content(env, s);
		s->rcpt_at = 0;
		s->phase = SOURCE_DOT;
		return SOURCE_GOES_ON;
	}
	if (!go && s->rcpt_ok)
		note_refusal(env, s, "DATA");
	fail_by_code(env, s);
	if (go) { /* RFC 2920 3.1: it wants content for nobody */
		outbuf_str(&env->out, ".\r\n");
		s->phase = SOURCE_DOT;
		return SOURCE_GOES_ON;
	}
	message_ends(env, s);
	return SOURCE_GOES_ON;
}

static enum source_end got_chunk(struct source_env *env, struct source_sess *s)
{
	if (!is_good(s, 2))
		note_refusal(env, s, "BDAT");
	s->rcpt_at = 0;
	s->phase = SOURCE_DOT;
	return SOURCE_GOES_ON;
}

/* LMTP: what became of the next recipient that RCPT had accepted. */
static void lmtp_result(struct source_sess *s, uint32_t rcpts, bool good)
{
	if (!s->rcpt_state)
		return;
	while (s->lmtp_at < rcpts && !s->rcpt_state[s->lmtp_at])
		s->lmtp_at++;
	if (s->lmtp_at < rcpts)
		s->rcpt_state[s->lmtp_at++] = good;
}

/* The final dot has one reply, with LMTP one for each accepted recipient, RFC 2033 4.2. */
static enum source_end got_dot(struct source_env *env, struct source_sess *s)
{
	if (s->ended) {
		s->open = false;
		message_ends(env, s);
		return SOURCE_GOES_ON;
	}
	if (!is_good(s, 2)) {
		note_refusal(env, s, "content");
		if (env->opts->lmtp)
			count(env, is_good(s, 4) ? SOURCE_rcpt_tempfailed : SOURCE_rcpt_rejected);
	} else {
		s->dot_ok += env->opts->lmtp ? 1 : s->rcpt_ok;
	}
	if (env->opts->lmtp) {
		lmtp_result(s, env->opts->rcpts, is_good(s, 2));
		if (++s->rcpt_at < s->rcpt_ok)
			return SOURCE_GOES_ON;
	}
	if (s->dot_ok)
		succeed(env, s);
	else
		fail_by_code(env, s);
	s->open = false;
	message_ends(env, s);
	return SOURCE_GOES_ON;
}

static enum source_end got_rset(struct source_env *env, struct source_sess *s)
{
	(void)env;
	s->phase = SOURCE_READY;
	return is_good(s, 2) ? SOURCE_GOES_ON : SOURCE_BROKEN;
}

static enum source_end got_quit(struct source_env *env, struct source_sess *s)
{
	(void)env;
	(void)s;
	return SOURCE_FINISHED;
}

/* A reply that nobody asked for: the server wants to end it. */
static enum source_end got_unasked(struct source_env *env, struct source_sess *s)
{
	error_reply(env, s, "unasked");
	return SOURCE_BROKEN;
}

static enum source_end (*const handlers[])(struct source_env *env, struct source_sess *s) = {
	[SOURCE_CLOSED] = got_unasked, [SOURCE_GREETING] = got_greeting, [SOURCE_EHLO] = got_ehlo,
	[SOURCE_HELO] = got_helo,      [SOURCE_READY] = got_unasked,     [SOURCE_MAIL] = got_mail,
	[SOURCE_RCPT] = got_rcpt,      [SOURCE_DATA] = got_data,         [SOURCE_CHUNK] = got_chunk,
	[SOURCE_DOT] = got_dot,        [SOURCE_RSET] = got_rset,         [SOURCE_QUIT] = got_quit,
};

/* 421 ends the connection wherever it comes, RFC 5321 3.8. */
static enum source_end got_421(struct source_env *env, struct source_sess *s)
{
	count(env, SOURCE_closed_by_421);
	if (s->phase == SOURCE_GREETING || s->phase == SOURCE_EHLO || s->phase == SOURCE_HELO) {
		error_reply(env, s, "greeting");
		return SOURCE_REFUSED;
	}
	if (s->phase == SOURCE_QUIT)
		return SOURCE_FINISHED;
	if (s->phase == SOURCE_READY || (s->phase == SOURCE_MAIL && s->done))
		return SOURCE_BROKEN; /* the message is sent again */
	note_refusal(env, s, "421");
	if (s->number)
		fail_by_code(env, s);
	return SOURCE_BROKEN;
}

enum source_end source_sess_feed(struct source_env *env, struct source_sess *s, const char *p,
				 size_t n)
{
	while (n) {
		size_t used;
		int rc = reply_feed(&s->reply, p, n, &used);
		if (rc < 0) {
			count(env, SOURCE_bad_replies);
			source_total_error(env->count, "reply", "not one by RFC 5321 4.2");
			return s->phase < SOURCE_READY ? SOURCE_REFUSED : SOURCE_BROKEN;
		}
		p += used;
		n -= used;
		if (rc == 0)
			break;
		enum source_end end =
			s->reply.code == 421 ? got_421(env, s) : handlers[s->phase](env, s);
		if (end != SOURCE_GOES_ON)
			return end;
	}
	return SOURCE_GOES_ON;
}

void source_sess_assign(struct source_sess *s, uint32_t number)
{
	s->number = number;
	s->tried = false;
}

void source_sess_connected(struct source_env *env, struct source_sess *s)
{
	reply_reset(&s->reply);
	s->phase = SOURCE_GREETING;
	s->done = 0;
	s->open = s->offers_pipelining = s->offers_chunking = s->send_tail = false;
	if (env->opts->rcpts > 1 && !s->rcpt_state &&
	    !(s->rcpt_state = calloc(env->opts->rcpts, 1)))
		cli_die(EX_OSERR, "out of memory");
}

void source_sess_closed(struct source_env *env, struct source_sess *s)
{
	bool sent = s->phase == SOURCE_DOT || (s->piped && env->opts->bdat);
	bool again = s->phase < SOURCE_MAIL || (s->phase == SOURCE_MAIL && s->done && !sent);

	if (s->phase != SOURCE_QUIT && s->phase > SOURCE_READY)
		count(env, SOURCE_lost);
	if (s->number && !again)
		fail(env, s, sent && !s->send_tail ? SOURCE_unknown : SOURCE_abandoned);
	s->phase = SOURCE_CLOSED;
	s->send_tail = false;
}

void source_sess_release(struct source_env *env, struct source_sess *s)
{
	if (s->number) {
		source_total_unclaim(env->total);
		if (s->tried)
			count(env, SOURCE_abandoned);
	}
	forget_message(s);
}

void source_sess_free(struct source_sess *s)
{
	reply_reset(&s->reply);
	free(s->rcpt_state);
	s->rcpt_state = NULL;
}
