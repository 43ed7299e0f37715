/*
 * core/pool.h - fixed-size objects of one thread, and memory blocks that sessions lend from it.
 *
 * Owner:  the thread that made it; no lock. An object goes back to the pool it came from.
 * Memory: slabs are kept until pool_free(); freed objects are poisoned under AddressSanitizer.
 * Limits: max_count objects in use; then pool_get() is NULL, which is a normal state for its
 *         callers.
 */
#ifndef CORE_POOL_H
#define CORE_POOL_H
#include <stddef.h>

struct pool {
	size_t bytes;
	size_t max_count;
	size_t used_count;
	void *free_list;
	void *slabs;
};

/* An empty pool; the struct is embedded in its user. */
void pool_init(struct pool *p, size_t object_bytes, size_t max_count);
/* Gives all memory back, whatever is still in use. */
void pool_free(struct pool *p);
/* An object with undefined content, aligned to 16, or NULL at the ceiling. */
void *pool_get(struct pool *p);
/* The same, zeroed. */
void *pool_get_zero(struct pool *p);
void pool_put(struct pool *p, void *own);

#endif
