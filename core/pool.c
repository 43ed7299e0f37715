#include "core/pool.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { SLAB_BYTES = 65536, SLAB_HEAD = 16 };

void pool_init(struct pool *p, size_t object_bytes, size_t max_count)
{
	size_t b = object_bytes < sizeof(void *) ? sizeof(void *) : object_bytes;

	*p = (struct pool){ .bytes = (b + 15) & ~(size_t)15, .max_count = max_count };
}

static size_t per_slab(const struct pool *p)
{
	size_t n = (SLAB_BYTES - SLAB_HEAD) / p->bytes;

	return n ? n : 1;
}

void pool_free(struct pool *p)
{
	void *s = p->slabs;

	while (s) {
		void *next = *(void **)s;

		ASAN_UNPOISON_MEMORY_REGION(s, SLAB_HEAD + per_slab(p) * p->bytes);
		free(s);
		s = next;
	}
	p->slabs = p->free_list = NULL;
	p->used_count = 0;
}

static void grow(struct pool *p)
{
	size_t per = per_slab(p);
	char *s = aligned_alloc(16, SLAB_HEAD + per * p->bytes);
	if (!s)
		return;
	*(void **)s = p->slabs;
	p->slabs = s;
	for (size_t i = per; i-- > 0;) {
		char *o = s + SLAB_HEAD + i * p->bytes;

		*(void **)o = p->free_list;
		p->free_list = o;
		ASAN_POISON_MEMORY_REGION(o + sizeof(void *), p->bytes - sizeof(void *));
	}
}

void *pool_get(struct pool *p)
{
	if (p->used_count >= p->max_count)
		return NULL;
	if (!p->free_list)
		grow(p);
	void *o = p->free_list;
	if (!o)
		return NULL;
	p->free_list = *(void **)o;
	p->used_count++;
	ASAN_UNPOISON_MEMORY_REGION(o, p->bytes);
	return o;
}

void *pool_get_zero(struct pool *p)
{
	void *o = pool_get(p);

	if (o)
		memset(o, 0, p->bytes);
	return o;
}

void pool_put(struct pool *p, void *own)
{
	*(void **)own = p->free_list;
	p->free_list = own;
	p->used_count--;
	ASAN_POISON_MEMORY_REGION((char *)own + sizeof(void *), p->bytes - sizeof(void *));
}
