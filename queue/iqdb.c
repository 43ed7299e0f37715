#include "queue/iqdb.h"

enum { FIRST_BUCKETS_MAX = 1024 };

static struct cds_lfht *table;
static atomic_uint count;
static unsigned max_count, want; /* want: buckets */

void iqdb_init(unsigned buckets, unsigned max_recipients)
{
	table = lfht_new(buckets < FIRST_BUCKETS_MAX ? buckets : FIRST_BUCKETS_MAX);
	want = buckets;
	max_count = max_recipients;
}

void iqdb_grow(void)
{
	lfht_grow(table, want);
}

static int match(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct ta, iqdb_node)->id == *(const uint64_t *)key;
}

bool iqdb_add(struct ta *ta)
{
	if (lfht_add_unique(table, hash_mix(0, ta->id), match, &ta->id, &ta->iqdb_node) !=
	    &ta->iqdb_node)
		return false;
	atomic_fetch_add_explicit(&count, ta->env.rcpt_count, memory_order_relaxed);
	return true;
}

void iqdb_remove(struct ta *ta)
{
	if (lfht_remove(table, &ta->iqdb_node))
		atomic_fetch_sub_explicit(&count, ta->env.rcpt_count, memory_order_relaxed);
}

struct ta *iqdb_find(uint64_t id)
{
	struct cds_lfht_node *n = lfht_find(table, hash_mix(0, id), match, &id);

	return n ? caa_container_of(n, struct ta, iqdb_node) : NULL;
}

unsigned iqdb_count(void)
{
	return atomic_load_explicit(&count, memory_order_relaxed);
}

unsigned iqdb_max(void)
{
	return max_count;
}
