/*
 * proto/smtps_xclient.h - XCLIENT: a listed host says for whom it speaks.
 *
 * Owner: the session's loop.
 * Form:  the one of Postfix (XCLIENT_README), values in xtext.
 */
#ifndef PROTO_SMTPS_XCLIENT_H
#define PROTO_SMTPS_XCLIENT_H
#include "proto/smtps_session.h"

/* The host that has connected is listed. */
bool smtps_xclient_allowed(const struct smtps_session *s);
/* args: what stands behind "XCLIENT". The session begins again and is greeted again. */
enum smtps_phase smtps_xclient_verb(struct smtps_session *s, struct span args);

#endif
