#include "core/span.h"

#include <errno.h>
#include <sys/random.h>

bool span_caseeq(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (a.p[i] != b.p[i] && ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

bool span_startswith(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq(span_head(s, prefix.n), prefix);
}

bool span_casestartswith(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_caseeq(span_head(s, prefix.n), prefix);
}

bool span_endswith(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq(span_from(s, s.n - suffix.n), suffix);
}

size_t span_chr(struct span s, char c)
{
	const char *q = s.n ? memchr(s.p, c, s.n) : NULL;

	return q ? (size_t)(q - s.p) : s.n;
}

size_t span_rchr(struct span s, char c)
{
	const char *q = s.n ? memrchr(s.p, c, s.n) : NULL;

	return q ? (size_t)(q - s.p) : s.n;
}

size_t span_find(struct span s, struct span needle)
{
	const char *q = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;

	return q ? (size_t)(q - s.p) : s.n;
}

struct span span_trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static bool in_set(char c, const char *set)
{
	return c && strchr(set, c);
}

struct span span_word(struct span *rest, const char *sep)
{
	struct span s = *rest;
	size_t i = 0;

	while (s.n && in_set(s.p[0], sep)) {
		s.p++;
		s.n--;
	}
	while (i < s.n && !in_set(s.p[i], sep))
		i++;
	*rest = span_from(s, i);
	return span_head(s, i);
}

int span_u64(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!s.n)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_isdigit(s.p[i]))
			return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t d = (uint64_t)(s.p[i] - '0');

		if (v > (max - d) / 10 || d > max)
			return -ERANGE;
		v = v * 10 + d;
	}
	*out = v;
	return 0;
}

static uint64_t hash_key[2];

__attribute__((constructor)) static void hash_key_init(void)
{
	if (getrandom(hash_key, sizeof hash_key, 0) != sizeof hash_key)
		hash_key[0] = 0x9e3779b97f4a7c15ull;
}

static uint64_t fold_product(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* One product alone leaves rising numbers in few buckets for one key in a hundred. */
uint64_t hash_mix(uint64_t h, uint64_t v)
{
	return fold_product(fold_product(h ^ v ^ hash_key[0], hash_key[1] | 1),
			    0x9e3779b97f4a7c15ull);
}

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIPROUND                                                                                   \
	do {                                                                                       \
		v0 += v1, v1 = ROTL(v1, 13), v1 ^= v0, v0 = ROTL(v0, 32);                          \
		v2 += v3, v3 = ROTL(v3, 16), v3 ^= v2;                                             \
		v0 += v3, v3 = ROTL(v3, 21), v3 ^= v0;                                             \
		v2 += v1, v1 = ROTL(v1, 17), v1 ^= v2, v2 = ROTL(v2, 32);                          \
	} while (0)

/* SipHash-1-3: what languages use for tables with hostile keys. */
static uint64_t siphash13(struct span s, bool fold)
{
	uint64_t v0 = hash_key[0] ^ 0x736f6d6570736575ull, v1 = hash_key[1] ^ 0x646f72616e646f6dull;
	uint64_t v2 = hash_key[0] ^ 0x6c7967656e657261ull, v3 = hash_key[1] ^ 0x7465646279746573ull;
	uint64_t m = 0;
	size_t i = 0;

	for (; i + 8 <= s.n; i += 8) {
		memcpy(&m, s.p + i, 8);
		if (fold) {
			char b[8];

			memcpy(b, &m, 8);
			for (int k = 0; k < 8; k++)
				b[k] = ascii_lower(b[k]);
			memcpy(&m, b, 8);
		}
		v3 ^= m;
		SIPROUND;
		v0 ^= m;
	}
	m = (uint64_t)s.n << 56;
	for (unsigned sh = 0; i < s.n; i++, sh += 8)
		m |= (uint64_t)(uint8_t)(fold ? ascii_lower(s.p[i]) : s.p[i]) << sh;
	v3 ^= m;
	SIPROUND;
	v0 ^= m;
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

uint64_t span_hash(struct span s)
{
	return siphash13(s, false);
}

uint64_t span_casehash(struct span s)
{
	return siphash13(s, true);
}

size_t span_cstr(struct span s, char *dst, size_t cap)
{
	size_t n = s.n < cap ? s.n : cap - 1;

	if (n)
		memcpy(dst, s.p, n);
	dst[n] = 0;
	return n;
}
