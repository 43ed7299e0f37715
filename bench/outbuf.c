#include "bench/outbuf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

enum { OUTBUF_FIRST = 1024 };

char *outbuf_reserve(struct outbuf *b, size_t n)
{
	if (b->cap - b->n < n) {
		size_t cap = b->cap ? b->cap : OUTBUF_FIRST;
		while (cap - b->n < n)
			cap *= 2;
		char *p = realloc(b->p, cap);
		if (!p) {
			fprintf(stderr, "out of memory\n");
			exit(EX_OSERR);
		}
		b->p = p;
		b->cap = cap;
	}
	return b->p + b->n;
}

void outbuf_mem(struct outbuf *b, const void *p, size_t n)
{
	if (n) {
		memcpy(outbuf_reserve(b, n), p, n);
		b->n += n;
	}
}

void outbuf_u64(struct outbuf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	outbuf_mem(b, digits + at, sizeof(digits) - at);
}

void outbuf_fmt(struct outbuf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n <= 0)
		return;
	char *p = outbuf_reserve(b, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

void outbuf_drop(struct outbuf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void outbuf_free(struct outbuf *b)
{
	free(b->p);
	*b = (struct outbuf){ 0 };
}
