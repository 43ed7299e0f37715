/*
 * proto/smtps_slot.h - MAIL and RCPT that wait for smar, in the order of the commands.
 *
 * All that one read brings is asked at once; the replies go out in order. A RCPT behind a MAIL that
 * waits is asked as if MAIL had been accepted, and gets 503 if it was not.
 * Owner:  the session's loop.
 * Memory: slots from the host's pool, texts in the transaction's arena.
 * Limits: SMTPS_SLOTS_MAX a session; then its input waits.
 */
#ifndef PROTO_SMTPS_SLOT_H
#define PROTO_SMTPS_SLOT_H
#include "proto/smtps_reply.h"
#include "proto/smtps_session.h"
#include "proto/smtps_upstream.h"

struct smtps_members;
struct smtps_rcpt;

struct smtps_slot {
	struct smtps_ask ask;
	struct smtps_slot *next;
	struct smtps_session *s;
	struct smtps_rcpt *rcpt;       /* NULL: MAIL, or a RCPT that needs no answer */
	struct span text, route;       /* of the verdict */
	struct smtps_members *members; /* came before it; NULL: it is no alias */
	bool mail;
	bool answered;
	bool failed;    /* no answer came in time */
	uint8_t action; /* enum msg_action */
	bool quick;
	uint8_t reply; /* enum smtps_reply of a RCPT without a question */
};

/* Appends a question; its ask is filled in but for flags, sender and rcpt. NULL without memory. */
struct smtps_slot *smtps_slot_new(struct smtps_session *s);
/* Sends it off. */
void smtps_slot_ask(struct smtps_slot *sl, enum smtps_request_kind kind);
/* Appends a reply that must wait for those before it. False without memory. */
bool smtps_slot_reply(struct smtps_session *s, enum smtps_reply r);

/* Answers the client as far as answers are there. */
void smtps_slot_settle(struct smtps_session *s);
/* Forgets them all. */
void smtps_slot_drop_all(struct smtps_session *s);

#endif
