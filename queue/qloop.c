#include "queue/qmgr.h"

#include "core/err.h"

#include <stdlib.h>

struct call {
	struct loop_mail mail;
	struct qloop *to;
	void (*fn)(struct qloop *l, void *arg);
	void *arg;
};

static void run(struct loop_mail *m)
{
	struct call *c = caa_container_of(m, struct call, mail);

	c->fn(c->to, c->arg);
	free(c);
}

void qloop_post(struct qloop *to, void (*fn)(struct qloop *l, void *arg), void *arg)
{
	struct call *c = xmalloc(sizeof *c);

	*c = (struct call){ .mail.fn = run, .to = to, .fn = fn, .arg = arg };
	loop_post(to->loop, &c->mail);
}

void qloop_call(struct qloop *from, struct qloop *to, void (*fn)(struct qloop *l, void *arg),
		void *arg)
{
	if (from == to)
		fn(to, arg);
	else
		qloop_post(to, fn, arg);
}
