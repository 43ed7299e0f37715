#include "bench/sink_stage.h"
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include "bench/cli.h"

static void count(struct sink_env *env, enum sink_stat stat)
{
	sink_total_add(env->count, stat, 1);
}

void sink_stage_reply(struct sink_env *env, const char *code, const char *enhanced,
		      const char *text)
{
	outbuf_str(&env->out, code);
	if (env->opts->offers & SINK_ENHANCED)
		outbuf_str(&env->out, enhanced);
	outbuf_str(&env->out, text);
	outbuf_mem(&env->out, "\r\n", 2);
}

static bool keeps_env(const struct sink_env *env)
{
	return env->opts->lmtp || env->opts->dump || env->opts->faults.n;
}

void sink_stage_addr(struct sink_sess *s, struct span addr)
{
	s->addr_n = (uint16_t)(addr.n < SINK_ADDR_MAX ? addr.n : SINK_ADDR_MAX);
	memcpy(s->addr, addr.p, s->addr_n);
}

void sink_stage_reset(struct sink_sess *s)
{
	s->rcpt_n = s->dot_at = s->dot_n = 0;
	s->env.n = s->content.n = s->env_at = 0;
	s->utf8 = s->body_8bit = s->counted = s->bdat_bad = s->bdat_last = false;
	s->addr_n = 0;
	s->scan = (struct datascan){ 0 };
}

/* ---- what a stage does when no fault stands against it, and when one does */

static void connect_ok(struct sink_env *env, struct sink_sess *s)
{
	outbuf_str(&env->out, "220 ");
	outbuf_str(&env->out, env->opts->hostname);
	outbuf_str(&env->out, env->opts->lmtp ? " LMTP\r\n" : " ESMTP\r\n");
	s->phase = SINK_GREET;
}

/* A refused greeting ends the connection, RFC 5321 3.1. */
static void connect_failed(struct sink_env *env, struct sink_sess *s)
{
	(void)env;
	s->closing = true;
}

static void helo_ok(struct sink_env *env, struct sink_sess *s)
{
	static const struct {
		unsigned bit;
		const char *line;
	} offers[] = {
		{ SINK_PIPELINING, "PIPELINING" }, { SINK_8BITMIME, "8BITMIME" },
		{ SINK_SMTPUTF8, "SMTPUTF8" },     { SINK_DSN, "DSN" },
		{ SINK_CHUNKING, "CHUNKING" },     { SINK_ENHANCED, "ENHANCEDSTATUSCODES" },
	};
	struct outbuf *b = &env->out;
	size_t last = b->n;

	sink_stage_reset(s);
	s->phase = SINK_READY;
	outbuf_str(b, "250-");
	outbuf_str(b, env->opts->hostname);
	for (size_t i = 0; s->esmtp && i < sizeof(offers) / sizeof(offers[0]); i++)
		if (env->opts->offers & offers[i].bit) {
			outbuf_str(b, "\r\n");
			last = b->n;
			outbuf_str(b, "250-");
			outbuf_str(b, offers[i].line);
		}
	if (s->esmtp && env->opts->mail_max) {
		outbuf_str(b, "\r\n");
		last = b->n;
		outbuf_str(b, "250-LIMITS MAILMAX=");
		outbuf_u64(b, env->opts->mail_max);
	}
	if (s->esmtp && env->opts->offers & SINK_SIZE) {
		outbuf_str(b, "\r\n");
		last = b->n;
		outbuf_str(b, "250-SIZE ");
		outbuf_u64(b, env->opts->size_max);
	}
	b->p[last + 3] = ' ';
	outbuf_str(b, "\r\n");
}

static void mail_ok(struct sink_env *env, struct sink_sess *s)
{
	if (keeps_env(env)) {
		outbuf_mem(&s->env, s->addr, s->addr_n);
		outbuf_mem(&s->env, "", 1);
		s->env_at = s->env.n;
	}
	if (s->addr_n == 0)
		count(env, SINK_null_sender);
	s->phase = SINK_MAIL;
	sink_stage_reply(env, "250 ", "2.1.0 ", "Ok");
}

static void mail_failed(struct sink_env *env, struct sink_sess *s)
{
	(void)env;
	sink_stage_reset(s);
	s->phase = SINK_READY;
}

static void rcpt_ok(struct sink_env *env, struct sink_sess *s)
{
	if (s->rcpt_n == s->rcpt_cap) {
		uint32_t cap = s->rcpt_cap ? s->rcpt_cap * 2 : 4;
		uint64_t *p = realloc(s->rcpt, cap * sizeof(*p));
		if (!p) {
			sink_stage_reply(env, "452 ", "4.3.1 ", "out of memory");
			return;
		}
		s->rcpt = p;
		s->rcpt_cap = cap;
	}
	s->rcpt[s->rcpt_n++] = span_casehash(span_of(s->addr, s->addr_n));
	if (keeps_env(env)) {
		outbuf_mem(&s->env, s->addr, s->addr_n);
		outbuf_mem(&s->env, "", 1);
	}
	s->phase = SINK_RCPT;
	sink_stage_reply(env, "250 ", "2.1.5 ", "Ok");
}

static void data_ok(struct sink_env *env, struct sink_sess *s)
{
	s->phase = SINK_DATA;
	s->body_asked = false;
	outbuf_str(&env->out, "354 End data with <CR><LF>.<CR><LF>\r\n");
}

static void nothing(struct sink_env *env, struct sink_sess *s)
{
	(void)env;
	(void)s;
}

static void dump(struct sink_env *env, struct sink_sess *s)
{
	struct outbuf b = { 0 };
	char path[4096];
	uint64_t number = atomic_fetch_add(env->dump_number, 1) + 1;
	const char *name = "X-Envelope-From: ";

	for (size_t at = 0; at < s->env.n; at += strlen(s->env.p + at) + 1) {
		outbuf_str(&b, name);
		outbuf_str(&b, s->env.p + at);
		outbuf_str(&b, "\r\n");
		name = "X-Envelope-To: ";
	}
	outbuf_mem(&b, s->content.p, s->content.n);
	snprintf(path, sizeof(path), "%s/%08ju.eml", env->opts->dump, (uintmax_t)number);
	int rc = cli_write_file(path, b.p, b.n);
	if (rc)
		cli_die(EX_IOERR, "%s: %s", path, strerror(-rc));
	outbuf_free(&b);
}

/* The message counts: whole in SMTP, one recipient in LMTP. */
static void dot_ok(struct sink_env *env, struct sink_sess *s)
{
	const uint64_t *rcpt = env->opts->lmtp ? s->rcpt + s->dot_at : s->rcpt;

	if (env->opts->size_max && s->scan.bytes > env->opts->size_max) {
		sink_stage_reply(env, "552 ", "5.3.4 ", "message too big");
		s->dot_at++;
		return;
	}
	if (!s->counted) {
		if (s->scan.eight_bit && !s->body_8bit && !s->utf8)
			count(env, SINK_content_8bit);
		if (env->opts->dump)
			dump(env, s);
	}
	sink_total_message(env->total, env->count, &s->scan, rcpt, env->opts->lmtp ? 1 : s->rcpt_n,
			   !s->counted, env->now_usec);
	s->counted = true;
	sink_stage_begin(env, s, FAULT_ACCEPTED);
}

static void dot_failed(struct sink_env *env, struct sink_sess *s)
{
	(void)env;
	s->dot_at++;
}

static void accepted_ok(struct sink_env *env, struct sink_sess *s)
{
	sink_stage_reply(env, "250 ", "2.0.0 ", "Ok");
	s->dot_at++;
}

static void rset_ok(struct sink_env *env, struct sink_sess *s)
{
	sink_stage_reset(s);
	s->phase = s->phase == SINK_GREET ? SINK_GREET : SINK_READY;
	sink_stage_reply(env, "250 ", "2.0.0 ", "Ok");
}

static void quit_ok(struct sink_env *env, struct sink_sess *s)
{
	sink_stage_reply(env, "221 ", "2.0.0 ", "Bye");
	s->closing = true;
	s->phase = SINK_READY; /* nothing is aborted */
}

static const struct {
	void (*ok)(struct sink_env *env, struct sink_sess *s);
	void (*failed)(struct sink_env *env, struct sink_sess *s);
} stages[FAULT_STAGES] = {
	[FAULT_CONNECT] = { connect_ok, connect_failed },
	[FAULT_HELO] = { helo_ok, nothing },
	[FAULT_MAIL] = { mail_ok, mail_failed },
	[FAULT_RCPT] = { rcpt_ok, nothing },
	[FAULT_DATA] = { data_ok, nothing },
	[FAULT_BODY] = { nothing, nothing },
	[FAULT_DOT] = { dot_ok, dot_failed },
	[FAULT_ACCEPTED] = { accepted_ok, dot_failed },
	[FAULT_RSET] = { rset_ok, nothing },
	[FAULT_QUIT] = { quit_ok, nothing },
};

/* ---- stages: ask the fault rules, wait if they say so, then go on */

static void reply_fault(struct sink_env *env, const struct fault_rule *r)
{
	if (r->text.n) {
		outbuf_fmt(&env->out, "%u %.*s\r\n", r->code, (int)r->text.n, r->text.p);
		return;
	}
	outbuf_fmt(&env->out, "%u ", r->code);
	if (env->opts->offers & SINK_ENHANCED)
		outbuf_fmt(&env->out, "%u.0.0 ", r->code / 100);
	outbuf_fmt(&env->out, "%s refused on purpose\r\n", fault_stage_name(r->stage));
}

static void end_stage(struct sink_env *env, struct sink_sess *s, enum fault_stage stage,
		      const struct fault_verdict *v)
{
	if (v->stall) {
		count(env, SINK_stalled);
		s->pause_until = INT64_MAX;
	} else if (v->drop) {
		count(env, SINK_dropped);
		s->closing = true;
		s->phase = SINK_READY;
	} else if (v->fail) {
		count(env, v->fail->code < 500 ? SINK_tempfailed : SINK_permfailed);
		reply_fault(env, v->fail);
		stages[stage].failed(env, s);
		if (v->fail->code == 421) /* RFC 5321 3.8 */
			s->closing = true;
	} else {
		stages[stage].ok(env, s);
	}
}

/* Takes the next free place of --limit and returns how long it is until then; 0 while the limit is
 * lifted. */
static usec_t limit_wait(struct sink_env *env)
{
	const int64_t step = (int64_t)(1e6 / env->opts->limit_per_sec);
	int64_t slot = atomic_load(env->limit_slot), mine;

	do {
		if (slot == SINK_LIMIT_LIFTED)
			return 0;
		mine = slot > env->now_usec ? slot : env->now_usec;
	} while (!atomic_compare_exchange_weak(env->limit_slot, &slot, mine + step));
	return mine - env->now_usec;
}

void sink_stage_begin(struct sink_env *env, struct sink_sess *s, enum fault_stage stage)
{
	struct fault_verdict v;

	fault_check(&env->opts->faults, stage, span_of(s->addr, s->addr_n), &env->rng, &v);
	if (v.delay_usec)
		count(env, SINK_delayed);
	if (stage == FAULT_DOT && env->opts->limit_per_sec > 0 && !v.drop && !v.stall)
		v.delay_usec += limit_wait(env);
	if (v.delay_usec) {
		s->verdict = v;
		s->stage = (uint8_t)stage;
		s->pause_until = env->now_usec + v.delay_usec;
		return;
	}
	end_stage(env, s, stage, &v);
}

/* Replies to a whole content: one, or with LMTP one for each recipient, RFC 2033 4.2. */
static void dot_run(struct sink_env *env, struct sink_sess *s)
{
	while (s->dot_at < s->dot_n && !s->pause_until && !s->closing) {
		if (keeps_env(env)) {
			size_t next = s->env_at +
				      (env->opts->lmtp ? strlen(s->env.p + s->env_at) + 1 : 0);
			sink_stage_addr(s, span_str(s->env.p + s->env_at));
			s->env_at = next;
		}
		sink_stage_begin(env, s, FAULT_DOT);
	}
	if (s->dot_at == s->dot_n && !s->pause_until) {
		sink_stage_reset(s);
		s->phase = SINK_READY;
	}
}

void sink_stage_dot(struct sink_env *env, struct sink_sess *s)
{
	count(env, SINK_cmd_dot);
	s->phase = SINK_DOT;
	s->dot_at = 0;
	s->dot_n = env->opts->lmtp ? s->rcpt_n : 1;
	dot_run(env, s);
}

void sink_stage_resume(struct sink_env *env, struct sink_sess *s)
{
	if (s->pause_until == INT64_MAX)
		return;
	s->pause_until = 0;
	end_stage(env, s, (enum fault_stage)s->stage, &s->verdict);
	if (s->phase == SINK_DOT)
		dot_run(env, s);
}
