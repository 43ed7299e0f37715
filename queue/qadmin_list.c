#include "queue/qadmin_list.h"

#include "core/cdb_read.h"
#include "core/err.h"
#include "queue/clerk.h"
#include "queue/listing.h"
#include "queue/qadmin_words.h"
#include "queue/qwalk.h"
#include "queue/unstuff.h"

#include <stdlib.h>

enum {
	PAGE_BYTES = 64 << 10,
	PAGE_MESSAGES = 5000,
	PAGE_USEC = 20 * USEC_PER_MSEC,
	CONTENT_BYTES = 64 << 10
};

/* The content that is being shown. */
struct content {
	bool open;
	struct cdb_ref ref;
	uint64_t id, at;
	struct unstuff unstuff;
};

struct list {
	struct clerk_job job;
	struct ctl_request *rq; /* NULL: the peer is gone */
	struct qmgr *q;
	struct select *select;
	struct qwalk *walk;
	struct cdb_reader *reader; /* of the clerk */
	struct content content;
	bool json, show, with_content, mark;
	bool with_clerk, more;
	int error;
	unsigned messages;
	struct buf out; /* a page */
};

static void list_free(struct list *s)
{
	qwalk_free(s->walk);
	select_free(s->select);
	cdb_reader_free(s->reader);
	buf_release(&s->out);
	free(s);
}

/* ---- the clerk's part */

static bool each(void *ctx, struct ta *ta, const uint32_t *idx, unsigned count, bool live)
{
	struct list *s = ctx;

	(void)live;
	if (!s->messages++ && !s->json && !s->show)
		listing_head(&s->out);
	else if (s->show && !s->json && s->messages > 1)
		buf_add(&s->out, "\n", 1);
	if (s->json)
		listing_json(ta, idx, count, &s->out);
	else if (s->show)
		listing_show(ta, idx, count, &s->out);
	else
		listing_text(ta, idx, count, &s->out);
	if (s->with_content) {
		s->content = (struct content){
			.open = true, .ref = ta->ref, .id = ta->id, .unstuff.lf = true
		};
		buf_add(&s->out, "\n", 1);
		return false;
	}
	return buf_len(&s->out) < PAGE_BYTES;
}

/* The next piece. A record that is recycled while it is read is not there any more afterwards. */
static int read_content(struct list *s)
{
	struct content *c = &s->content;
	struct cdb_record rec;
	char part[CONTENT_BYTES];
	int rc = cdb_open_record(s->reader, &c->ref, c->id, &rec);

	if (rc)
		return rc;
	ssize_t n = cdb_read(&rec, c->at, part, sizeof part);
	c->unstuff.raw = rec.head.flags & CDB_RAW;
	cdb_close_record(s->reader, &rec);
	if (n < 0)
		return (int)n;
	rc = cdb_open_record(s->reader, &c->ref, c->id, &rec);
	if (rc)
		return rc;
	cdb_close_record(s->reader, &rec);
	c->at += (uint64_t)n;
	c->open = n > 0;
	return n > 0 ? unstuff_add(&c->unstuff, span_of(part, (size_t)n), &s->out)
		     : unstuff_end(&c->unstuff, &s->out);
}

static void content_page(struct list *s)
{
	if (!s->reader)
		s->reader = cdb_reader_new(s->q->global.cdb_base_directory, 4);
	if (read_content(s)) {
		buf_printf(&s->out, "(the content cannot be read, or has left the queue)\n");
		s->content.open = false;
	}
}

static void page(struct clerk_job *j)
{
	struct list *s = caa_container_of(j, struct list, job);

	while (s->content.open && buf_len(&s->out) < PAGE_BYTES)
		content_page(s);
	if (s->content.open || !s->more)
		return;
	int rc = qwalk_page(s->walk, PAGE_MESSAGES, PAGE_USEC, each, s);
	s->more = rc > 0;
	s->error = rc < 0 ? rc : 0;
	/* Nothing to say yet. */
	if (s->more && !buf_len(&s->out))
		clerk_again(j, 0);
}

/* ---- loop 0 */

static void paged(struct clerk_job *j)
{
	struct list *s = caa_container_of(j, struct list, job);

	s->with_clerk = false;
	if (s->rq)
		ctl_resume(s->rq);
	else
		list_free(s);
}

static void go_on(struct list *s)
{
	s->with_clerk = true;
	clerk_post(&s->job);
}

static void say_end(struct list *s, struct buf *out)
{
	unsigned damaged = qwalk_damaged(s->walk);

	if (s->error)
		buf_printf(out, "error: the database cannot be read: %s\n", strerror(-s->error));
	else if (!s->json && !s->show && s->messages)
		buf_printf(out, "\tTotal messages: %u\n", s->messages);
	else if (!s->json && select_is_empty(s->select))
		buf_add_span(out, SPAN("Mail queue is empty\n"));
	else if (!s->json && !s->messages)
		buf_add_span(out, SPAN("No message matches\n"));
	if (damaged && !s->json)
		buf_printf(out, "\tMessages that cannot be read: %u\n", damaged);
	if (s->mark)
		buf_add_span(out, SPAN(".\n"));
}

static enum ctl_step run(struct ctl_request *rq, bool show)
{
	struct list *s = rq->state;
	struct span args = rq->args;

	if (s) {
		buf_add_span(rq->out, buf_span(&s->out));
		s->out.r = s->out.w = 0;
		if (!s->more && !s->content.open) {
			say_end(s, rq->out);
			return CTL_DONE;
		}
		go_on(s);
		return CTL_WAIT;
	}
	s = xcalloc(1, sizeof *s);
	s->json = qadmin_words_take(&args, "json");
	if (!s->json)
		qadmin_words_take(&args, "text");
	s->with_content = qadmin_words_take(&args, "content") && show && !s->json;
	s->mark = qadmin_words_take(&args, "mark");
	s->select = qadmin_words_select(rq, args, show);
	if (!s->select) {
		free(s);
		return CTL_DONE;
	}
	s->show = show;
	s->more = true;
	s->rq = rq->self;
	s->q = rq->ctx;
	s->walk = qwalk_new(s->q->store, s->select);
	s->job.page = page;
	s->job.paged = paged;
	rq->state = s;
	go_on(s);
	return CTL_WAIT;
}

enum ctl_step qadmin_list_run(struct ctl_request *rq)
{
	return run(rq, false);
}

enum ctl_step qadmin_list_show_run(struct ctl_request *rq)
{
	return run(rq, true);
}

void qadmin_list_end(struct ctl_request *rq)
{
	struct list *s = rq->state;

	rq->state = NULL;
	if (s && s->with_clerk)
		s->rq = NULL;
	else if (s)
		list_free(s);
}
