/*
 * queue/dsn_text.h - the text of a delivery status notification, in wire form (CRLF lines, dots
 * stuffed).
 *
 * Pure: no clock, no I/O. Foreign text (addresses, replies) is made harmless, queue/dsn_line.h.
 * Form:   R 10.4, or with `mime` a multipart/report of RFC 3464 and RFC 6522.
 * 8 bit:  what goes to an ASCII address needs no SMTPUTF8 and, but for a whole message with 8-bit
 *         bytes, is 7 bit: addresses in their 7-bit form, the rest quoted-printable. What goes to an
 *         address with UTF-8 has UTF-8 as it is (RFC 6533 4: message/global-delivery-status).
 */
#ifndef QUEUE_DSN_TEXT_H
#define QUEUE_DSN_TEXT_H
#include "core/addr.h"
#include "core/buf.h"
#include "core/clock.h"
#include "queue/dsn.h"

struct dsn_rcpt {
	struct span addr;
	struct span orcpt;  /* as in the envelope */
	struct span reply;  /* last one, may be empty */
	struct addr remote; /* who said it; family ADDR_NONE: we did */
	uint8_t stage;      /* enum msg_stage */
	usec_t wall_last;
};

struct dsn_text {
	const char *hostname;
	struct span sender; /* who gets it */
	struct span envid;  /* as in the envelope */
	uint64_t id;        /* of the DSN, for the Message-ID */
	uint64_t about;     /* of the message */
	uint64_t random;    /* for the boundary; another one is taken when the original has it */
	usec_t wall_now, wall_arrival, wall_until;
	enum dsn_kind kind;
	bool mime;
	bool whole;           /* original: all of it, else its header section */
	bool global;          /* the original came with SMTPUTF8 */
	struct span original; /* in wire form, ends in CRLF; empty: it cannot be read */
	bool damaged;         /* and why: its content is damaged */
	const struct dsn_rcpt *rcpt;
	unsigned count;
};

/* Appends all of it. *utf8: it needs SMTPUTF8. 0 or -ENOMEM. */
int dsn_text(const struct dsn_text *t, struct buf *out, bool *utf8);

/* The same DSN for a host that does not take it as it is: with the header of the original instead of
 * the whole, and in 7 bits when utf8 is false. 0, -ENOENT (it is that small already), -ENOMEM. */
int dsn_text_small(struct span text, bool utf8, struct buf *out);

#endif
