/*
 * core/envelope.h - sender and recipients of one transaction, as they travel between the programs,
 * stand in a content record and in the database.
 *
 * Memory: spans point into the bytes that were decoded, arrays into the arena that was given.
 * Owner:  members of a list may have a sender of their own, the owner of the list (R 3.9.3); the
 *         owners stand in a table, members have their number in it.
 * Format: 1 without owners and kinds, else 2; both are read.
 * Limits: ENV_RCPTS_MAX recipients, ENV_OWNERS_MAX owners, addresses of ENV_ADDR_MAX bytes; more is
 *         -EBADMSG. ENV_BYTES_MAX for the whole fits a frame of core/link.h.
 * RFC:    5321 (paths), 3461 (NOTIFY, RET, ENVID, ORCPT), 6152 and 3030 (BODY), 6531 (SMTPUTF8).
 */
#ifndef CORE_ENVELOPE_H
#define CORE_ENVELOPE_H
#include "core/addr.h"
#include "core/arena.h"
#include "core/buf.h"
#include "core/clock.h"

enum {
	ENV_RCPTS_MAX = 100000,
	ENV_OWNERS_MAX = 1000,
	ENV_ADDR_MAX = 1024,
	ENV_BYTES_MAX = 15 << 20
};

enum env_body { ENV_BODY_7BIT = 0, ENV_BODY_8BITMIME, ENV_BODY_BINARYMIME };
enum env_ret { ENV_RET_UNSET = 0, ENV_RET_FULL, ENV_RET_HDRS };
enum env_flags {
	ENV_SMTPUTF8 = 1u << 0, /* RFC 6531 was asked for at MAIL */
	ENV_DISCARD = 1u << 1,  /* accepted, not to be delivered */
	ENV_DSN = 1u << 2,      /* made by qmgr; a failure is dropped after its retries */
};
enum env_notify {
	ENV_NOTIFY_NEVER = 1u << 0,
	ENV_NOTIFY_SUCCESS = 1u << 1,
	ENV_NOTIFY_FAILURE = 1u << 2,
	ENV_NOTIFY_DELAY = 1u << 3
};
enum { ENV_NO_ROUTE = UINT32_MAX };

/* What a recipient stands for. */
enum env_kind {
	ENV_KIND_TO = 0,   /* somebody who gets the message */
	ENV_KIND_EXPANDED, /* an alias whose members stand beside it: only a notice is due, RFC 3461
			      5.2.7.3 */
	ENV_KIND_LIST,     /* a list with an owner, RFC 3461 5.2.7.1: the same */
};

struct env_rcpt {
	struct span addr;  /* local@domain, without <>, as the client wrote it */
	struct span orcpt; /* RFC 3461 4.2, "type;xtext", empty: none */
	uint32_t
		idx; /* number in the transaction from 0, never changes; a part keeps its numbers */
	uint32_t route; /* index in routes, or ENV_NO_ROUTE */
	uint16_t owner; /* 0: the sender of the message, n: owner[n - 1] stands in its place */
	uint8_t notify; /* enum env_notify, 0: not given */
	uint8_t kind;   /* enum env_kind */
};

struct envelope {
	uint64_t ta;
	usec_t wall_arrival;
	struct span sender; /* without <>; empty: null reverse-path */
	struct addr client;
	uint8_t body;      /* enum env_body */
	uint8_t ret;       /* enum env_ret */
	uint16_t flags;    /* enum env_flags */
	struct span envid; /* xtext, empty: none */
	uint32_t route_count;
	struct span *route; /* encoded, core/route.h; each once */
	uint32_t owner_count;
	struct span *owner; /* addresses without <>, never empty */
	uint32_t rcpt_count;
	struct env_rcpt *rcpt;
};

/* Who is told when recipient i fails, and the sender of the copies that go to it. i must be there.
 */
static inline struct span envelope_sender(const struct envelope *e, uint32_t i)
{
	uint16_t owner = e->rcpt[i].owner;

	return owner ? e->owner[owner - 1] : e->sender;
}

/* Appends the encoded form to out. 0, -EMSGSIZE over a limit, -EINVAL (a route or an owner that is
 * not there), -ENOMEM; out is unchanged then. Any thread. */
int envelope_encode(const struct envelope *e, struct buf *out);
/* 0, -EBADMSG (not one of ours, or an index out of range), -ENOMEM. */
int envelope_decode(struct span s, struct arena *a, struct envelope *out);

/* Another time of arrival in an encoded envelope that envelope_decode() took. */
void envelope_set_arrival(char *encoded, usec_t wall_arrival);

#endif
