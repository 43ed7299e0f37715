/*
 * queue/dsn_qp.h - quoted-printable of lines in wire form.
 *
 * Pure. RFC: 2045 6.7.
 */
#ifndef QUEUE_DSN_QP_H
#define QUEUE_DSN_QP_H
#include "core/buf.h"

/* in: CRLF lines with stuffed dots. What is appended has no line that begins with a dot, none over 76,
 * and is 7 bit. 0 or -ENOMEM. */
int dsn_qp(struct span in, struct buf *out);

#endif
