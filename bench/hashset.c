#include "bench/hashset.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { SHARD_BITS = 5, SHARDS = 1 << SHARD_BITS, FIRST_SLOTS = 1024 };

struct shard {
	pthread_mutex_t lock; /* slot, mask, used */
	uint64_t *slot;       /* 0: free */
	size_t mask;
	size_t used;
};

struct hashset {
	size_t max_per_shard;
	struct shard shard[SHARDS];
};

struct hashset *hashset_new(size_t max_count)
{
	struct hashset *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->max_per_shard = max_count / SHARDS + 1;
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_init(&s->shard[i].lock, NULL);
	return s;
}

void hashset_free(struct hashset *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < SHARDS; i++) {
		free(s->shard[i].slot);
		pthread_mutex_destroy(&s->shard[i].lock);
	}
	free(s);
}

/* Where hash is, or the free slot where it would go. */
static uint64_t *find(const struct shard *h, uint64_t hash)
{
	size_t at = (size_t)(hash >> SHARD_BITS) & h->mask;

	while (h->slot[at] && h->slot[at] != hash)
		at = (at + 1) & h->mask;
	return &h->slot[at];
}

static int grow(struct shard *h)
{
	size_t old = h->slot ? h->mask + 1 : 0;
	size_t want = old ? old * 2 : FIRST_SLOTS;
	struct shard bigger = { .slot = calloc(want, sizeof(uint64_t)), .mask = want - 1 };

	if (!bigger.slot)
		return -ENOSPC;
	for (size_t i = 0; i < old; i++)
		if (h->slot[i])
			*find(&bigger, h->slot[i]) = h->slot[i];
	free(h->slot);
	h->slot = bigger.slot;
	h->mask = bigger.mask;
	return 0;
}

static int add_locked(struct hashset *s, struct shard *h, uint64_t hash)
{
	if (!h->slot && grow(h))
		return -ENOSPC;
	uint64_t *at = find(h, hash);
	if (*at)
		return 0;
	if (h->used >= s->max_per_shard)
		return -ENOSPC;
	if ((h->used + 1) * 3 > (h->mask + 1) * 2) {
		if (grow(h))
			return -ENOSPC;
		at = find(h, hash);
	}
	*at = hash;
	h->used++;
	return 1;
}

int hashset_add(struct hashset *s, uint64_t hash)
{
	if (hash == 0)
		hash = 1;
	struct shard *h = &s->shard[hash & (SHARDS - 1)];

	pthread_mutex_lock(&h->lock);
	int rc = add_locked(s, h, hash);
	pthread_mutex_unlock(&h->lock);
	return rc;
}

bool hashset_has(struct hashset *s, uint64_t hash)
{
	if (hash == 0)
		hash = 1;
	struct shard *h = &s->shard[hash & (SHARDS - 1)];

	pthread_mutex_lock(&h->lock);
	bool there = h->slot && *find(h, hash);
	pthread_mutex_unlock(&h->lock);
	return there;
}

uint64_t hashset_count(struct hashset *s)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&s->shard[i].lock);
		n += s->shard[i].used;
		pthread_mutex_unlock(&s->shard[i].lock);
	}
	return n;
}
