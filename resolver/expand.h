/*
 * resolver/expand.h - from an alias to the addresses it stands for, R 3.9.3, in pieces.
 *
 * Rules:  aliases may stand for aliases, EXPAND_DEPTH_MAX deep. One that stands for itself (the same
 *         entry of the map) keeps the address; any other circle is an error. Members keep their places; equal ones are left to
 *         the receiver. The owner of a list is that of its members, of inner ones without an owner
 *         too; a message from <> keeps that.
 * Owner:  one loop.
 * Memory: references on the maps, so that it may go on after a reload.
 * Limits: ENV_RCPTS_MAX members, EXPAND_STEPS_MAX addresses looked at, parts of EXPAND_PART_BYTES.
 */
#ifndef RESOLVER_EXPAND_H
#define RESOLVER_EXPAND_H
#include "resolver/aliases.h"
#include "resolver/mailertable.h"

enum {
	EXPAND_DEPTH_MAX = 5,
	EXPAND_STEPS_MAX = 400000,
	EXPAND_PART_BYTES = 64 << 10,
	EXPAND_PIECE_STEPS = 500 /* some milliseconds */
};

enum expand_state {
	EXPAND_MORE = 0, /* call again */
	EXPAND_DONE,
	EXPAND_LOOP, /* a circle */
	EXPAND_DEEP,
	EXPAND_MANY,
	EXPAND_BROKEN, /* a value means nothing, or a map cannot be read */
	EXPAND_NO_MEMORY
};

struct expand;

struct expand_setup {
	struct aliases *aliases;
	struct mailertable *mailertable; /* may be NULL */
	struct span hostname;            /* must live as long */
	bool owners;                     /* false: members have no owner */
};

/* Begins with an address for which aliases_find() gave hit; local: in a local domain. *state:
 * EXPAND_MORE, or why it has failed already (NULL only without memory). */
struct expand *expand_new(const struct expand_setup *s, struct span addr, bool local,
			  const struct alias_hit *hit, enum expand_state *state);
void expand_free(struct expand *own);

/* At most so many steps. part() gets what is complete (core/members.h), with EXPAND_DONE the rest.
 */
enum expand_state expand_run(struct expand *x, unsigned steps,
			     void (*part)(void *ctx, uint32_t number, struct span list), void *ctx);
/* Members so far. */
uint32_t expand_count(const struct expand *x);
/* Logs why it failed, with the addresses on the way. */
void expand_log(const struct expand *x, enum expand_state state);

#endif
