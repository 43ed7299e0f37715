#include "core/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_CAP = 512, LARGEST_CAP = 1 << 30 };

char *buf_room(struct buf *b, size_t n)
{
	if (n > LARGEST_CAP)
		return NULL;
	if (b->p && b->cap - b->w >= n)
		return b->p + b->w;
	size_t len = buf_len(b);
	if (len + n <= b->cap) {
		memmove(b->p, b->p + b->r, len);
	} else {
		size_t cap = b->cap ? b->cap : FIRST_CAP;

		while (cap < len + n)
			cap *= 2;
		if (cap > LARGEST_CAP)
			return NULL;
		char *p = malloc(cap);
		if (!p)
			return NULL;
		if (len)
			memcpy(p, b->p + b->r, len);
		free(b->p);
		b->p = p;
		b->cap = (uint32_t)cap;
	}
	b->r = 0;
	b->w = (uint32_t)len;
	return b->p + b->w;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
	if (!n)
		return 0;
	char *to = buf_room(b, n);
	if (!to)
		return -ENOMEM;
	memcpy(to, p, n);
	buf_wrote(b, n);
	return 0;
}

int buf_add_span(struct buf *b, struct span s)
{
	return buf_add(b, s.p, s.n);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char small[512];

	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	if ((size_t)n < sizeof small)
		return buf_add(b, small, (size_t)n);
	char *to = buf_room(b, (size_t)n + 1);
	if (!to)
		return -ENOMEM;
	va_start(ap, fmt);
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf_wrote(b, (size_t)n);
	return 0;
}

void buf_release(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}
