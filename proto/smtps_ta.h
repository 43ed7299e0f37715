/*
 * proto/smtps_ta.h - one mail transaction: what MAIL, RCPT and the content have said so far.
 *
 * Owner:  the session's loop. After the final dot it belongs to the commit that waits for qmgr.
 * Memory: an arena that holds the struct itself and all in it.
 */
#ifndef PROTO_SMTPS_TA_H
#define PROTO_SMTPS_TA_H
#include "core/arena.h"
#include "core/envelope.h"
#include "proto/dots.h"
#include "proto/smtps_content.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_session.h"

struct smtps_members;
struct smtps_sending;

/* Finds what is equal among many. */
struct smtps_node {
	struct smtps_node *next;
	uint64_t hash;
};

struct smtps_index {
	struct smtps_node **bucket; /* in the transaction's arena */
	uint32_t buckets, count;
};

/* Who gets a copy of the message. */
struct smtps_to {
	struct smtps_node node; /* first; hash of addr without case */
	struct span addr;
	uint32_t route; /* index, or ENV_NO_ROUTE */
	uint16_t owner; /* as in struct env_rcpt */
	bool member;    /* of an alias, else a RCPT itself */
	bool discard;
};

struct smtps_rcpt {
	struct smtps_to to; /* first */
	struct smtps_rcpt *next;
	struct span orcpt;
	struct smtps_members *members; /* they get it in its place; NULL: it is no alias */
	uint32_t idx;
	uint8_t notify;
	bool postmaster; /* came without a domain: accepted always */
};

struct smtps_owner {
	struct smtps_owner *next;
	struct span addr;
};

struct smtps_route {
	struct smtps_node node; /* first */
	struct smtps_route *next;
	struct span bytes;
	uint32_t number;
};

/* The content on its way in. */
struct smtps_body {
	struct dots dots;
	struct smtps_content content;
	uint32_t received_bytes;
	uint8_t error; /* enum smtps_reply, 0: none so far; then nothing is kept any more */
};

struct smtps_ta {
	struct arena *arena;
	struct smtps_host *host;
	uint64_t id;
	struct span sender, envid;
	uint64_t size;     /* SIZE= */
	uint8_t body, ret; /* enum env_body, enum env_ret */
	bool smtputf8;
	bool refused; /* MAIL was not accepted; goes when nothing waits any more */
	bool discard;
	struct span later; /* error of the check at MAIL that RCPT gets; empty: none */
	struct smtps_rcpt *rcpt, **rcpt_end;
	struct smtps_route *route, **route_end;
	struct smtps_owner *owner, **owner_end;
	struct smtps_index rcpt_index, route_index;
	uint32_t rcpt_count, route_count, owner_count;
	uint32_t kept_count; /* who get a copy: not discarded, members */
	uint32_t kept_bytes; /* of the envelope, at most */
	uint32_t held_count; /* members in the arena, also of refused ones */
	bool utf8_members;
	uint32_t pending;  /* RCPT that wait for smar */
	uint32_t refusals; /* RCPT that were refused */
	uint32_t bad, invalid, nops;
	struct smtps_body *content;    /* NULL: DATA or BDAT has not come */
	struct smtps_sending *sending; /* NULL: not committed */
};

/* A new one with a new id; NULL: no memory or no id. */
struct smtps_ta *smtps_ta_new(struct smtps_host *h);
void smtps_ta_free(struct smtps_ta *ta);
/* The session's transaction ends: it is freed, or left to its commit. */
void smtps_ta_leave(struct smtps_session *s);

/* An accepted recipient, in the arena of ta; route: encoded, in the arena too, empty: none. One
 * that is there already, but for the case of its domain and with the same parameters, gets no second copy of the
 * message: it is kept for the count of RCPT commands only. */
void smtps_ta_add_rcpt(struct smtps_ta *ta, struct smtps_rcpt *r, struct span route);
/* Before that: SMTPS_R_OK, or why it cannot be added, it or its members. */
enum smtps_reply smtps_ta_room(struct smtps_ta *ta, const struct smtps_rcpt *r);

/* Room for so many more, of so many bytes of addresses, in the envelope. */
bool smtps_ta_has_room(const struct smtps_ta *ta, uint32_t count, size_t bytes);
/* For smtps_members.c: the number of an encoded route (ENV_NO_ROUTE without memory), and of an
 * owner (as in struct env_rcpt; -1: no room). */
uint32_t smtps_ta_route(struct smtps_ta *ta, struct span bytes);
int smtps_ta_owner(struct smtps_ta *ta, struct span addr);
/* A member of an alias; one that is named already gets no second copy. Who was named directly stays
 * so, and the author rather hears of a failure than an owner. */
void smtps_ta_add_member(struct smtps_ta *ta, struct smtps_to *m, struct span orcpt);

/* The envelope as it is sent and stored. 0, -ENOMEM, -EMSGSIZE. */
int smtps_ta_envelope(const struct smtps_ta *ta, const struct addr *client, struct buf *out);

#endif
