#include "queue/agents.h"

#include "core/err.h"
#include "core/log.h"
#include "core/sock.h"
#include "queue/adopt.h"

#include <stdlib.h>

enum { BUSY_PERCENT = 80, LOOP_SHIFT = 58 };

struct agent {
	struct qloop *loop;
	struct link *link; /* of loop's thread */
	atomic_bool taken; /* a link has this slot */
	atomic_bool ready; /* state_end was said */
	atomic_uint busy;
	_Atomic uint32_t id, worker;
	_Atomic uint64_t instance;
	_Atomic uint32_t workers;
};

static struct agent agent[OCC_AGENTS_MAX];
static struct qmgr *qm;
static struct agents_events on;

void agents_on(const struct agents_events *ev)
{
	on = *ev;
}

uint64_t agents_attempt_id(const struct qloop *l, uint64_t req)
{
	return (uint64_t)l->n << LOOP_SHIFT | req;
}

uint64_t agents_attempt_req(uint64_t attempt)
{
	return attempt & (((uint64_t)1 << LOOP_SHIFT) - 1);
}

struct result_event {
	struct buf body;
	uint64_t attempt;
};

struct state_event {
	int slot;
	uint64_t attempt;
};

static void tell_lost(struct qloop *l, void *arg)
{
	on.lost(l, (int)(intptr_t)arg);
}

static void tell_gone(struct qloop *l, void *arg)
{
	on.gone(l, (int)(intptr_t)arg);
}

static void tell_back(struct qloop *l, void *arg)
{
	on.back(l, (int)(intptr_t)arg);
}

static void all_loops(struct qloop *from, void (*fn)(struct qloop *l, void *arg), intptr_t v)
{
	for (unsigned i = 0; i < qm->loop_count; i++)
		qloop_call(from, &qm->loop[i], fn, (void *)v);
}

static int slot_of(const struct agent *a)
{
	return (int)(a - agent);
}

/* A worker's own slot, or a free one. In the loop of the listener. */
static struct agent *slot_for(const struct link_hello *peer)
{
	struct agent *free_slot = NULL;

	for (int i = 0; i < OCC_AGENTS_MAX; i++) {
		struct agent *a = &agent[i];

		if (atomic_load(&a->workers) && atomic_load(&a->id) == peer->id &&
		    atomic_load(&a->worker) == peer->worker)
			return atomic_load(&a->taken) ? NULL : a;
		if (!free_slot && !atomic_load(&a->workers))
			free_slot = a;
	}
	return free_slot;
}

static struct loop *pick(void *server_ctx, const struct link_hello *peer, void **ctx)
{
	(void)server_ctx;
	struct agent *a = strcmp(peer->component, "smtpc") ? NULL : slot_for(peer);

	if (!a)
		return NULL;
	a->loop = &qm->loop[slot_of(a) % (int)qm->loop_count];
	atomic_store(&a->taken, true);
	atomic_store(&a->id, peer->id);
	atomic_store(&a->worker, peer->worker);
	atomic_store(&a->workers, peer->workers);
	*ctx = a;
	return a->loop->loop;
}

static void up(struct link *k, const struct link_hello *peer)
{
	struct agent *a = link_ctx(k);
	bool same = atomic_load(&a->instance) == peer->instance;

	a->link = k;
	atomic_store(&a->busy, 0);
	if (!same) {
		struct cds_lfht_iter it;
		struct cds_lfht_node *node;

		LFHT_FOREACH(occ_table(), &it, node)
		atomic_store(&caa_container_of(node, struct occ_host, node)->idle[slot_of(a)], 0);
		/* A new process knows nothing of the attempts of the former one. */
		adopt_gone(slot_of(a));
		all_loops(a->loop, tell_gone, slot_of(a));
	}
	atomic_store(&a->instance, peer->instance);
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "agents", "smtpc=%u, worker=%u, stat=connected",
		  peer->id, peer->worker);
}

static void down(struct link *k)
{
	struct agent *a = link_ctx(k);

	a->link = NULL;
	atomic_store(&a->ready, false);
	log_event(LOG_LV_INFO, LOG_SEV_WARN, "agents", "smtpc=%u, worker=%u, stat=lost",
		  link_peer(k)->id, link_peer(k)->worker);
	adopt_lost(slot_of(a));
	all_loops(a->loop, tell_lost, slot_of(a));
	atomic_store(&a->taken, false);
}

static void in_owner(struct qloop *l, void *arg)
{
	struct result_event *e = arg;
	struct msg_result m;

	/* It was decoded before. */
	if (!msg_result_decode(buf_span(&e->body), &m))
		on.result(l, e->attempt, &m);
	buf_release(&e->body);
	free(e);
}

/* The loop of an attempt of this run; NULL: there is none, the link is closed. */
static struct qloop *owner_of(struct agent *a, uint64_t attempt)
{
	unsigned n = (unsigned)(attempt >> LOOP_SHIFT);

	if (n < qm->loop_count)
		return &qm->loop[n];
	link_refuse(a->link, "attempt of no loop");
	return NULL;
}

/* body: m encoded. */
static void pass_result(struct agent *a, uint64_t attempt, const struct msg_result *m,
			struct span body)
{
	struct qloop *owner = owner_of(a, attempt);

	if (!owner)
		return;
	if (owner == a->loop) {
		on.result(a->loop, attempt, m);
		return;
	}
	struct result_event *e = xcalloc(1, sizeof *e);
	e->attempt = attempt;
	if (buf_add_span(&e->body, body)) {
		free(e);
		return;
	}
	qloop_post(owner, in_owner, e);
}

static void result(struct agent *a, struct span body)
{
	struct msg_result m;
	uint64_t *joined;

	if (msg_result_decode(body, &m)) {
		link_refuse(a->link, "bad result");
		return;
	}
	if (m.run == qm->hello.instance) {
		pass_result(a, m.attempt, &m, body);
		return;
	}
	unsigned n = adopt_result(slot_of(a), &m, body, loop_now(a->loop->loop), &joined);
	for (unsigned i = 0; i < n; i++)
		pass_result(a, joined[i], &m, body);
	free(joined);
}

static void tell_state(struct qloop *l, void *arg)
{
	struct state_event *e = arg;

	on.state(l, e->slot, e->attempt);
	free(e);
}

static void state(struct agent *a, struct span body)
{
	struct msg_attempt_state m;

	if (msg_attempt_state_decode(body, &m)) {
		link_refuse(a->link, "bad attempt_state");
		return;
	}
	if (m.run != qm->hello.instance) {
		adopt_state(slot_of(a), &m);
		return;
	}
	struct qloop *owner = owner_of(a, m.attempt);
	if (!owner)
		return;
	struct state_event *e = xmalloc(sizeof *e);
	*e = (struct state_event){ slot_of(a), m.attempt };
	qloop_call(a->loop, owner, tell_state, e);
}

static void conn_gone(struct agent *a, struct span body)
{
	struct msg_conn_gone m;

	if (msg_conn_gone_decode(body, &m)) {
		link_refuse(a->link, "bad conn_gone");
		return;
	}
	struct occ_host *h = occ_find(m.mailer, &m.host);
	int idle = h ? atomic_load(&h->idle[slot_of(a)]) : 0;
	while (idle > 0 && !atomic_compare_exchange_weak(&h->idle[slot_of(a)], &idle, idle - 1))
		;
}

static void message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct agent *a = link_ctx(k);
	struct msg_load load;

	(void)req;
	switch (number) {
	case MSG_result:
		result(a, body);
		break;
	case MSG_conn_gone:
		conn_gone(a, body);
		break;
	case MSG_load:
		if (msg_load_decode(body, &load))
			link_refuse(k, "bad load");
		else
			atomic_store_explicit(&a->busy, load.percent, memory_order_relaxed);
		break;
	case MSG_attempt_state:
		state(a, body);
		break;
	case MSG_state_end:
		adopt_back(slot_of(a));
		atomic_store(&a->ready, true);
		all_loops(a->loop, tell_back, slot_of(a));
		break;
	default:
		link_refuse(k, "message that smtpc does not send");
	}
}

static const struct link_ops ops = { .up = up, .down = down, .message = message };

int agents_listen(struct qmgr *q, const char *path)
{
	int fd = sock_listen_unix(path, 0660);

	qm = q;
	if (fd < 0)
		return fd;
	return link_listen(q->loop[0].loop, fd, &q->hello, &ops, pick, q) ? 0 : -ENOMEM;
}

bool agents_ready(void)
{
	for (int i = 0; i < OCC_AGENTS_MAX; i++) {
		if (!atomic_load(&agent[i].ready))
			continue;
		unsigned want = atomic_load(&agent[i].workers), have = 0;
		for (int k = 0; k < OCC_AGENTS_MAX; k++)
			have += atomic_load(&agent[k].ready) &&
				atomic_load(&agent[k].instance) == atomic_load(&agent[i].instance);
		if (have >= want)
			return true;
	}
	return false;
}

unsigned agents_up(void)
{
	unsigned n = 0;

	for (int i = 0; i < OCC_AGENTS_MAX; i++)
		n += atomic_load(&agent[i].ready);
	return n;
}

int agents_pick(struct occ_host *h, bool *has_idle)
{
	int first = -1;
	unsigned least = ~0u;

	*has_idle = false;
	for (int i = 0; i < OCC_AGENTS_MAX; i++) {
		if (!atomic_load_explicit(&agent[i].workers, memory_order_relaxed))
			break;
		if (!atomic_load(&agent[i].ready))
			continue;
		int idle = atomic_load_explicit(&h->idle[i], memory_order_relaxed);
		while (idle > 0)
			if (atomic_compare_exchange_weak(&h->idle[i], &idle, idle - 1)) {
				*has_idle = true;
				return i;
			}
		unsigned busy = atomic_load_explicit(&agent[i].busy, memory_order_relaxed);
		if (busy < BUSY_PERCENT)
			busy = 0;
		if (busy < least) {
			least = busy;
			first = i;
		}
	}
	return first;
}

struct frame {
	struct agent *a;
	unsigned number;
	struct buf body;
};

static void send_in_loop(struct qloop *l, void *arg)
{
	struct frame *f = arg;

	(void)l;
	/* A link that has gone meanwhile was told as lost: the attempt is requeued by that. */
	if (f->a->link)
		link_send(f->a->link, f->number, 0, buf_span(&f->body));
	buf_release(&f->body);
	free(f);
}

void agents_send(struct qloop *l, int slot, unsigned number, struct buf *own_body)
{
	struct agent *a = &agent[slot];

	if (a->loop == l) {
		if (a->link)
			link_send(a->link, number, 0, buf_span(own_body));
		own_body->r = own_body->w = 0;
		return;
	}
	struct frame *f = xmalloc(sizeof *f);
	*f = (struct frame){ a, number, *own_body };
	*own_body = (struct buf){ 0 };
	qloop_post(a->loop, send_in_loop, f);
}
