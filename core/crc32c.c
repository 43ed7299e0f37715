#include "core/crc32c.h"

#include <string.h>

enum { LANE = 1024 };

static uint32_t table[8][256];
static uint32_t behind[4][256]; /* what LANE zero bytes make of each byte of a register */

/* CRCs are linear: of single bits first, then their sums. */
static void lane_init(void)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t c = 1u << bit;

		for (int n = 0; n < LANE; n++)
			c = (c >> 8) ^ table[0][c & 255];
		for (unsigned i = 0; i < 256; i++)
			if (i >> (bit % 8) & 1)
				behind[bit / 8][i] ^= c;
	}
}

__attribute__((constructor)) static void table_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			table[t][i] = (table[t - 1][i] >> 8) ^ table[0][table[t - 1][i] & 255];
	lane_init();
}

static uint32_t by_table(uint32_t c, const unsigned char *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		uint32_t lo = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
				   (uint32_t)p[3] << 24);

		c = table[7][lo & 255] ^ table[6][(lo >> 8) & 255] ^ table[5][(lo >> 16) & 255] ^
		    table[4][lo >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^
		    table[0][p[7]];
	}
	for (; n; p++, n--)
		c = (c >> 8) ^ table[0][(c ^ *p) & 255];
	return c;
}

#if defined(__x86_64__)
static uint32_t over_lane(uint64_t c)
{
	return behind[0][c & 255] ^ behind[1][(c >> 8) & 255] ^ behind[2][(c >> 16) & 255] ^
	       behind[3][(c >> 24) & 255];
}

/* One instruction waits three cycles for the one before it: three lanes keep it busy. */
__attribute__((target("sse4.2"))) static uint64_t three_lanes(uint64_t c, const unsigned char *p)
{
	uint64_t c1 = 0, c2 = 0, v[3];

	for (size_t i = 0; i < LANE; i += 8) {
		memcpy(&v[0], p + i, 8);
		memcpy(&v[1], p + LANE + i, 8);
		memcpy(&v[2], p + 2 * LANE + i, 8);
		c = __builtin_ia32_crc32di(c, v[0]);
		c1 = __builtin_ia32_crc32di(c1, v[1]);
		c2 = __builtin_ia32_crc32di(c2, v[2]);
	}
	return over_lane(over_lane(c) ^ c1) ^ c2;
}

__attribute__((target("sse4.2"))) static uint32_t by_sse42(uint32_t c, const unsigned char *p,
							   size_t n)
{
	uint64_t c64 = c;

	for (; n >= 3 * LANE; p += 3 * LANE, n -= 3 * LANE)
		c64 = three_lanes(c64, p);

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		c64 = __builtin_ia32_crc32di(c64, v);
	}
	c = (uint32_t)c64;
	for (; n; p++, n--)
		c = __builtin_ia32_crc32qi(c, *p);
	return c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	crc = ~crc;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~by_sse42(crc, p, n);
#endif
	return ~by_table(crc, p, n);
}
