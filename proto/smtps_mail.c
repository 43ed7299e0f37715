#include "proto/smtps_mail.h"

#include "proto/address.h"
#include "proto/param.h"
#include "proto/smtps_log.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_stats.h"
#include "proto/smtps_ta.h"
#include "proto/smtps_verbs.h"

#include <errno.h>

enum { ENVID_MAX = 100 }; /* RFC 3461 4.4 */

/* What the parameters of one MAIL said. */
struct mail_args {
	struct span envid;
	uint64_t size;
	uint8_t body, ret;
	bool smtputf8;
	uint32_t seen; /* rows of params[] */
};

typedef enum smtps_reply param_fn(struct smtps_session *s, struct span value,
				  struct mail_args *out);

static enum smtps_reply param_size(struct smtps_session *s, struct span v, struct mail_args *out)
{
	/* RFC 1870 4: 1*20DIGIT, so it may not fit into 64 bits. */
	int rc = v.p && v.n <= 20 ? span_u64(v, UINT64_MAX, &out->size) : -1;

	if (rc == -ERANGE || (!rc && out->size > smtps_session_opt(s)->max_message_size))
		return SMTPS_R_SIZE;
	return rc ? SMTPS_R_PARAM_SYNTAX : SMTPS_R_OK;
}

static enum smtps_reply param_body(struct smtps_session *s, struct span v, struct mail_args *out)
{
	if (span_caseeq(v, SPAN("7BIT")))
		out->body = ENV_BODY_7BIT;
	else if (span_caseeq(v, SPAN("8BITMIME")))
		out->body = ENV_BODY_8BITMIME;
	else if (span_caseeq(v, SPAN("BINARYMIME")) &&
		 (s->host->conf->offer.caps & EHLO_BINARYMIME))
		out->body = ENV_BODY_BINARYMIME;
	else
		return SMTPS_R_PARAM_SYNTAX;
	return SMTPS_R_OK;
}

static enum smtps_reply param_smtputf8(struct smtps_session *s, struct span v,
				       struct mail_args *out)
{
	(void)s;
	out->smtputf8 = true;
	return v.p ? SMTPS_R_PARAM_SYNTAX : SMTPS_R_OK;
}

static enum smtps_reply param_ret(struct smtps_session *s, struct span v, struct mail_args *out)
{
	(void)s;
	if (span_caseeq(v, SPAN("FULL")))
		out->ret = ENV_RET_FULL;
	else if (span_caseeq(v, SPAN("HDRS")))
		out->ret = ENV_RET_HDRS;
	else
		return SMTPS_R_PARAM_SYNTAX;
	return SMTPS_R_OK;
}

static enum smtps_reply param_envid(struct smtps_session *s, struct span v, struct mail_args *out)
{
	(void)s;
	out->envid = v;
	return v.p && param_xtext_ok(v, ENVID_MAX) ? SMTPS_R_OK : SMTPS_R_PARAM_SYNTAX;
}

static const struct {
	struct span key;
	uint32_t cap; /* only when this is offered */
	param_fn *fn;
} params[] = {
	{ { "SIZE", 4 }, EHLO_SIZE, param_size },
	{ { "BODY", 4 }, EHLO_8BITMIME | EHLO_BINARYMIME, param_body },
	{ { "SMTPUTF8", 8 }, EHLO_SMTPUTF8, param_smtputf8 },
	{ { "RET", 3 }, EHLO_DSN, param_ret },
	{ { "ENVID", 5 }, EHLO_DSN, param_envid },
};

static enum smtps_reply one_param(struct smtps_session *s, const struct param *p,
				  struct mail_args *out)
{
	for (unsigned i = 0; i < sizeof params / sizeof params[0]; i++) {
		if (!span_caseeq(p->key, params[i].key))
			continue;
		if (!(s->host->conf->offer.caps & params[i].cap))
			break;
		if (out->seen & 1u << i)
			return SMTPS_R_PARAM_SYNTAX;
		out->seen |= 1u << i;
		return params[i].fn(s, p->value, out);
	}
	return SMTPS_R_PARAM_UNKNOWN;
}

/* SMTPS_R_OK, or why the command is refused. */
static enum smtps_reply parse(struct smtps_session *s, struct span args, struct address *from,
			      struct mail_args *out)
{
	bool utf8 = s->host->conf->offer.caps & EHLO_SMTPUTF8;
	struct param p;
	int rc;

	*out = (struct mail_args){ .envid = { "", 0 } };
	/* R 6.2.2: no space behind the colon. */
	if (!span_casestartswith(args, SPAN(" FROM:<")))
		return SMTPS_R_MAIL_SYNTAX;
	args = span_from(args, 6);
	switch (address_path(&args, from)) {
	case ADDRESS_OK:
		break;
	case ADDRESS_NO_DOMAIN:
		return SMTPS_R_SENDER_DOMAIN;
	case ADDRESS_LONG:
		return SMTPS_R_SENDER_LONG;
	case ADDRESS_SYNTAX:
		return SMTPS_R_SENDER_SYNTAX;
	}
	if (from->utf8 && !utf8)
		return SMTPS_R_NEED_UTF8;
	while ((rc = param_next(&args, false, &p)) == 1) {
		enum smtps_reply r = one_param(s, &p, out);

		if (r != SMTPS_R_OK)
			return r;
	}
	if (rc)
		return SMTPS_R_PARAM_SYNTAX;
	return from->utf8 && !out->smtputf8 ? SMTPS_R_NEED_UTF8 : SMTPS_R_OK;
}

/* A group may stand behind it, RFC 2920. */
static void in_vain(struct smtps_session *s)
{
	stats_add(SMTPS_ST_mail_refused, 1);
	s->flags |= SMTPS_SE_IN_VAIN;
	s->in_vain = 0;
}

static enum smtps_phase refuse(struct smtps_session *s, struct span sender, enum smtps_reply r)
{
	in_vain(s);
	smtps_log_mail(s, NULL, sender, smtps_reply_code(s, r), smtps_reply_text_of(r));
	smtps_reply(s, r);
	return s->phase;
}

/* Sender and parameters go into the transaction; false without memory. */
static bool fill(struct smtps_ta *ta, const struct address *from, const struct mail_args *m)
{
	ta->sender = arena_span(ta->arena, from->mailbox);
	ta->envid = m->envid.n ? arena_span(ta->arena, m->envid) : SPAN("");
	ta->size = m->size;
	ta->body = m->body;
	ta->ret = m->ret;
	ta->smtputf8 = m->smtputf8;
	return ta->sender.p && ta->envid.p;
}

static bool overloaded(const struct smtps_host *h)
{
	return h->credit.level >= 2 || h->rcpt_count >= h->credit.recipients;
}

enum smtps_phase smtps_mail_verb(struct smtps_session *s, struct span args)
{
	struct smtps_host *h = s->host;
	struct address from;
	struct mail_args m;
	enum smtps_reply r = parse(s, args, &from, &m);

	if (r != SMTPS_R_OK && r != SMTPS_R_SIZE) {
		in_vain(s);
		smtps_verbs_bad(s, r);
		return s->phase;
	}
	/* Those that are refused count too. */
	if (s->transactions++ >= smtps_session_opt(s)->max_transactions) {
		stats_add(SMTPS_ST_sessions_limited, 1);
		smtps_log_command(s, h->command, SMTPS_R_LIMIT_TRANSACTIONS);
		smtps_reply_end(s, SMTPS_R_LIMIT_TRANSACTIONS);
		return s->phase;
	}
	if (r != SMTPS_R_OK)
		return refuse(s, from.mailbox, r);
	if (overloaded(h))
		return refuse(s, from.mailbox, SMTPS_R_BUSY);
	struct smtps_ta *ta = smtps_ta_new(h);
	struct smtps_slot *sl = ta && fill(ta, &from, &m) ? smtps_slot_new(s) : NULL;
	if (!sl) {
		smtps_ta_free(ta);
		return refuse(s, from.mailbox, SMTPS_R_LOCAL);
	}
	s->ta = ta;
	sl->mail = true;
	sl->ask.sender = ta->sender;
	smtps_slot_ask(sl, SMTPS_ASK_MAIL);
	return SMTPS_PH_MAIL;
}

/* The verdict refuses; the transaction goes when nothing waits any more. */
static enum smtps_phase refused(struct smtps_session *s, unsigned code, struct span text)
{
	s->ta->refused = true;
	in_vain(s);
	smtps_log_mail(s, s->ta, s->ta->sender, code, text);
	if (code == 421)
		smtps_session_end(s);
	return s->phase;
}

enum smtps_phase smtps_mail_settle(struct smtps_session *s, struct smtps_slot *sl)
{
	struct smtps_ta *ta = s->ta;

	if (sl->failed) {
		smtps_reply(s, SMTPS_R_LOCAL);
		return refused(s, smtps_reply_code(s, SMTPS_R_LOCAL),
			       smtps_reply_text_of(SMTPS_R_LOCAL));
	}
	if (sl->action == MSG_ACT_ERROR) {
		bool wait = !sl->quick && (smtps_session_opt(s)->flags & SMTPS_F_DELAY_CHECKS);

		if (!wait) {
			smtps_reply_text(s, sl->text);
			return refused(s, smtps_reply_text_code(s, sl->text), sl->text);
		}
		ta->later = sl->text.n ? sl->text : SPAN("550 5.7.1 Rejected");
	}
	ta->discard = sl->action == MSG_ACT_DISCARD || (s->flags & SMTPS_SE_DISCARD);
	s->flags &= ~(uint32_t)SMTPS_SE_IN_VAIN;
	s->in_vain = 0;
	stats_add(SMTPS_ST_mail_accepted, 1);
	smtps_log_mail(s, ta, ta->sender, 0, SPAN(""));
	smtps_reply(s, SMTPS_R_SENDER_OK);
	return SMTPS_PH_MAIL;
}
