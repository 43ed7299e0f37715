/*
 * bench/datascan.h - reads message content off the wire: finds its end, its id, and what is wrong
 * with it.
 *
 * Only CRLF.CRLF ends the content, RFC 5321 4.1.1.4; a bare CR or LF, a NUL or a line over 998
 * bytes is counted, the content goes on. The header fields X-SMX-ID and X-SMX-Check are taken from
 * the header section alone.
 *
 * Owner:  one thread.
 * Memory: inside the struct; keeps no pointer to what it was fed.
 */
#ifndef BENCH_DATASCAN_H
#define BENCH_DATASCAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bench/msgid.h"

enum { DATASCAN_LINE = 120, DATASCAN_LINE_MAX = 998 };

enum datascan_state {
	DATASCAN_BOL = 0,
	DATASCAN_DOT,
	DATASCAN_DOT_CR,
	DATASCAN_MID,
	DATASCAN_CR,
	DATASCAN_END
};

/* All zero is the beginning of a content. */
struct datascan {
	uint8_t state;
	bool in_body;      /* behind the empty line */
	bool raw;          /* BDAT: no dots, the caller knows the end */
	bool has_check;    /* X-SMX-Check was there */
	uint16_t head_n;   /* bytes in head */
	uint32_t line_n;   /* bytes of this line so far */
	uint32_t crc;      /* of the body without stuffed dots */
	uint32_t want_crc; /* from X-SMX-Check */
	uint32_t bare_cr, bare_lf, nul, long_lines, eight_bit;
	uint64_t bytes;           /* content without the final dot line and stuffed dots */
	uint64_t sent_usec;       /* from X-SMX-Check, monotonic; 0: none */
	struct msgid id;          /* number 0: none */
	char head[DATASCAN_LINE]; /* beginning of the header line that is coming in */
};

/* Eats content up to its end or n. Returns how many bytes; state is DATASCAN_END when it ended
 * there. */
size_t datascan_feed(struct datascan *d, const char *p, size_t n);

/* Was there a check sum and is it wrong. */
static inline bool datascan_corrupt(const struct datascan *d)
{
	return d->has_check && d->crc != d->want_crc;
}

#endif
