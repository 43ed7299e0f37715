/*
 * queue/orders.h - what the operator wants done with single recipients: retry, hold, release,
 * reroute, delete.
 *
 * Owner:          an order is set on a recipient by the clerk or the keeper; the loop that owns the
 *                 recipient takes it away and executes it: while it waits for a destination, or
 *                 when the attempt that goes on has ended.
 * Order of steps: who sets one looks at the state afterwards; a loop that makes a recipient
 *                 inactive changes the state first and looks for an order afterwards. So one of the
 *                 two sees the other, and exchange decides.
 * Memory:         counted references: one for each recipient that has it, one for who made it.
 * Cost:           nothing in the loops while there is no order anywhere.
 */
#ifndef QUEUE_ORDERS_H
#define QUEUE_ORDERS_H
#include "queue/qmgr.h"

enum order_kind {
	ORDER_RETRY = 0, /* deferred: now */
	ORDER_HOLD,      /* active, deferred: not until it is released */
	ORDER_RELEASE,   /* held: now */
	ORDER_REROUTE,   /* to another route, now unless it is held */
	ORDER_DELETE,    /* nobody is told */
	ORDER_BOUNCE,    /* deleted, with a notice to the sender */
};

struct order {
	atomic_uint refs;
	enum order_kind kind;
	size_t route_bytes; /* ORDER_REROUTE; 0: the one that smar gives */
	atomic_uint given;  /* recipients it is for */
	atomic_uint done;   /* of those: executed */
	atomic_uint gone;   /* they ended before, or another order came */
	atomic_uint failed; /* cannot be read */
	char route[];
};

/* One reference. Any thread. */
struct order *order_new(enum order_kind kind, struct span route);
void order_get(struct order *o);
void order_put(struct order *o);
/* Does it change recipients of that state (enum rcpt_state)? */
bool order_wants(const struct order *o, uint8_t state);

/* Clerk, keeper; ta is in the table, inside a read section. True: the recipient is active, its loop
 * will find it or has nothing to do; false: it is not active (any more). The caller has counted it
 * in `given`. */
bool orders_set(struct ta *ta, uint32_t idx, struct order *o);
/* Keeper: on a recipient that it has just made active. */
void orders_put(struct ta *ta, uint32_t idx, struct order *o);

/* The loop that owns these active recipients executes what is ordered for them. NULL: nothing was;
 * else those that are left, *count of them (0: ta may be gone), to be freed by the caller. */
uint32_t *orders_take(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned *count);
/* The loop, after it made them deferred or held and before it gives them back: what came meanwhile
 * goes to the keeper. */
void orders_missed(struct ta *ta, const uint32_t *idx, unsigned count);
/* The loop: they have ended. returned: as their sender was told. */
void orders_end(struct ta *ta, const uint32_t *idx, unsigned count, bool returned);
/* The loop: the notice could not be made, they stay as they are. */
void orders_fail(struct ta *ta, const uint32_t *idx, unsigned count);
/* The loop, quickly: may there be an order for this active recipient? */
bool orders_waits(const struct ta *ta, uint32_t idx);
/* Is there any order at all? */
bool orders_any(void);

#endif
