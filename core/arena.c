#include "core/arena.h"

#include <stdlib.h>

enum { FIRST_BYTES = 1024, LARGEST_BYTES = 16384 };

struct block {
	struct block *next;
};

struct arena {
	char *p;
	size_t left;
	size_t next_bytes;
	size_t total;
	struct block *blocks;
};

struct arena *arena_new(void)
{
	struct arena *a = malloc(FIRST_BYTES);

	if (a)
		*a = (struct arena){ .p = (char *)(a + 1),
				     .left = FIRST_BYTES - sizeof *a,
				     .next_bytes = 2 * FIRST_BYTES,
				     .total = FIRST_BYTES };
	return a;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	for (struct block *b = a->blocks; b;) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
	free(a);
}

static bool more(struct arena *a, size_t bytes)
{
	size_t want = a->next_bytes;

	if (bytes + sizeof(struct block) > want)
		want = bytes + sizeof(struct block);
	else if (a->next_bytes < LARGEST_BYTES)
		a->next_bytes *= 2;
	struct block *b = malloc(want);
	if (!b)
		return false;
	b->next = a->blocks;
	a->blocks = b;
	a->p = (char *)(b + 1);
	a->left = want - sizeof *b;
	a->total += want;
	return true;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + 7) & ~(size_t)7;
	if (bytes > a->left && !more(a, bytes))
		return NULL;
	void *p = a->p;
	a->p += bytes;
	a->left -= bytes;
	return p;
}

struct span arena_span(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (!p)
		return (struct span){ NULL, 0 };
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return span_of(p, s.n);
}

char *arena_str(struct arena *a, const char *s)
{
	return (char *)arena_span(a, span_str(s)).p;
}

size_t arena_bytes(const struct arena *a)
{
	return a->total;
}
