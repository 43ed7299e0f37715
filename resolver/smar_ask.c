#include "resolver/smar_ask.h"

#include "resolver/clientcheck.h"
#include "resolver/mailcheck.h"
#include "resolver/rcptcheck.h"
#include "resolver/smar_stats.h"

#include "core/err.h"
#include "core/log.h"

#include <stdlib.h>

enum { UNSENT_MAX = 4 << 20 }; /* longer lists wait */

struct peer {
	struct smar_ask *server;
	struct link *link;
	struct peer *next, **prev;
};

struct smar_ask {
	struct loop *loop;
	struct ask_loop asks;
	struct peer *peers;
};

struct smar_ask *smar_ask_new(struct loop *l, struct span hostname, struct map_helper *helper)
{
	struct smar_ask *s = xcalloc(1, sizeof *s);

	s->loop = l;
	s->asks.hostname = hostname;
	s->asks.loop = l;
	s->asks.helper = helper;
	s->asks.max_parked = SMAR_ASK_PARKED_MAX;
	return s;
}

struct loop *smar_ask_loop(const struct smar_ask *s)
{
	return s->loop;
}

static void remove_peer(struct peer *p)
{
	ask_forget_owner(&p->server->asks, p);
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	free(p);
}

void smar_ask_free(struct smar_ask *own)
{
	while (own->peers) {
		link_free(own->peers->link);
		remove_peer(own->peers);
	}
	ask_drop_all(&own->asks);
	free(own);
}

/* ---- answers */

static const char *action_word(const struct ask *a)
{
	static const char *const words[] = { "cont", "ok", "relay", "error", "discard" };

	return words[a->action];
}

static void log_answer(const struct ask *a)
{
	struct log_line l;

	if (!log_on(LOG_LV_VERBOSE))
		return;
	log_begin(&l, LOG_LV_VERBOSE, LOG_SEV_NONE);
	log_word(&l, "func", msg_name(a->number));
	if (a->client.family != ADDR_NONE)
		log_ip(&l, "client", &a->client);
	if (a->number != MSG_ask_client)
		log_addr(&l, a->number == MSG_ask_mail ? "mail" : "rcpt", a->subject);
	log_word(&l, "action", action_word(a));
	if (a->quick)
		log_int(&l, "quick", 1);
	if (a->members)
		log_int(&l, "members", a->members);
	if (a->text.n)
		log_str(&l, "reply", a->text);
	log_end(&l);
}

static void send_verdict(struct ask *a)
{
	struct peer *p = a->owner;

	log_answer(a);
	if (a->action == MSG_ACT_ERROR)
		stats_add(SMAR_STAT_refused, 1);
	struct msg_verdict v = { .action = (uint8_t)a->action,
				 .quick = a->quick,
				 .text = a->text,
				 .route = a->action == MSG_ACT_ERROR ? span_of(a->route.p, 0)
								     : a->route,
				 .ttl_sec = a->ttl_sec,
				 .members = a->members };
	/* Down: the asker has gone and asks again when it is back. */
	(void)link_put(p->link, a->req, verdict, &v);
}

static void send_members(struct ask *a, uint32_t part, struct span list)
{
	struct peer *p = a->owner;

	(void)link_put(p->link, a->req, members, (&(struct msg_members){ part, list }));
}

static bool takes_more(struct ask *a)
{
	struct peer *p = a->owner;

	return link_unsent(p->link) < UNSENT_MAX;
}

static void send_route(struct ask *a)
{
	struct peer *p = a->owner;
	bool failed = a->action == MSG_ACT_ERROR;
	struct msg_route_answer r = { .status = !failed                            ? 0
						: a->text.n && a->text.p[0] == '5' ? 2
										   : 1,
				      .text = a->text,
				      .route = failed ? span_of(a->route.p, 0) : a->route,
				      .ttl_sec = a->ttl_sec };

	log_answer(a);
	if (failed)
		stats_add(SMAR_STAT_no_route, 1);
	(void)link_put(p->link, a->req, route_answer, &r);
}

/* ---- questions */

/* Each fills in its part of the question from body: 0 or -EBADMSG. */
static int read_client(struct span body, struct ask *a)
{
	struct msg_ask_client m;
	int rc = msg_ask_client_decode(body, &m);

	if (rc)
		return rc;
	a->client = m.client;
	a->flags = m.flags;
	return 0;
}

static int read_mail(struct span body, struct ask *a)
{
	struct msg_ask_mail m;
	int rc = msg_ask_mail_decode(body, &m);

	if (rc)
		return rc;
	a->client = m.client;
	a->flags = m.flags;
	a->sender = a->subject = m.sender;
	return 0;
}

static int read_rcpt(struct span body, struct ask *a)
{
	struct msg_ask_rcpt m;
	int rc = msg_ask_rcpt_decode(body, &m);

	if (rc)
		return rc;
	a->client = m.client;
	a->flags = m.flags;
	a->sender = m.sender;
	a->subject = m.rcpt;
	return 0;
}

static int read_route(struct span body, struct ask *a)
{
	struct msg_ask_route m;
	int rc = msg_ask_route_decode(body, &m);

	if (rc)
		return rc;
	a->flags = m.flags;
	a->subject = m.rcpt;
	return 0;
}

static const struct question {
	unsigned number;
	enum smar_stat stat;
	int (*read)(struct span body, struct ask *a);
	ask_step *const *steps;
	void (*answer)(struct ask *a);
} questions[] = {
	{ MSG_ask_client, SMAR_STAT_ask_client, read_client, clientcheck_steps, send_verdict },
	{ MSG_ask_mail, SMAR_STAT_ask_mail, read_mail, mailcheck_steps, send_verdict },
	{ MSG_ask_rcpt, SMAR_STAT_ask_rcpt, read_rcpt, rcptcheck_steps, send_verdict },
	{ MSG_ask_route, SMAR_STAT_ask_route, read_route, rcptcheck_route_steps, send_route },
};

static void on_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct peer *p = link_ctx(k);
	const struct question *q = NULL;
	struct ask a;

	for (unsigned i = 0; i < sizeof questions / sizeof *questions && !q; i++)
		if (questions[i].number == number)
			q = &questions[i];
	if (!q) {
		stats_add(SMAR_STAT_bad_messages, 1);
		link_refuse(k, "not a question for smar");
		return;
	}
	ask_init(&a, &p->server->asks, q->steps);
	if (q->read(body, &a)) {
		stats_add(SMAR_STAT_bad_messages, 1);
		link_refuse(k, "a question that cannot be read");
		return;
	}
	if (q->number == MSG_ask_rcpt && a.flags & MSG_ASK_NOTICE)
		a.step = rcptcheck_notice_steps;
	a.answer = q->answer;
	a.hand_out = send_members;
	a.takes_more = takes_more;
	a.owner = p;
	a.req = req;
	a.number = number;
	stats_add(q->stat, 1);
	ask_run(&a);
}

static void on_up(struct link *k, const struct link_hello *peer)
{
	struct smar_ask *s = link_ctx(k);
	struct peer *p = calloc(1, sizeof *p);
	struct log_line l;

	link_set_ctx(k, p);
	if (!p) {
		link_refuse(k, "out of memory");
		return;
	}
	p->server = s;
	p->link = k;
	p->next = s->peers;
	p->prev = &s->peers;
	if (p->next)
		p->next->prev = &p->next;
	s->peers = p;
	stats_add(SMAR_STAT_links, 1);
	log_begin(&l, LOG_LV_INFO, LOG_SEV_INFO);
	log_word(&l, "func", "link_up");
	log_str(&l, "peer", span_str(peer->component));
	log_int(&l, "worker", peer->worker);
	log_end(&l);
}

static void on_down(struct link *k)
{
	if (!link_ctx(k))
		return;
	stats_add(SMAR_STAT_links, (uint64_t)-1);
	remove_peer(link_ctx(k));
}

const struct link_ops smar_ask_ops = { .up = on_up, .down = on_down, .message = on_message };
