/*
 * queue/dsn_text.h - the text of a delivery status notification, as lines that end in CRLF, dots
 * not stuffed.
 *
 * Pure: no clock, no I/O. Foreign text (addresses, replies) is made harmless: printable ASCII or
 * UTF-8, no line longer than 900 bytes.
 */
#ifndef QUEUE_DSN_TEXT_H
#define QUEUE_DSN_TEXT_H
#include "core/buf.h"
#include "core/clock.h"
#include "queue/dsn.h"

struct dsn_rcpt {
	struct span addr;
	struct span orcpt;
	struct span reply; /* last one, may be empty */
	uint8_t stage;     /* enum msg_stage */
	usec_t wall_last;
};

struct dsn_text {
	const char *hostname;
	struct span sender; /* who gets it */
	struct span envid;
	uint64_t id;    /* of the DSN, for the Message-ID */
	uint64_t about; /* of the message */
	usec_t wall_now, wall_arrival, wall_until;
	enum dsn_kind kind;
	bool mime;
	bool whole; /* original: content follows whole, else headers only */
	const struct dsn_rcpt *rcpt;
	unsigned count;
};

/* Head of the message, human part, and with mime the delivery-status part, up to where the original
 * begins. 0 or -ENOMEM. */
int dsn_text_head(const struct dsn_text *t, struct buf *out);
/* What follows the original. */
int dsn_text_tail(const struct dsn_text *t, struct buf *out);

#endif
