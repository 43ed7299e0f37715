/*
 * queue/listing.h - queued messages as text (like the familiar sendmail listing), as JSON objects,
 * in full.
 *
 * Thread: inside a read section.
 * Memory: appends to out; all return 0 or -ENOMEM.
 * Form:   idx are the recipients to show, of one message. Foreign text is made harmless for a
 *         terminal.
 */
#ifndef QUEUE_LISTING_H
#define QUEUE_LISTING_H
#include "core/buf.h"
#include "queue/aq.h"

/* The line above the first message. */
int listing_head(struct buf *out);
/* A line for the message and one or two for each recipient: its last reply, its address. */
int listing_text(const struct ta *ta, const uint32_t *idx, unsigned count, struct buf *out);
/* One object in one line. */
int listing_json(const struct ta *ta, const uint32_t *idx, unsigned count, struct buf *out);
/* All that is known, one line for each fact. */
int listing_show(const struct ta *ta, const uint32_t *idx, unsigned count, struct buf *out);
/* The same of a transaction as it was accepted, all its recipients, without what became of them. */
int listing_envelope(const struct ta *ta, struct buf *out);
/* s in quotes, escaped for JSON. */
int listing_json_string(struct span s, struct buf *out);
/* Foreign text, cut; control bytes as %XX. */
int listing_harmless(struct span s, struct buf *out);
/* "2d3h", "5m12s": the two largest units. */
int listing_duration(usec_t usec, struct buf *out);

#endif
