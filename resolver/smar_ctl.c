#include "resolver/smar_ctl.h"

#include "core/err.h"

#include <stdlib.h>

struct waiter {
	struct waiter *next, **prev;
	struct ctl_request *request;
	uint64_t number; /* of the reload */
	bool answered;
	unsigned error_count;
	struct buf text;
};

struct smar_ctl {
	struct ctl_server *server;
	struct reload *reload;
	struct waiter *waiters;
};

static enum ctl_step begin_wait(struct smar_ctl *c, struct ctl_request *rq)
{
	struct waiter *w = calloc(1, sizeof *w);

	if (!w) {
		(void)buf_printf(rq->out, "error: out of memory\n");
		return CTL_DONE;
	}
	w->request = rq->self;
	w->next = c->waiters;
	w->prev = &c->waiters;
	if (w->next)
		w->next->prev = &w->next;
	c->waiters = w;
	rq->state = w;
	w->number = reload_request(c->reload);
	return CTL_WAIT;
}

static enum ctl_step run_reload(struct ctl_request *rq)
{
	struct smar_ctl *c = rq->ctx;
	struct waiter *w = rq->state;

	if (!w) {
		if (c->reload)
			return begin_wait(c, rq);
		(void)buf_printf(rq->out, "error: smar is starting\n");
		return CTL_DONE;
	}
	if (!w->answered)
		return CTL_WAIT;
	/* Without memory the peer gets a shorter answer. */
	(void)buf_add_span(rq->out, buf_span(&w->text));
	if (w->error_count)
		(void)buf_printf(rq->out,
				 "errors: %u, the old maps stay where new ones are wrong\n",
				 w->error_count);
	else
		(void)buf_printf(rq->out, "ok\n");
	return CTL_DONE;
}

static void end_reload(struct ctl_request *rq)
{
	struct waiter *w = rq->state;

	rq->state = NULL;
	if (!w)
		return;
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	buf_release(&w->text);
	free(w);
}

static const struct ctl_verb verbs[] = {
	{ .name = "reload",
	  .help = "reload: read all maps again; answers when it is done",
	  .run = run_reload,
	  .end = end_reload },
	{ 0 },
};

struct smar_ctl *smar_ctl_new(struct loop *l, const char *path, int *error)
{
	struct smar_ctl *c = xcalloc(1, sizeof *c);

	c->server = ctl_listen(l, path, verbs, c, error);
	if (c->server)
		return c;
	free(c);
	return NULL;
}

void smar_ctl_set_reload(struct smar_ctl *c, struct reload *r)
{
	c->reload = r;
}

void smar_ctl_reloaded(struct smar_ctl *c, const struct reload_result *result)
{
	for (struct waiter *w = c->waiters; w; w = w->next) {
		if (w->answered || w->number > result->number)
			continue;
		w->answered = true;
		w->error_count = result->error_count;
		(void)buf_add_span(&w->text, result->text);
		/* Runs the verb in a later turn. */
		ctl_resume(w->request);
	}
}

void smar_ctl_free(struct smar_ctl *own)
{
	if (!own)
		return;
	ctl_free(own->server);
	free(own);
}
