#include "core/crc32c.h"

#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>

/* Bit by bit, as RFC 3720 B.4 describes it. */
static uint32_t slow(uint32_t crc, const unsigned char *p, size_t n)
{
	crc = ~crc;
	for (; n; p++, n--) {
		crc ^= *p;
		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

int main(void)
{
	unsigned char b[300];
	unsigned bad = 0;

	memset(b, 0, 32);
	is_int(crc32c(0, b, 32), 0x8a9136aa, "RFC 3720 B.4: 32 zeros");
	memset(b, 0xff, 32);
	is_int(crc32c(0, b, 32), 0x62a8ab43, "32 ones");
	for (unsigned i = 0; i < 32; i++)
		b[i] = (unsigned char)i;
	is_int(crc32c(0, b, 32), 0x46dd794e, "32 rising bytes");
	is_int(crc32c(0, "123456789", 9), 0xe3069283, "the check value");
	is_int(crc32c(0, NULL, 0), 0, "of nothing");
	srandom(1);
	for (unsigned i = 0; i < sizeof b; i++)
		b[i] = (unsigned char)random();
	for (size_t from = 0; from < 9; from++)
		for (size_t n = 0; n + from < sizeof b; n++)
			bad += crc32c(0, b + from, n) != slow(0, b + from, n);
	ok(!bad, "all lengths and alignments agree with the definition");
	for (size_t cut = 0; cut <= sizeof b; cut++)
		bad += crc32c(crc32c(0, b, cut), b + cut, sizeof b - cut) != slow(0, b, sizeof b);
	ok(!bad, "it can be taken in pieces");
	static unsigned char large[10000];
	for (unsigned i = 0; i < sizeof large; i++)
		large[i] = (unsigned char)random();
	for (size_t n = 3000; n < sizeof large; n += n % 1024 < 1000 ? 61 : 1)
		bad += crc32c(7, large, n) != slow(7, large, n);
	ok(!bad, "long runs, around each length at which lanes begin");
	return plan_done();
}
