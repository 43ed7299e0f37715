/*
 * proto/smtpc_command.h - the text of MAIL and RCPT, and what a message needs of its next hop.
 *
 * Owner: any thread; no state, no I/O. Nothing is sent that was not offered.
 * RFC:   5321 4.1.1.2 and 4.1.1.3, 1870 6.1 (SIZE=), 6152 (BODY=), 3030 3 (BINARYMIME), 6531 3.4
 *        (SMTPUTF8), 3461 4 and 5.2.1 (RET, ENVID, NOTIFY, ORCPT), 9422 (LIMITS).
 */
#ifndef PROTO_SMTPC_COMMAND_H
#define PROTO_SMTPC_COMMAND_H
#include "proto/ehlo.h"
#include "proto/smtpc_job.h"

/* Sets the outcome of recipients that cannot be served by a hop with these capabilities (`FAILED`
 * at CONTENT: size, 8-bit, binary, SMTPUTF8). Marks those that are not to be named in the next
 * transaction: who has an outcome, and more than the hop takes at once. */
void smtpc_command_check(struct smtpc_job *j, const struct ehlo *e, bool send_8bit);

/* "MAIL FROM:<...> ...\r\n". 0 or -ENOMEM. */
int smtpc_command_mail(const struct smtpc_job *j, const struct ehlo *e, struct buf *out);
/* "RCPT TO:<...> ...\r\n". 0 or -ENOMEM. */
int smtpc_command_rcpt(const struct smtpc_job *j, const struct ehlo *e, uint32_t i,
		       struct buf *out);

#endif
