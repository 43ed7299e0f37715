#include "queue/dsn.h"

#include "core/cdb_write.h"
#include "core/err.h"
#include "core/ids.h"
#include "core/log.h"
#include "queue/dsn_original.h"
#include "queue/dsn_text.h"
#include "queue/outcome.h"
#include "queue/qids.h"
#include "queue/qmgr_stats.h"
#include "queue/routes.h"

#include <errno.h>
#include <stdlib.h>

enum { LINE_998 = 998, TEXT_BYTES_MAX = 8 << 20, SMALL_FROM_MAX = 256 << 20 };

/* The text of one. */
struct made {
	struct buf text;
	bool utf8;
};

/* A DSN on its way: smar says who gets it, then it goes to the disk. */
struct pending {
	struct qloop *l;
	struct ta *about; /* whose recipients wait for it; NULL: a notice */
	uint64_t id;
	bool first;       /* that somebody gets for failures of this transaction */
	struct made made; /* empty: it is made when it is known who gets it */
	unsigned count;
	uint32_t idx[];
};

static void pending_free(struct pending *own)
{
	buf_release(&own->made.text);
	free(own);
}

static void ended(struct pending *p)
{
	if (p->about) {
		outcome_ended(p->l, p->about, p->idx, p->count);
		dsn_settle(p->l, p->about);
	}
	pending_free(p);
}

/* Another time: its recipients fail anew. */
static void undone(struct pending *p, const char *what, int error)
{
	log_event(LOG_LV_ERROR, LOG_SEV_ERR, "dsn", "stat=DSN not %s, error=%d", what, error);
	if (p->about) {
		atomic_fetch_sub(aq_dsn_count(p->about, p->idx[0]), 1);
		outcome_no_dsn(p->l, p->about, p->idx, p->count);
	}
	pending_free(p);
}

/* In the loop that made it. */
static void answered(struct ta *ta, int error)
{
	struct pending *p = ta->asker;

	if (error) {
		/* Or the next start would find it and send it. */
		cdb_kill(p->l->q->writer, &ta->ref, ta->id);
		undone(p, "committed", error);
		aq_give(ta->env.rcpt_count);
		aq_ta_free(ta);
		return;
	}
	stats_add(QMGR_STAT_DSNS, 1);
	uint32_t idx[ROUTES_WHO_MAX];
	for (uint32_t i = 0; i < ta->env.rcpt_count; i++)
		idx[i] = i;
	routes_queue(p->l, ta, idx, ta->env.rcpt_count, true);
	ended(p);
}

/* All of the original, or its header? The first bounce of a message to somebody has all. RET= is
 * the author's word about the author's notices. */
static bool wants_whole(struct qloop *l, const struct ta *ta, uint32_t idx, enum dsn_kind kind,
			bool first)
{
	bool author = !ta->env.rcpt[idx].owner;

	if (kind != DSN_FAILED || (author && ta->env.ret == ENV_RET_HDRS) || !first)
		return false;
	return !(qmgr_live(l->q)->dsn_handling_flags & QMGR_DSN_F_HEADER_ONLY);
}

static struct dsn_rcpt describe(const struct ta *ta, uint32_t idx)
{
	struct rcpt *rc = &ta->rcpt[idx];

	return (struct dsn_rcpt){ .addr = ta->env.rcpt[idx].addr,
				  .orcpt = ta->env.rcpt[idx].orcpt,
				  .reply = aq_rcpt_last(rc),
				  .remote = aq_rcpt_remote(rc),
				  .stage = rc->stage,
				  .wall_last =
					  rc->wall_last ? clock_steady_to_wall(rc->wall_last) : 0 };
}

static int make_text(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		     enum dsn_kind kind, const struct pending *p, struct made *m)
{
	const struct qmgr_options *o = qmgr_live(l->q);
	struct dsn_rcpt *r = xcalloc(count, sizeof *r);
	struct buf original = { 0 };
	bool whole = wants_whole(l, ta, idx[0], kind, p->first);
	int rc = dsn_original(l->q->global.cdb_base_directory, &ta->ref, ta->id,
			      o->dsn_handling_max_returned_size, &whole, &original);
	bool damaged = rc == -EBADMSG;
	if (rc) {
		char id[ID_TEXT_MAX];

		id_text(ta->id, id);
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "dsn",
			  "ss_ta=%s, stat=content is not readable, DSN goes without it, error=%s",
			  id, strerror(-rc));
	}
	for (unsigned i = 0; i < count; i++)
		r[i] = describe(ta, idx[i]);
	struct dsn_text t = { .hostname = l->q->global.hostname,
			      .sender = envelope_sender(&ta->env, idx[0]),
			      .envid = ta->env.rcpt[idx[0]].owner ? SPAN("") : ta->env.envid,
			      .id = p->id,
			      .about = ta->id,
			      .random = span_hash(span_of(&p->id, sizeof p->id)),
			      .wall_now = clock_wall(),
			      .wall_arrival = clock_steady_to_wall(ta->env.wall_arrival),
			      .wall_until = clock_steady_to_wall(ta->env.wall_arrival +
								 o->queue_return_timeout),
			      .kind = kind,
			      .mime = o->dsn_handling_flags & QMGR_DSN_F_MIME_FORMAT,
			      .whole = whole,
			      .global = ta->env.flags & ENV_SMTPUTF8,
			      .original = buf_span(&original),
			      .damaged = damaged,
			      .rcpt = r,
			      .count = count };
	rc = dsn_text(&t, &m->text, &m->utf8);
	buf_release(&original);
	free(r);
	return rc;
}

/* Our own lines never begin with a dot, the original's are stuffed already: the text is in wire
 * form. */
static void measure(struct span s, struct cdb_head *h)
{
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++, line++) {
		if (s.p[i] & 0x80)
			h->flags |= CDB_8BIT;
		if (s.p[i] == '\n') {
			if (line > LINE_998 + 1)
				h->flags |= CDB_LONG_LINE;
			line = (size_t)-1;
		} else if (line == 0 && s.p[i] == '.') {
			h->dots++;
		}
	}
	h->size_bytes = s.n - h->dots;
	h->header_bytes = (uint32_t)span_find(s, SPAN("\r\n\r\n")) + 2;
}

static int write_content(struct qloop *l, uint64_t id, struct span text, struct span envelope,
			 struct cdb_ref *ref)
{
	struct cdb_head h = { .ta = id, .content_bytes = text.n };
	struct iovec part = { (void *)text.p, text.n };

	measure(text, &h);
	int rc = cdb_append(l->q->writer, &h, &part, 1, envelope, ref);
	if (rc != -EAGAIN)
		return rc;
	struct cdb_file f;
	rc = cdb_file_begin(l->q->writer, id, &f);
	if (!rc)
		rc = cdb_file_add(&f, text);
	if (rc) {
		cdb_file_abort(l->q->writer, &f);
		return rc;
	}
	return cdb_file_finish(l->q->writer, &f, &h, envelope, ref);
}

/* To the disk, for those for whom its addressee stands; not committed yet. */
static int store(struct pending *p, const struct routes_who *w, struct ta **out)
{
	struct envelope e = { .ta = p->id,
			      .wall_arrival = clock_wall(),
			      .client = { .family = ADDR_IPV4, .ip = { 127, 0, 0, 1 } },
			      .sender = SPAN(""),
			      .flags = (uint16_t)(ENV_DSN | (p->made.utf8 ? ENV_SMTPUTF8 : 0)),
			      .body = ENV_BODY_8BITMIME,
			      .route_count = w->route_count,
			      .route = (struct span *)w->route,
			      .rcpt_count = w->count,
			      .rcpt = (struct env_rcpt *)w->to };
	struct buf blob = { 0 };
	struct cdb_ref ref;
	int rc = envelope_encode(&e, &blob);

	if (!rc)
		rc = write_content(p->l, p->id, buf_span(&p->made.text), buf_span(&blob), &ref);
	if (!rc)
		*out = aq_ta_new(buf_span(&blob), &ref, &rc);
	if (!rc)
		aq_ta_set_arrival(*out, clock_steady());
	buf_release(&blob);
	return rc;
}

static void who_gets_it(struct qloop *l, void *arg, const struct routes_who *w)
{
	struct pending *p = arg;
	struct ta *dsn = NULL;
	int rc = w->error;

	if (!rc && !buf_len(&p->made.text))
		rc = make_text(l, p->about, p->idx, p->count, DSN_FAILED, p, &p->made);
	if (!rc)
		rc = store(p, w, &dsn);
	buf_release(&p->made.text);
	if (rc) {
		undone(p, "written", rc);
		return;
	}
	aq_take(dsn->env.rcpt_count);
	atomic_store(&dsn->active, dsn->env.rcpt_count);
	dsn->home = l->loop;
	dsn->answered = answered;
	dsn->asker = p;
	commit_request(l->q->committer, dsn);
}

static struct pending *pending_new(struct qloop *l, struct ta *about, const uint32_t *idx,
				   unsigned count)
{
	struct pending *p = xcalloc(1, sizeof *p + count * sizeof *idx);

	*p = (struct pending){
		.l = l, .about = about, .id = id_make(qids_next(l->q), 0), .count = count
	};
	memcpy(p->idx, idx, count * sizeof *idx);
	if (about)
		p->first = atomic_fetch_add(aq_dsn_count(about, idx[0]), 1) == 0;
	return p;
}

/* All recipients have the same sender. A notice that nobody waits for is made at once: its
 * transaction may be gone when smar answers. */
static void send_dsn(struct qloop *l, struct ta *about, struct ta *ta, const uint32_t *idx,
		     unsigned count, enum dsn_kind kind)
{
	struct pending *p = pending_new(l, about, idx, count);
	int rc = about ? 0 : make_text(l, ta, idx, count, kind, p, &p->made);

	if (rc)
		undone(p, "written", rc);
	else
		routes_who(l, envelope_sender(&ta->env, idx[0]), who_gets_it, p);
}

/* Whom is a DSN owed? Puts those to the front; returns how many. */
static unsigned owed(const struct ta *ta, const uint32_t *idx, unsigned count, enum dsn_kind kind,
		     uint32_t *yes, uint32_t *no, unsigned *no_count)
{
	static const uint8_t bit[] = { ENV_NOTIFY_FAILURE, ENV_NOTIFY_DELAY, ENV_NOTIFY_SUCCESS,
				       ENV_NOTIFY_SUCCESS, ENV_NOTIFY_SUCCESS };
	bool by_default = kind == DSN_FAILED || kind == DSN_DELAYED;
	unsigned n = 0;

	*no_count = 0;
	for (unsigned i = 0; i < count; i++) {
		uint8_t notify = ta->env.rcpt[idx[i]].notify;

		if (envelope_sender(&ta->env, idx[i]).n &&
		    (notify ? (notify & bit[kind]) != 0 : by_default))
			yes[n++] = idx[i];
		else
			no[(*no_count)++] = idx[i];
	}
	return n;
}

/* What waits to be told in one notice, R 3.8 5: failed recipients of one transaction, or a warning. */
struct bounce {
	struct bounce *next;
	struct qloop *l;
	struct ta *ta;
	uint16_t owner; /* who is told, as in struct env_rcpt */
	bool warning;   /* has no recipients: all that are not done when it goes */
	struct timer timer;
	usec_t wall_last; /* it is sent by then */
	usec_t wall_soon; /* others are tried until then: worth waiting for; 0: not known yet */
	unsigned count, cap;
	uint32_t *idx;
};

static struct bounce **bounce_at(struct qloop *l, const struct ta *ta, uint16_t owner, bool warning)
{
	struct bounce **at = &l->bounces;

	while (*at && ((*at)->ta != ta || (*at)->owner != owner || (*at)->warning != warning))
		at = &(*at)->next;
	return at;
}

static void bounce_free(struct bounce *b)
{
	*bounce_at(b->l, b->ta, b->owner, b->warning) = b->next;
	loop_timer_stop(b->l->loop, &b->timer);
	free(b->idx);
	free(b);
}

/* How many of them go into one: max_errors_per_DSN, and what bounds the memory for its text. */
static unsigned fits(struct qloop *l, const struct ta *ta, const uint32_t *idx, unsigned count)
{
	unsigned max = qmgr_live(l->q)->dsn_handling_max_errors_per_dsn, n = 0;
	size_t bytes = 0;

	while (n < count && n < max && bytes < TEXT_BYTES_MAX) {
		uint32_t i = idx[n++];

		bytes += 400 + 4 * ta->env.rcpt[i].addr.n + ta->env.rcpt[i].orcpt.n +
			 2 * aq_rcpt_last(&ta->rcpt[i]).n;
	}
	return n;
}

/* As many as fit, in one DSN. */
static void bounce_send_failed(struct bounce *b)
{
	struct qloop *l = b->l;
	struct ta *ta = b->ta;
	unsigned n = fits(l, ta, b->idx, b->count);
	uint32_t *idx = xmalloc(n * sizeof *idx);

	memcpy(idx, b->idx, n * sizeof *idx);
	b->count -= n;
	memmove(b->idx, b->idx + n, b->count * sizeof *b->idx);
	atomic_fetch_sub(&ta->dsn_waiting, n);
	if (!b->count)
		bounce_free(b);
	send_dsn(l, ta, ta, idx, n, DSN_FAILED);
	free(idx);
}

static void bounce_send_warning(struct bounce *own)
{
	struct qloop *l = own->l;
	struct ta *ta = own->ta;
	uint32_t *idx = xmalloc(3 * (size_t)ta->env.rcpt_count * sizeof *idx),
		 *yes = idx + ta->env.rcpt_count;
	unsigned count = 0, no_count, n;

	for (uint32_t i = 0; i < ta->env.rcpt_count; i++) {
		uint8_t state = atomic_load(&ta->rcpt[i].state);

		if (ta->env.rcpt[i].owner == own->owner &&
		    (state == RCPT_ACTIVE || state == RCPT_DEFERRED))
			idx[count++] = i;
	}
	n = owed(ta, idx, count, DSN_DELAYED, yes, yes + ta->env.rcpt_count, &no_count);
	for (unsigned at = 0, k; at < n; at += k) {
		k = fits(l, ta, yes + at, n - at);
		send_dsn(l, NULL, ta, yes + at, k, DSN_DELAYED);
	}
	free(idx);
	bounce_free(own);
	atomic_fetch_sub(&ta->dsn_waiting, 1);
	outcome_leave(l, ta, 1);
}

static void bounce_send(struct bounce *b)
{
	if (b->warning)
		bounce_send_warning(b);
	else
		bounce_send_failed(b);
}

static void bounce_timer(struct timer *t)
{
	struct bounce *b = caa_container_of(t, struct bounce, timer);
	struct qloop *l = b->l;
	struct ta *ta = b->ta;
	uint16_t owner = b->owner;
	bool warning = b->warning;

	while ((b = *bounce_at(l, ta, owner, warning)))
		bounce_send(b);
}

/* All with the same owner, in ta's loop for that. */
static void bounce_add(struct qloop *l, struct ta *ta, uint16_t owner, bool warning,
		       const uint32_t *idx, unsigned count)
{
	struct bounce **at = bounce_at(l, ta, owner, warning), *b = *at;

	if (!b) {
		b = *at = xcalloc(1, sizeof *b);
		*b = (struct bounce){ .l = l, .ta = ta, .owner = owner, .warning = warning };
		b->timer.fn = bounce_timer;
		usec_t wait = qmgr_live(l->q)->dsn_handling_merge_delay_max;
		b->wall_last = clock_steady() + wait;
		loop_timer_after(l->loop, &b->timer, wait);
	}
	atomic_fetch_add(&ta->dsn_waiting, warning ? 1 : count);
	if (warning)
		return;
	if (b->count + count > b->cap) {
		b->cap = b->count + count;
		b->idx = xrealloc(b->idx, b->cap * sizeof *b->idx);
	}
	memcpy(b->idx + b->count, idx, count * sizeof *idx);
	b->count += count;
}

/* On their way to the loop where ta's notices wait. */
struct gathered {
	struct ta *ta;
	uint16_t owner;
	bool warning;
	unsigned count;
	uint32_t idx[];
};

static void gathered(struct qloop *l, void *arg)
{
	struct gathered *g = arg;

	bounce_add(l, g->ta, g->owner, g->warning, g->idx, g->count);
	dsn_settle(l, g->ta);
	free(g);
}

static void gather(struct qloop *l, struct ta *ta, bool warning, const uint32_t *idx,
		   unsigned count)
{
	uint16_t owner = ta->env.rcpt[idx[0]].owner;
	struct qloop *to = NULL;

	if (atomic_compare_exchange_strong(&ta->dsn_loop, &to, l) || to == l) {
		bounce_add(l, ta, owner, warning, idx, count);
		return;
	}
	struct gathered *g = xmalloc(sizeof *g + count * sizeof *idx);
	*g = (struct gathered){ .ta = ta, .owner = owner, .warning = warning, .count = count };
	memcpy(g->idx, idx, count * sizeof *idx);
	qloop_call(l, to, gathered, g);
}

/* Is one of those with the same addressee deferred until `until` at most? `last`: the last such
 * time. */
static bool is_due_by(const struct bounce *b, usec_t until, usec_t *last)
{
	struct ta *ta = b->ta;
	bool found = false;

	*last = 0;
	for (uint32_t i = 0; i < ta->env.rcpt_count; i++) {
		usec_t next = atomic_load_explicit(&ta->rcpt[i].wall_next, memory_order_relaxed);

		if (ta->env.rcpt[i].owner != b->owner || next > until ||
		    atomic_load(&ta->rcpt[i].state) != RCPT_DEFERRED)
			continue;
		found = true;
		if (next > *last)
			*last = next;
	}
	return found;
}

/* Those that are deferred are waited for until they were tried once more, when that is soon. */
static bool may_grow(struct bounce *b)
{
	usec_t last;

	if (!b->wall_soon) {
		is_due_by(b, b->wall_last, &last);
		b->wall_soon = last ? last : 1;
	}
	return is_due_by(b, b->wall_soon, &last);
}

/* One of the transaction's that need not wait; NULL: all may still grow, or there is none. ta is
 * looked at only when one is found: what waits here keeps it alive. */
static struct bounce *bounce_due(struct qloop *l, struct ta *ta, unsigned max)
{
	bool found = false;

	for (struct bounce *b = l->bounces; b; b = b->next) {
		if (b->ta != ta)
			continue;
		if (b->count >= max)
			return b;
		found = true;
	}
	if (!found || atomic_load(&ta->active) > atomic_load(&ta->dsn_waiting))
		return NULL;
	for (struct bounce *b = l->bounces; b; b = b->next)
		if (b->ta == ta && (b->warning || !may_grow(b)))
			return b;
	return NULL;
}

void dsn_settle(struct qloop *l, struct ta *ta)
{
	unsigned max = qmgr_live(l->q)->dsn_handling_max_errors_per_dsn;
	struct bounce *b;

	while ((b = bounce_due(l, ta, max)))
		bounce_send(b);
}

static void settle_there(struct qloop *l, void *ta)
{
	dsn_settle(l, ta);
}

void dsn_left(struct ta *ta, unsigned left)
{
	struct qloop *l = atomic_load(&ta->dsn_loop);

	if (l && left <= atomic_load(&ta->dsn_waiting))
		qloop_post(l, settle_there, ta);
}

void dsn_delayed(struct qloop *l, struct ta *ta, uint32_t *idx, unsigned count)
{
	for (unsigned at = 0, same; at < count; at += same) {
		same = aq_first_owner(ta, idx + at, count - at);
		if (!envelope_sender(&ta->env, idx[at]).n ||
		    atomic_exchange(aq_warned(ta, idx[at]), true))
			continue;
		aq_take(1);
		atomic_fetch_add(&ta->active, 1);
		gather(l, ta, true, idx + at, 1);
	}
}

static void hurry_there(struct qloop *l, void *ta)
{
	for (struct bounce *b = l->bounces; b; b = b->next)
		if (b->ta == ta)
			b->wall_soon = 1;
	dsn_settle(l, ta);
}

void dsn_hurry(struct qloop *l, struct ta *ta)
{
	struct qloop *to = atomic_load(&ta->dsn_loop);

	if (to)
		qloop_call(l, to, hurry_there, ta);
}

static void log_rcpts(struct ta *ta, uint32_t idx, unsigned count, const char *stat)
{
	struct log_line line;
	char id[ID_TEXT_MAX];

	bool ours = ta->env.flags & ENV_DSN;

	log_begin(&line, ours ? LOG_LV_ERROR : LOG_LV_MAIL, ours ? LOG_SEV_WARN : LOG_SEV_NONE);
	if (!line.on)
		return;
	id_text(ta->id, id);
	log_word(&line, "func", "dsn");
	log_word(&line, "ss_ta", id);
	log_addr(&line, "rcpt", ta->env.rcpt[idx].addr);
	log_int(&line, "recipients", count);
	log_word(&line, "stat", stat);
	log_str(&line, "reply", aq_rcpt_last(&ta->rcpt[idx]));
	log_end(&line);
}

/* A notice of our own that a host would not take in its form (8 bits, size): once more without what
 * makes it so. False: there is nothing to leave out. */
static bool send_small(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct buf text = { 0 };
	struct made m = { .utf8 = ta->env.flags & ENV_SMTPUTF8 };
	bool whole = true;

	if (ta->rcpt[idx[0]].stage != MSG_AT_CONTENT)
		return false;
	int rc = dsn_original(l->q->global.cdb_base_directory, &ta->ref, ta->id, SMALL_FROM_MAX,
			      &whole, &text);
	if (!rc && whole)
		rc = dsn_text_small(buf_span(&text), m.utf8, &m.text);
	buf_release(&text);
	if (rc || !whole) {
		buf_release(&m.text);
		return false;
	}
	log_rcpts(ta, idx[0], count, "DSN is sent again, smaller");
	struct pending *p = pending_new(l, ta, idx, count);
	struct env_rcpt *to = xcalloc(count, sizeof *to);
	for (unsigned i = 0; i < count; i++)
		to[i] = (struct env_rcpt){ .addr = ta->env.rcpt[idx[i]].addr,
					   .idx = i,
					   .route = ENV_NO_ROUTE };
	p->made = m;
	who_gets_it(l, p, &(struct routes_who){ .count = count, .to = to });
	free(to);
	return true;
}

void dsn_failed(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	uint32_t *yes = xmalloc(2 * (size_t)count * sizeof *yes), *no = yes + count;
	unsigned no_count, n = owed(ta, idx, count, DSN_FAILED, yes, no, &no_count);

	for (unsigned at = 0, same; at < n; at += same) {
		same = aq_first_owner(ta, yes + at, n - at);
		gather(l, ta, false, yes + at, same);
	}
	if (no_count && (!(ta->env.flags & ENV_DSN) || !send_small(l, ta, no, no_count))) {
		log_rcpts(ta, no[0], no_count,
			  ta->env.flags & ENV_DSN ? "DSN is not deliverable and dropped"
						  : "no DSN is due");
		outcome_ended(l, ta, no, no_count);
	}
	free(yes);
}

void dsn_notice(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		enum dsn_kind kind)
{
	uint32_t few[8];
	uint32_t *yes = count <= 4 ? few : xmalloc(2 * (size_t)count * sizeof *yes);
	unsigned no_count, n = owed(ta, idx, count, kind, yes, yes + count, &no_count);

	for (unsigned at = 0, same; at < n; at += same) {
		same = aq_first_owner(ta, yes + at, n - at);
		send_dsn(l, NULL, ta, yes + at, same, kind);
	}
	if (yes != few)
		free(yes);
}
