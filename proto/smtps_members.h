/*
 * proto/smtps_members.h - what an alias stands for: collected from smar's answer to RCPT, put into the
 * envelope in its place, so that one commit makes message and expansion durable.
 *
 * Owner:  the session's loop.
 * Memory: in the transaction's arena.
 * Limits: ENV_RCPTS_MAX members in one transaction, SMTPS_MEMBERS_MAX in all of a loop. Members are not
 *         RCPT commands: limits of those do not count them.
 * RFC:    3461 5.2.7 (NOTIFY, ORCPT and notices of success), 5321 3.9.
 */
#ifndef PROTO_SMTPS_MEMBERS_H
#define PROTO_SMTPS_MEMBERS_H
#include "core/envelope.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_ta.h"

enum { SMTPS_MEMBERS_MAX = 1000000 };

struct smtps_members;

/* A part of the answer has come. *m is made with the first one. 0, -EBADMSG. What does not fit is
 * forgotten, see below. */
int smtps_members_take(struct smtps_ta *ta, struct smtps_members **m, uint32_t part,
		       struct span list);
/* How many there should be. */
uint32_t smtps_members_count(const struct smtps_members *m);
/* SMTPS_R_OK, or why the members of r cannot be added to the transaction; prepares for that. */
enum smtps_reply smtps_members_room(struct smtps_ta *ta, const struct smtps_rcpt *r);

/* r is accepted, smtps_members_room() said so: its members get copies, each address one in the
 * transaction. */
void smtps_members_add(struct smtps_ta *ta, struct smtps_rcpt *r);
/* The entries of the envelope in place of r. */
void smtps_members_put(const struct smtps_rcpt *r, struct envelope *e,
		       void (*put)(struct envelope *e, struct env_rcpt to));

#endif
