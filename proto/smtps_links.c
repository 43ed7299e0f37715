#include "proto/smtps_links.h"

#include "core/ids.h"
#include "core/log.h"
#include "core/msg.h"
#include "proto/smtps_greet.h"
#include "proto/smtps_session.h"
#include "proto/smtps_stats.h"

#include <stdlib.h>

/* Requests to one peer, oldest first; all have the same time limit, so the first is due first. */
struct queue {
	struct smtps_request *first, **end;
};

/* A segment whose end qmgr has not heard of. */
struct seal {
	struct seal *next;
	struct msg_seg_seal m;
};

struct id_block {
	uint64_t next, end;
};

struct smtps_links {
	struct smtps_upstream up;
	struct loop *loop;
	struct smtps_host *host;
	struct link *qmgr, *smar;
	struct link_requests *to_qmgr, *to_smar;
	struct queue qmgr_queue, smar_queue;
	struct timer timer;
	struct id_block ids, reserve;
	struct smtps_request lease; /* waits: a block was asked for */
	struct seal *seals;
	uint8_t section;
	uint32_t worker;
	void (*credit)(void *ctx);
	void *ctx;
};

#define OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* ---- queues */

static void queue_init(struct queue *q)
{
	*q = (struct queue){ .end = &q->first };
}

static void queue_add(struct queue *q, struct smtps_request *r)
{
	r->next = NULL;
	r->prev = q->end;
	*q->end = r;
	q->end = &r->next;
}

static void queue_remove(struct queue *q, struct smtps_request *r)
{
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		q->end = r->prev;
	r->prev = NULL;
}

static bool is_smar(const struct smtps_request *r)
{
	return r->kind <= SMTPS_ASK_RCPT;
}

static struct queue *queue_of(struct smtps_links *k, const struct smtps_request *r)
{
	return is_smar(r) ? &k->smar_queue : &k->qmgr_queue;
}

static struct link_requests *table_of(struct smtps_links *k, const struct smtps_request *r)
{
	return is_smar(r) ? k->to_smar : k->to_qmgr;
}

/* ---- sending */

/* Errors are those of a link that is down, or will be: the request is sent again when it is up. */
static void transmit(struct smtps_links *k, struct smtps_request *r)
{
	switch ((enum smtps_request_kind)r->kind) {
	case SMTPS_ASK_CLIENT: {
		struct smtps_ask *a = OF(r, struct smtps_ask, r);

		link_put(k->smar, r->req, ask_client,
			 (&(struct msg_ask_client){ *a->client, a->flags }));
		break;
	}
	case SMTPS_ASK_MAIL: {
		struct smtps_ask *a = OF(r, struct smtps_ask, r);

		link_put(k->smar, r->req, ask_mail,
			 (&(struct msg_ask_mail){ *a->client, a->flags, a->sender }));
		break;
	}
	case SMTPS_ASK_RCPT: {
		struct smtps_ask *a = OF(r, struct smtps_ask, r);

		link_put(k->smar, r->req, ask_rcpt,
			 (&(struct msg_ask_rcpt){ *a->client, a->flags, a->sender, a->rcpt }));
		break;
	}
	case SMTPS_CONN_OPEN: {
		struct smtps_open *o = OF(r, struct smtps_open, r);

		link_put(k->qmgr, r->req, conn_open, (&(struct msg_conn_open){ *o->client, 0 }));
		break;
	}
	case SMTPS_COMMIT: {
		struct smtps_commit *c = OF(r, struct smtps_commit, r);

		link_put(k->qmgr, r->req, commit,
			 (&(struct msg_commit){ c->ta, c->ref.seg, c->ref.gen, c->ref.off,
						c->ref.len, buf_span(&c->envelope) }));
		break;
	}
	case SMTPS_ID_LEASE:
		link_put(k->qmgr, r->req, id_lease, (&(struct msg_id_lease){ ID_BLOCK_COUNT }));
		break;
	}
}

static void arm_timer(struct smtps_links *k)
{
	struct smtps_request *a = k->smar_queue.first, *b = k->qmgr_queue.first;
	usec_t at = a ? a->deadline : INT64_MAX;

	if (b && b->deadline < at)
		at = b->deadline;
	if (at < INT64_MAX && (!timer_isset(&k->timer) || k->timer.at > at))
		loop_timer_set(k->loop, &k->timer, at);
}

static usec_t time_limit(struct smtps_links *k, const struct smtps_request *r)
{
	if (is_smar(r))
		return k->host->conf->o.wait_for_smar;
	return link_is_up(k->qmgr) ? SMTPS_QMGR_ANSWER_USEC : SMTPS_QMGR_DOWN_USEC;
}

static int request(struct smtps_links *k, struct smtps_request *r)
{
	r->req = link_request_add(table_of(k, r), r);
	if (!r->req)
		return -ENOMEM;
	r->asked = loop_now(k->loop);
	r->deadline = r->asked + time_limit(k, r);
	queue_add(queue_of(k, r), r);
	transmit(k, r);
	arm_timer(k);
	return 0;
}

static void forget(struct smtps_links *k, struct smtps_request *r)
{
	if (!smtps_request_waits(r))
		return;
	queue_remove(queue_of(k, r), r);
	link_request_take(table_of(k, r), r->req);
}

static void lease(struct smtps_links *k)
{
	if (smtps_request_waits(&k->lease))
		return;
	k->lease.kind = SMTPS_ID_LEASE;
	request(k, &k->lease);
}

/* ---- what the sessions call */

static struct smtps_links *self(struct smtps_upstream *u)
{
	return OF(u, struct smtps_links, up);
}

static int up_ask(struct smtps_upstream *u, struct smtps_ask *a)
{
	return request(self(u), &a->r);
}

static int up_open(struct smtps_upstream *u, struct smtps_open *o)
{
	o->r.kind = SMTPS_CONN_OPEN;
	return request(self(u), &o->r);
}

static int up_commit(struct smtps_upstream *u, struct smtps_commit *c)
{
	c->r.kind = SMTPS_COMMIT;
	return request(self(u), &c->r);
}

static void up_forget(struct smtps_upstream *u, struct smtps_request *r)
{
	forget(self(u), r);
}

static void up_closed(struct smtps_upstream *u, const struct addr *client)
{
	/* When the link is down qmgr has forgotten the session already. */
	link_put(self(u)->qmgr, 0, conn_close, (&(struct msg_conn_close){ *client }));
}

static uint64_t up_id(struct smtps_upstream *u)
{
	struct smtps_links *k = self(u);

	if (k->ids.next == k->ids.end) {
		k->ids = k->reserve;
		k->reserve = (struct id_block){ 0, 0 };
	}
	if (k->reserve.next == k->reserve.end)
		lease(k);
	return k->ids.next == k->ids.end ? 0 : id_make(k->ids.next++, k->section);
}

static const struct smtps_upstream_ops upstream_ops = { .ask = up_ask,
							.open = up_open,
							.commit = up_commit,
							.forget = up_forget,
							.closed = up_closed,
							.id = up_id };

/* ---- answers */

/* The request that an answer belongs to, off its queue. NULL: it came too late. */
static struct smtps_request *answered(struct smtps_links *k, struct link *from,
				      struct link_requests *t, uint64_t req,
				      enum smtps_request_kind first, enum smtps_request_kind last)
{
	struct smtps_request *r = link_request_peek(t, req);

	if (!r)
		return NULL;
	if (r->kind < first || r->kind > last) {
		link_refuse(from, "answer of another kind");
		return NULL;
	}
	forget(k, r);
	return r;
}

static void got_verdict(struct smtps_links *k, uint64_t req, struct span body)
{
	struct msg_verdict m;

	if (msg_verdict_decode(body, &m) || m.action > MSG_ACT_DISCARD) {
		link_refuse(k->smar, "bad verdict");
		return;
	}
	struct smtps_request *r =
		answered(k, k->smar, k->to_smar, req, SMTPS_ASK_CLIENT, SMTPS_ASK_RCPT);
	if (r) {
		struct smtps_ask *a = OF(r, struct smtps_ask, r);

		a->done(a, &m);
	}
}

static void got_members(struct smtps_links *k, uint64_t req, struct span body)
{
	struct smtps_request *r = link_request_peek(k->to_smar, req);
	struct msg_members m;
	int rc = msg_members_decode(body, &m);

	if (!rc && r && r->kind != SMTPS_ASK_RCPT)
		rc = -EBADMSG;
	if (!rc && r) {
		struct smtps_ask *a = OF(r, struct smtps_ask, r);

		rc = a->members(a, m.part, m.list);
	}
	if (rc)
		link_refuse(k->smar, "bad members");
}

static void got_conn_verdict(struct smtps_links *k, uint64_t req, struct span body)
{
	struct msg_conn_verdict m;

	if (msg_conn_verdict_decode(body, &m)) {
		link_refuse(k->qmgr, "bad conn_verdict");
		return;
	}
	struct smtps_request *r =
		answered(k, k->qmgr, k->to_qmgr, req, SMTPS_CONN_OPEN, SMTPS_CONN_OPEN);
	if (r) {
		struct smtps_open *o = OF(r, struct smtps_open, r);

		o->done(o, &m);
	}
}

static void got_commit_done(struct smtps_links *k, uint64_t req, struct span body)
{
	struct msg_commit_done m;

	if (msg_commit_done_decode(body, &m)) {
		link_refuse(k->qmgr, "bad commit_done");
		return;
	}
	struct smtps_request *r = answered(k, k->qmgr, k->to_qmgr, req, SMTPS_COMMIT, SMTPS_COMMIT);
	if (!r)
		return;
	struct smtps_commit *c = OF(r, struct smtps_commit, r);
	if (m.ta != c->ta) {
		/* Nothing may be believed: as if no answer had come. */
		link_refuse(k->qmgr, "commit_done of another transaction");
		c->done(c, NULL);
		return;
	}
	c->done(c, &m);
}

static void got_id_block(struct smtps_links *k, uint64_t req, struct span body)
{
	struct msg_id_block m;
	struct smtps_session *next;

	if (msg_id_block_decode(body, &m) || !m.count || m.first >= 1ull << 56 ||
	    m.first + m.count > 1ull << 56) {
		link_refuse(k->qmgr, "bad id_block");
		return;
	}
	if (!answered(k, k->qmgr, k->to_qmgr, req, SMTPS_ID_LEASE, SMTPS_ID_LEASE))
		return;
	struct id_block b = { m.first, m.first + m.count };
	if (k->ids.next == k->ids.end)
		k->ids = b;
	else
		k->reserve = b;
	if (k->reserve.next == k->reserve.end)
		lease(k);
	for (struct smtps_session *s = k->host->first; s; s = next) {
		next = s->next;
		if (!s->id)
			smtps_greet_ids(s);
	}
}

static void got_credit(struct smtps_links *k, struct span body)
{
	struct msg_credit m;

	if (msg_credit_decode(body, &m)) {
		link_refuse(k->qmgr, "bad credit");
		return;
	}
	if (m.level != k->host->credit.level)
		log_event(LOG_LV_WARN, m.level ? LOG_SEV_WARN : LOG_SEV_INFO, "credit",
			  "worker=%u, level=%u, sessions=%u, recipients=%u", k->worker, m.level,
			  m.sessions, m.recipients);
	/* A full disk may last for hours; what else stops us ends soon. */
	k->host->credit = (struct smtps_credit){ m.sessions, m.recipients, m.level,
						 span_eq(m.cause, SPAN("disk")) };
	k->credit(k->ctx);
}

static void got_seg_free(struct smtps_links *k, struct span body)
{
	struct msg_seg_free m;

	if (msg_seg_free_decode(body, &m))
		link_refuse(k->qmgr, "bad seg_free");
	else if (k->host->cdb)
		cdb_segment_free(k->host->cdb, m.seg, m.gen);
}

static void got_seg_bad(struct smtps_links *k, struct span body)
{
	struct msg_seg_bad m;

	if (msg_seg_bad_decode(body, &m)) {
		link_refuse(k->qmgr, "bad seg_bad");
		return;
	}
	log_event(LOG_LV_ERROR, LOG_SEV_CRIT, "content",
		  "segment=%016llx, stat=could not be synced, no longer used",
		  (unsigned long long)m.seg);
	if (k->host->cdb)
		cdb_segment_seal(k->host->cdb, m.seg, m.gen);
}

static void got_seg_punch(struct smtps_links *k, struct span body)
{
	struct cdb_run *run = malloc(CDB_RUNS_MAX * sizeof *run);
	struct msg_seg_punch m;
	int n = msg_seg_punch_decode(body, &m);

	if (!n && run)
		n = cdb_runs_parse(m.runs, run);
	if (n < 0) {
		link_refuse(k->qmgr, "bad seg_punch");
	} else {
		int rc = run && k->host->cdb
				 ? cdb_segment_punch(k->host->cdb, m.seg, m.gen, run, (unsigned)n)
				 : -ENOMEM;
		if (rc)
			smtps_links_punched(k, m.seg, m.gen, rc, 0);
	}
	free(run);
}

static void qmgr_message(struct link *l, unsigned number, uint64_t req, struct span body)
{
	struct smtps_links *k = link_ctx(l);

	switch (number) {
	case MSG_conn_verdict:
		got_conn_verdict(k, req, body);
		break;
	case MSG_commit_done:
		got_commit_done(k, req, body);
		break;
	case MSG_id_block:
		got_id_block(k, req, body);
		break;
	case MSG_credit:
		got_credit(k, body);
		break;
	case MSG_seg_free:
		got_seg_free(k, body);
		break;
	case MSG_seg_bad:
		got_seg_bad(k, body);
		break;
	case MSG_seg_punch:
		got_seg_punch(k, body);
		break;
	case MSG_state_end:
		break;
	default:
		link_refuse(l, "unexpected message");
	}
}

static void smar_message(struct link *l, unsigned number, uint64_t req, struct span body)
{
	if (number == MSG_verdict)
		got_verdict(link_ctx(l), req, body);
	else if (number == MSG_members)
		got_members(link_ctx(l), req, body);
	else
		link_refuse(l, "unexpected message");
}

/* ---- up and down */

static void send_again(struct smtps_links *k, struct queue *q)
{
	for (struct smtps_request *r = q->first; r; r = r->next)
		transmit(k, r);
}

void smtps_links_segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes_or_end, bool sealed)
{
	struct smtps_links *k = ctx;

	if (!sealed) {
		/* While the link is down qmgr will be told of all segments in use when it is up. */
		link_put(k->qmgr, 0, seg_open, (&(struct msg_seg_open){ seg, gen, bytes_or_end }));
		return;
	}
	struct msg_seg_seal m = { seg, gen, bytes_or_end };
	if (!link_put(k->qmgr, 0, seg_seal, &m))
		return;
	struct seal *p = malloc(sizeof *p);
	if (!p)
		return; /* qmgr keeps the segment until this process ends */
	*p = (struct seal){ k->seals, m };
	k->seals = p;
}

void smtps_links_spare(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes)
{
	struct smtps_links *k = ctx;

	/* While the link is down: as with those in use. */
	link_put(k->qmgr, 0, seg_spare, (&(struct msg_seg_spare){ seg, gen, bytes }));
}

void smtps_links_punched(void *ctx, uint64_t seg, uint64_t gen, int error, uint64_t left)
{
	struct smtps_links *k = ctx;

	/* qmgr does not wait over the end of a link. */
	link_put(k->qmgr, 0, seg_punched,
		 (&(struct msg_seg_punched){ seg, gen, (uint32_t)-error, left }));
}

static void tell_segments(struct smtps_links *k)
{
	struct seal *p = k->seals;

	if (k->worker == 0 && k->host->cdb)
		cdb_tell_segments(k->host->cdb);
	k->seals = NULL;
	while (p) {
		struct seal *next = p->next;

		link_put(k->qmgr, 0, seg_seal, &p->m);
		free(p);
		p = next;
	}
}

static void qmgr_up(struct link *l, const struct link_hello *peer)
{
	struct smtps_links *k = link_ctx(l);
	uint32_t count = 0;
	usec_t deadline = loop_now(k->loop) + SMTPS_QMGR_ANSWER_USEC;

	(void)peer;
	for (struct smtps_session *s = k->host->first; s; s = s->next) {
		if (!(s->flags & SMTPS_SE_COUNTED))
			continue;
		link_put(l, 0, conn_open, (&(struct msg_conn_open){ s->client, 1 }));
		count++;
	}
	tell_segments(k);
	for (struct smtps_request *r = k->qmgr_queue.first; r; r = r->next)
		r->deadline = deadline;
	send_again(k, &k->qmgr_queue);
	if (k->reserve.next == k->reserve.end)
		lease(k);
	link_put(l, 0, state_end, (&(struct msg_state_end){ count }));
}

static void qmgr_down(struct link *l)
{
	struct smtps_links *k = link_ctx(l);
	usec_t deadline = loop_now(k->loop) + SMTPS_QMGR_DOWN_USEC;

	stats_add(SMTPS_ST_qmgr_losses, 1);
	for (struct smtps_request *r = k->qmgr_queue.first; r; r = r->next)
		r->deadline = deadline;
	/* What it has lent is void until it says something new. */
	k->host->credit = (struct smtps_credit){ UINT32_MAX, UINT32_MAX, 0, false };
	arm_timer(k);
	k->credit(k->ctx);
}

static void smar_up(struct link *l, const struct link_hello *peer)
{
	struct smtps_links *k = link_ctx(l);

	(void)peer;
	send_again(k, &k->smar_queue);
}

static void smar_down(struct link *l)
{
	(void)l;
	stats_add(SMTPS_ST_smar_losses, 1);
}

/* ---- time */

static void give_up(struct smtps_links *k, struct smtps_request *r)
{
	forget(k, r);
	stats_add(SMTPS_ST_late_answers, 1);
	switch ((enum smtps_request_kind)r->kind) {
	case SMTPS_ASK_CLIENT:
	case SMTPS_ASK_MAIL:
	case SMTPS_ASK_RCPT: {
		struct smtps_ask *a = OF(r, struct smtps_ask, r);

		a->done(a, NULL);
		break;
	}
	case SMTPS_CONN_OPEN: {
		struct smtps_open *o = OF(r, struct smtps_open, r);

		o->done(o, NULL);
		break;
	}
	case SMTPS_COMMIT: {
		struct smtps_commit *c = OF(r, struct smtps_commit, r);

		c->done(c, NULL);
		break;
	}
	case SMTPS_ID_LEASE:
		break; /* the next one who wants an id asks again */
	}
}

static void expire(struct smtps_links *k, struct queue *q, usec_t now)
{
	while (q->first && q->first->deadline <= now)
		give_up(k, q->first);
}

static void timer_fired(struct timer *t)
{
	struct smtps_links *k = OF(t, struct smtps_links, timer);
	usec_t now = loop_now(k->loop);

	expire(k, &k->smar_queue, now);
	expire(k, &k->qmgr_queue, now);
	arm_timer(k);
}

/* ---- life */

static const struct link_ops qmgr_ops = { .up = qmgr_up,
					  .down = qmgr_down,
					  .message = qmgr_message };
static const struct link_ops smar_ops = { .up = smar_up,
					  .down = smar_down,
					  .message = smar_message };

struct smtps_links *smtps_links_new(const struct smtps_links_setup *s)
{
	const struct smtps_conf *conf = s->host->conf;
	struct smtps_links *k = calloc(1, sizeof *k);

	if (!k)
		return NULL;
	k->up.ops = &upstream_ops;
	k->loop = s->loop;
	k->host = s->host;
	k->worker = s->hello.worker;
	k->section = (uint8_t)conf->o.id;
	k->credit = s->credit;
	k->ctx = s->ctx;
	k->timer.fn = timer_fired;
	queue_init(&k->qmgr_queue);
	queue_init(&k->smar_queue);
	k->to_qmgr = link_requests_new();
	k->to_smar = link_requests_new();
	s->host->up = &k->up;
	if (k->to_qmgr && k->to_smar) {
		k->qmgr = link_connect(k->loop, conf->g.smtps_socket, &s->hello, &qmgr_ops, k);
		k->smar = link_connect(k->loop, conf->g.smar_socket, &s->hello, &smar_ops, k);
	}
	if (!k->qmgr || !k->smar) {
		smtps_links_free(k);
		return NULL;
	}
	return k;
}

void smtps_links_free(struct smtps_links *k)
{
	if (!k)
		return;
	loop_timer_stop(k->loop, &k->timer);
	link_free(k->qmgr);
	link_free(k->smar);
	link_requests_free(k->to_qmgr);
	link_requests_free(k->to_smar);
	while (k->seals) {
		struct seal *next = k->seals->next;

		free(k->seals);
		k->seals = next;
	}
	free(k);
}
