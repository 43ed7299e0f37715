#include "proto/smtps_slot.h"

#include "core/arena.h"
#include "proto/smtps_mail.h"
#include "proto/smtps_members.h"
#include "proto/smtps_rcpt.h"
#include "proto/smtps_stats.h"
#include "proto/smtps_ta.h"

static void answered(struct smtps_ask *a, const struct msg_verdict *v)
{
	struct smtps_slot *sl = (struct smtps_slot *)((char *)a - offsetof(struct smtps_slot, ask));
	struct smtps_session *s = sl->s;

	sl->answered = true;
	sl->failed = !v;
	if (v) {
		stats_observe(SMTPS_ST_verdict_usec,
			      (uint64_t)(smtps_host_now(s->host) - a->r.asked));
		sl->action = v->action;
		sl->quick = v->quick;
		if (v->text.n)
			sl->text = arena_span(s->ta->arena, v->text);
		if (v->route.n)
			sl->route = arena_span(s->ta->arena, v->route);
		sl->failed = (v->text.n && !sl->text.p) || (v->route.n && !sl->route.p) ||
			     (v->action != MSG_ACT_ERROR &&
			      v->members != smtps_members_count(sl->members));
	}
	smtps_session_run(s);
}

static int members(struct smtps_ask *a, uint32_t part, struct span list)
{
	struct smtps_slot *sl = (struct smtps_slot *)((char *)a - offsetof(struct smtps_slot, ask));

	return smtps_members_take(sl->s->ta, &sl->members, part, list);
}

static struct smtps_slot *append(struct smtps_session *s)
{
	struct smtps_slot *sl = pool_get_zero(&s->host->slots);

	if (!sl)
		return NULL;
	sl->s = s;
	*s->slots_end = sl;
	s->slots_end = &sl->next;
	s->slot_count++;
	return sl;
}

struct smtps_slot *smtps_slot_new(struct smtps_session *s)
{
	struct smtps_slot *sl = append(s);

	if (sl) {
		sl->ask.client = &s->client;
		sl->ask.done = answered;
		sl->ask.members = members;
	}
	return sl;
}

/* What smar must know of the session. */
static uint32_t ask_flags(const struct smtps_session *s)
{
	const uint64_t opt = smtps_session_opt(s)->flags;

	return (opt & SMTPS_F_ACCESS ? MSG_ASK_ACCESS : 0) |
	       (opt & SMTPS_F_LMTP_DOES_NOT_IMPLY_RELAYING ? MSG_ASK_LOCAL_NO_RELAY : 0) |
	       (s->flags & SMTPS_SE_MAY_RELAY ? MSG_ASK_MAY_RELAY : 0) |
	       (s->flags & SMTPS_SE_CLIENT_OK ? MSG_ASK_CLIENT_OK : 0) |
	       (s->flags & SMTPS_SE_CLIENT_RELAY ? MSG_ASK_CLIENT_RELAY : 0);
}

void smtps_slot_ask(struct smtps_slot *sl, enum smtps_request_kind kind)
{
	struct smtps_upstream *up = sl->s->host->up;

	sl->ask.r.kind = (uint8_t)kind;
	sl->ask.flags = ask_flags(sl->s);
	if (up->ops->ask(up, &sl->ask))
		sl->answered = sl->failed = true;
}

bool smtps_slot_reply(struct smtps_session *s, enum smtps_reply r)
{
	struct smtps_slot *sl = append(s);

	if (sl) {
		sl->answered = true;
		sl->reply = (uint8_t)r;
	}
	return sl != NULL;
}

static struct smtps_slot *take_first(struct smtps_session *s)
{
	struct smtps_slot *sl = s->slots;

	s->slots = sl->next;
	if (!s->slots)
		s->slots_end = &s->slots;
	s->slot_count--;
	return sl;
}

static void give_back(struct smtps_slot *sl)
{
	struct smtps_host *h = sl->s->host;

	h->up->ops->forget(h->up, &sl->ask.r);
	pool_put(&h->slots, sl);
}

void smtps_slot_settle(struct smtps_session *s)
{
	while (s->slots && (s->slots->answered || s->ta->refused)) {
		struct smtps_slot *sl = take_first(s);
		enum smtps_phase next =
			sl->mail ? smtps_mail_settle(s, sl) : smtps_rcpt_settle(s, sl);

		give_back(sl);
		if (smtps_session_over(s))
			return;
		smtps_session_phase(s, next);
	}
	/* A refused MAIL was the begin of nothing. */
	if (!s->slots && s->ta && s->ta->refused) {
		smtps_ta_leave(s);
		smtps_session_phase(s, SMTPS_PH_READY);
	}
}

void smtps_slot_drop_all(struct smtps_session *s)
{
	while (s->slots)
		give_back(take_first(s));
}
