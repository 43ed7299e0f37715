#include "proto/smtps_verbs.h"

#include "proto/address.h"
#include "proto/ehlo.h"
#include "proto/smtps_chunk.h"
#include "proto/smtps_data.h"
#include "proto/smtps_log.h"
#include "proto/smtps_mail.h"
#include "proto/smtps_rcpt.h"
#include "proto/smtps_stats.h"
#include "proto/smtps_ta.h"
#include "proto/smtps_xclient.h"

#include <stdlib.h>

typedef enum smtps_phase verb_fn(struct smtps_session *s, struct span args);

enum {
	V_NO_ARGS = 1u << 0, /* an argument is a syntax error */
	V_ARGS = 1u << 1,    /* no argument is one */
	V_IDLE = 1u << 2,    /* counts as NOOP */
	V_ENDS = 1u << 3,    /* ends a transaction */
	V_GROUP = 1u << 4,   /* stands behind MAIL in a pipelined group */
};

#define IN(phase) (1u << SMTPS_PH_##phase)
#define IN_ANY    (IN(START) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(CHUNK))
#define WORD(lit)                                                                                  \
	{                                                                                          \
		lit, sizeof(lit) - 1                                                               \
	}

/* 421: a limit is passed. */
static void limited(struct smtps_session *s, enum smtps_reply r)
{
	stats_add(SMTPS_ST_sessions_limited, 1);
	smtps_log_command(s, s->host->command, r);
	smtps_reply_end(s, r);
}

bool smtps_verbs_idle(struct smtps_session *s, bool ends)
{
	const struct smtps_options *o = smtps_session_opt(s);
	bool over = s->ta && ++s->ta->nops > o->max_nop_commands_in_transaction;

	/* What ends a transaction in vain stands between two successful ones too. */
	if (!s->ta || ends)
		over |= ++s->nops > o->max_nop_commands_between_transactions;
	if (over)
		limited(s, SMTPS_R_LIMIT_NOPS);
	return over;
}

static enum smtps_phase noop(struct smtps_session *s, struct span args)
{
	(void)args;
	smtps_reply(s, SMTPS_R_OK);
	return s->phase;
}

/* The phase between transactions. */
static enum smtps_phase ready(const struct smtps_session *s)
{
	return s->helo ? SMTPS_PH_READY : SMTPS_PH_START;
}

static enum smtps_phase rset(struct smtps_session *s, struct span args)
{
	(void)args;
	smtps_ta_leave(s);
	s->flags &= ~(uint32_t)SMTPS_SE_IN_VAIN;
	smtps_reply(s, SMTPS_R_RESET);
	return ready(s);
}

static enum smtps_phase quit(struct smtps_session *s, struct span args)
{
	(void)args;
	smtps_reply_end(s, SMTPS_R_BYE);
	return s->phase;
}

static enum smtps_phase help(struct smtps_session *s, struct span args)
{
	(void)args;
	smtps_reply(s, SMTPS_R_HELP);
	return s->phase;
}

static enum smtps_phase vrfy(struct smtps_session *s, struct span args)
{
	(void)args;
	smtps_reply(s, SMTPS_R_VRFY);
	return s->phase;
}

static enum smtps_phase expn(struct smtps_session *s, struct span args)
{
	(void)args;
	smtps_reply(s, SMTPS_R_NO_EXPN);
	return s->phase;
}

/* ---- EHLO, HELO */

static enum smtps_reply helo_check(const struct smtps_session *s, struct span name)
{
	if (!name.n || name.n > ADDRESS_DOMAIN_MAX)
		return SMTPS_R_HELO_SYNTAX;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] < 33 || name.p[i] > 126)
			return SMTPS_R_HELO_SYNTAX;
	if ((smtps_session_opt(s)->flags & SMTPS_F_STRICT_EHLO_CHECKS) &&
	    !address_domain_ok(name, false))
		return SMTPS_R_HELO_SYNTAX;
	/* R 6.2.1. */
	bool trusted = addr_is_loopback(&s->client) ||
		       (s->flags & (SMTPS_SE_CLIENT_OK | SMTPS_SE_CLIENT_RELAY));
	if (!trusted && span_caseeq(name, s->host->conf->hostname))
		return SMTPS_R_HELO_OURS;
	return SMTPS_R_OK;
}

static bool helo_take(struct smtps_session *s, struct span args)
{
	struct span name = span_trim(args);
	enum smtps_reply r = helo_check(s, name);

	if (r != SMTPS_R_OK) {
		smtps_verbs_bad(s, r);
		return false;
	}
	char *copy = strndup(name.p, name.n);
	if (!copy) {
		smtps_reply(s, SMTPS_R_LOCAL);
		return false;
	}
	free(s->helo);
	s->helo = copy;
	s->flags &= ~(uint32_t)SMTPS_SE_IN_VAIN;
	/* RFC 5321 4.1.4: EHLO ends a transaction as RSET does. */
	smtps_ta_leave(s);
	return true;
}

static enum smtps_phase ehlo(struct smtps_session *s, struct span args)
{
	struct smtps_host *h = s->host;

	if ((s->helo && smtps_verbs_idle(s, true)) || !helo_take(s, args))
		return s->phase;
	s->flags |= SMTPS_SE_EHLO;
	struct ehlo offer = h->conf->offer;
	if (smtps_xclient_allowed(s))
		offer.caps |= EHLO_XCLIENT;
	buf_eat(&h->scratch, buf_len(&h->scratch));
	if (ehlo_write(&offer, h->conf->hostname, &h->scratch))
		smtps_session_kill(s, "memory");
	else
		smtps_session_put(s, buf_span(&h->scratch));
	return SMTPS_PH_READY;
}

static enum smtps_phase helo(struct smtps_session *s, struct span args)
{
	if ((s->helo && smtps_verbs_idle(s, true)) || !helo_take(s, args))
		return s->phase;
	s->flags &= ~(uint32_t)SMTPS_SE_EHLO;
	smtps_session_put(s, SPAN("250 "));
	smtps_session_put(s, s->host->conf->hostname);
	smtps_session_put(s, SPAN("\r\n"));
	return SMTPS_PH_READY;
}

/* RCPT may run while others wait; see smtps_verbs_run(). */
static enum smtps_phase rcpt_waits(struct smtps_session *s, struct span args)
{
	(void)args;
	return s->phase;
}

/* ---- the table */

struct verb {
	struct span name;
	uint32_t phases;
	uint32_t flags;
	verb_fn *fn;
};

static const struct verb verbs[] = {
	{ WORD("MAIL"), IN(READY), V_ARGS, smtps_mail_verb },
	{ WORD("RCPT"), IN(MAIL) | IN(RCPT), V_ARGS | V_GROUP, rcpt_waits },
	{ WORD("DATA"), IN(RCPT), V_NO_ARGS | V_GROUP, smtps_data_verb },
	{ WORD("EHLO"), IN_ANY, 0, ehlo },
	{ WORD("QUIT"), IN_ANY | IN(REFUSED), V_NO_ARGS, quit },
	{ WORD("RSET"), IN_ANY, V_NO_ARGS | V_IDLE | V_ENDS, rset },
	{ WORD("HELO"), IN_ANY, 0, helo },
	{ WORD("BDAT"), IN_ANY, 0, smtps_chunk_verb },
	{ WORD("NOOP"), IN_ANY, V_IDLE, noop },
	{ WORD("VRFY"), IN_ANY, V_ARGS | V_IDLE, vrfy },
	{ WORD("EXPN"), IN_ANY, V_IDLE, expn },
	{ WORD("HELP"), IN_ANY, V_IDLE, help },
	{ WORD("XCLIENT"), IN(START) | IN(READY), V_ARGS, smtps_xclient_verb },
};

static const struct verb *find(struct span word)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (span_caseeq(verbs[i].name, word))
			return &verbs[i];
	return NULL;
}

/* Why v is not legal now. */
static enum smtps_reply wrong_phase(const struct smtps_session *s, const struct verb *v)
{
	if (s->phase == SMTPS_PH_REFUSED)
		return SMTPS_R_REFUSED;
	if (s->phase == SMTPS_PH_CHUNK)
		return SMTPS_R_IN_CHUNKS;
	if (v->fn == smtps_mail_verb)
		return s->phase == SMTPS_PH_START ? SMTPS_R_NEED_HELO : SMTPS_R_NESTED_MAIL;
	if (v->fn == smtps_data_verb && s->phase == SMTPS_PH_MAIL)
		return SMTPS_R_NEED_RCPT;
	if (v->fn == smtps_data_verb || v->fn == rcpt_waits)
		return SMTPS_R_NEED_MAIL;
	return SMTPS_R_SEQUENCE;
}

void smtps_verbs_bad(struct smtps_session *s, enum smtps_reply r)
{
	const struct smtps_options *o = smtps_session_opt(s);
	uint32_t in_ta = s->ta ? ++s->ta->bad : 0;

	stats_add(SMTPS_ST_commands_bad, 1);
	if (++s->bad > o->max_bad_commands_per_session ||
	    in_ta > o->max_bad_commands_per_transaction) {
		limited(s, SMTPS_R_LIMIT_BAD);
		return;
	}
	smtps_log_command(s, s->host->command, r);
	smtps_reply(s, r);
}

void smtps_verbs_in_vain(struct smtps_session *s, enum smtps_reply r)
{
	bool told = (s->flags & SMTPS_SE_IN_VAIN) || (s->ta && s->ta->refusals);

	/* As many as a group may have, and DATA. */
	if (told && s->in_vain++ <= smtps_session_opt(s)->max_recipients_per_transaction)
		smtps_reply(s, r);
	else
		smtps_verbs_bad(s, r);
}

/* v is not legal now. */
static void refuse(struct smtps_session *s, const struct verb *v)
{
	enum smtps_reply r = wrong_phase(s, v);

	if ((v->flags & V_GROUP) && r != SMTPS_R_IN_CHUNKS)
		smtps_verbs_in_vain(s, r);
	else
		smtps_verbs_bad(s, r);
}

bool smtps_verbs_run(struct smtps_session *s, struct span line)
{
	size_t n = span_chr(line, ' ');
	struct span args = span_from(line, n);
	const struct verb *v = find(span_head(line, n));

	s->host->command = line;
	/* Only RCPT may be asked before the answers to the commands in front of it are there. */
	if (v && v->fn == rcpt_waits && (v->phases & 1u << s->phase))
		return smtps_rcpt_verb(s, args);
	if (s->slot_count)
		return false;
	if (!v) {
		smtps_verbs_bad(s,
				s->phase == SMTPS_PH_REFUSED ? SMTPS_R_REFUSED : SMTPS_R_UNKNOWN);
		return true;
	}
	bool has_args = span_trim(args).n > 0;
	if (!(v->phases & 1u << s->phase))
		refuse(s, v);
	else if ((v->flags & V_NO_ARGS) && has_args)
		smtps_verbs_bad(s, SMTPS_R_NO_ARGUMENT);
	else if ((v->flags & V_ARGS) && !has_args)
		smtps_verbs_bad(s, SMTPS_R_NEED_ARGUMENT);
	else if (!(v->flags & V_IDLE) || !smtps_verbs_idle(s, v->flags & V_ENDS)) {
		enum smtps_phase next = v->fn(s, args);

		if (!smtps_session_over(s))
			smtps_session_phase(s, next);
	}
	return true;
}
