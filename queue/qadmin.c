#include "queue/qadmin.h"

#include "core/ctl.h"
#include "core/err.h"
#include "core/ids.h"
#include "queue/agents.h"
#include "queue/feedback.h"
#include "queue/icc.h"
#include "queue/intake.h"
#include "queue/iqdb.h"
#include "queue/keeper.h"
#include "queue/listing.h"
#include "queue/live.h"
#include "queue/qmgr_stats.h"
#include "queue/sched.h"

#include <stdlib.h>

enum { PAGE_BYTES = 64 << 10, PAGE_RECORDS = 512 };

struct list {
	bool json;
	uint64_t *id;                   /* of AQ when the listing began, sorted */
	size_t count, cap, at;
	uint64_t next_key;              /* of ibdb, when AQ is done */
	unsigned found;
	bool end;
};

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct list *list_begin(bool json)
{
	struct list *s = xcalloc(1, sizeof *s);
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;

	s->json = json;
	LFHT_FOREACH(aq_table(), &it, node) {
		if (s->count == s->cap) {
			s->cap = s->cap ? s->cap * 2 : 1024;
			s->id = xrealloc(s->id, s->cap * sizeof *s->id);
		}
		s->id[s->count++] = caa_container_of(node, struct ta, node)->id;
	}
	if (s->count)
		qsort(s->id, s->count, sizeof *s->id, by_id);
	return s;
}

static void put(struct list *s, struct ta *ta, struct buf *out)
{
	if (!atomic_load(&ta->open))
		return;
	s->found++;
	if (s->json)
		listing_json(ta, out);
	else
		listing_text(ta, out);
}

/* What only the database has: one page of keys. */
static void list_database(struct list *s, struct qmgr *q, struct buf *out)
{
	uint64_t page[PAGE_RECORDS], id;
	uint32_t idx;
	bool is_rcpt;
	unsigned n = 0;
	struct store_key from = store_key_ta(s->next_key);
	struct store_iter *it = store_iter_new(q->store, STORE_IBDB, store_key_span(&from));

	for (; store_iter_valid(it) && n < PAGE_RECORDS; store_iter_next(it))
		if (store_key_parse(store_iter_key(it), &id, &idx, &is_rcpt) && !is_rcpt)
			page[n++] = id;
	s->end = n < PAGE_RECORDS;
	store_iter_end(it);
	for (unsigned i = 0; i < n; i++) {
		int error;
		struct ta *ta;

		s->next_key = page[i] + 1;
		if (s->count && bsearch(&page[i], s->id, s->count, sizeof *s->id, by_id))
			continue;
		ta = keeper_load(q->store, page[i], &error);
		if (!ta)
			continue;
		put(s, ta, out);
		aq_ta_free(ta);
	}
}

static enum ctl_step list_run(struct ctl_request *rq)
{
	struct list *s = rq->state;

	if (!s)
		s = rq->state = list_begin(span_caseeq(span_trim(rq->args), SPAN("json")));
	while (s->at < s->count && buf_len(rq->out) < PAGE_BYTES) {
		struct ta *ta = aq_find(s->id[s->at++]);

		if (ta)
			put(s, ta, rq->out);
	}
	while (s->at == s->count && !s->end && buf_len(rq->out) < PAGE_BYTES)
		list_database(s, rq->ctx, rq->out);
	if (s->at < s->count || !s->end)
		return CTL_MORE;
	if (!s->json && !s->found)
		buf_add_span(rq->out, SPAN("Mail queue is empty\n"));
	else if (!s->json)
		buf_printf(rq->out, "\tTotal messages: %u\n", s->found);
	return CTL_DONE;
}

static void list_end(struct ctl_request *rq)
{
	struct list *s = rq->state;

	if (s)
		free(s->id);
	free(s);
}

static enum ctl_step status_run(struct ctl_request *rq)
{
	struct qmgr *q = rq->ctx;
	struct sched_numbers all = { 0 };

	for (unsigned i = 0; i < q->loop_count; i++) {
		struct sched_numbers n;

		sched_numbers(&q->loop[i], &n);
		all.destinations += n.destinations;
		all.queued += n.queued;
		all.attempts += n.attempts;
	}
	buf_printf(rq->out,
		   "smX qmgr %s\naq: %u of %u recipients\niqdb: %u of %u recipients\ndestinations: %u\n"
		   "waiting recipients: %u\nattempts: %u\nclients: %u\nsmtps workers: %u\nsmtpc workers: %u\n"
		   "feedback: %d (%s)\n",
		   SMX_VERSION, aq_count(), aq_max(), iqdb_count(), iqdb_max(), all.destinations,
		   all.queued, all.attempts, icc_count(), intake_links(), agents_up(), (int)feedback_level(),
		   feedback_cause());
	return CTL_DONE;
}

/* Everything that is deferred is due now. */
static enum ctl_step retry_run(struct ctl_request *rq)
{
	keeper_hurry(INT64_MAX);
	buf_add_span(rq->out, SPAN("all deferred recipients are tried now\n"));
	return CTL_DONE;
}

static enum ctl_step reload_run(struct ctl_request *rq)
{
	live_reload(rq->ctx, rq->out);
	return CTL_DONE;
}

static const struct ctl_verb verbs[] = {
	{ "status", "status: how full the queues are", status_run, NULL },
	{ "list", "list [text|json]: every queued message", list_run, list_end },
	{ "retry", "retry: try all deferred recipients now", retry_run, NULL },
	{ "reload", "reload: read configuration and maps again", reload_run, NULL },
	{ NULL, NULL, NULL, NULL },
};

int qadmin_listen(struct qmgr *q)
{
	int error = 0;

	ctl_listen(q->loop[0].loop, q->opt.control_socket, verbs, q, &error);
	return error;
}
