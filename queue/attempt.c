#include "queue/attempt.h"

#include "core/err.h"
#include "core/ids.h"
#include "core/log.h"
#include "core/msg.h"
#include "queue/agents.h"
#include "queue/dest.h"

#include <errno.h>
#include <stdlib.h>

int attempts_init(struct attempts *t, struct qloop *l)
{
	t->l = l;
	t->requests = link_requests_new();
	pool_init(&l->attempts, sizeof(struct attempt), SIZE_MAX);
	return t->requests ? 0 : -ENOMEM;
}

static void attempt_timeout(struct timer *t)
{
	struct attempt *a = caa_container_of(t, struct attempt, timer);

	/* Requeued only when smtpc confirms, or has gone: it may be in the middle of the content.
	 */
	a->cancelled = true;
	char id[ID_TEXT_MAX], host[ADDR_TEXT_MAX];
	id_text(a->ta->id, id);
	addr_text(&a->host->addr, host);
	log_event(LOG_LV_WARN, LOG_SEV_WARN, "attempt",
		  "ss_ta=%s, addr=%s, rcpts=%u, sec=%d, stat=longer than delivery_timeout, "
		  "cancelled",
		  id, host, a->count, (int)((loop_now(a->l->loop) - a->started) / USEC_PER_SEC));
	msg_cancel_encode(&(struct msg_cancel){ .attempt = a->told.attempt, .run = a->told.run },
			  &a->of->frame);
	agents_send(a->l, a->slot, MSG_cancel, &a->of->frame);
}

static void hook(struct attempts *t, struct attempt *a)
{
	a->next = t->of_slot[a->slot];
	a->prev = &t->of_slot[a->slot];
	if (a->next)
		a->next->prev = &a->next;
	t->of_slot[a->slot] = a;
}

static void unhook(struct attempt *a)
{
	*a->prev = a->next;
	if (a->next)
		a->next->prev = a->prev;
}

struct attempt *attempt_new(struct attempts *t, struct ta *ta, const uint32_t *idx, unsigned count,
			    int slot)
{
	struct attempt *a = pool_get_zero(&t->l->attempts);
	uint64_t req = a ? link_request_add(t->requests, a) : 0;

	if (!req)
		panic("no memory for an attempt");
	a->l = t->l;
	a->of = t;
	a->id = agents_attempt_id(t->l, req);
	a->told = (struct adopt_key){ t->l->q->hello.instance, a->id, ta->id };
	a->ta = ta;
	a->slot = slot;
	a->count = count;
	a->idx = count <= ATTEMPT_INLINE_RCPTS ? a->few : xmalloc(count * sizeof *a->idx);
	memcpy(a->idx, idx, count * sizeof *a->idx);
	a->timer.fn = attempt_timeout;
	hook(t, a);
	atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
	return a;
}

struct attempt *attempt_find(struct attempts *t, uint64_t id)
{
	struct attempt *a = link_request_peek(t->requests, agents_attempt_req(id));

	return a && a->id == id ? a : NULL;
}

bool attempt_has(const struct attempt *a, uint32_t idx)
{
	for (uint32_t i = 0; i < a->count; i++)
		if (a->idx[i] == idx)
			return true;
	return false;
}

void attempt_free(struct attempt *own)
{
	struct qloop *l = own->l;

	unhook(own);
	loop_timer_stop(l->loop, &own->timer);
	link_request_take(own->of->requests, agents_attempt_req(own->id));
	if (own->idx != own->few)
		free(own->idx);
	atomic_fetch_sub_explicit(&own->of->count, 1, memory_order_relaxed);
	pool_put(&l->attempts, own);
}

/* The copies of a list come from its owner; what the author wanted to hear of was about the list,
 * RFC 3461 5.2.7.1. */
static void set_sender(struct envelope *e, const struct ta *ta, uint32_t idx)
{
	if (ta->env.rcpt[idx].owner) {
		e->sender = envelope_sender(&ta->env, idx);
		e->envid = SPAN("");
		e->ret = ENV_RET_UNSET;
	}
	e->owner_count = 0;
}

struct span attempt_envelope(struct attempt *a)
{
	struct buf *out = &a->of->envelope;
	struct ta *ta = a->ta;
	struct envelope e = ta->env;

	if (a->count == ta->env.rcpt_count && !ta->env.owner_count)
		return ta->blob;
	set_sender(&e, ta, a->idx[0]);
	e.route_count = 0;
	e.rcpt_count = a->count;
	e.rcpt = xmalloc(a->count * sizeof *e.rcpt);
	for (uint32_t i = 0; i < a->count; i++) {
		e.rcpt[i] = ta->env.rcpt[a->idx[i]];
		e.rcpt[i].route = ENV_NO_ROUTE;
		e.rcpt[i].owner = 0;
	}
	out->r = out->w = 0;
	if (envelope_encode(&e, out))
		panic("cannot encode a part of an envelope");
	free(e.rcpt);
	return buf_span(out);
}
