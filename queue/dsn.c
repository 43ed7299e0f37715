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

#include <stdlib.h>

enum { LINE_998 = 998, TEXT_BYTES_MAX = 8 << 20, SMALL_FROM_MAX = 256 << 20 };

/* A DSN on its way to the disk. */
struct pending {
	struct qloop *l;
	struct ta *about; /* whose recipients wait for it; NULL: a notice */
	unsigned count;
	uint32_t idx[];
};

/* The text of one. */
struct made {
	struct buf text;
	bool utf8;
};

static void ended(struct pending *p)
{
	if (p->about) {
		outcome_ended(p->l, p->about, p->idx, p->count);
		dsn_settle(p->l, p->about);
	}
	free(p);
}

static void undone(struct pending *p)
{
	if (p->about) {
		atomic_fetch_sub(&p->about->dsn_count, 1);
		outcome_no_dsn(p->l, p->about, p->idx, p->count);
	}
	free(p);
}

/* In the loop that made it. */
static void answered(struct ta *ta, int error)
{
	struct pending *p = ta->asker;

	if (error) {
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "dsn", "stat=DSN not committed, error=%d",
			  error);
		undone(p);
		aq_ta_free(ta);
		return;
	}
	stats_add(QMGR_STAT_DSNS, 1);
	const uint32_t first = 0;
	routes_queue(p->l, ta, &first, 1, true);
	ended(p);
}

/* All of the original, or its header? The first bounce of a message (which is counted already) has
 * all. */
static bool wants_whole(struct qloop *l, const struct ta *ta, enum dsn_kind kind)
{
	if (kind != DSN_FAILED || ta->env.ret == ENV_RET_HDRS || atomic_load(&ta->dsn_count) > 1)
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
				  .wall_last = rc->wall_last };
}

static int make_text(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		     enum dsn_kind kind, uint64_t id, struct made *m)
{
	const struct qmgr_options *o = qmgr_live(l->q);
	struct dsn_rcpt *r = xcalloc(count, sizeof *r);
	struct buf original = { 0 };
	bool whole = wants_whole(l, ta, kind);
	int rc = dsn_original(l->q->global.cdb_base_directory, &ta->ref, ta->id,
			      o->dsn_handling_max_returned_size, &whole, &original);
	if (rc)
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "dsn",
			  "stat=content is not readable, DSN goes without it, error=%d", rc);
	for (unsigned i = 0; i < count; i++)
		r[i] = describe(ta, idx[i]);
	struct dsn_text t = { .hostname = l->q->global.hostname,
			      .sender = ta->env.sender,
			      .envid = ta->env.envid,
			      .id = id,
			      .about = ta->id,
			      .random = span_hash(span_of(&id, sizeof id)),
			      .wall_now = clock_wall(),
			      .wall_arrival = ta->env.wall_arrival,
			      .wall_until = ta->env.wall_arrival + o->queue_return_timeout,
			      .kind = kind,
			      .mime = o->dsn_handling_flags & QMGR_DSN_F_MIME_FORMAT,
			      .whole = whole,
			      .global = ta->env.flags & ENV_SMTPUTF8,
			      .original = buf_span(&original),
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

/* To the disk; not committed yet. */
static int store(struct qloop *l, struct span to, const struct made *m, uint64_t id,
		 struct ta **out)
{
	struct env_rcpt rcpt = { .addr = to, .route = ENV_NO_ROUTE };
	struct envelope e = { .ta = id,
			      .wall_arrival = clock_steady(),
			      .client = { .family = ADDR_IPV4, .ip = { 127, 0, 0, 1 } },
			      .sender = SPAN(""),
			      .flags = (uint16_t)(ENV_DSN | (m->utf8 ? ENV_SMTPUTF8 : 0)),
			      .body = ENV_BODY_8BITMIME,
			      .rcpt_count = 1,
			      .rcpt = &rcpt };
	struct buf blob = { 0 };
	struct cdb_ref ref;
	int rc = envelope_encode(&e, &blob);

	if (!rc)
		rc = write_content(l, id, buf_span(&m->text), buf_span(&blob), &ref);
	if (!rc)
		*out = aq_ta_new(buf_span(&blob), &ref, &rc);
	buf_release(&blob);
	return rc;
}

/* m, which failed to be made if error is set, goes to `to`. */
static void commit(struct pending *p, struct span to, uint64_t id, struct made *m, int error)
{
	struct ta *dsn = NULL;

	if (!error)
		error = store(p->l, to, m, id, &dsn);
	buf_release(&m->text);
	if (error) {
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "dsn", "stat=DSN not written, error=%d",
			  error);
		undone(p);
		return;
	}
	aq_take(1);
	atomic_store(&dsn->active, 1);
	dsn->home = p->l->loop;
	dsn->answered = answered;
	dsn->asker = p;
	commit_request(p->l->q->committer, dsn);
}

static struct pending *pending_new(struct qloop *l, struct ta *about, const uint32_t *idx,
				   unsigned count)
{
	struct pending *p = xmalloc(sizeof *p + count * sizeof *idx);

	*p = (struct pending){ .l = l, .about = about, .count = count };
	memcpy(p->idx, idx, count * sizeof *idx);
	if (about)
		atomic_fetch_add(&about->dsn_count, 1);
	return p;
}

static void send_dsn(struct qloop *l, struct ta *about, struct ta *ta, const uint32_t *idx,
		     unsigned count, enum dsn_kind kind)
{
	struct pending *p = pending_new(l, about, idx, count);
	uint64_t id = id_make(qids_next(l->q), 0);
	struct made m = { .utf8 = false };
	int rc = make_text(l, ta, idx, count, kind, id, &m);

	commit(p, ta->env.sender, id, &m, rc);
}

/* Whom is a DSN owed? Puts those to the front; returns how many. */
static unsigned owed(const struct ta *ta, const uint32_t *idx, unsigned count, enum dsn_kind kind,
		     uint32_t *yes, uint32_t *no, unsigned *no_count)
{
	static const uint8_t bit[] = { ENV_NOTIFY_FAILURE, ENV_NOTIFY_DELAY, ENV_NOTIFY_SUCCESS,
				       ENV_NOTIFY_SUCCESS };
	bool by_default = kind == DSN_FAILED || kind == DSN_DELAYED;
	unsigned n = 0;

	*no_count = 0;
	for (unsigned i = 0; i < count; i++) {
		uint8_t notify = ta->env.rcpt[idx[i]].notify;

		if (ta->env.sender.n && (notify ? (notify & bit[kind]) != 0 : by_default))
			yes[n++] = idx[i];
		else
			no[(*no_count)++] = idx[i];
	}
	return n;
}

/* Failed recipients of one transaction that wait to be named together, R 3.8 5. */
struct bounce {
	struct bounce *next;
	struct qloop *l;
	struct ta *ta;
	struct timer timer;
	unsigned count, cap;
	uint32_t *idx;
};

static struct bounce **bounce_at(struct qloop *l, const struct ta *ta)
{
	struct bounce **at = &l->bounces;

	while (*at && (*at)->ta != ta)
		at = &(*at)->next;
	return at;
}

/* The first n of them in one DSN. */
static void bounce_send(struct bounce *b, unsigned n)
{
	uint32_t *idx = xmalloc(n * sizeof *idx);
	struct qloop *l = b->l;
	struct ta *ta = b->ta;

	memcpy(idx, b->idx, n * sizeof *idx);
	b->count -= n;
	memmove(b->idx, b->idx + n, b->count * sizeof *b->idx);
	if (!b->count) {
		*bounce_at(l, ta) = b->next;
		loop_timer_stop(l->loop, &b->timer);
		free(b->idx);
		free(b);
	}
	send_dsn(l, ta, ta, idx, n, DSN_FAILED);
	free(idx);
}

/* How many go into one: max_errors_per_DSN, and what bounds the memory for its text. */
static unsigned fits(const struct bounce *b)
{
	unsigned max = qmgr_live(b->l->q)->dsn_handling_max_errors_per_dsn, n = 0;
	size_t bytes = 0;

	while (n < b->count && n < max && bytes < TEXT_BYTES_MAX) {
		uint32_t i = b->idx[n++];

		bytes += 400 + 4 * b->ta->env.rcpt[i].addr.n + b->ta->env.rcpt[i].orcpt.n +
			 2 * aq_rcpt_last(&b->ta->rcpt[i]).n;
	}
	return n;
}

static void bounce_timer(struct timer *t)
{
	struct bounce *b = caa_container_of(t, struct bounce, timer);
	struct qloop *l = b->l;
	struct ta *ta = b->ta;

	while ((b = *bounce_at(l, ta)))
		bounce_send(b, fits(b));
}

static void bounce_add(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct bounce **at = bounce_at(l, ta), *b = *at;

	if (!b) {
		b = *at = xcalloc(1, sizeof *b);
		b->l = l;
		b->ta = ta;
		b->timer.fn = bounce_timer;
		loop_timer_after(l->loop, &b->timer, qmgr_live(l->q)->dsn_handling_merge_delay_max);
	}
	if (b->count + count > b->cap) {
		b->cap = b->count + count;
		b->idx = xrealloc(b->idx, b->cap * sizeof *b->idx);
	}
	memcpy(b->idx + b->count, idx, count * sizeof *idx);
	b->count += count;
}

void dsn_settle(struct qloop *l, struct ta *ta)
{
	unsigned max = qmgr_live(l->q)->dsn_handling_max_errors_per_dsn;
	struct bounce *b;

	/* ta is looked at only when it is found: its recipients that wait here keep it alive. */
	while ((b = *bounce_at(l, ta))) {
		if (b->count < max && atomic_load(&ta->active) > b->count)
			return;
		bounce_send(b, fits(b));
	}
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
	commit(pending_new(l, ta, idx, count), ta->env.rcpt[idx[0]].addr,
	       id_make(qids_next(l->q), 0), &m, 0);
	return true;
}

void dsn_failed(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	uint32_t *yes = xmalloc(2 * (size_t)count * sizeof *yes), *no = yes + count;
	unsigned no_count, n = owed(ta, idx, count, DSN_FAILED, yes, no, &no_count);

	if (n)
		bounce_add(l, ta, yes, n);
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

	if (n)
		send_dsn(l, NULL, ta, yes, n, kind);
	if (yes != few)
		free(yes);
}
