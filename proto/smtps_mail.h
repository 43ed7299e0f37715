/*
 * proto/smtps_mail.h - the MAIL command.
 *
 * Owner: the session's loop.
 * RFC:   5321 4.1.1.2, 1870, 6152, 3461 4.3 and 4.4, 6531 3.4; R 6.2.2.
 */
#ifndef PROTO_SMTPS_MAIL_H
#define PROTO_SMTPS_MAIL_H
#include "proto/smtps_slot.h"

/* args: what stands behind "MAIL". */
enum smtps_phase smtps_mail_verb(struct smtps_session *s, struct span args);
/* smar has answered: reply to the client. */
enum smtps_phase smtps_mail_settle(struct smtps_session *s, struct smtps_slot *sl);

#endif
