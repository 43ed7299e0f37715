/*
 * core/members.h - what an alias stands for, as it travels in the messages `members`.
 *
 * Form:   items in any number of parts: a route, an owner (each gets the next number of its kind,
 *         from 0) or a member, which names a route and an owner that came before it.
 * Memory: spans of a decoded item point into the part.
 * Limits: ENV_RCPTS_MAX members, ENV_OWNERS_MAX owners, addresses of ENV_ADDR_MAX bytes.
 */
#ifndef CORE_MEMBERS_H
#define CORE_MEMBERS_H
#include "core/buf.h"

enum members_type { MEMBERS_ROUTE = 1, MEMBERS_OWNER, MEMBERS_TO };

struct members_item {
	uint8_t type;     /* enum members_type */
	struct span text; /* encoded route, or address without <> */
	uint32_t route;   /* of a member: its number, or ENV_NO_ROUTE */
	uint16_t owner;   /* of a member: 0 none, n: number n - 1, as in struct env_rcpt */
};

/* Appends one: 0 or -ENOMEM. Any thread. */
int members_add(struct buf *part, const struct members_item *m);

/* What came so far, for the receiver; zeroed at the begin. */
struct members_seen {
	uint32_t parts, routes, owners, count;
};

/* A part has come: 0; -EBADMSG: it is not the next one. Part 0 begins anew and clears *seen. */
int members_begin(struct members_seen *seen, uint32_t part);
/* Takes the next item from *rest: 1, 0 at the end, -EBADMSG over a limit or out of range. */
int members_next(struct members_seen *seen, struct span *rest, struct members_item *out);

#endif
