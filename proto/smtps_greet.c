#include "proto/smtps_greet.h"

#include "proto/smtps_log.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_stats.h"

#include <stdio.h>
#include <stdlib.h>

enum { EARLY_DELAY_USEC = 5 * USEC_PER_SEC, ID_WAIT_USEC = 4 * USEC_PER_SEC };

#define OF(ptr, member) ((struct smtps_greet *)((char *)(ptr)-offsetof(struct smtps_greet, member)))

void smtps_greet_drop(struct smtps_session *s)
{
	struct smtps_greet *g = s->greet;
	struct smtps_upstream *up = s->host->up;

	if (!g)
		return;
	s->greet = NULL;
	up->ops->forget(up, &g->open.r);
	up->ops->forget(up, &g->ask.r);
	free(g->text);
	pool_put(&s->host->greets, g);
}

/* ---- the decision */

static void refuse(struct smtps_session *s, struct span text)
{
	stats_add(SMTPS_ST_sessions_refused, 1);
	smtps_log_client(s, smtps_reply_text_code(s, text), text);
	smtps_reply_text(s, text);
	smtps_session_end(s);
}

static void refuse_qmgr(struct smtps_session *s, unsigned code, const char *text)
{
	char line[512];
	int n = snprintf(line, sizeof line, "%u %s", code >= 400 && code < 600 ? code : 421,
			 text ? text : "");

	refuse(s, span_of(line, (size_t)(n < (int)sizeof line ? n : (int)sizeof line - 1)));
}

/* smar says no: 554 in place of the greeting, and the client may say QUIT; a temporary no is 421.
 */
static void refuse_client(struct smtps_session *s, const char *text)
{
	char line[512];
	bool temporary = text[0] == '4';
	size_t skip = strlen(text) > 4 && text[3] == ' ' ? 4 : 0;
	int n = snprintf(line, sizeof line, "%s %s", temporary ? "421" : "554", text + skip);
	struct span whole =
		span_of(line, (size_t)(n < (int)sizeof line ? n : (int)sizeof line - 1));

	if (temporary) {
		refuse(s, whole);
		return;
	}
	stats_add(SMTPS_ST_sessions_refused, 1);
	smtps_log_client(s, 554, whole);
	smtps_reply_text(s, whole);
	smtps_greet_drop(s);
	smtps_session_phase(s, SMTPS_PH_REFUSED);
	smtps_session_run(s);
}

/* What smar's verdict on the client means for the session. True: it was refused. */
static bool apply_client(struct smtps_session *s, struct smtps_greet *g)
{
	const char *text = g->text ? g->text : "550 5.7.0 Rejected";

	switch (g->action) {
	case MSG_ACT_ERROR:
		if (g->quick || !(smtps_session_opt(s)->flags & SMTPS_F_DELAY_CHECKS)) {
			refuse_client(s, text);
			return true;
		}
		s->later = strdup(text);
		if (!s->later) {
			refuse(s, smtps_reply_text_of(SMTPS_R_UNAVAILABLE));
			return true;
		}
		break;
	case MSG_ACT_DISCARD:
		s->flags |= SMTPS_SE_DISCARD;
		break;
	case MSG_ACT_RELAY:
		s->flags |= SMTPS_SE_MAY_RELAY | (g->quick ? SMTPS_SE_CLIENT_RELAY : 0);
		break;
	case MSG_ACT_OK:
		s->flags |= g->quick ? SMTPS_SE_CLIENT_OK : 0;
		break;
	default:
		break;
	}
	return false;
}

static void hello(struct smtps_session *s)
{
	smtps_log_client(s, 0, SPAN(""));
	smtps_greet_drop(s);
	smtps_session_put(s, SPAN("220 "));
	smtps_session_put(s, s->host->conf->hostname);
	smtps_session_put(s, SPAN(" ESMTP smX/" SMX_VERSION "\r\n"));
	/* XCLIENT may have brought a name. */
	if (s->phase == SMTPS_PH_WAIT)
		smtps_session_phase(s, s->helo ? SMTPS_PH_READY : SMTPS_PH_START);
	smtps_session_run(s);
}

/* Somebody who talks before the greeting. True: not now. */
static bool early_talker(struct smtps_session *s, struct smtps_greet *g)
{
	const struct smtps_options *o = smtps_session_opt(s);

	if (o->early_talker == SMTPS_EARLY_TALKER_IGNORE)
		return false;
	if (!(s->flags & SMTPS_SE_EARLY) && smtps_session_peek(s))
		s->flags |= SMTPS_SE_EARLY;
	if (!(s->flags & SMTPS_SE_EARLY))
		return false;
	if (o->early_talker == SMTPS_EARLY_TALKER_REJECT) {
		refuse(s, smtps_reply_text_of(SMTPS_R_EARLY));
		return true;
	}
	if (s->flags & SMTPS_SE_DELAYED)
		return false;
	s->flags |= SMTPS_SE_DELAYED;
	g->delay_done = false;
	s->deadline = smtps_host_now(s->host) +
		      (o->banner_delay > EARLY_DELAY_USEC ? o->banner_delay : EARLY_DELAY_USEC);
	s->host->ops->timer_set(s->host, &s->timer, s->deadline);
	return true;
}

/* Greets once all has come that it waits for. */
static void go_on(struct smtps_session *s)
{
	struct smtps_greet *g = s->greet;
	struct smtps_upstream *up = s->host->up;

	if (!g->open_done || !g->ask_done)
		return;
	if (!s->id)
		s->id = up->ops->id(up);
	if (g->failed) {
		refuse(s, smtps_reply_text_of(SMTPS_R_UNAVAILABLE));
		return;
	}
	if (g->code) {
		refuse_qmgr(s, g->code, g->text);
		return;
	}
	if (!s->id || !g->delay_done || early_talker(s, g))
		return;
	if (!apply_client(s, g))
		hello(s);
}

static char *copy_text(struct span t)
{
	return t.n ? strndup(t.p, t.n) : NULL;
}

static void opened(struct smtps_open *o, const struct msg_conn_verdict *v)
{
	struct smtps_greet *g = OF(o, open);

	g->open_done = true;
	if (!v)
		g->failed = true;
	else if (v->code) {
		g->code = v->code;
		free(g->text);
		g->text = copy_text(v->text);
	} else {
		g->s->flags |= SMTPS_SE_COUNTED;
	}
	go_on(g->s);
}

static void asked(struct smtps_ask *a, const struct msg_verdict *v)
{
	struct smtps_greet *g = OF(a, ask);

	g->ask_done = true;
	if (!v) {
		g->failed = true;
	} else {
		g->action = v->action;
		g->quick = v->quick;
		if (v->name.n && !g->s->name)
			g->s->name = strndup(v->name.p, v->name.n);
		if (!g->text)
			g->text = copy_text(v->text);
	}
	go_on(g->s);
}

void smtps_greet_ids(struct smtps_session *s)
{
	if (s->phase == SMTPS_PH_WAIT && s->greet)
		go_on(s);
}

void smtps_greet_timer(struct smtps_session *s)
{
	struct smtps_greet *g = s->greet;

	if (!g->delay_done) {
		g->delay_done = true;
		s->deadline = smtps_host_now(s->host) + ID_WAIT_USEC;
		s->host->ops->timer_set(s->host, &s->timer, s->deadline);
		go_on(s);
	} else if (!g->open_done || !g->ask_done) {
		/* These have a limit of their own. */
		s->deadline = smtps_host_now(s->host) + ID_WAIT_USEC;
		s->host->ops->timer_set(s->host, &s->timer, s->deadline);
	} else {
		refuse(s, smtps_reply_text_of(SMTPS_R_UNAVAILABLE));
	}
}

void smtps_greet_start(struct smtps_session *s)
{
	struct smtps_host *h = s->host;
	struct smtps_greet *g = pool_get_zero(&h->greets);
	const struct smtps_options *o = smtps_session_opt(s);

	smtps_session_phase(s, SMTPS_PH_WAIT);
	s->input = SMTPS_IN_LINE;
	if (!g) {
		smtps_reply_end(s, SMTPS_R_UNAVAILABLE);
		return;
	}
	s->greet = g;
	*g = (struct smtps_greet){ .s = s, .delay_done = !o->banner_delay };
	g->open.client = g->ask.client = &s->client;
	g->open.done = opened;
	g->ask.done = asked;
	g->ask.r.kind = SMTPS_ASK_CLIENT;
	/* Without the flag access nobody looks at the client, R 3.10 item 3h. */
	g->ask_done = !(o->flags & SMTPS_F_ACCESS);
	g->ask.flags = MSG_ASK_ACCESS;
	s->id = h->up->ops->id(h->up);
	/* Otherwise the answers have a limit of their own. */
	if (o->banner_delay || !s->id) {
		s->deadline =
			smtps_host_now(h) + (o->banner_delay ? o->banner_delay : ID_WAIT_USEC);
		h->ops->timer_set(h, &s->timer, s->deadline);
	}
	if (h->up->ops->open(h->up, &g->open) || (!g->ask_done && h->up->ops->ask(h->up, &g->ask)))
		smtps_reply_end(s, SMTPS_R_UNAVAILABLE);
}
