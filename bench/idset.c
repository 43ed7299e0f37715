#include "bench/idset.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CHUNK_BITS = 16, CHUNKS = 1 << 16, WORDS = (1 << CHUNK_BITS) / 64 };

struct idset_run {
	char name[MSGID_RUN_MAX + 1];
	unsigned name_n;
	_Atomic uint64_t distinct;
	_Atomic uint32_t highest;
	_Atomic(_Atomic uint64_t *) chunk[CHUNKS];
};

struct idset {
	pthread_mutex_t lock; /* runs, run_count */
	struct idset_run *runs[IDSET_RUNS];
	unsigned run_count;
	size_t max_bytes;
	_Atomic size_t bytes;
	_Atomic uint64_t distinct;
};

struct idset *idset_new(size_t max_bytes)
{
	struct idset *s = calloc(1, sizeof(*s));

	if (s) {
		pthread_mutex_init(&s->lock, NULL);
		s->max_bytes = max_bytes;
	}
	return s;
}

void idset_free(struct idset *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->run_count; i++) {
		for (unsigned c = 0; c < CHUNKS; c++)
			free((void *)s->runs[i]->chunk[c]);
		free(s->runs[i]);
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static bool same_run(const struct idset_run *r, const struct msgid *id)
{
	return r->name_n == id->run_n && memcmp(r->name, id->run, id->run_n) == 0;
}

/* The run of an id, made when make is set. NULL: not there, or no room for one more. */
static struct idset_run *run_get(struct idset *s, const struct msgid *id, bool make)
{
	struct idset_run *r = NULL;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = s->run_count; i-- > 0 && !r;)
		if (same_run(s->runs[i], id))
			r = s->runs[i];
	if (!r && make && s->run_count < IDSET_RUNS && (r = calloc(1, sizeof(*r)))) {
		memcpy(r->name, id->run, id->run_n);
		r->name_n = id->run_n;
		s->runs[s->run_count++] = r;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static _Atomic uint64_t *chunk_get(struct idset *s, struct idset_run *r, uint32_t number, bool make)
{
	_Atomic(_Atomic uint64_t *) *slot = &r->chunk[number >> CHUNK_BITS];
	_Atomic uint64_t *c = atomic_load_explicit(slot, memory_order_acquire);

	if (c || !make)
		return c;
	const size_t size = WORDS * sizeof(*c);
	if (atomic_fetch_add(&s->bytes, size) + size > s->max_bytes) {
		atomic_fetch_sub(&s->bytes, size);
		return NULL;
	}
	_Atomic uint64_t *mine = calloc(WORDS, sizeof(*mine));
	if (mine && atomic_compare_exchange_strong(slot, &c, mine))
		return mine;
	free((void *)mine);
	atomic_fetch_sub(&s->bytes, size);
	return c;
}

int idset_add(struct idset *s, const struct msgid *id, struct idset_run **hint)
{
	if (!*hint || !same_run(*hint, id)) {
		struct idset_run *r = run_get(s, id, true);
		if (!r)
			return -ENOSPC;
		*hint = r;
	}
	struct idset_run *r = *hint;
	_Atomic uint64_t *c = chunk_get(s, r, id->number, true);
	if (!c)
		return -ENOSPC;
	uint64_t bit = UINT64_C(1) << (id->number & 63);
	if (atomic_fetch_or(&c[(id->number >> 6) & (WORDS - 1)], bit) & bit)
		return 0;
	atomic_fetch_add(&r->distinct, 1);
	atomic_fetch_add(&s->distinct, 1);
	uint32_t top = atomic_load(&r->highest);
	while (top < id->number && !atomic_compare_exchange_weak(&r->highest, &top, id->number))
		;
	return 1;
}

bool idset_has(struct idset *s, const struct msgid *id)
{
	struct idset_run *r = run_get(s, id, false);
	_Atomic uint64_t *c = r ? chunk_get(s, r, id->number, false) : NULL;

	return c && (atomic_load(&c[(id->number >> 6) & (WORDS - 1)]) >> (id->number & 63) & 1);
}

uint64_t idset_distinct(struct idset *s)
{
	return atomic_load(&s->distinct);
}

/* Adds come in any order while this reads, so highest may be ahead of distinct and never behind for
 * long. */
static uint64_t run_gaps(struct idset_run *r)
{
	uint64_t distinct = atomic_load(&r->distinct);
	uint64_t top = atomic_load(&r->highest);

	return top > distinct ? top - distinct : 0;
}

uint64_t idset_gaps(struct idset *s)
{
	uint64_t n = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->run_count; i++)
		n += run_gaps(s->runs[i]);
	pthread_mutex_unlock(&s->lock);
	return n;
}

void idset_json(struct idset *s, struct jsonw *w)
{
	pthread_mutex_lock(&s->lock);
	jsonw_list(w, "runs");
	for (unsigned i = 0; i < s->run_count; i++) {
		struct idset_run *r = s->runs[i];
		jsonw_open(w, NULL);
		jsonw_str(w, "run", r->name, r->name_n);
		jsonw_u64(w, "distinct", atomic_load(&r->distinct));
		jsonw_u64(w, "highest", atomic_load(&r->highest));
		jsonw_u64(w, "gaps", run_gaps(r));
		jsonw_close(w);
	}
	jsonw_list_end(w);
	pthread_mutex_unlock(&s->lock);
}
