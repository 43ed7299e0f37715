#include "queue/store_key.h"

#include <endian.h>
#include <string.h>

static void key_u64(struct store_key *k, uint64_t v)
{
	v = htobe64(v);
	memcpy(k->b + k->n, &v, 8);
	k->n += 8;
}

static void key_u32(struct store_key *k, uint32_t v)
{
	v = htobe32(v);
	memcpy(k->b + k->n, &v, 4);
	k->n += 4;
}

struct store_key store_key_ta(uint64_t ta)
{
	struct store_key k = { .n = 0 };

	key_u64(&k, ta);
	return k;
}

struct store_key store_key_rcpt(uint64_t ta, uint32_t idx)
{
	struct store_key k = store_key_ta(ta);

	key_u32(&k, idx);
	return k;
}

struct store_key store_key_due(usec_t wall, uint64_t ta, uint32_t idx)
{
	struct store_key k = { .n = 0 };

	key_u64(&k, (uint64_t)wall);
	key_u64(&k, ta);
	key_u32(&k, idx);
	return k;
}

struct store_key store_key_word(const char *word)
{
	struct store_key k;

	k.n = (uint8_t)span_cstr(span_str(word), k.b, sizeof k.b);
	return k;
}

struct store_key store_key_segment(uint64_t seg)
{
	struct store_key k = { .b = "\x01s", .n = 2 };

	key_u64(&k, seg);
	return k;
}

struct store_key store_key_file(uint64_t ta)
{
	struct store_key k = { .b = "\x01"
				    "f",
			       .n = 2 };

	key_u64(&k, ta);
	return k;
}

struct store_key store_key_suspension(uint64_t number)
{
	struct store_key k = { .b = "\x01p", .n = 2 };

	key_u64(&k, number);
	return k;
}

struct store_key store_key_park(uint64_t park)
{
	struct store_key k = { .b = "\x01"
				    "d",
			       .n = 2 };

	key_u64(&k, park);
	return k;
}

struct store_key store_key_parked(uint64_t park, uint64_t ta, uint32_t idx)
{
	struct store_key k = { .n = 0 };

	key_u64(&k, park);
	key_u64(&k, ta);
	key_u32(&k, idx);
	return k;
}

static uint64_t read_u64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return be64toh(v);
}

static uint32_t read_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return be32toh(v);
}

bool store_key_parse(struct span key, uint64_t *ta, uint32_t *idx, bool *is_rcpt)
{
	if (key.n != 8 && key.n != 12)
		return false;
	*ta = read_u64(key.p);
	*is_rcpt = key.n == 12;
	*idx = *is_rcpt ? read_u32(key.p + 8) : 0;
	return true;
}

bool store_key_due_parse(struct span key, usec_t *wall, uint64_t *ta, uint32_t *idx)
{
	if (key.n != 20)
		return false;
	*wall = (usec_t)read_u64(key.p);
	*ta = read_u64(key.p + 8);
	*idx = read_u32(key.p + 16);
	return true;
}

bool store_key_parked_parse(struct span key, uint64_t *park, uint64_t *ta, uint32_t *idx)
{
	usec_t first;

	if (!store_key_due_parse(key, &first, ta, idx))
		return false;
	*park = (uint64_t)first;
	return true;
}

bool store_key_park_parse(struct span key, uint64_t *park)
{
	if (key.n != 10 || key.p[0] != 1 || key.p[1] != 'd')
		return false;
	*park = read_u64(key.p + 2);
	return true;
}
