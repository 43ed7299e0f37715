#include "core/rcu.h"

#include "core/err.h"

#if defined(__SANITIZE_THREAD__)
char rcu_tsan_period;
#endif

void rcu_later(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
	RCU_TSAN_RELEASE(head);
	call_rcu(head, fn);
}

static unsigned long rounded(unsigned long buckets)
{
	unsigned long n = 64;

	while (n < buckets && n < LFHT_BUCKETS_MAX)
		n *= 2;
	return n;
}

void lfht_grow(struct cds_lfht *ht, unsigned long buckets)
{
	cds_lfht_resize(ht, rounded(buckets));
}

/* Without ACCOUNTING any chain of three makes the table four times as large: a million buckets for
 * 10,000 nodes, and more with every node that comes and goes. */
struct cds_lfht *lfht_new(unsigned long buckets)
{
	unsigned long n = rounded(buckets);
	struct cds_lfht *ht =
		cds_lfht_new(n, 64, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	if (!ht)
		panic("no memory for a hash table of %lu buckets", n);
	return ht;
}

struct cds_lfht_node *lfht_add_unique(struct cds_lfht *ht, unsigned long hash,
				      cds_lfht_match_fct match, const void *key,
				      struct cds_lfht_node *node)
{
	cds_lfht_node_init(node);
	RCU_TSAN_RELEASE(node);
	rcu_read_lock();
	struct cds_lfht_node *in = cds_lfht_add_unique(ht, hash, match, key, node);
	rcu_read_unlock();
	RCU_TSAN_ACQUIRE(in);
	return in;
}

struct cds_lfht_node *lfht_find(struct cds_lfht *ht, unsigned long hash, cds_lfht_match_fct match,
				const void *key)
{
	struct cds_lfht_iter it;

	cds_lfht_lookup(ht, hash, match, key, &it);
	return lfht_at(&it);
}

bool lfht_remove(struct cds_lfht *ht, struct cds_lfht_node *node)
{
	return cds_lfht_del(ht, node) == 0;
}
