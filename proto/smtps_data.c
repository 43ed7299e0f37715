#include "proto/smtps_data.h"

#include "proto/smtps_log.h"
#include "proto/smtps_stats.h"
#include "proto/smtps_verbs.h"
#include "proto/trace.h"

#include <errno.h>

enum { LINE_998 = 998 }; /* RFC 5321 4.5.3.1.6 */

/* ---- begin */

/* Our Received field in the host's scratch buffer. */
static int write_received(struct smtps_session *s)
{
	struct smtps_ta *ta = s->ta;
	struct trace t = { .helo = span_str(s->helo),
			   .name = span_str(s->name),
			   .client = s->client,
			   .hostname = s->host->conf->hostname,
			   .rcpt = ta->rcpt_count == 1 ? ta->rcpt->to.addr : SPAN(""),
			   .ta = ta->id,
			   .wall_usec = s->host->ops->wall(s->host),
			   .flags = (s->flags & SMTPS_SE_EHLO ? TRACE_EHLO : 0) |
				    (ta->smtputf8 ? TRACE_UTF8 : 0) };

	buf_eat(&s->host->scratch, buf_len(&s->host->scratch));
	return trace_received(&t, &s->host->scratch);
}

static void fail(struct smtps_session *s, enum smtps_reply r)
{
	struct smtps_body *b = s->ta->content;

	if (b->error)
		return;
	b->error = (uint8_t)r;
	smtps_content_drop(s->host, &b->content);
}

static void store_failed(struct smtps_session *s, int rc)
{
	smtps_log_trouble(s, s->ta, "content", rc);
	fail(s, rc == -ENOSPC || rc == -EDQUOT ? SMTPS_R_DOT_SPACE : SMTPS_R_DOT_STORE);
}

bool smtps_data_begin(struct smtps_session *s, enum dots_mode mode)
{
	struct smtps_ta *ta = s->ta;
	struct smtps_body *b = arena_alloc(ta->arena, sizeof *b);

	if (!b || write_received(s))
		return false;
	b->error = 0;
	b->received_bytes = (uint32_t)buf_len(&s->host->scratch);
	dots_init(&b->dots, mode,
		  smtps_session_opt(s)->bare_newline == SMTPS_BARE_NEWLINE_NORMALIZE);
	smtps_content_begin(&b->content, ta->id);
	ta->content = b;
	if (ta->discard || !ta->kept_count)
		return true;
	int rc = smtps_content_expect(s->host, &b->content, ta->size);
	if (!rc)
		rc = smtps_content_add(s->host, &b->content, buf_span(&s->host->scratch));
	if (rc)
		store_failed(s, rc);
	return true;
}

enum smtps_phase smtps_data_verb(struct smtps_session *s, struct span args)
{
	(void)args;
	if (s->ta->body == ENV_BODY_BINARYMIME) {
		smtps_verbs_bad(s, SMTPS_R_NEED_BDAT); /* RFC 3030 3 */
		return s->phase;
	}
	if (!smtps_data_begin(s, DOTS_DATA)) {
		smtps_reply(s, SMTPS_R_LOCAL);
		return s->phase;
	}
	smtps_reply(s, SMTPS_R_START_DATA);
	s->input = SMTPS_IN_DATA;
	smtps_session_content(s);
	return SMTPS_PH_DATA;
}

/* ---- on its way */

/* What is wrong with the content so far, 0: nothing. */
static enum smtps_reply judge(const struct smtps_session *s, const struct dots *d)
{
	const struct smtps_options *o = smtps_session_opt(s);
	uint64_t longest = d->line > d->longest ? d->line : d->longest;

	if (dots_size(d) > o->max_message_size)
		return SMTPS_R_DOT_SIZE;
	if (dots_header_size(d) > o->max_header_size)
		return SMTPS_R_DOT_HEADER;
	if (d->hops > o->max_hops)
		return SMTPS_R_DOT_HOPS;
	if (d->mode == DOTS_RAW)
		return 0;
	if (d->bare && !d->fix)
		return SMTPS_R_DOT_BARE;
	if (d->hidden)
		return SMTPS_R_DOT_NUL;
	return longest > o->max_line_length ? SMTPS_R_DOT_LINE : 0;
}

void smtps_data_keep(struct smtps_session *s, struct span piece)
{
	struct smtps_ta *ta = s->ta;
	struct smtps_body *b = ta->content;

	if (b->error)
		return;
	enum smtps_reply r = judge(s, &b->dots);
	if (r)
		fail(s, r);
	if (r || ta->discard || !ta->kept_count)
		return;
	int rc = smtps_content_add(s->host, &b->content, piece);
	if (rc)
		store_failed(s, rc);
}

bool smtps_data_take(struct smtps_session *s, struct span *in)
{
	struct span piece;

	s->content_bytes += in->n;
	for (;;) {
		switch (dots_next(&s->ta->content->dots, in, &piece)) {
		case DOTS_MORE:
			return false;
		case DOTS_PIECE:
			smtps_data_keep(s, piece);
			if (smtps_session_flooded(s)) {
				smtps_data_end(s);
				smtps_session_end(s);
				return true;
			}
			break;
		case DOTS_END:
			s->input = SMTPS_IN_LINE;
			smtps_session_phase(s, smtps_data_end(s));
			return true;
		}
	}
}

enum smtps_reply smtps_data_error(const struct smtps_session *s)
{
	return s->ta->content->error;
}

/* ---- end */

static enum smtps_phase refused(struct smtps_session *s, enum smtps_reply r)
{
	stats_add(SMTPS_ST_messages_refused, 1);
	smtps_log_content(s->id, s->ta, smtps_reply_code(s, r), smtps_reply_text_of(r));
	smtps_reply_ta(s, r, s->ta->id);
	if (s->phase == SMTPS_PH_CHUNK) {
		/* RFC 3030 2: chunks that were on their way get 503. */
		s->flags |= SMTPS_SE_IN_VAIN;
		s->in_vain = 0;
	}
	smtps_ta_leave(s);
	return SMTPS_PH_READY;
}

static enum smtps_phase discarded(struct smtps_session *s)
{
	stats_add(SMTPS_ST_messages_discarded, 1);
	smtps_log_content(s->id, s->ta, 0, SPAN(""));
	smtps_reply_ta(s, SMTPS_R_ACCEPTED, s->ta->id);
	smtps_ta_leave(s);
	s->nops = 0;
	return SMTPS_PH_READY;
}

static struct cdb_head head_of(const struct smtps_body *b)
{
	const struct dots *d = &b->dots;

	return (struct cdb_head){
		.size_bytes = dots_size(d),
		.dots = d->dots,
		.received_bytes = b->received_bytes,
		.header_bytes = b->received_bytes + (uint32_t)d->header_bytes,
		.hops = d->hops,
		.flags = (d->eight_bit ? CDB_8BIT : 0) | (d->mode == DOTS_RAW ? CDB_RAW : 0) |
			 (d->longest > LINE_998 ? CDB_LONG_LINE : 0),
	};
}

static void free_sending(struct smtps_sending *k)
{
	smtps_ta_free(k->ta);
	buf_release(&k->c.envelope);
	pool_put(&k->host->commits, k);
}

/* The client hears of it, if it is still there. */
static void answer(struct smtps_sending *k, const struct msg_commit_done *v)
{
	struct smtps_session *s = k->s;
	uint64_t id = k->ta->id;

	s->ta = NULL;
	if (!v)
		smtps_reply_ta(s, SMTPS_R_DOT_QMGR, id);
	else if (v->code)
		smtps_reply_code_ta(s, v->code, v->text, id);
	else
		smtps_reply_ta(s, SMTPS_R_ACCEPTED, id);
	if (v && !v->code)
		s->nops = 0;
	if (s->phase == SMTPS_PH_COMMIT)
		smtps_session_phase(s, SMTPS_PH_READY);
}

static void committed(struct smtps_commit *c, const struct msg_commit_done *v)
{
	struct smtps_sending *k =
		(struct smtps_sending *)((char *)c - offsetof(struct smtps_sending, c));
	struct smtps_host *h = k->host;
	struct smtps_session *s = k->s;
	unsigned stat = v ? v->code : 451;

	if (stat) {
		cdb_kill(h->cdb, &c->ref, c->ta);
		stats_add(SMTPS_ST_messages_refused, 1);
		smtps_log_content(k->session_id, k->ta, stat,
				  v ? v->text : smtps_reply_text_of(SMTPS_R_DOT_QMGR));
	} else {
		stats_add(SMTPS_ST_messages_accepted, 1);
		stats_add(SMTPS_ST_content_bytes, k->ta->content->content.bytes);
		stats_observe(SMTPS_ST_commit_usec, (uint64_t)(smtps_host_now(h) - c->r.asked));
		smtps_log_content(k->session_id, k->ta, 0, SPAN(""));
	}
	if (s)
		answer(k, v);
	free_sending(k);
	if (s)
		smtps_session_run(s);
}

/* The record is written: ask qmgr. */
static enum smtps_phase store(struct smtps_session *s, struct smtps_sending *k)
{
	struct smtps_host *h = s->host;
	struct smtps_body *b = s->ta->content;
	struct cdb_head head = head_of(b);
	int rc = smtps_ta_envelope(s->ta, &s->client, &k->c.envelope);

	if (!rc)
		rc = smtps_content_store(h, &b->content, &head, buf_span(&k->c.envelope),
					 &k->c.ref);
	if (rc) {
		store_failed(s, rc);
		return SMTPS_PH_READY;
	}
	k->c.ta = s->ta->id;
	k->c.done = committed;
	if (!h->up->ops->commit(h->up, &k->c))
		return SMTPS_PH_COMMIT;
	cdb_kill(h->cdb, &k->c.ref, k->c.ta);
	fail(s, SMTPS_R_DOT_QMGR);
	return SMTPS_PH_READY;
}

static bool store_error(enum smtps_reply r)
{
	return r == SMTPS_R_DOT_STORE || r == SMTPS_R_DOT_SPACE;
}

/* All that was handed out is kept: 250 for less would lose it. */
static bool is_whole(const struct smtps_ta *ta)
{
	const struct smtps_body *b = ta->content;

	return ta->discard || !ta->kept_count ||
	       b->content.bytes == b->received_bytes + b->dots.bytes;
}

enum smtps_phase smtps_data_end(struct smtps_session *s)
{
	struct smtps_ta *ta = s->ta;
	struct smtps_body *b = ta->content;

	/* Of several errors the same is told however the bytes came. What was dropped stays so. */
	enum smtps_reply r = judge(s, &b->dots);
	if (r && !store_error(b->error))
		b->error = (uint8_t)r;
	if (!b->error && !is_whole(ta))
		fail(s, SMTPS_R_DOT_STORE);
	if (b->dots.bare)
		stats_add(SMTPS_ST_bare_newlines, 1);
	if (b->error)
		return refused(s, b->error);
	if (ta->discard || !ta->kept_count)
		return discarded(s);
	struct smtps_sending *k = pool_get_zero(&s->host->commits);
	if (!k) {
		fail(s, SMTPS_R_DOT_STORE);
		return refused(s, b->error);
	}
	*k = (struct smtps_sending){ .host = s->host, .s = s, .session_id = s->id };
	if (store(s, k) == SMTPS_PH_READY) {
		free_sending(k);
		return refused(s, b->error);
	}
	k->ta = ta;
	ta->sending = k;
	return SMTPS_PH_COMMIT;
}
