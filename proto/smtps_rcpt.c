#include "proto/smtps_rcpt.h"

#include "proto/address.h"
#include "proto/param.h"
#include "proto/smtps_log.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_stats.h"
#include "proto/smtps_ta.h"

enum { ORCPT_MAX = 500 }; /* RFC 3461 4.2 */

struct rcpt_args {
	struct span orcpt;
	unsigned notify;
};

static enum smtps_reply parse_params(struct smtps_session *s, struct span args,
				     struct rcpt_args *out)
{
	bool dsn = s->host->conf->offer.caps & EHLO_DSN;
	struct param p;
	int rc;

	while ((rc = param_next(&args, s->ta->smtputf8, &p)) == 1) {
		if (dsn && span_caseeq(p.key, SPAN("NOTIFY"))) {
			if (out->notify || !p.value.p || !(out->notify = param_notify(p.value)))
				return SMTPS_R_PARAM_SYNTAX;
		} else if (dsn && span_caseeq(p.key, SPAN("ORCPT"))) {
			if (out->orcpt.n || !p.value.p ||
			    !param_orcpt_ok(p.value, ORCPT_MAX, s->ta->smtputf8))
				return SMTPS_R_PARAM_SYNTAX;
			out->orcpt = p.value;
		} else {
			return SMTPS_R_PARAM_UNKNOWN;
		}
	}
	return rc ? SMTPS_R_PARAM_SYNTAX : SMTPS_R_OK;
}

/* SMTPS_R_OK, or why the command is refused. */
static enum smtps_reply parse(struct smtps_session *s, struct span args, struct address *to,
			      bool *postmaster, struct rcpt_args *out)
{
	*out = (struct rcpt_args){ .orcpt = { "", 0 } };
	*postmaster = false;
	if (!span_casestartswith(args, SPAN(" TO:<")))
		return SMTPS_R_RCPT_SYNTAX;
	args = span_from(args, 4);
	switch (address_path(&args, to)) {
	case ADDRESS_OK:
		if (!to->mailbox.n)
			return SMTPS_R_ADDRESS_SYNTAX;
		break;
	case ADDRESS_NO_DOMAIN:
		*postmaster = span_caseeq(to->mailbox, SPAN("Postmaster"));
		if (!*postmaster)
			return SMTPS_R_ADDRESS_DOMAIN;
		break;
	case ADDRESS_LONG:
		return SMTPS_R_ADDRESS_LONG;
	case ADDRESS_SYNTAX:
		return SMTPS_R_ADDRESS_SYNTAX;
	}
	/* RFC 6531 3.6.1: only in a transaction whose MAIL asked for it. */
	if (to->utf8 && !s->ta->smtputf8)
		return SMTPS_R_NEED_UTF8;
	return parse_params(s, args, out);
}

static struct smtps_rcpt *make_rcpt(struct smtps_session *s, const struct address *to,
				    bool postmaster, const struct rcpt_args *a)
{
	struct arena *arena = s->ta->arena;
	struct smtps_rcpt *r = arena_alloc(arena, sizeof *r);

	if (!r)
		return NULL;
	*r = (struct smtps_rcpt){ .notify = (uint8_t)a->notify, .postmaster = postmaster };
	if (postmaster) {
		static const char local[] = "postmaster@";
		struct span host = s->host->conf->hostname;
		char *p = arena_alloc(arena, sizeof local + host.n);

		if (p) {
			memcpy(p, local, sizeof local - 1);
			memcpy(p + sizeof local - 1, host.p, host.n);
		}
		r->to.addr = span_of(p, sizeof local - 1 + host.n);
	} else {
		r->to.addr = arena_span(arena, to->mailbox);
	}
	r->orcpt = a->orcpt.n ? arena_span(arena, a->orcpt) : SPAN("");
	return r->to.addr.p && r->orcpt.p ? r : NULL;
}

/* Limits of recipients: SMTPS_R_OK, or the reply. *wait: it depends on answers that have not come.
 */
static enum smtps_reply limits(const struct smtps_session *s, bool *wait)
{
	const struct smtps_options *o = smtps_session_opt(s);
	const struct smtps_ta *ta = s->ta;

	*wait = ta->pending && (ta->rcpt_count + ta->pending >= o->max_recipients_per_transaction ||
				s->rcpts + ta->pending >= o->max_recipients_per_session);
	if (*wait)
		return SMTPS_R_OK;
	/* A message that has recipients keeps them: 421 would lose it for all. */
	if (s->rcpts >= o->max_recipients_per_session && !ta->rcpt_count)
		return SMTPS_R_LIMIT_RCPTS;
	if (s->rcpts >= o->max_recipients_per_session ||
	    ta->rcpt_count >= o->max_recipients_per_transaction)
		return SMTPS_R_TOO_MANY_RCPTS;
	return s->host->rcpt_count >= s->host->credit.recipients ? SMTPS_R_BUSY : SMTPS_R_OK;
}

/* The reply stands in line behind those that wait. */
static void refuse(struct smtps_session *s, enum smtps_reply r)
{
	if (!smtps_slot_reply(s, r))
		smtps_session_kill(s, "memory");
}

bool smtps_rcpt_verb(struct smtps_session *s, struct span args)
{
	struct address to;
	struct rcpt_args a;
	bool postmaster, wait;

	if (s->slot_count >= SMTPS_SLOTS_MAX)
		return false;
	enum smtps_reply r = parse(s, args, &to, &postmaster, &a);
	if (r != SMTPS_R_OK) {
		smtps_log_command(s, s->host->command, r);
		refuse(s, r);
		return true;
	}
	r = limits(s, &wait);
	if (wait)
		return false;
	struct smtps_rcpt *rcpt = r == SMTPS_R_OK ? make_rcpt(s, &to, postmaster, &a) : NULL;
	struct smtps_slot *sl = rcpt ? smtps_slot_new(s) : NULL;
	if (!sl) {
		r = r == SMTPS_R_OK ? SMTPS_R_LOCAL : r;
		smtps_log_rcpt(s, s->ta, to.mailbox, s->ta->rcpt_count, smtps_reply_code(s, r),
			       smtps_reply_text_of(r));
		refuse(s, r);
		return true;
	}
	sl->rcpt = rcpt;
	sl->ask.sender = s->ta->sender;
	sl->ask.rcpt = rcpt->to.addr;
	s->ta->pending++;
	smtps_slot_ask(sl, SMTPS_ASK_RCPT);
	return true;
}

/* An error of the checks before, which this verdict does not override. */
static struct span earlier_error(const struct smtps_session *s, const struct smtps_slot *sl)
{
	bool overrides = sl->quick && (sl->action == MSG_ACT_OK || sl->action == MSG_ACT_RELAY);

	if (overrides || sl->rcpt->postmaster)
		return SPAN("");
	return s->later ? span_str(s->later) : s->ta->later;
}

/* R 3.10, items 8 and 12: 421 once the limit is passed. */
static bool over_limit(const struct smtps_session *s)
{
	const struct smtps_options *o = smtps_session_opt(s);

	return s->invalid > o->max_invalid_addresses_per_session ||
	       s->ta->invalid > o->max_invalid_addresses_per_transaction;
}

static enum smtps_phase refused(struct smtps_session *s, const struct smtps_slot *sl,
				struct span text)
{
	unsigned code = smtps_reply_text_code(s, text);

	stats_add(SMTPS_ST_rcpt_refused, 1);
	s->ta->refusals++;
	if (sl->rcpt)
		smtps_log_rcpt(s, s->ta, sl->rcpt->to.addr, s->ta->rcpt_count, code, text);
	/* Before soft_bounce: invalid is what would be permanent. */
	if (text.p[0] != '4') {
		s->invalid++;
		s->ta->invalid++;
		if (over_limit(s)) {
			stats_add(SMTPS_ST_sessions_limited, 1);
			smtps_reply_end(s, SMTPS_R_LIMIT_INVALID);
			return s->phase;
		}
	}
	smtps_reply_text(s, text);
	if (code == 421)
		smtps_session_end(s);
	return s->phase;
}

static enum smtps_phase accepted(struct smtps_session *s, struct smtps_slot *sl)
{
	struct smtps_ta *ta = s->ta;
	bool routed = sl->action != MSG_ACT_ERROR;

	sl->rcpt->members = routed ? sl->members : NULL;
	enum smtps_reply room = smtps_ta_room(ta, sl->rcpt);
	if (room != SMTPS_R_OK)
		return refused(s, sl, smtps_reply_text_of(room));
	if (sl->action == MSG_ACT_DISCARD) {
		sl->rcpt->to.discard = true;
		ta->discard |= sl->quick;
	}
	smtps_ta_add_rcpt(ta, sl->rcpt, routed ? sl->route : SPAN(""));
	s->rcpts++;
	stats_add(SMTPS_ST_rcpt_accepted, 1);
	smtps_log_accepted_rcpt(s, ta, sl->rcpt);
	smtps_reply(s, SMTPS_R_RCPT_OK);
	return SMTPS_PH_RCPT;
}

/* RFC 5321 4.5.1: Postmaster is always accepted, but for the moment when nobody can tell who that
 * is. */
static bool takes_postmaster(const struct smtps_slot *sl)
{
	return sl->rcpt->postmaster && !span_eq(sl->text, SPAN(MSG_TEXT_CONFIG));
}

enum smtps_phase smtps_rcpt_settle(struct smtps_session *s, struct smtps_slot *sl)
{
	struct smtps_ta *ta = s->ta;

	if (sl->rcpt)
		ta->pending--;
	if (ta->refused) {
		smtps_reply(s, SMTPS_R_NEED_MAIL);
		return s->phase;
	}
	if (!sl->rcpt) {
		return refused(s, sl, smtps_reply_text_of(sl->reply));
	}
	if (sl->failed)
		return refused(s, sl, smtps_reply_text_of(SMTPS_R_LOCAL));
	if (sl->action == MSG_ACT_ERROR && !takes_postmaster(sl))
		return refused(s, sl, sl->text.n ? sl->text : SPAN("550 5.7.1 Rejected"));
	struct span before = earlier_error(s, sl);
	if (before.n)
		return refused(s, sl, before);
	return accepted(s, sl);
}
