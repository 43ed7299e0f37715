#include "queue/qids.h"

#include "core/err.h"

#include <stdlib.h>

static const uint64_t RANGE = (uint64_t)1 << 24;
static const uint64_t OWN = 1 << 20; /* kept back for our own ids */

static void put(struct store *s, struct store_batch *b, uint64_t reserved)
{
	struct store_key key = store_key_word("ids");

	store_put(s, b, STORE_META, store_key_span(&key), span_of(&reserved, 8));
}

int qids_start(struct qmgr *q, uint64_t largest_counter)
{
	struct store_key key = store_key_word("ids");
	uint64_t next = (uint64_t)(clock_wall() / USEC_PER_SEC) << 24, reserved = 0;
	char *v;
	size_t n;

	if (store_get(q->store, STORE_META, store_key_span(&key), &v, &n) == 0) {
		if (n == 8)
			memcpy(&reserved, v, 8);
		free(v);
	}
	if (next <= largest_counter)
		next = largest_counter + 1;
	if (next < reserved)
		next = reserved;
	struct store_batch *b = store_batch_new();
	put(q->store, b, next + RANGE);
	int rc = store_write(q->store, b);
	store_batch_free(b);
	atomic_store(&q->next_id, next);
	atomic_store(&q->reserved_id, next + RANGE);
	return rc;
}

struct lease {
	struct commit_call call;
	struct qloop *l;
	uint32_t count;
	uint64_t first, reserve;
	void (*fn)(struct qloop *l, void *arg, uint64_t first);
	void *arg;
};

static void deliver(struct qloop *l, void *arg)
{
	struct lease *z = arg;

	z->fn(l, z->arg, z->first);
	free(z);
}

/* In the committer. */
static void reserve(struct commit_call *call)
{
	struct lease *z = caa_container_of(call, struct lease, call);

	put(committer_store(call->committer), committer_batch(call->committer), z->reserve);
}

static void reserved(struct commit_call *call, int error)
{
	struct lease *z = caa_container_of(call, struct lease, call);
	_Atomic uint64_t *have = &z->l->q->reserved_id;
	uint64_t now = atomic_load(have);

	(void)error;
	while (now < z->reserve && !atomic_compare_exchange_weak(have, &now, z->reserve))
		;
	if (z->count)
		qloop_post(z->l, deliver, z);
	else
		free(z);
}

static void reserve_more(struct qloop *l, struct lease *z, uint64_t upto)
{
	z->l = l;
	z->reserve = upto + RANGE;
	z->call.fn = reserve;
	z->call.flushed = reserved;
	commit_call(l->q->committer, &z->call, true);
}

void qids_lease(struct qloop *l, uint32_t count,
		void (*fn)(struct qloop *l, void *arg, uint64_t first), void *arg)
{
	struct lease *z = xcalloc(1, sizeof *z);
	uint64_t have = atomic_load(&l->q->reserved_id);

	z->first = atomic_fetch_add(&l->q->next_id, count);
	z->l = l;
	z->count = count;
	z->fn = fn;
	z->arg = arg;
	if (z->first + count + OWN > have)
		reserve_more(l, z, z->first + count + OWN);
	else
		deliver(l, z);
}

uint64_t qids_next(struct qmgr *q)
{
	return atomic_fetch_add(&q->next_id, 1);
}
