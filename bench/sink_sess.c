#include "bench/sink_sess.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include "bench/cli.h"
#include "bench/sink_cmd.h"

enum phase {
	PH_CONNECT = 0,
	PH_GREET,
	PH_READY,
	PH_MAIL,
	PH_RCPT,
	PH_CHUNKS,
	PH_DATA,
	PH_BDAT,
	PH_DOT
};

#define IN(phase) (1u << (phase))
#define IN_ANY    (IN(PH_GREET) | IN(PH_READY) | IN(PH_MAIL) | IN(PH_RCPT) | IN(PH_CHUNKS))

/* The longest content buffer that an idle session keeps. */
enum { KEEP_MAX = 65536 };

static void begin_stage(struct sink_env *env, struct sink_sess *s, enum fault_stage stage);

static void count(struct sink_env *env, enum sink_stat stat)
{
	sink_total_add(env->count, stat, 1);
}

/* code ends with its space; enhanced is left out unless it was offered. */
static void reply(struct sink_env *env, const char *code, const char *enhanced, const char *text)
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

static void set_addr(struct sink_sess *s, struct span addr)
{
	s->addr_n = (uint16_t)(addr.n < SINK_ADDR_MAX ? addr.n : SINK_ADDR_MAX);
	memcpy(s->addr, addr.p, s->addr_n);
}

static void no_transaction(struct sink_sess *s)
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
	s->phase = PH_GREET;
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

	no_transaction(s);
	s->phase = PH_READY;
	outbuf_str(b, "250-");
	outbuf_str(b, env->opts->hostname);
	for (size_t i = 0; s->esmtp && i < sizeof(offers) / sizeof(offers[0]); i++)
		if (env->opts->offers & offers[i].bit) {
			outbuf_str(b, "\r\n");
			last = b->n;
			outbuf_str(b, "250-");
			outbuf_str(b, offers[i].line);
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
	s->phase = PH_MAIL;
	reply(env, "250 ", "2.1.0 ", "Ok");
}

static void mail_failed(struct sink_env *env, struct sink_sess *s)
{
	(void)env;
	no_transaction(s);
	s->phase = PH_READY;
}

static void rcpt_ok(struct sink_env *env, struct sink_sess *s)
{
	if (s->rcpt_n == s->rcpt_cap) {
		uint32_t cap = s->rcpt_cap ? s->rcpt_cap * 2 : 4;
		uint64_t *p = realloc(s->rcpt, cap * sizeof(*p));
		if (!p) {
			reply(env, "452 ", "4.3.1 ", "out of memory");
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
	s->phase = PH_RCPT;
	reply(env, "250 ", "2.1.5 ", "Ok");
}

static void data_ok(struct sink_env *env, struct sink_sess *s)
{
	s->phase = PH_DATA;
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
		reply(env, "552 ", "5.3.4 ", "message too big");
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
	begin_stage(env, s, FAULT_ACCEPTED);
}

static void dot_failed(struct sink_env *env, struct sink_sess *s)
{
	(void)env;
	s->dot_at++;
}

static void accepted_ok(struct sink_env *env, struct sink_sess *s)
{
	reply(env, "250 ", "2.0.0 ", "Ok");
	s->dot_at++;
}

static void rset_ok(struct sink_env *env, struct sink_sess *s)
{
	no_transaction(s);
	s->phase = s->phase == PH_GREET ? PH_GREET : PH_READY;
	reply(env, "250 ", "2.0.0 ", "Ok");
}

static void quit_ok(struct sink_env *env, struct sink_sess *s)
{
	reply(env, "221 ", "2.0.0 ", "Bye");
	s->closing = true;
	s->phase = PH_READY; /* nothing is aborted */
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
		s->phase = PH_READY;
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

/* Takes the next free place of --limit and returns how long it is until then. */
static usec_t limit_wait(struct sink_env *env)
{
	const int64_t step = (int64_t)(1e6 / env->opts->limit_per_sec);
	int64_t slot = atomic_load(env->limit_slot), mine;

	do
		mine = slot > env->now_usec ? slot : env->now_usec;
	while (!atomic_compare_exchange_weak(env->limit_slot, &slot, mine + step));
	return mine - env->now_usec;
}

static void begin_stage(struct sink_env *env, struct sink_sess *s, enum fault_stage stage)
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
			set_addr(s, span_str(s->env.p + s->env_at));
			s->env_at = next;
		}
		begin_stage(env, s, FAULT_DOT);
	}
	if (s->dot_at == s->dot_n && !s->pause_until) {
		no_transaction(s);
		s->phase = PH_READY;
	}
}

static void dot_begin(struct sink_env *env, struct sink_sess *s)
{
	count(env, SINK_cmd_dot);
	s->phase = PH_DOT;
	s->dot_at = 0;
	s->dot_n = env->opts->lmtp ? s->rcpt_n : 1;
	dot_run(env, s);
}

void sink_sess_begin(struct sink_env *env, struct sink_sess *s)
{
	begin_stage(env, s, FAULT_CONNECT);
}

void sink_sess_resume(struct sink_env *env, struct sink_sess *s)
{
	if (s->pause_until == INT64_MAX)
		return;
	s->pause_until = 0;
	end_stage(env, s, (enum fault_stage)s->stage, &s->verdict);
	if (s->phase == PH_DOT)
		dot_run(env, s);
}

/* ---- commands */

static void bad_syntax(struct sink_env *env, const char *text)
{
	count(env, SINK_bad_syntax);
	reply(env, "501 ", "5.5.4 ", text);
}

static void helo_any(struct sink_env *env, struct sink_sess *s, struct span args, bool esmtp)
{
	if (span_trim(args).n == 0) {
		bad_syntax(env, "a name belongs here");
		return;
	}
	s->esmtp = esmtp;
	begin_stage(env, s, FAULT_HELO);
}

static void cmd_helo(struct sink_env *env, struct sink_sess *s, struct span args)
{
	helo_any(env, s, args, false);
}

static void cmd_ehlo(struct sink_env *env, struct sink_sess *s, struct span args)
{
	helo_any(env, s, args, true);
}

/* The part that MAIL and RCPT share. Returns false after a reply. */
static bool path_args(struct sink_env *env, struct sink_sess *s, struct span args, bool rcpt,
		      struct sink_cmd_params *params)
{
	struct sink_cmd_path path;
	unsigned offers = s->esmtp ? env->opts->offers : 0;

	if (sink_cmd_path(args, rcpt ? SPAN("TO:") : SPAN("FROM:"), &path)) {
		bad_syntax(env, rcpt ? "expected TO:<address>" : "expected FROM:<address>");
		return false;
	}
	int rc = sink_cmd_params(path.params, offers, rcpt, params);
	if (rc == -ENOTSUP) {
		count(env, SINK_bad_parameter);
		reply(env, "555 ", "5.5.4 ", "parameter was not offered");
		return false;
	}
	if (rc) {
		bad_syntax(env, "wrong parameter");
		return false;
	}
	if (path.addr.n > SINK_ADDR_MAX || (rcpt && path.addr.n == 0)) {
		bad_syntax(env, "bad address");
		return false;
	}
	if (path.eight_bit && !(rcpt ? s->utf8 : params->smtputf8)) {
		bad_syntax(env, "address needs SMTPUTF8");
		return false;
	}
	set_addr(s, path.addr);
	return true;
}

static void cmd_mail(struct sink_env *env, struct sink_sess *s, struct span args)
{
	struct sink_cmd_params params;

	if (!path_args(env, s, args, false, &params))
		return;
	if (env->opts->size_max && params.size > env->opts->size_max) {
		reply(env, "552 ", "5.3.4 ", "message too big");
		return;
	}
	s->body_8bit = params.body_8bit;
	s->utf8 = params.smtputf8;
	begin_stage(env, s, FAULT_MAIL);
}

static void cmd_rcpt(struct sink_env *env, struct sink_sess *s, struct span args)
{
	struct sink_cmd_params params;

	if (!path_args(env, s, args, true, &params))
		return;
	if (s->rcpt_n >= env->opts->rcpt_max) {
		reply(env, "452 ", "4.5.3 ", "too many recipients");
		return;
	}
	begin_stage(env, s, FAULT_RCPT);
}

static void cmd_data(struct sink_env *env, struct sink_sess *s, struct span args)
{
	if (args.n)
		bad_syntax(env, "DATA has no argument");
	else
		begin_stage(env, s, FAULT_DATA);
}

/* A chunk must be swallowed in any case, RFC 3030 2. */
static void cmd_bdat(struct sink_env *env, struct sink_sess *s, struct span args)
{
	if (!(env->opts->offers & SINK_CHUNKING) ||
	    sink_cmd_bdat(args, &s->bdat_left, &s->bdat_last)) {
		bad_syntax(env, "BDAT");
		s->closing = true; /* where the next command begins is not known */
		return;
	}
	s->bdat_bad = s->bdat_bad || (s->phase != PH_RCPT && s->phase != PH_CHUNKS);
	if (s->phase == PH_RCPT)
		s->scan = (struct datascan){ .raw = true };
	s->phase = PH_BDAT;
}

static void cmd_rset(struct sink_env *env, struct sink_sess *s, struct span args)
{
	(void)args;
	begin_stage(env, s, FAULT_RSET);
}

static void cmd_noop(struct sink_env *env, struct sink_sess *s, struct span args)
{
	(void)s;
	(void)args;
	reply(env, "250 ", "2.0.0 ", "Ok");
}

static void cmd_vrfy(struct sink_env *env, struct sink_sess *s, struct span args)
{
	(void)s;
	(void)args;
	reply(env, "252 ", "2.5.2 ", "send some mail");
}

static void cmd_quit(struct sink_env *env, struct sink_sess *s, struct span args)
{
	(void)args;
	begin_stage(env, s, FAULT_QUIT);
}

enum { F_SMTP = 1, F_LMTP = 2, F_BOTH = 3, F_ENDS_GROUP = 4 };

/* Where a verb is legal; its handler begins a stage, and only stages change the phase. */
static const struct verb {
	struct span name;
	unsigned phases;
	unsigned flags;
	enum sink_stat stat;
	void (*run)(struct sink_env *env, struct sink_sess *s, struct span args);
} verbs[] = {
	{ SPAN("MAIL"), IN(PH_READY), F_BOTH, SINK_cmd_mail, cmd_mail },
	{ SPAN("RCPT"), IN(PH_MAIL) | IN(PH_RCPT), F_BOTH, SINK_cmd_rcpt, cmd_rcpt },
	{ SPAN("DATA"), IN(PH_RCPT), F_BOTH | F_ENDS_GROUP, SINK_cmd_data, cmd_data },
	{ SPAN("BDAT"), IN_ANY, F_BOTH, SINK_cmd_bdat, cmd_bdat },
	{ SPAN("EHLO"), IN_ANY, F_SMTP | F_ENDS_GROUP, SINK_cmd_ehlo, cmd_ehlo },
	{ SPAN("HELO"), IN_ANY, F_SMTP | F_ENDS_GROUP, SINK_cmd_helo, cmd_helo },
	{ SPAN("LHLO"), IN_ANY, F_LMTP | F_ENDS_GROUP, SINK_cmd_lhlo, cmd_ehlo },
	{ SPAN("QUIT"), IN_ANY, F_BOTH | F_ENDS_GROUP, SINK_cmd_quit, cmd_quit },
	{ SPAN("RSET"), IN_ANY, F_BOTH, SINK_cmd_rset, cmd_rset },
	{ SPAN("NOOP"), IN_ANY, F_BOTH | F_ENDS_GROUP, SINK_cmd_noop, cmd_noop },
	{ SPAN("VRFY"), IN_ANY, F_BOTH | F_ENDS_GROUP, SINK_cmd_vrfy, cmd_vrfy },
	{ SPAN("EXPN"), IN_ANY, F_BOTH | F_ENDS_GROUP, SINK_cmd_vrfy, cmd_vrfy },
	{ SPAN("HELP"), IN_ANY, F_BOTH | F_ENDS_GROUP, SINK_cmd_vrfy, cmd_vrfy },
};

static const struct verb *find_verb(struct span name, bool lmtp)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (span_caseeq(name, verbs[i].name))
			return verbs[i].flags & (lmtp ? F_LMTP : F_SMTP) ? &verbs[i] : NULL;
	return NULL;
}

/* line ends with LF. more: bytes of input behind it. */
static void command(struct sink_env *env, struct sink_sess *s, struct span line, size_t more)
{
	if (line.n < 2 || line.p[line.n - 2] != '\r' || memchr(line.p, '\0', line.n)) {
		count(env, SINK_bad_line);
		reply(env, "500 ", "5.5.2 ", "a line ends with CR LF");
		return;
	}
	line.n -= 2;
	struct span name = span_head(line, span_chr(line, ' '));
	const struct verb *v = find_verb(name, env->opts->lmtp);
	if (!v) {
		count(env, SINK_bad_unknown);
		reply(env, "500 ", "5.5.1 ", "unknown command");
		return;
	}
	count(env, v->stat);
	if (more && (v->flags & F_ENDS_GROUP || !(env->opts->offers & SINK_PIPELINING)))
		count(env, SINK_bad_pipelining);
	if (!(v->phases & IN(s->phase))) {
		count(env, SINK_bad_sequence);
		reply(env, "503 ", "5.5.1 ", "not now");
		return;
	}
	v->run(env, s, span_from(line, name.n + 1));
}

/* ---- input */

/* Content has come: the stage that only drops or stalls, once a message. */
static void body_begins(struct sink_env *env, struct sink_sess *s)
{
	if (s->body_asked)
		return;
	s->body_asked = true;
	if (env->opts->faults.has[FAULT_BODY]) {
		set_addr(s, span_str(s->env.p + s->env_at));
		begin_stage(env, s, FAULT_BODY);
	}
}

static size_t feed_data(struct sink_env *env, struct sink_sess *s, const char *p, size_t n)
{
	body_begins(env, s);
	if (s->closing || s->pause_until)
		return 0;
	size_t used = datascan_feed(&s->scan, p, n);
	if (env->opts->dump)
		outbuf_mem(&s->content, p, used);
	if (s->scan.state == DATASCAN_END) {
		if (used < n && !(env->opts->offers & SINK_PIPELINING))
			count(env, SINK_bad_pipelining);
		dot_begin(env, s);
	}
	return used;
}

static void bdat_ends(struct sink_env *env, struct sink_sess *s)
{
	if (s->bdat_bad) {
		count(env, SINK_bad_sequence);
		reply(env, "503 ", "5.5.1 ", "not now");
		s->bdat_bad = !s->bdat_last;
		s->phase = PH_CHUNKS;
		if (s->bdat_last) {
			no_transaction(s);
			s->phase = PH_READY;
		}
	} else if (s->bdat_last) {
		dot_begin(env, s);
	} else {
		s->phase = PH_CHUNKS;
		reply(env, "250 ", "2.0.0 ", "chunk received");
	}
}

static size_t feed_bdat(struct sink_env *env, struct sink_sess *s, const char *p, size_t n)
{
	size_t take = n < s->bdat_left ? n : (size_t)s->bdat_left;

	if (!s->bdat_bad) {
		datascan_feed(&s->scan, p, take);
		if (env->opts->dump)
			outbuf_mem(&s->content, p, take);
	}
	s->bdat_left -= take;
	if (s->bdat_left == 0)
		bdat_ends(env, s);
	return take;
}

static size_t feed_line(struct sink_env *env, struct sink_sess *s, const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);
	size_t len = lf ? (size_t)(lf - p) + 1 : n;

	if (len > SINK_LINE_MAX) {
		count(env, SINK_bad_line);
		reply(env, "500 ", "5.5.2 ", "line too long");
		s->closing = true;
		return n;
	}
	if (!lf)
		return 0;
	command(env, s, span_of(p, len), n - len);
	return len;
}

size_t sink_sess_feed(struct sink_env *env, struct sink_sess *s, const char *p, size_t n)
{
	size_t at = 0;

	while (!s->pause_until && !s->closing) {
		if (s->phase == PH_BDAT && (at < n || s->bdat_left == 0)) {
			at += feed_bdat(env, s, p + at, n - at);
		} else if (at == n) {
			break;
		} else if (s->phase == PH_DATA) {
			at += feed_data(env, s, p + at, n - at);
		} else {
			size_t used = feed_line(env, s, p + at, n - at);
			if (used == 0)
				break;
			at += used;
		}
	}
	return at;
}

void sink_sess_end(struct sink_env *env, struct sink_sess *s)
{
	if (s->phase >= PH_MAIL)
		count(env, SINK_aborted);
	count(env, SINK_sessions_closed);
}

void sink_sess_recycle(struct sink_sess *s)
{
	struct sink_sess keep = *s;

	if (keep.content.cap > KEEP_MAX)
		outbuf_free(&keep.content);
	if (keep.env.cap > KEEP_MAX)
		outbuf_free(&keep.env);
	keep.env.n = keep.content.n = 0;
	*s = (struct sink_sess){ .rcpt = keep.rcpt,
				 .rcpt_cap = keep.rcpt_cap,
				 .env = keep.env,
				 .content = keep.content };
}

void sink_sess_free(struct sink_sess *s)
{
	free(s->rcpt);
	outbuf_free(&s->env);
	outbuf_free(&s->content);
	*s = (struct sink_sess){ 0 };
}
