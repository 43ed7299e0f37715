/*
 * bench/jsonw.h - writes one JSON value into an outbuf.
 *
 * Owner:  one thread.
 * Memory: the outbuf's.
 * Limits: JSONW_DEPTH levels of nesting; deeper is a bug of the caller and ends the program.
 */
#ifndef BENCH_JSONW_H
#define BENCH_JSONW_H
#include <stdbool.h>
#include <stdint.h>
#include "bench/outbuf.h"

enum { JSONW_DEPTH = 16 };

struct jsonw {
	struct outbuf *out;
	unsigned depth;
	bool used[JSONW_DEPTH]; /* has this level a member already */
};

/* Begins a value at the end of out, which keeps what it holds. */
void jsonw_init(struct jsonw *w, struct outbuf *out);

/* Objects and arrays. key is NULL inside arrays and at the top. */
void jsonw_open(struct jsonw *w, const char *key);
void jsonw_close(struct jsonw *w);
void jsonw_list(struct jsonw *w, const char *key);
void jsonw_list_end(struct jsonw *w);

/* Members. Text may hold any byte; what is not ASCII or printable becomes \u00XX. NaN becomes null.
 */
void jsonw_u64(struct jsonw *w, const char *key, uint64_t v);
void jsonw_num(struct jsonw *w, const char *key, double v, int digits);
void jsonw_str(struct jsonw *w, const char *key, const char *p, size_t n);

#endif
