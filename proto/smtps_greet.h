/*
 * proto/smtps_greet.h - from the connection to the greeting: qmgr and smar are asked together.
 *
 * Owner:  the session's loop.
 * Memory: struct smtps_greet from the host's pool, only until the greeting.
 * RFC:    5321 3.1, 4.3.1.
 */
#ifndef PROTO_SMTPS_GREET_H
#define PROTO_SMTPS_GREET_H
#include "proto/smtps_session.h"
#include "proto/smtps_upstream.h"

struct smtps_greet {
	struct smtps_session *s;
	struct smtps_open open;
	struct smtps_ask ask;
	bool open_done, ask_done, delay_done, failed;
	uint16_t code;  /* of qmgr, 0: go on */
	uint8_t action; /* of smar, enum msg_action */
	bool quick;
	char *text; /* of qmgr or smar, malloc'd */
};

/* The client's address is known. */
void smtps_greet_start(struct smtps_session *s);
/* The wait before the greeting is over, or answers do not come. */
void smtps_greet_timer(struct smtps_session *s);
/* There are ids again. */
void smtps_greet_ids(struct smtps_session *s);
/* Forgets what was asked. */
void smtps_greet_drop(struct smtps_session *s);

#endif
