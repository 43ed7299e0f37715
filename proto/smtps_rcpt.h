/*
 * proto/smtps_rcpt.h - the RCPT command.
 *
 * Owner: the session's loop.
 * RFC:   5321 4.1.1.3, 4.5.1 (Postmaster), 4.5.3.1.8, 3461 4.1 and 4.2, 6531.
 */
#ifndef PROTO_SMTPS_RCPT_H
#define PROTO_SMTPS_RCPT_H
#include "proto/smtps_slot.h"

/* args: what stands behind "RCPT". False: it must wait for the answers before it. */
bool smtps_rcpt_verb(struct smtps_session *s, struct span args);
/* smar has answered, or the command was refused without it: reply to the client. */
enum smtps_phase smtps_rcpt_settle(struct smtps_session *s, struct smtps_slot *sl);

#endif
