#include "queue/qadmin_suspend.h"

#include "core/err.h"
#include "queue/listing.h"
#include "queue/qadmin_words.h"
#include "queue/sched.h"
#include "queue/suspend.h"

#include <inttypes.h>
#include <stdlib.h>

struct asked {
	struct ctl_request *rq; /* NULL: the peer is gone */
	struct qmgr *q;
	uint64_t number;
	atomic_uint loops;
	unsigned ending; /* suspensions that are not ended yet */
	unsigned ended;
	bool over;
};

static void tell(struct asked *a)
{
	a->over = true;
	if (a->rq)
		ctl_resume(a->rq);
	else
		free(a);
}

void qadmin_suspend_end(struct ctl_request *rq)
{
	struct asked *a = rq->state;

	rq->state = NULL;
	if (a && !a->over)
		a->rq = NULL;
	else
		free(a);
}

static struct asked *asked_new(struct ctl_request *rq)
{
	struct asked *a = xcalloc(1, sizeof *a);

	a->rq = rq->self;
	a->q = rq->ctx;
	rq->state = a;
	return a;
}

/* ---- suspend */

static void in_loop_0(struct qloop *l, void *arg)
{
	(void)l;
	tell(arg);
}

static void obeyed(struct qloop *l, void *arg)
{
	struct asked *a = arg;

	if (atomic_fetch_sub(&a->loops, 1) == 1)
		qloop_call(l, &a->q->loop[0], in_loop_0, a);
}

static void obey(struct qloop *l, void *arg)
{
	sched_obey(l, obeyed, arg);
}

/* It is in force: what waits already is put away. */
static void added(void *arg, uint64_t number)
{
	struct asked *a = arg;

	a->number = number;
	atomic_store(&a->loops, a->q->loop_count);
	for (unsigned i = 0; i < a->q->loop_count; i++)
		qloop_call(&a->q->loop[0], &a->q->loop[i], obey, a);
}

static bool take_until(struct span *args, usec_t *wall)
{
	struct span rest = *args, word = qadmin_words_next(&rest);
	uint64_t sec;

	*wall = 0;
	if (!span_startswith(word, SPAN("until=")))
		return true;
	if (span_u64(span_from(word, 6), (uint64_t)1 << 40, &sec))
		return false;
	*args = rest;
	*wall = (usec_t)sec * USEC_PER_SEC;
	return *wall > clock_wall();
}

enum ctl_step qadmin_suspend_run(struct ctl_request *rq)
{
	struct asked *a = rq->state;
	struct span args = rq->args;
	usec_t until;

	if (a && !a->over)
		return CTL_WAIT;
	if (a) {
		buf_printf(rq->out, "suspended, number %" PRIu64 "\n", a->number);
		return CTL_DONE;
	}
	if (!take_until(&args, &until)) {
		buf_add_span(
			rq->out,
			SPAN("error: usage: until= wants seconds since 1970, in the future\n"));
		return CTL_DONE;
	}
	struct select *s = qadmin_words_select(rq, args, true);
	const char *why = s ? suspend_refuses(s) : NULL;
	if (why) {
		buf_printf(rq->out, "error: %s\n", why);
		select_free(s);
	}
	if (!s || why)
		return CTL_DONE;
	suspend_add(rq->ctx, s, until, added, asked_new(rq));
	return CTL_WAIT;
}

/* ---- resume */

static void ended(void *arg, struct span text)
{
	struct asked *a = arg;

	(void)text;
	a->ended++;
	if (--a->ending == 0)
		tell(a);
}

static bool is_meant(const struct suspension *s, struct span arg)
{
	uint64_t number;

	if (span_eq(arg, SPAN("all")) || span_eq(arg, select_text(s->select)))
		return true;
	return !span_u64(arg, UINT64_MAX, &number) && number == s->number;
}

enum ctl_step qadmin_suspend_resume(struct ctl_request *rq)
{
	struct asked *a = rq->state;
	struct span arg = span_trim(rq->args);
	uint64_t numbers[SUSPEND_MAX];
	unsigned count, n = 0;

	if (a && !a->over)
		return CTL_WAIT;
	if (a) {
		buf_printf(rq->out, "%u suspension%s ended\n", a->ended, a->ended == 1 ? "" : "s");
		return CTL_DONE;
	}
	const struct suspension *const *all = suspend_all(&count);
	for (unsigned i = 0; i < count; i++)
		if (is_meant(all[i], arg))
			numbers[n++] = all[i]->number;
	if (!n) {
		buf_add_span(
			rq->out,
			arg.n ? SPAN("error: there is no such suspension; suspensions lists them\n")
			      : SPAN("error: usage: which one? Its number, its selector, or all\n"));
		return CTL_DONE;
	}
	a = asked_new(rq);
	a->ending = n;
	for (unsigned i = 0; i < n; i++)
		suspend_end(rq->ctx, numbers[i], ended, a);
	return CTL_WAIT;
}

/* ---- suspensions */

static void put_text(const struct suspension *s, struct buf *out)
{
	char since[64], until[64];

	clock_rfc5322(s->wall_since, since, sizeof since);
	clock_rfc5322(s->wall_until, until, sizeof until);
	buf_printf(out, "%" PRIu64 "\t", s->number);
	buf_add_span(out, select_text(s->select));
	buf_printf(out, "\tsince %s, until %s\n", since, s->wall_until ? until : "it is resumed");
}

static void put_json(const struct suspension *s, struct buf *out)
{
	buf_printf(out, "{\"number\":%" PRIu64 ",\"select\":", s->number);
	listing_json_string(select_text(s->select), out);
	buf_printf(out, ",\"since\":%" PRId64, s->wall_since / USEC_PER_SEC);
	if (s->wall_until)
		buf_printf(out, ",\"until\":%" PRId64, s->wall_until / USEC_PER_SEC);
	buf_add_span(out, SPAN("}\n"));
}

enum ctl_step qadmin_suspend_list(struct ctl_request *rq)
{
	bool json = span_eq(rq->args, SPAN("json"));
	unsigned count;
	const struct suspension *const *all = suspend_all(&count);

	for (unsigned i = 0; i < count; i++)
		(json ? put_json : put_text)(all[i], rq->out);
	if (!count && !json)
		buf_add_span(rq->out, SPAN("Nothing is suspended\n"));
	return CTL_DONE;
}
