#include "queue/qids.h"

#include "core/err.h"
#include "core/log.h"
#include "queue/idfile.h"

#include <errno.h>
#include <stdlib.h>

static const uint64_t RANGE = (uint64_t)1 << 24;
static const int64_t BELIEVED_SEC = 4102444800; /* begin of 2100 */
static const uint64_t OWN = 1 << 20;            /* kept back for our own ids */
enum { EARLY_MAX = 1 << 16, EARLY_ROOM = QMGR_LOOPS_MAX * EARLY_MAX };

static void put(struct store *s, struct store_batch *b, uint64_t reserved)
{
	struct store_key key = store_key_word("ids");

	store_put(s, b, STORE_META, store_key_span(&key), span_of(&reserved, 8));
}

/* A clock that says something else would use up the numbers that there are. */
static uint64_t by_clock(void)
{
	int64_t sec = clock_wall() / USEC_PER_SEC;

	return sec > 0 && sec < BELIEVED_SEC ? (uint64_t)sec << 24 : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

int qids_start_early(struct qmgr *q)
{
	uint64_t reserved;
	int rc = idfile_read(q->opt.defedb_base_directory, &reserved);

	if (rc)
		return rc;
	uint64_t first = larger(by_clock(), reserved);
	rc = idfile_write(q->opt.defedb_base_directory, first + RANGE);
	if (rc)
		return rc;
	q->early_first = first;
	atomic_store(&q->next_id, first);
	atomic_store(&q->reserved_id, first + RANGE);
	return 0;
}

bool qids_early(const struct qmgr *q, uint32_t count)
{
	uint64_t have = atomic_load(&q->reserved_id);

	/* EARLY_ROOM is for what the other loops take meanwhile. */
	return count <= EARLY_MAX && atomic_load(&q->next_id) + EARLY_ROOM + OWN <= have;
}

bool qids_is_void(const struct qmgr *q, uint64_t id)
{
	return id >> 8 >= q->early_first && id >> 8 < q->early_void;
}

/* The reservation of the database, 0 when there is none yet. One that cannot be read may be of any
 * size, also above every id that was seen. */
static int read_row(struct store *s, uint64_t *reserved)
{
	struct store_key key = store_key_word("ids");
	char *v;
	size_t n;
	int rc = store_get(s, STORE_META, store_key_span(&key), &v, &n);

	*reserved = 0;
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (n == 8)
		memcpy(reserved, v, 8);
	free(v);
	return n == 8 ? 0 : -EUCLEAN;
}

/* In the file, too. Without it the next start has no ids before the database is open. */
static void put_file(struct qmgr *q, uint64_t reserved)
{
	int rc = idfile_write(q->opt.defedb_base_directory, reserved);

	if (rc)
		log_event(LOG_LV_WARN, LOG_SEV_WARN, "ids", "dir=%s, file=ids, error=%s",
			  q->opt.defedb_base_directory, strerror(-rc));
}

/* Where the counter goes on. Content with ids that were handed out early may have been seen: its
 * writer does not wait for us. What stands in the database was there before. */
static uint64_t after_early(struct qmgr *q, uint64_t row, uint64_t largest_counter)
{
	if (row > q->early_first) {
		q->early_void = row;
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "ids",
			  "dir=%s, stat=the file ids is older than the database",
			  q->opt.defedb_base_directory);
	}
	return larger(larger(row, largest_counter + 1), q->early_first);
}

static void raise_to(_Atomic uint64_t *at, uint64_t value)
{
	uint64_t now = atomic_load(at);

	while (now < value && !atomic_compare_exchange_weak(at, &now, value))
		;
}

int qids_start(struct qmgr *q, uint64_t largest_counter)
{
	uint64_t row, file = 0, next;
	int rc = read_row(q->store, &row);

	if (rc)
		return rc;
	if (q->early_first) {
		next = after_early(q, row, largest_counter);
	} else {
		idfile_read(q->opt.defedb_base_directory, &file);
		next = larger(larger(row, file), larger(largest_counter + 1, by_clock()));
	}
	struct store_batch *b = store_batch_new();
	put(q->store, b, next + RANGE);
	rc = store_write(q->store, b);
	store_batch_free(b);
	put_file(q, next + RANGE);
	/* In this order: qids_early() must not see room below where the counter goes on. */
	raise_to(&q->next_id, next);
	raise_to(&q->reserved_id, next + RANGE);
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

	put_file(z->l->q, z->reserve);
	put(committer_store(call->committer), committer_batch(call->committer), z->reserve);
}

static void reserved(struct commit_call *call, int error)
{
	struct lease *z = caa_container_of(call, struct lease, call);

	(void)error;
	raise_to(&z->l->q->reserved_id, z->reserve);
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
	/* Before the database is open there is no committer, but qids_early() has seen room. */
	if (l->open && z->first + count + OWN > have)
		reserve_more(l, z, z->first + count + OWN);
	else
		deliver(l, z);
}

uint64_t qids_next(struct qmgr *q)
{
	return atomic_fetch_add(&q->next_id, 1);
}
