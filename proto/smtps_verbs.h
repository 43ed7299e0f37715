/*
 * proto/smtps_verbs.h - the table of commands: where each is legal and who handles it.
 *
 * Owner: the session's loop.
 * RFC:   5321 4.1.1, 4.1.4, 4.3.2.
 */
#ifndef PROTO_SMTPS_VERBS_H
#define PROTO_SMTPS_VERBS_H
#include "proto/smtps_reply.h"
#include "proto/smtps_session.h"

/* Runs one command line, given without CRLF. False: it must wait for the answers of those before
 * it. */
bool smtps_verbs_run(struct smtps_session *s, struct span line);

/* Replies to what is no command, or none that is legal here, logs and counts it; 421 after the
 * limits of R 3.10, items 7 and 10. */
void smtps_verbs_bad(struct smtps_session *s, enum smtps_reply r);

/* The same for the rest of a group whose begin was refused: it was sent before the client could
 * know (RFC 2920 3.1), so it is counted only when it goes on for too long. */
void smtps_verbs_in_vain(struct smtps_session *s, enum smtps_reply r);

/* Counts a command that leads to no message; ends: it ends the transaction. True: the limits of
 * R 3.10, items 9 and 11, are passed and 421 was said. */
bool smtps_verbs_idle(struct smtps_session *s, bool ends);

#endif
