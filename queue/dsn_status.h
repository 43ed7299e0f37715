/*
 * queue/dsn_status.h - the part of a DSN that programs read: message/delivery-status.
 *
 * Pure. RFC: 3464 2 (fields), 3461 6.3 (ORCPT and ENVID decoded), 3463 (status), 6533 4 (UTF-8).
 */
#ifndef QUEUE_DSN_STATUS_H
#define QUEUE_DSN_STATUS_H
#include "queue/dsn_line.h"
#include "queue/dsn_text.h"

/* The fields, without a MIME header. DSN_UTF8: as message/global-delivery-status has them. 0 or
 * -ENOMEM. */
int dsn_status(const struct dsn_text *t, enum dsn_charset c, struct buf *out);

/* Did the host that was tried say this itself? */
bool dsn_status_is_remote(const struct dsn_rcpt *r);

#endif
