#include "bench/sink_sess.h"
#include <errno.h>
#include <stdlib.h>
#include "bench/sink_cmd.h"
#include "bench/sink_stage.h"

#define IN(phase) (1u << (phase))
#define IN_ANY    (IN(SINK_GREET) | IN(SINK_READY) | IN(SINK_MAIL) | IN(SINK_RCPT) | IN(SINK_CHUNKS))

/* The longest content buffer that an idle session keeps. */
enum { KEEP_MAX = 65536 };

static void count(struct sink_env *env, enum sink_stat stat)
{
	sink_total_add(env->count, stat, 1);
}

void sink_sess_begin(struct sink_env *env, struct sink_sess *s)
{
	sink_stage_begin(env, s, FAULT_CONNECT);
}

void sink_sess_resume(struct sink_env *env, struct sink_sess *s)
{
	sink_stage_resume(env, s);
}

/* ---- commands */

static void bad_syntax(struct sink_env *env, const char *text)
{
	count(env, SINK_bad_syntax);
	sink_stage_reply(env, "501 ", "5.5.4 ", text);
}

static void helo_any(struct sink_env *env, struct sink_sess *s, struct span args, bool esmtp)
{
	if (span_trim(args).n == 0) {
		bad_syntax(env, "a name belongs here");
		return;
	}
	s->esmtp = esmtp;
	sink_stage_begin(env, s, FAULT_HELO);
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
		sink_stage_reply(env, "555 ", "5.5.4 ", "parameter was not offered");
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
	sink_stage_addr(s, path.addr);
	return true;
}

static void cmd_mail(struct sink_env *env, struct sink_sess *s, struct span args)
{
	struct sink_cmd_params params;

	if (!path_args(env, s, args, false, &params))
		return;
	if (env->opts->size_max && params.size > env->opts->size_max) {
		sink_stage_reply(env, "552 ", "5.3.4 ", "message too big");
		return;
	}
	if (env->opts->mail_max && s->mail_n >= env->opts->mail_max) {
		sink_stage_reply(env, "421 ", "4.7.0 ", "no more messages on this connection");
		s->closing = true;
		return;
	}
	s->mail_n++;
	s->body_8bit = params.body_8bit;
	s->utf8 = params.smtputf8;
	sink_stage_begin(env, s, FAULT_MAIL);
}

static void cmd_rcpt(struct sink_env *env, struct sink_sess *s, struct span args)
{
	struct sink_cmd_params params;

	if (!path_args(env, s, args, true, &params))
		return;
	if (s->rcpt_n >= env->opts->rcpt_max) {
		sink_stage_reply(env, "452 ", "4.5.3 ", "too many recipients");
		return;
	}
	sink_stage_begin(env, s, FAULT_RCPT);
}

static void cmd_data(struct sink_env *env, struct sink_sess *s, struct span args)
{
	if (args.n)
		bad_syntax(env, "DATA has no argument");
	else
		sink_stage_begin(env, s, FAULT_DATA);
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
	s->bdat_bad = s->bdat_bad || (s->phase != SINK_RCPT && s->phase != SINK_CHUNKS);
	if (s->phase == SINK_RCPT)
		s->scan = (struct datascan){ .raw = true };
	s->phase = SINK_BDAT;
}

static void cmd_rset(struct sink_env *env, struct sink_sess *s, struct span args)
{
	(void)args;
	sink_stage_begin(env, s, FAULT_RSET);
}

static void cmd_noop(struct sink_env *env, struct sink_sess *s, struct span args)
{
	(void)s;
	(void)args;
	sink_stage_reply(env, "250 ", "2.0.0 ", "Ok");
}

static void cmd_vrfy(struct sink_env *env, struct sink_sess *s, struct span args)
{
	(void)s;
	(void)args;
	sink_stage_reply(env, "252 ", "2.5.2 ", "send some mail");
}

static void cmd_quit(struct sink_env *env, struct sink_sess *s, struct span args)
{
	(void)args;
	sink_stage_begin(env, s, FAULT_QUIT);
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
	{ SPAN("MAIL"), IN(SINK_READY), F_BOTH, SINK_cmd_mail, cmd_mail },
	{ SPAN("RCPT"), IN(SINK_MAIL) | IN(SINK_RCPT), F_BOTH, SINK_cmd_rcpt, cmd_rcpt },
	{ SPAN("DATA"), IN(SINK_RCPT), F_BOTH | F_ENDS_GROUP, SINK_cmd_data, cmd_data },
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
			return (verbs[i].flags & (lmtp ? F_LMTP : F_SMTP)) ? &verbs[i] : NULL;
	return NULL;
}

/* line ends with LF. more: bytes of input behind it. */
static void command(struct sink_env *env, struct sink_sess *s, struct span line, size_t more)
{
	if (line.n < 2 || line.p[line.n - 2] != '\r' || memchr(line.p, '\0', line.n)) {
		count(env, SINK_bad_line);
		sink_stage_reply(env, "500 ", "5.5.2 ", "a line ends with CR LF");
		return;
	}
	line.n -= 2;
	struct span name = span_head(line, span_chr(line, ' '));
	const struct verb *v = find_verb(name, env->opts->lmtp);
	if (!v) {
		count(env, SINK_bad_unknown);
		sink_stage_reply(env, "500 ", "5.5.1 ", "unknown command");
		return;
	}
	count(env, v->stat);
	if (more && (v->flags & F_ENDS_GROUP || !(env->opts->offers & SINK_PIPELINING)))
		count(env, SINK_bad_pipelining);
	if (!(v->phases & IN(s->phase))) {
		count(env, SINK_bad_sequence);
		sink_stage_reply(env, "503 ", "5.5.1 ", "not now");
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
		sink_stage_addr(s, span_str(s->env.p + s->env_at));
		sink_stage_begin(env, s, FAULT_BODY);
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
		sink_stage_dot(env, s);
	}
	return used;
}

static void bdat_ends(struct sink_env *env, struct sink_sess *s)
{
	if (s->bdat_bad) {
		count(env, SINK_bad_sequence);
		sink_stage_reply(env, "503 ", "5.5.1 ", "not now");
		s->bdat_bad = !s->bdat_last;
		s->phase = SINK_CHUNKS;
		if (s->bdat_last) {
			sink_stage_reset(s);
			s->phase = SINK_READY;
		}
	} else if (s->bdat_last) {
		sink_stage_dot(env, s);
	} else {
		s->phase = SINK_CHUNKS;
		sink_stage_reply(env, "250 ", "2.0.0 ", "chunk received");
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
		sink_stage_reply(env, "500 ", "5.5.2 ", "line too long");
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
		if (s->phase == SINK_BDAT && (at < n || s->bdat_left == 0)) {
			at += feed_bdat(env, s, p + at, n - at);
		} else if (at == n) {
			break;
		} else if (s->phase == SINK_DATA) {
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
	if (s->phase >= SINK_MAIL)
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
