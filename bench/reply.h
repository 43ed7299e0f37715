/*
 * bench/reply.h - reads SMTP and LMTP replies, RFC 5321 4.2, from a server that may misbehave.
 *
 * Owner:  one thread.
 * Memory: inside the struct; keeps no pointer to what it was fed.
 * Limits: a line of REPLY_LINE bytes, 128 lines in a reply; more is -EPROTO.
 */
#ifndef BENCH_REPLY_H
#define BENCH_REPLY_H
#include <stddef.h>
#include <stdint.h>

enum { REPLY_LINE = 1024, REPLY_TEXT = 160 };

/* What EHLO offered, gathered over the lines of every reply. */
enum {
	REPLY_PIPELINING = 1,
	REPLY_CHUNKING = 2,
	REPLY_8BITMIME = 4,
	REPLY_SMTPUTF8 = 8,
	REPLY_DSN = 16
};

/* All zero is ready. After a whole reply: code, offers, and for 4yz and 5yz text (last line, NUL
 * ended, printable). */
struct reply {
	uint16_t code;
	uint8_t lines;
	uint8_t whole;
	uint8_t offers;
	uint16_t partial_n;
	char text[REPLY_TEXT];
	char *partial; /* a line whose end has not come yet; allocated only when that happens */
};

/*
 * Eats bytes until one reply is whole. used: how many it took. 1: whole, 0: wants more, -EPROTO:
 * not a reply, or -ENOMEM. The next call after 1 begins the next reply.
 */
int reply_feed(struct reply *r, const char *p, size_t n, size_t *used);

/* Forgets everything, for a new connection. */
void reply_reset(struct reply *r);

#endif
