#include "queue/qadmin_change.h"

#include "core/err.h"
#include "queue/change.h"
#include "queue/qadmin_words.h"
#include "queue/route_text.h"

#include <stdlib.h>

struct asked {
	struct ctl_request *rq;  /* NULL: the peer is gone */
	const char *verb, *done; /* "hold", "held" */
	bool json, over;
	struct change_result r;
};

static void changed(void *arg, const struct change_result *r)
{
	struct asked *a = arg;

	a->r = *r;
	a->over = true;
	if (a->rq)
		ctl_resume(a->rq);
	else
		free(a);
}

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

static void say_json(const struct asked *a, struct buf *out)
{
	const struct change_result *r = &a->r;

	buf_printf(
		out,
		"{\"command\":\"%s\",\"messages\":%u,\"recipients\":%u,\"done\":%u,\"in_progress\":%u,\"gone\":%u,"
		"\"skipped\":%u,\"failed\":%u}\n",
		a->verb, r->messages, r->matched, r->done, r->open, r->gone, r->not_wanted,
		r->failed);
}

static void say(const struct asked *a, struct buf *out)
{
	const struct change_result *r = &a->r;

	if (r->error)
		buf_printf(out, "error: the database cannot be read: %s\n", strerror(-r->error));
	if (a->json) {
		say_json(a, out);
		return;
	}
	if (!r->matched) {
		buf_add_span(out, SPAN("No message matches\n"));
		return;
	}
	buf_printf(out, "%u recipient%s %s (%u matched, in %u message%s)\n", r->done,
		   plural(r->done), a->done, r->matched, r->messages, plural(r->messages));
	if (r->open)
		buf_printf(out,
			   "%u being tried right now: %s when the attempt ends without success\n",
			   r->open, a->done);
	if (r->not_wanted)
		buf_printf(out, "%u left as they are: not in a state for %s\n", r->not_wanted,
			   a->verb);
	if (r->gone)
		buf_printf(out, "%u ended meanwhile\n", r->gone);
	if (r->failed)
		buf_printf(out, "%u could not be read or written, see the log\n", r->failed);
}

/* The answer, when the change is made. */
static enum ctl_step answer(struct ctl_request *rq)
{
	struct asked *a = rq->state;

	if (!a->over)
		return CTL_WAIT;
	say(a, rq->out);
	return CTL_DONE;
}

static enum ctl_step begin(struct ctl_request *rq, struct span args, enum order_kind kind,
			   struct span route, struct asked words)
{
	struct select *s;

	words.json = qadmin_words_take(&args, "json");
	s = qadmin_words_select(rq, args, kind != ORDER_RETRY);
	if (!s)
		return CTL_DONE;
	struct asked *a = xmalloc(sizeof *a);
	*a = words;
	a->rq = rq->self;
	rq->state = a;
	change_start(rq->ctx, order_new(kind, route), s, changed, a);
	return CTL_WAIT;
}

enum ctl_step qadmin_change_retry(struct ctl_request *rq)
{
	return rq->state ? answer(rq)
			 : begin(rq, rq->args, ORDER_RETRY, SPAN(""),
				 (struct asked){ .verb = "retry", .done = "tried now" });
}

enum ctl_step qadmin_change_hold(struct ctl_request *rq)
{
	return rq->state ? answer(rq)
			 : begin(rq, rq->args, ORDER_HOLD, SPAN(""),
				 (struct asked){ .verb = "hold", .done = "held" });
}

enum ctl_step qadmin_change_release(struct ctl_request *rq)
{
	return rq->state ? answer(rq)
			 : begin(rq, rq->args, ORDER_RELEASE, SPAN(""),
				 (struct asked){ .verb = "release", .done = "released" });
}

enum ctl_step qadmin_change_delete(struct ctl_request *rq)
{
	struct span args = rq->args;
	bool dsn = qadmin_words_take(&args, "dsn");

	if (rq->state)
		return answer(rq);
	return begin(rq, args, dsn ? ORDER_BOUNCE : ORDER_DELETE, SPAN(""),
		     (struct asked){ .verb = "delete",
				     .done = dsn ? "deleted, their senders told" : "deleted" });
}

enum ctl_step qadmin_change_reroute(struct ctl_request *rq)
{
	struct span args = rq->args, word = qadmin_words_next(&args);
	char why[200], bytes[ROUTE_BYTES_MAX];
	struct route route;
	size_t n = 0;

	if (rq->state)
		return answer(rq);
	if (!span_eq(word, SPAN("auto"))) {
		if (route_text_parse(word, &route, why, sizeof why)) {
			buf_printf(rq->out, "error: usage: route: %s\n", why);
			return CTL_DONE;
		}
		n = route_encode(&route, bytes);
	}
	return begin(rq, args, ORDER_REROUTE, span_of(bytes, n),
		     (struct asked){ .verb = "reroute", .done = "rerouted" });
}

void qadmin_change_end(struct ctl_request *rq)
{
	struct asked *a = rq->state;

	rq->state = NULL;
	if (a && !a->over)
		a->rq = NULL;
	else
		free(a);
}
