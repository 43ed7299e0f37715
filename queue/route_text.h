/*
 * queue/route_text.h - routes as an operator writes and reads them: "[192.0.2.1]:25", "lmtp:",
 * "discard:".
 *
 * Pure. Grammar: [MAILER:]HOST[,HOST...] as in a mailertable; MAILER is esmtp (default), lmtp or
 * discard; HOST is an address in brackets, maybe with :PORT; "lmtp:" alone is the local socket.
 */
#ifndef QUEUE_ROUTE_TEXT_H
#define QUEUE_ROUTE_TEXT_H
#include "core/buf.h"
#include "core/route.h"

/* 0, or -EINVAL and why (cap bytes). */
int route_text_parse(struct span text, struct route *out, char *why, size_t cap);
/* Appends the text; of no route "none". 0 or -ENOMEM. */
int route_text_put(const struct route *r, struct buf *out);

#endif
