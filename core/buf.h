/*
 * core/buf.h - a growing byte buffer for socket input and output.
 *
 * Owner:  one thread at a time.
 * Memory: nothing while empty (an idle session holds no buffer); malloc'd, doubled, given back by
 *         buf_release().
 * Limits: the caller's; buf_room() refuses only without memory.
 */
#ifndef CORE_BUF_H
#define CORE_BUF_H
#include "core/span.h"

struct buf {
	char *p;
	uint32_t r; /* first unread byte */
	uint32_t w; /* behind the last one */
	uint32_t cap;
};

static inline size_t buf_len(const struct buf *b)
{
	return b->w - b->r;
}

static inline struct span buf_span(const struct buf *b)
{
	return (struct span){ b->p + b->r, b->w - b->r };
}

/* Room for n bytes behind the last one; NULL without memory or over 1 GB. Tell by buf_wrote(). */
char *buf_room(struct buf *b, size_t n);

static inline void buf_wrote(struct buf *b, size_t n)
{
	b->w += (uint32_t)n;
}

/* 0 or -ENOMEM. */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_add_span(struct buf *b, struct span s);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first n bytes are done. */
static inline void buf_eat(struct buf *b, size_t n)
{
	b->r += (uint32_t)n;
	if (b->r == b->w)
		b->r = b->w = 0;
}

/* Gives the memory back; unread bytes are dropped. */
void buf_release(struct buf *b);

#endif
