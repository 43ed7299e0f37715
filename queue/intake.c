#include "queue/intake.h"

#include "core/err.h"
#include "core/log.h"
#include "core/msg.h"
#include "core/sock.h"
#include "queue/feedback.h"
#include "queue/icc.h"
#include "queue/iqdb.h"
#include "queue/qids.h"
#include "queue/qmgr_stats.h"
#include "queue/reclaim.h"
#include "queue/routes.h"

#include <errno.h>
#include <stdlib.h>

/* ARRIVAL_MAX_SEC: so long may a client take from MAIL to the end of its data. */
enum { PROCESSES_MAX = 64, ARRIVAL_MAX_SEC = 3600, HELD_MAX_BYTES = 64 << 20 };

struct client_count {
	struct client_count *next;
	struct addr addr;
	unsigned open;
};

enum { CLIENT_BUCKETS = 256 };

/* A message that came before the database was open. */
struct held {
	struct held *next;
	unsigned number;
	uint64_t req;
	size_t n;
	char body[];
};

struct smtps_link {
	struct smtps_link *next; /* of the loop */
	struct qloop *l;
	struct link *link; /* NULL: gone, commits are still out */
	unsigned out;      /* commits without an answer */
	unsigned open;     /* sessions */
	struct msg_credit told;
	struct held *held, **held_end; /* in the order in which they came */
	size_t held_bytes;
	struct client_count
		*client[CLIENT_BUCKETS]; /* sessions it has open, given back when it goes */
};

/* Processes by instance, to find a link for seg_free. */
static struct process {
	_Atomic uint64_t instance;
	atomic_uint links;
	struct qloop *_Atomic loop; /* of worker 0 */
} process[PROCESSES_MAX];

static atomic_uint links_up, sessions_open; /* over all links */
static struct qmgr *qm;

static struct process *process_of(uint64_t instance, bool make)
{
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (atomic_load(&process[i].instance) == instance)
			return &process[i];
	for (int i = 0; make && i < PROCESSES_MAX; i++) {
		uint64_t none = 0;

		if (atomic_compare_exchange_strong(&process[i].instance, &none, instance))
			return &process[i];
	}
	return NULL;
}

/* ---- connection control */

static struct client_count **client_at(struct smtps_link *s, const struct addr *a)
{
	struct client_count **at = &s->client[addr_ip_hash(a) % CLIENT_BUCKETS];

	while (*at && !addr_ip_eq(&(*at)->addr, a))
		at = &(*at)->next;
	return at;
}

static void client_opened(struct smtps_link *s, const struct addr *a)
{
	struct client_count **at = client_at(s, a);

	if (!*at) {
		struct client_count *c = xcalloc(1, sizeof *c);

		c->addr = *a;
		*at = c;
	}
	(*at)->open++;
	s->open++;
	atomic_fetch_add_explicit(&sessions_open, 1, memory_order_relaxed);
}

static void client_closed(struct smtps_link *s, const struct addr *a, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		icc_close(a);
	s->open -= n;
	atomic_fetch_sub_explicit(&sessions_open, n, memory_order_relaxed);
}

static void conn_open(struct smtps_link *s, uint64_t req, const struct msg_conn_open *m)
{
	static const char *const text[] = { "", "4.7.0 too many open connections from your address",
					    "4.7.0 too many connections from your address" };
	usec_t now = loop_now(s->l->loop);

	if (m->state) {
		icc_reopen(&m->client, now);
		client_opened(s, &m->client);
		return;
	}
	enum icc_verdict v = icc_open(&m->client, now);
	struct msg_conn_verdict out = { .code = v == ICC_OK ? 0 : 421, .text = span_str(text[v]) };
	if (v == ICC_OK)
		client_opened(s, &m->client);
	stats_add(v == ICC_OK ? QMGR_STAT_CONNECTIONS : QMGR_STAT_CONNECTIONS_REFUSED, 1);
	link_put(s->link, req, conn_verdict, &out);
}

static void conn_close(struct smtps_link *s, const struct msg_conn_close *m)
{
	struct client_count **at = client_at(s, &m->client), *c = *at;

	if (!c)
		return;
	client_closed(s, &m->client, 1);
	if (--c->open == 0) {
		*at = c->next;
		free(c);
	}
}

static void all_closed(struct smtps_link *s)
{
	for (unsigned i = 0; i < CLIENT_BUCKETS; i++) {
		struct client_count *next;

		for (struct client_count *c = s->client[i]; c; c = next) {
			next = c->next;
			client_closed(s, &c->addr, c->open);
			free(c);
		}
		s->client[i] = NULL;
	}
}

/* ---- ids */

struct lease_req {
	struct smtps_link *s;
	uint64_t req;
	uint32_t count;
};

static void release(struct smtps_link *s);

static void leased(struct qloop *l, void *arg, uint64_t first)
{
	struct lease_req *r = arg;

	(void)l;
	if (r->s->link)
		link_put(r->s->link, r->req, id_block,
			 &(struct msg_id_block){ .first = first, .count = r->count });
	r->s->out--;
	release(r->s);
	free(r);
}

static void id_lease(struct smtps_link *s, uint64_t req, const struct msg_id_lease *m)
{
	struct lease_req *r;

	if (m->count == 0 || m->count > 1 << 20) {
		link_refuse(s->link, "id_lease count");
		return;
	}
	r = xmalloc(sizeof *r);
	*r = (struct lease_req){ s, req, m->count };
	s->out++;
	qids_lease(s->l, m->count, leased, r);
}

/* ---- commits */

static void refuse_commit(struct smtps_link *s, uint64_t req, uint64_t ta, int error)
{
	struct msg_commit_done m = { .ta = ta,
				     .code = 451,
				     .text = SPAN("4.3.0 cannot be stored now") };

	if (error == -ENOSPC) {
		m.code = 452;
		m.text = SPAN("4.3.1 insufficient storage");
	}
	stats_add(QMGR_STAT_REFUSED, 1);
	if (s->link)
		link_put(s->link, req, commit_done, &m);
}

/* All recipients of one transaction go on. */
static void admit(struct qloop *l, struct ta *ta)
{
	unsigned n = ta->env.rcpt_count;
	uint32_t few[16];
	uint32_t *idx = n <= 16 ? few : xmalloc(n * sizeof *idx);

	for (uint32_t i = 0; i < n; i++)
		idx[i] = i;
	routes_queue(l, ta, idx, n, true);
	if (idx != few)
		free(idx);
}

static void answered(struct ta *ta, int error)
{
	struct smtps_link *s = ta->asker;
	struct qloop *l = s->l;

	s->out--;
	iqdb_remove(ta);
	if (error && error != -EALREADY)
		refuse_commit(s, ta->req, ta->id, error);
	else if (s->link)
		link_put(s->link, ta->req, commit_done, &(struct msg_commit_done){ .ta = ta->id });
	if (error) {
		aq_give(ta->env.rcpt_count);
		aq_ta_free_later(ta);
	} else {
		stats_add(QMGR_STAT_ACCEPTED, 1);
		stats_add(QMGR_STAT_ACCEPTED_RCPTS, ta->env.rcpt_count);
		admit(l, ta);
	}
	release(s);
}

/* The link broke, the worker asks again for what is on its way already: the answer goes to the new
 * link. */
static void take_over(struct ta *first, struct smtps_link *s, uint64_t req)
{
	struct smtps_link *old = first->asker;

	first->asker = s;
	first->req = req;
	s->out++;
	old->out--;
	release(old);
}

static void begin_commit(struct smtps_link *s, uint64_t req, struct ta *ta)
{
	/* Counted now: what is on its way to the disk fills AQ as well. */
	aq_take(ta->env.rcpt_count);
	feedback_came(s->l);
	atomic_store(&ta->active, ta->env.rcpt_count);
	ta->home = s->l->loop;
	ta->answered = answered;
	ta->asker = s;
	ta->req = req;
	s->out++;
	commit_request(s->l->q->committer, ta);
}

/* Ages are those of our clock, which does not jump: that of smtps may be another. */
static void check_arrival(struct ta *ta)
{
	usec_t now = clock_steady(), at = clock_steady_of_wall(ta->env.wall_arrival);

	if (at > now || now - at > ARRIVAL_MAX_SEC * (usec_t)USEC_PER_SEC)
		at = now;
	if (at != ta->env.wall_arrival)
		aq_ta_set_arrival(ta, at);
}

static void commit(struct smtps_link *s, uint64_t req, const struct msg_commit *m)
{
	struct cdb_ref ref = { m->seg, m->gen, m->off, m->len };
	int error = qids_is_void(s->l->q, m->ta) ? -EIO : feedback_refuses();
	struct ta *ta = error ? NULL : aq_ta_new(m->envelope, &ref, &error);

	if (!ta) {
		refuse_commit(s, req, m->ta, error);
		return;
	}
	if (ta->id != m->ta || !ta->env.rcpt_count) {
		aq_ta_free(ta);
		link_refuse(s->link, "commit of an empty or different transaction");
		return;
	}
	check_arrival(ta);
	if (iqdb_add(ta)) {
		begin_commit(s, req, ta);
		return;
	}
	aq_ta_free(ta);
	struct ta *first = iqdb_find(m->ta);
	/* A worker's links all live in one loop. */
	if (first && first->home == s->l->loop)
		take_over(first, s, req);
	else
		refuse_commit(s, req, m->ta, -EALREADY);
}

/* ---- segments: told to the committer */

struct seg_call {
	struct commit_call call;
	uint64_t seg, gen, end, instance;
};

static void seg_owner(struct commit_call *call)
{
	struct seg_call *c = caa_container_of(call, struct seg_call, call);
	int error;
	struct segment *g =
		segments_get(committer_segments(call->committer), c->seg, c->gen, &error);

	segments_unspare(committer_segments(call->committer), c->seg);
	if (g)
		segment_owner(g, c->instance);
	free(c);
}

static void seg_kept(struct commit_call *call)
{
	struct seg_call *c = caa_container_of(call, struct seg_call, call);

	if (c->end)
		segments_spare(committer_segments(call->committer), c->seg, c->end, c->instance);
	else
		segments_unspare(committer_segments(call->committer), c->seg);
	free(c);
}

static void seg_sealed(struct commit_call *call)
{
	struct seg_call *c = caa_container_of(call, struct seg_call, call);
	int error;
	struct segment *g =
		segments_get(committer_segments(call->committer), c->seg, c->gen, &error);

	if (g) {
		segment_owner(g, c->instance);
		segment_seal(committer_segments(call->committer), g, c->end);
	}
	free(c);
}

static void process_gone(struct commit_call *call)
{
	struct seg_call *c = caa_container_of(call, struct seg_call, call);

	segments_orphan(committer_segments(call->committer), c->instance);
	free(c);
}

static void seg_post(struct smtps_link *s, void (*fn)(struct commit_call *call), uint64_t seg,
		     uint64_t gen, uint64_t end)
{
	struct seg_call *c = xcalloc(1, sizeof *c);

	*c = (struct seg_call){ .call.fn = fn,
				.seg = seg,
				.gen = gen,
				.end = end,
				.instance = link_peer(s->link)->instance };
	commit_call(s->l->q->committer, &c->call, false);
}

struct notice {
	uint64_t seg, gen, instance;
	enum { NOTICE_FREE = 0, NOTICE_BAD, NOTICE_PUNCH } what;
	size_t n;
	char runs[];
};

static void put_notice(struct link *k, const struct notice *n)
{
	switch (n->what) {
	case NOTICE_FREE:
		link_put(k, 0, seg_free, &(struct msg_seg_free){ n->seg, n->gen });
		break;
	case NOTICE_BAD:
		link_put(k, 0, seg_bad, &(struct msg_seg_bad){ n->seg, n->gen });
		break;
	case NOTICE_PUNCH:
		link_put(k, 0, seg_punch,
			 &(struct msg_seg_punch){ n->seg, n->gen, span_of(n->runs, n->n) });
		break;
	}
}

static void notice_in_loop(struct qloop *l, void *arg)
{
	struct notice *n = arg;
	bool told = false;

	for (struct smtps_link *s = l->intakes; s; s = s->next) {
		if (!s->link || link_peer(s->link)->instance != n->instance ||
		    link_peer(s->link)->worker)
			continue;
		put_notice(s->link, n);
		told = true;
	}
	if (!told && n->what == NOTICE_PUNCH)
		reclaim_lost(n->instance);
	free(n);
}

/* Worker 0 of that process hears of its segments; false: it is not connected. */
static bool notify(uint64_t seg, uint64_t gen, uint64_t instance, int what, struct span runs)
{
	struct process *p = process_of(instance, false);
	struct qloop *l = p ? atomic_load(&p->loop) : NULL;

	if (!l)
		return false;
	struct notice *n = xmalloc(sizeof *n + runs.n);
	*n = (struct notice){ seg, gen, instance, what, runs.n };
	memcpy(n->runs, runs.p, runs.n);
	qloop_post(l, notice_in_loop, n);
	return true;
}

bool intake_recycle(void *qmgr, uint64_t seg, uint64_t gen, uint64_t instance)
{
	(void)qmgr;
	return notify(seg, gen, instance, NOTICE_FREE, SPAN(""));
}

void intake_bad(void *qmgr, uint64_t seg, uint64_t gen, uint64_t instance)
{
	(void)qmgr;
	notify(seg, gen, instance, NOTICE_BAD, SPAN(""));
}

static bool is_there(const struct process *p)
{
	return atomic_load(&p->instance) && atomic_load(&p->loop);
}

uint64_t intake_any(uint64_t prefer)
{
	struct process *p = prefer ? process_of(prefer, false) : NULL;

	if (p && is_there(p))
		return prefer;
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (is_there(&process[i]))
			return atomic_load(&process[i].instance);
	return 0;
}

bool intake_punch(uint64_t instance, uint64_t seg, uint64_t gen, struct span runs)
{
	return notify(seg, gen, instance, NOTICE_PUNCH, runs);
}

/* ---- the link */

static struct loop *pick(void *server_ctx, const struct link_hello *peer, void **ctx)
{
	struct qmgr *q = server_ctx;

	if (strcmp(peer->component, "smtps") || atomic_load(&q->stopping))
		return NULL;
	struct smtps_link *s = xcalloc(1, sizeof *s);
	s->held_end = &s->held;
	s->l = &q->loop[peer->worker % q->loop_count];
	*ctx = s;
	return s->l->loop;
}

static void release(struct smtps_link *s)
{
	if (s->link || s->out)
		return;
	free(s);
}

/* Another credit than what was told last; a little more or less is no news. */
static void tell(struct smtps_link *s, uint8_t level, const char *cause)
{
	struct credit c = feedback_credit(s->open, atomic_load(&sessions_open), intake_links());
	struct msg_credit m = { c.sessions, c.recipients, level, span_str(cause) };
	uint32_t was = s->told.recipients, more = was > m.recipients ? was : m.recipients,
		 less = was > m.recipients ? m.recipients : was;

	if (m.level == s->told.level && span_eq(m.cause, s->told.cause) &&
	    m.sessions == s->told.sessions && more - less <= less / 8)
		return;
	s->told = m;
	link_put(s->link, 0, credit, &m);
}

static void up(struct link *k, const struct link_hello *peer)
{
	struct smtps_link *s = link_ctx(k);
	struct process *p = process_of(peer->instance, true);

	s->link = k;
	s->next = s->l->intakes;
	s->l->intakes = s;
	atomic_fetch_add(&links_up, 1);
	if (p) {
		atomic_fetch_add(&p->links, 1);
		if (peer->worker == 0)
			atomic_store(&p->loop, s->l);
	}
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "intake", "smtps=%u, worker=%u, stat=connected",
		  peer->id, peer->worker);
	tell(s, (uint8_t)feedback_level(), feedback_cause());
}

static void drop_held(struct smtps_link *s)
{
	while (s->held) {
		struct held *h = s->held;

		s->held = h->next;
		free(h);
	}
	s->held_end = &s->held;
	s->held_bytes = 0;
}

static void down(struct link *k)
{
	struct smtps_link *s = link_ctx(k), **at = &s->l->intakes;
	struct process *p = process_of(link_peer(k)->instance, false);

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
	log_event(LOG_LV_INFO, LOG_SEV_WARN, "intake", "smtps=%u, worker=%u, stat=lost",
		  link_peer(k)->id, link_peer(k)->worker);
	atomic_fetch_sub(&links_up, 1);
	drop_held(s);
	all_closed(s);
	if (p && link_peer(k)->worker == 0) {
		atomic_store(&p->loop, NULL);
		reclaim_lost(link_peer(k)->instance);
	}
	if (p && atomic_fetch_sub(&p->links, 1) == 1) {
		/* Before that nothing was known of its segments. */
		if (s->l->open)
			seg_post(s, process_gone, 0, 0, 0);
		atomic_store(&p->instance, 0);
	}
	s->link = NULL;
	release(s);
}

static void take(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct smtps_link *s = link_ctx(k);
	union {
		struct msg_conn_open conn_open;
		struct msg_conn_close conn_close;
		struct msg_id_lease id_lease;
		struct msg_commit commit;
		struct msg_seg_open seg_open;
		struct msg_seg_seal seg_seal;
		struct msg_seg_spare seg_spare;
		struct msg_seg_punched seg_punched;
	} m;
	int rc = -EBADMSG;

	switch (number) {
	case MSG_conn_open:
		if (!(rc = msg_conn_open_decode(body, &m.conn_open)))
			conn_open(s, req, &m.conn_open);
		break;
	case MSG_conn_close:
		if (!(rc = msg_conn_close_decode(body, &m.conn_close)))
			conn_close(s, &m.conn_close);
		break;
	case MSG_id_lease:
		if (!(rc = msg_id_lease_decode(body, &m.id_lease)))
			id_lease(s, req, &m.id_lease);
		break;
	case MSG_commit:
		if (!(rc = msg_commit_decode(body, &m.commit)))
			commit(s, req, &m.commit);
		break;
	case MSG_seg_open:
		if (!(rc = msg_seg_open_decode(body, &m.seg_open)))
			seg_post(s, seg_owner, m.seg_open.seg, m.seg_open.gen, 0);
		break;
	case MSG_seg_seal:
		if (!(rc = msg_seg_seal_decode(body, &m.seg_seal)))
			seg_post(s, seg_sealed, m.seg_seal.seg, m.seg_seal.gen, m.seg_seal.end);
		break;
	case MSG_seg_spare:
		if (!(rc = msg_seg_spare_decode(body, &m.seg_spare)))
			seg_post(s, seg_kept, m.seg_spare.seg, m.seg_spare.gen, m.seg_spare.bytes);
		break;
	case MSG_seg_punched:
		if (!(rc = msg_seg_punched_decode(body, &m.seg_punched)))
			reclaim_punched(link_peer(k)->instance, &m.seg_punched);
		break;
	case MSG_state_end:
		rc = 0;
		break;
	default:
		break;
	}
	if (rc)
		link_refuse(k, msg_name(number));
}

/* ---- before the database is open */

static void hold(struct smtps_link *s, unsigned number, uint64_t req, struct span body)
{
	if (s->held_bytes + body.n > HELD_MAX_BYTES) {
		link_refuse(s->link, "too much before the database is open");
		return;
	}
	struct held *h = xmalloc(sizeof *h + body.n);
	*h = (struct held){ .number = number, .req = req, .n = body.n };
	if (body.n)
		memcpy(h->body, body.p, body.n);
	s->held_bytes += sizeof *h + body.n;
	*s->held_end = h;
	s->held_end = &h->next;
}

/* Connection control needs no database, and a block of ids may be there. */
static bool must_wait(struct smtps_link *s, unsigned number, struct span body)
{
	struct msg_id_lease m;

	if (s->l->open || number == MSG_conn_open || number == MSG_conn_close)
		return false;
	return number != MSG_id_lease || msg_id_lease_decode(body, &m) ||
	       !qids_early(s->l->q, m.count);
}

static void message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct smtps_link *s = link_ctx(k);

	if (must_wait(s, number, body))
		hold(s, number, req, body);
	else
		take(k, number, req, body);
}

/* Handles what need not wait any more. */
static void take_held(struct smtps_link *s)
{
	struct held *h = s->held;

	s->held = NULL;
	s->held_end = &s->held;
	s->held_bytes = 0;
	while (h) {
		struct held *next = h->next;

		if (link_is_up(s->link))
			message(s->link, h->number, h->req, span_of(h->body, h->n));
		free(h);
		h = next;
	}
}

static void again(struct qloop *l, void *arg)
{
	l->open = l->open || arg;
	for (struct smtps_link *s = l->intakes; s; s = s->next)
		take_held(s);
}

void intake_ids(struct qmgr *q)
{
	for (unsigned i = 0; i < q->loop_count; i++)
		qloop_post(&q->loop[i], again, NULL);
}

void intake_open(struct qmgr *q)
{
	for (unsigned i = 0; i < q->loop_count; i++)
		qloop_post(&q->loop[i], again, q);
}

static const struct link_ops ops = { .up = up, .down = down, .message = message };

int intake_listen(struct qmgr *q, const char *path)
{
	int fd = sock_listen_unix(path, 0660);

	qm = q;
	if (fd < 0)
		return fd;
	return link_listen(q->loop[0].loop, fd, &q->hello, &ops, pick, q) ? 0 : -ENOMEM;
}

void intake_credit(struct qloop *l, uint8_t level, const char *cause)
{
	for (struct smtps_link *s = l->intakes; s; s = s->next)
		if (s->link)
			tell(s, level, cause);
}

unsigned intake_links(void)
{
	return atomic_load(&links_up);
}
