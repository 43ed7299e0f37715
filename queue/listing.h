/*
 * queue/listing.h - one queued message as text (like the familiar sendmail listing) or as a JSON object.
 *
 * Thread: inside a read section. Memory: appends to out.
 */
#ifndef QUEUE_LISTING_H
#define QUEUE_LISTING_H
#include "core/buf.h"
#include "queue/aq.h"

/* Two lines and one per recipient that is not finished. 0 or -ENOMEM. */
int listing_text(struct ta *ta, struct buf *out);
/* One object in one line: id, size, arrival, sender, recipients. */
int listing_json(struct ta *ta, struct buf *out);

#endif
