#include "queue/dsn.h"

#include "core/cdb_read.h"
#include "core/cdb_write.h"
#include "core/err.h"
#include "core/ids.h"
#include "core/log.h"
#include "queue/dsn_text.h"
#include "queue/outcome.h"
#include "queue/qids.h"
#include "queue/qmgr_stats.h"
#include "queue/routes.h"

#include <stdlib.h>

enum { WHOLE_MAX = 1 << 20, HEADERS_MAX = 64 << 10 };

/* A DSN on its way to the disk. */
struct pending {
	struct qloop *l;
	struct ta *about; /* whose recipients wait for it; NULL: a warning */
	unsigned count;
	uint32_t idx[];
};

static void ended(struct pending *p)
{
	if (p->about) {
		outcome_ended(p->l, p->about, p->idx, p->count);
		dsn_settle(p->l, p->about);
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
		if (p->about)
			outcome_no_dsn(p->l, p->about, p->idx, p->count);
		free(p);
		aq_ta_free(ta);
		return;
	}
	stats_add(QMGR_STAT_DSNS, 1);
	const uint32_t first = 0;
	routes_queue(p->l, ta, &first, 1, true);
	ended(p);
}

/* The original, or its header section, as it is stored: wire form fits the DSN's own. */
static int put_original(struct qloop *l, struct ta *ta, bool whole, struct buf *out)
{
	struct cdb_reader *r = cdb_reader_new(l->q->global.cdb_base_directory, 1);
	struct cdb_record rec;
	int rc = r ? cdb_open_record(r, &ta->ref, ta->id, &rec) : -ENOMEM;

	if (rc) {
		if (r)
			cdb_reader_free(r);
		return buf_add_span(out, SPAN("(the original cannot be read)\r\n"));
	}
	uint64_t want = whole ? rec.head.content_bytes : rec.head.header_bytes;
	if (want > (whole ? WHOLE_MAX : HEADERS_MAX))
		want = HEADERS_MAX < rec.head.header_bytes ? HEADERS_MAX : rec.head.header_bytes;
	char *to = buf_room(out, want + 2);
	ssize_t n = to ? cdb_read(&rec, 0, to, want) : -ENOMEM;
	if (n > 0) {
		buf_wrote(out, (size_t)n);
		if (to[n - 1] != '\n')
			buf_add(out, "\r\n", 2);
	}
	cdb_close_record(r, &rec);
	cdb_reader_free(r);
	return n < 0 ? (int)n : 0;
}

static bool fits_whole(struct qloop *l, struct ta *ta, bool only_7bit)
{
	if (qmgr_live(l->q)->dsn_handling_flags & QMGR_DSN_F_HEADER_ONLY)
		return false;
	if (ta->env.ret == ENV_RET_HDRS || ta->dsn_count > 0 || only_7bit)
		return false;
	return ta->ref.len <= WHOLE_MAX;
}

/* Our own hop refused the content for its form: a notice in that form would be refused too. */
static bool needs_7bit(const struct ta *ta, const uint32_t *idx, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (ta->rcpt[idx[i]].stage == MSG_AT_CONTENT)
			return true;
	return false;
}

static void make_7bit(struct buf *b)
{
	for (uint32_t i = b->r; i < b->w; i++)
		if (b->p[i] & 0x80)
			b->p[i] = '?';
}

static int make_text(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		     enum dsn_kind kind, uint64_t id, struct buf *out)
{
	bool only_7bit = kind == DSN_FAILED && needs_7bit(ta, idx, count);
	struct dsn_rcpt *r = xcalloc(count, sizeof *r);
	struct dsn_text t = { .hostname = l->q->global.hostname,
			      .sender = ta->env.sender,
			      .envid = ta->env.envid,
			      .id = id,
			      .about = ta->id,
			      .wall_now = clock_wall(),
			      .wall_arrival = ta->env.wall_arrival,
			      .wall_until =
				      ta->env.wall_arrival + qmgr_live(l->q)->queue_return_timeout,
			      .kind = kind,
			      .mime = qmgr_live(l->q)->dsn_handling_flags & QMGR_DSN_F_MIME_FORMAT,
			      .whole = kind == DSN_FAILED && fits_whole(l, ta, only_7bit),
			      .rcpt = r,
			      .count = count };

	for (unsigned i = 0; i < count; i++) {
		struct rcpt *rc = &ta->rcpt[idx[i]];

		r[i] = (struct dsn_rcpt){ .addr = ta->env.rcpt[idx[i]].addr,
					  .orcpt = ta->env.rcpt[idx[i]].orcpt,
					  .reply = aq_rcpt_last(rc),
					  .stage = rc->stage,
					  .wall_last = rc->wall_last };
	}
	int rc = dsn_text_head(&t, out);
	if (!rc)
		rc = put_original(l, ta, t.whole, out);
	if (!rc)
		rc = dsn_text_tail(&t, out);
	if (only_7bit)
		make_7bit(out);
	free(r);
	return rc;
}

/* Our own lines never begin with a dot, the original's are stuffed already: the text is in wire
 * form. */
static uint64_t count_stuffed(struct span s)
{
	uint64_t n = 0;

	for (size_t i = 0; i + 3 < s.n; i++)
		if (s.p[i] == '\r' && s.p[i + 1] == '\n' && s.p[i + 2] == '.' && s.p[i + 3] == '.')
			n++;
	return n;
}

static int write_content(struct qloop *l, uint64_t id, struct span text, struct span envelope,
			 struct cdb_ref *ref)
{
	size_t header = span_find(text, SPAN("\r\n\r\n")) + 2;
	struct cdb_head h = { .ta = id,
			      .content_bytes = text.n,
			      .dots = count_stuffed(text),
			      .header_bytes = (uint32_t)header };
	struct iovec part = { (void *)text.p, text.n };

	h.size_bytes = text.n - h.dots;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] & 0x80) {
			h.flags |= CDB_8BIT;
			break;
		}
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

static int build(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		 enum dsn_kind kind, struct ta **out)
{
	struct env_rcpt to = { .addr = ta->env.sender, .route = ENV_NO_ROUTE };
	struct envelope e = { .ta = id_make(qids_next(l->q), 0),
			      .wall_arrival = clock_steady(),
			      .client = { .family = ADDR_IPV4, .ip = { 127, 0, 0, 1 } },
			      .sender = SPAN(""),
			      .flags = (uint16_t)(ENV_DSN | (ta->env.flags & ENV_SMTPUTF8)),
			      .rcpt_count = 1,
			      .rcpt = &to };
	struct buf text = { 0 }, blob = { 0 };
	struct cdb_ref ref;
	int rc = make_text(l, ta, idx, count, kind, e.ta, &text);

	e.body = ENV_BODY_8BITMIME;
	if (!rc)
		rc = envelope_encode(&e, &blob);
	if (!rc)
		rc = write_content(l, e.ta, buf_span(&text), buf_span(&blob), &ref);
	if (!rc)
		*out = aq_ta_new(buf_span(&blob), &ref, &rc);
	buf_release(&text);
	buf_release(&blob);
	return rc;
}

static void send_dsn(struct qloop *l, struct ta *about, struct ta *ta, const uint32_t *idx,
		     unsigned count, enum dsn_kind kind)
{
	struct pending *p = xmalloc(sizeof *p + count * sizeof *idx);
	struct ta *dsn = NULL;
	int rc;

	*p = (struct pending){ .l = l, .about = about, .count = count };
	memcpy(p->idx, idx, count * sizeof *idx);
	rc = build(l, ta, idx, count, kind, &dsn);
	if (rc) {
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "dsn", "stat=DSN not written, error=%d", rc);
		free(p);
		if (about)
			outcome_no_dsn(l, about, idx, count);
		return;
	}
	if (kind == DSN_FAILED)
		ta->dsn_count++;
	aq_take(1);
	atomic_store(&dsn->active, 1);
	dsn->home = l->loop;
	dsn->answered = answered;
	dsn->asker = p;
	commit_request(l->q->committer, dsn);
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

static void bounce_timer(struct timer *t)
{
	struct bounce *b = caa_container_of(t, struct bounce, timer);

	bounce_send(b, b->count);
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
		bounce_send(b, b->count < max ? b->count : max);
	}
}

void dsn_failed(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	uint32_t *yes = xmalloc(2 * (size_t)count * sizeof *yes), *no = yes + count;
	unsigned no_count, n = owed(ta, idx, count, DSN_FAILED, yes, no, &no_count);

	if (n)
		bounce_add(l, ta, yes, n);
	if (no_count) {
		log_event(LOG_LV_MAIL, LOG_SEV_NONE, "dsn", "stat=no DSN is due, recipients=%u",
			  no_count);
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
