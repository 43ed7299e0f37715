/*
 * core/arena.h - memory that is freed all at once: one arena per session or transaction.
 *
 * Owner:  one thread at a time.
 * Memory: blocks of 1 KB, growing to 16 KB, from malloc (its thread caches serve them without a
 *         lock).
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H
#include "core/span.h"

struct arena;

/* An empty arena of 1 KB, or NULL without memory. */
struct arena *arena_new(void);
/* Frees all that came from it; a may be NULL. */
void arena_free(struct arena *a);
/* Aligned to 8, or NULL without memory. Valid until arena_free(). */
void *arena_alloc(struct arena *a, size_t bytes);
/* A copy of s with a NUL behind it; .p is NULL without memory. */
struct span arena_span(struct arena *a, struct span s);
char *arena_str(struct arena *a, const char *s);
/* Bytes taken from the system, to hold a session to its limit. */
size_t arena_bytes(const struct arena *a);

#endif
