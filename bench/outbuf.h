/*
 * bench/outbuf.h - a growing byte buffer for commands, replies and reports.
 *
 * Owner:  whoever holds it; one thread at a time.
 * Memory: grows by doubling and never shrinks; out of memory ends the program, which is a test
 *         tool.
 */
#ifndef BENCH_OUTBUF_H
#define BENCH_OUTBUF_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* All zero is an empty buffer. Readers use p and n, the rest is private. */
struct outbuf {
	char *p;
	size_t n;
	size_t cap;
};

/* Makes room for n more bytes and returns where they go; the caller adds what it wrote to b->n. */
char *outbuf_reserve(struct outbuf *b, size_t n);

/* Append bytes, a string, a decimal number, formatted text. */
void outbuf_mem(struct outbuf *b, const void *p, size_t n);
void outbuf_u64(struct outbuf *b, uint64_t v);
void outbuf_fmt(struct outbuf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), nonnull(2)));

static inline void outbuf_str(struct outbuf *b, const char *s)
{
	outbuf_mem(b, s, strlen(s));
}

/* Drops the first n bytes and moves the rest to the front. */
void outbuf_drop(struct outbuf *b, size_t n);

/* Gives the memory back; the buffer is empty afterwards and may be used again. */
void outbuf_free(struct outbuf *b);

#endif
