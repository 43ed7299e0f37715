/*
 * core/span.h - a piece of somebody else's memory: pointer and length, never ended by NUL.
 *
 * Memory: a span owns nothing. ASCII only: no function here looks at the locale.
 */
#ifndef CORE_SPAN_H
#define CORE_SPAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

#define SPAN(lit) ((struct span){ (lit), sizeof(lit) - 1 })

static inline struct span span_of(const void *p, size_t n)
{
	return (struct span){ p, n };
}

static inline struct span span_str(const char *s)
{
	return (struct span){ s, s ? strlen(s) : 0 };
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

/* The part from byte `from` on; empty when there is none. */
static inline struct span span_from(struct span s, size_t from)
{
	return from < s.n ? (struct span){ s.p + from, s.n - from } : (struct span){ s.p + s.n, 0 };
}

static inline struct span span_head(struct span s, size_t n)
{
	return (struct span){ s.p, n < s.n ? n : s.n };
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline bool ascii_isdigit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_isalnum(char c)
{
	char l = ascii_lower(c);

	return (l >= 'a' && l <= 'z') || ascii_isdigit(c);
}

/* Equal without regard to ASCII case. */
bool span_caseeq(struct span a, struct span b);
bool span_startswith(struct span s, struct span prefix);
bool span_casestartswith(struct span s, struct span prefix);
bool span_endswith(struct span s, struct span suffix);

/* Index of the first c, or s.n. span_rchr: of the last one, or s.n. */
size_t span_chr(struct span s, char c);
size_t span_rchr(struct span s, char c);

/* Index of the first needle, or s.n. */
size_t span_find(struct span s, struct span needle);

/* Without spaces and tabs at both ends. */
struct span span_trim(struct span s);

/* The next word before any of the bytes in `sep`; moves *rest behind it. Empty when none is left.
 */
struct span span_word(struct span *rest, const char *sep);

/* All of s as a decimal number up to max. 0, -EINVAL (not only digits, empty), -ERANGE. */
int span_u64(struct span s, uint64_t max, uint64_t *out);

/* Keyed hash for tables whose keys come from the network; the key is random per process. Any
 * thread. */
uint64_t span_hash(struct span s);
/* The same for ASCII without regard to case. */
uint64_t span_casehash(struct span s);
/* Mixes a number into a hash (ids, addresses). */
uint64_t hash_mix(uint64_t h, uint64_t v);

/* Copy with a NUL behind it into dst of size cap, cut when too long. Returns the bytes copied. */
size_t span_cstr(struct span s, char *dst, size_t cap);

#endif
