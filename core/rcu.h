/*
 * core/rcu.h - the RCU flavour of smX (QSBR) and what the thread sanitizer must be told about it.
 *
 * Readers: threads of thread_start() only; a loop is quiescent while it waits for events, helper
 *          threads are offline unless they say otherwise. A read section costs nothing and must not
 *          block.
 * Writers: publish with RCU_PUBLISH, free with call_rcu through rcu_later().
 * TSan:    Debian's liburcu is not instrumented; the macros name publication and grace periods.
 */
#ifndef CORE_RCU_H
#define CORE_RCU_H
/* Inline read sections; not under TSan, which must not look into liburcu's own words. */
#if !defined(_LGPL_SOURCE) && !defined(__SANITIZE_THREAD__)
#define _LGPL_SOURCE
#endif
#include <stdbool.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char rcu_tsan_period;
#define RCU_TSAN_ACQUIRE(p) __tsan_acquire((void *)(p))
#define RCU_TSAN_RELEASE(p) __tsan_release((void *)(p))
#define RCU_TSAN_QUIET()    __tsan_release(&rcu_tsan_period)
#define RCU_TSAN_GRACE()    __tsan_acquire(&rcu_tsan_period)
#else
#define RCU_TSAN_ACQUIRE(p) ((void)(p))
#define RCU_TSAN_RELEASE(p) ((void)(p))
#define RCU_TSAN_QUIET()    ((void)0)
#define RCU_TSAN_GRACE()    ((void)0)
#endif

/* Make *own visible through the pointer `where`. */
#define RCU_PUBLISH(where, own)                                                                    \
	do {                                                                                       \
		RCU_TSAN_RELEASE(&(where));                                                        \
		rcu_assign_pointer(where, own);                                                    \
	} while (0)

/* The current value; valid to the end of the read section. */
#define RCU_READ(where)                                                                            \
	({                                                                                         \
		__typeof__(where) rcu_read_p_ = rcu_dereference(where);                            \
		RCU_TSAN_ACQUIRE(&(where));                                                        \
		rcu_read_p_;                                                                       \
	})

/* The thread holds no RCU reference until rcu_online(): around everything that may block. */
static inline void rcu_offline(void)
{
	RCU_TSAN_QUIET();
	rcu_thread_offline();
}

static inline void rcu_online(void)
{
	rcu_thread_online();
}

static inline void rcu_quiescent(void)
{
	RCU_TSAN_QUIET();
	rcu_quiescent_state();
}

/* Run fn(head) when no reader can still see the object; from liburcu's own thread. */
void rcu_later(struct rcu_head *head, void (*fn)(struct rcu_head *));

/* Hash tables: a node becomes visible by lfht_add*; what lfht_find returns is valid in the read
 * section. Begins with so many buckets of 16 bytes, rounded up to a power of two, and follows the
 * number of nodes: at most 16 for a bucket. A walk costs nodes and buckets. */
enum { LFHT_BUCKETS_MAX = 1 << 27 };
struct cds_lfht *lfht_new(unsigned long buckets);
/* Makes it as large as a new one with so many buckets; takes 13 ms for a million. Any registered
 * thread, outside of read sections; others may use the table meanwhile. */
void lfht_grow(struct cds_lfht *ht, unsigned long buckets);
/* Adds; returns the node that has an equal key already, else `node` itself. */
struct cds_lfht_node *lfht_add_unique(struct cds_lfht *ht, unsigned long hash,
				      cds_lfht_match_fct match, const void *key,
				      struct cds_lfht_node *node);
struct cds_lfht_node *lfht_find(struct cds_lfht *ht, unsigned long hash, cds_lfht_match_fct match,
				const void *key);
/* True when this call took it out. The caller frees it through rcu_later(). */
bool lfht_remove(struct cds_lfht *ht, struct cds_lfht_node *node);
/* The node that a walk stands on; NULL at the end. */
static inline struct cds_lfht_node *lfht_at(struct cds_lfht_iter *it)
{
	struct cds_lfht_node *node = cds_lfht_iter_get_node(it);

	if (node)
		RCU_TSAN_ACQUIRE(node);
	return node;
}

/* Walk: all nodes that stay in the table during the walk are seen. */
#define LFHT_FOREACH(ht, iter, node)                                                               \
	for (cds_lfht_first(ht, iter), node = lfht_at(iter); node;                                 \
	     cds_lfht_next(ht, iter), node = lfht_at(iter))

#endif
