#include "queue/adopt.h"

#include "core/err.h"
#include "core/log.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 4096 };

struct member {
	uint32_t idx;
	bool joined;
};

struct entry {
	struct entry *next; /* of the bucket of its transaction */
	struct adopt_key key;
	int slot;
	uint8_t mailer;
	struct addr host;
	bool confirmed; /* named since its link is up */
	bool ended;
	usec_t ended_at;
	struct buf result; /* encoded, when ended */
	uint64_t *joined;  /* attempts of this run */
	unsigned joined_count;
	unsigned count;
	struct member rcpt[];
};

atomic_uint adopt_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* all below; never held over I/O */
static struct entry *bucket[BUCKETS];

static struct entry **bucket_of(uint64_t ta)
{
	return &bucket[hash_mix(0, ta) % BUCKETS];
}

static bool same_key(const struct adopt_key *a, const struct adopt_key *b)
{
	return a->run == b->run && a->attempt == b->attempt && a->ta == b->ta;
}

/* Where it hangs; *result is NULL when there is none. */
static struct entry **find_locked(const struct adopt_key *key)
{
	struct entry **at = bucket_of(key->ta);

	while (*at && !same_key(&(*at)->key, key))
		at = &(*at)->next;
	return at;
}

static void free_locked(struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	buf_release(&e->result);
	free(e->joined);
	free(e);
	atomic_fetch_sub(&adopt_count, 1);
}

static struct entry *new_locked(const struct adopt_key *key, unsigned count)
{
	struct entry *e, **at = bucket_of(key->ta);

	if (atomic_load(&adopt_count) >= ADOPT_MAX)
		return NULL;
	e = calloc(1, sizeof *e + count * sizeof e->rcpt[0]);
	if (!e)
		return NULL;
	e->key = *key;
	e->next = *at;
	*at = e;
	atomic_fetch_add(&adopt_count, 1);
	return e;
}

static struct member *member_of(struct entry *e, uint32_t idx)
{
	for (unsigned i = 0; i < e->count; i++)
		if (e->rcpt[i].idx == idx)
			return &e->rcpt[i];
	return NULL;
}

void adopt_state(int slot, const struct msg_attempt_state *m)
{
	struct adopt_key key = { m->run, m->attempt, m->ta };
	unsigned count = (unsigned)(m->idx.n / sizeof(uint32_t));

	pthread_mutex_lock(&lock);
	struct entry *e = *find_locked(&key);
	if (e) {
		e->confirmed = e->confirmed || e->slot == slot;
	} else if (count && (e = new_locked(&key, count))) {
		e->slot = slot;
		e->mailer = m->mailer;
		e->host = m->host;
		e->confirmed = true;
		e->count = count;
		for (unsigned i = 0; i < count; i++)
			memcpy(&e->rcpt[i].idx, m->idx.p + i * sizeof(uint32_t), sizeof(uint32_t));
	}
	pthread_mutex_unlock(&lock);
}

/* What of a result is kept: that which is final, of recipients that did not join. */
static bool keeps(struct entry *before, const struct msg_rcpt_result *r)
{
	struct member *m = before ? member_of(before, r->idx) : NULL;

	return (r->outcome == MSG_DONE || r->outcome == MSG_FAILED) && (!m || !m->joined);
}

static struct entry *ended_locked(struct entry *before, int slot, const struct adopt_key *key,
				  const struct msg_result *m, struct span body)
{
	struct msg_rcpt_result r;
	struct span rest = m->rcpts;
	unsigned count = 0;
	struct entry *e;

	while (msg_rcpt_result_next(&rest, &r) == 1)
		count += keeps(before, &r);
	if (!count || !(e = new_locked(key, count)))
		return NULL;
	e->slot = slot;
	e->mailer = m->mailer;
	e->host = m->host;
	e->ended = true;
	for (rest = m->rcpts; msg_rcpt_result_next(&rest, &r) == 1;)
		if (keeps(before, &r))
			e->rcpt[e->count++].idx = r.idx;
	if (buf_add_span(&e->result, body))
		/* Without memory nothing is known of them. */
		e->count = 0;
	return e;
}

unsigned adopt_result(int slot, const struct msg_result *m, struct span body, usec_t now,
		      uint64_t **own_joined)
{
	struct adopt_key key = { m->run, m->attempt, m->ta };
	unsigned n = 0;

	*own_joined = NULL;
	pthread_mutex_lock(&lock);
	struct entry *e = *find_locked(&key);
	/* One that was said twice: nothing new. */
	if (!e || !e->ended) {
		struct entry *ended = ended_locked(e, slot, &key, m, body);

		if (e) {
			struct entry **at = bucket_of(key.ta);

			n = e->joined_count;
			*own_joined = e->joined;
			e->joined = NULL;
			while (*at != e)
				at = &(*at)->next;
			free_locked(at);
		}
		if (ended)
			ended->ended_at = now;
	}
	pthread_mutex_unlock(&lock);
	return n;
}

/* Each of them; true: it is to be dropped. */
static void each(bool (*drop)(struct entry *e, usec_t arg), usec_t arg)
{
	if (!adopt_any())
		return;
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct entry **at = &bucket[i]; *at;) {
			if (drop(*at, arg))
				free_locked(at);
			else
				at = &(*at)->next;
		}
	pthread_mutex_unlock(&lock);
}

static bool doubt(struct entry *e, usec_t slot)
{
	if (e->slot == slot)
		e->confirmed = false;
	return false;
}

static bool not_named(struct entry *e, usec_t slot)
{
	return e->slot == slot && !e->ended && !e->confirmed;
}

static bool of_slot(struct entry *e, usec_t slot)
{
	return e->slot == slot && !e->ended;
}

static bool is_old(struct entry *e, usec_t now)
{
	return e->ended && now - e->ended_at >= ADOPT_KEEP_USEC;
}

void adopt_lost(int slot)
{
	each(doubt, slot);
}

void adopt_back(int slot)
{
	each(not_named, slot);
}

void adopt_gone(int slot)
{
	each(of_slot, slot);
}

void adopt_sweep(usec_t now)
{
	each(is_old, now);
}

/* The attempt that this recipient waits to join. */
static struct entry *waiting_locked(uint64_t ta, uint32_t idx)
{
	for (struct entry *e = *bucket_of(ta); e; e = e->next) {
		struct member *m = e->key.ta == ta ? member_of(e, idx) : NULL;

		if (m && !m->joined)
			return e;
	}
	return NULL;
}

bool adopt_split(uint64_t ta, const uint32_t *idx, unsigned *count, struct adopt_place *at)
{
	unsigned n = 1;

	pthread_mutex_lock(&lock);
	struct entry *e = waiting_locked(ta, idx[0]);
	while (n < *count && waiting_locked(ta, idx[n]) == e)
		n++;
	if (e)
		*at = (struct adopt_place){ e->key, e->slot, e->mailer, e->host };
	pthread_mutex_unlock(&lock);
	*count = n;
	return e != NULL;
}

static bool all_joined(const struct entry *e)
{
	for (unsigned i = 0; i < e->count; i++)
		if (!e->rcpt[i].joined)
			return false;
	return true;
}

enum adopt_join adopt_join(const struct adopt_key *key, const uint32_t *idx, unsigned count,
			   uint64_t attempt, struct buf *own_body)
{
	enum adopt_join rc = ADOPT_NONE;

	pthread_mutex_lock(&lock);
	struct entry **at = find_locked(key), *e = *at;
	if (e && !(e->ended && buf_add_span(own_body, buf_span(&e->result)))) {
		rc = e->ended ? ADOPT_ENDED : ADOPT_RUNS;
		for (unsigned i = 0; i < count; i++) {
			struct member *m = member_of(e, idx[i]);

			/* Its result came meanwhile, and what it says of this one is not kept. */
			if (!m || m->joined)
				rc = ADOPT_NONE;
		}
	}
	for (unsigned i = 0; rc != ADOPT_NONE && i < count; i++)
		member_of(e, idx[i])->joined = true;
	if (rc == ADOPT_RUNS) {
		e->joined = xrealloc(e->joined, (e->joined_count + 1) * sizeof *e->joined);
		e->joined[e->joined_count++] = attempt;
	} else if (rc == ADOPT_ENDED && all_joined(e)) {
		free_locked(at);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

bool adopt_runs(const struct adopt_key *key)
{
	pthread_mutex_lock(&lock);
	const struct entry *e = *find_locked(key);
	bool runs = e && !e->ended;
	pthread_mutex_unlock(&lock);
	return runs;
}
