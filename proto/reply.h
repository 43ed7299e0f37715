/*
 * proto/reply.h - reads the replies of SMTP and LMTP servers, in pieces of any size.
 *
 * Owner:  one thread.
 * Memory: all inside the struct; keeps no pointer to what it was fed.
 * Limits: REPLY_LINE_MAX bytes of a line, REPLY_LINES_MAX lines and REPLY_TEXT_MAX bytes of text
 *         are kept, the rest is skipped; a reply over REPLY_BYTES_MAX bytes is cut off.
 * RFC:    5321 4.2, 4.2.1, 4.3.2, 4.5.3.1.5 (lines of 512 octets); 2034, 3463 (enhanced codes). A
 *         bare LF ends a line too: being strict here would only lose mail.
 */
#ifndef PROTO_REPLY_H
#define PROTO_REPLY_H
#include "core/span.h"

enum {
	REPLY_LINE_MAX = 512,
	REPLY_LINES_MAX = 100,
	REPLY_TEXT_MAX = 1000,
	REPLY_BYTES_MAX = 128 << 10
};

/* By the first digit alone, RFC 5321 4.2.1. */
enum reply_class { REPLY_BAD = 0, REPLY_YES = 2, REPLY_GO_ON = 3, REPLY_LATER = 4, REPLY_NO = 5 };

/* All zero is ready for the first reply. */
struct reply {
	uint16_t code;   /* 0: not known yet, or not a reply */
	bool whole;      /* the next byte begins another reply */
	bool line_whole; /* ... another line */
	uint32_t line_count;
	uint32_t byte_count;
	uint16_t line_n;           /* bytes in line */
	uint16_t text_n;           /* bytes in text */
	char line[REPLY_LINE_MAX]; /* as it came, without its end */
	char text[REPLY_TEXT_MAX]; /* "550 5.1.1 no such user", printable, lines joined by " / " */
};

enum reply_event { REPLY_MORE = 0, REPLY_LINE, REPLY_DONE };

/*
 * reply_feed - eats bytes from *in up to the end of one line. Returns REPLY_MORE (*in is empty),
 * REPLY_LINE (a line that is not the last; see reply_line()), REPLY_DONE (the last one; code and
 * text are complete), -EPROTO (not a reply, or its lines differ in their code; text shows it),
 * -EMSGSIZE (endless). After an error the stream is out of step: only closing is left.
 */
int reply_feed(struct reply *r, struct span *in);

/* Forgets everything, for a new connection. */
void reply_reset(struct reply *r);

/* What stands behind the code in the line just eaten; valid until the next call. */
struct span reply_line(const struct reply *r);

static inline enum reply_class reply_class(const struct reply *r)
{
	return (enum reply_class)(r->code / 100);
}

/* Code and text, for logs and DSNs. */
static inline struct span reply_text(const struct reply *r)
{
	return span_of(r->text, r->text_n);
}

/* "5.1.1" of the first line, if it fits the code (RFC 2034 4); else empty. */
struct span reply_enhanced(const struct reply *r);

#endif
