/*
 * tests/queue/sim_model.h - what must hold of a queue, as simple as it can be said: what became of
 * each recipient, what may still become of it. Compared with what qmgr does.
 *
 * Memory: shared between parent and children, so that it outlives a crash.
 * Doubt:  what qmgr was told shortly before a crash it may have forgotten. A recipient counts as
 *         `unsure` then, and may be tried or reported once more; nothing else may.
 */
#ifndef TESTS_QUEUE_SIM_MODEL_H
#define TESTS_QUEUE_SIM_MODEL_H
#include "tests/queue/sim.h"

enum { MODEL_MESSAGES = 4000, MODEL_RCPTS = 12, MODEL_DOMAINS = 6 };
enum model_order {
	MODEL_NONE = 0,
	MODEL_RETRY,
	MODEL_HOLD,
	MODEL_RELEASE,
	MODEL_DELETE,
	MODEL_BOUNCE
};
enum model_fate { MODEL_UNKNOWN = 0, MODEL_ACCEPTED, MODEL_REFUSED };

struct model_rcpt {
	uint8_t domain; /* d1.test to dN.test */
	uint8_t notify;
	uint8_t pending; /* enum model_order, when the attempt that goes on has ended */
	bool open;       /* an attempt goes on */
	bool ended;      /* not to be tried any more */
	bool failed;     /* a notice is due, unless nobody wants one */
	bool told;       /* it was seen */
	bool held, deleted;
	bool maybe_held, maybe_deleted; /* an order whose answer never came */
	unsigned delivered, bounced, warned;
	unsigned unsure; /* how often qmgr may have forgotten */
	usec_t ended_at, later_at, held_at;
	usec_t not_before; /* the next attempt */
};

struct model_message {
	uint64_t id;
	usec_t arrival;
	uint8_t fate; /* enum model_fate */
	bool dsn, null_sender;
	unsigned life, count;
	struct model_rcpt rcpt[MODEL_RCPTS];
};

struct model {
	uint64_t random;
	usec_t now;        /* last seen */
	usec_t drained_at; /* from then on everything is delivered */
	unsigned life;
	usec_t retry_min, return_timeout, delay_timeout;
	bool asking;                            /* an order is on its way: attempts stay open */
	bool calm;                              /* everything is delivered at once */
	bool dead[MODEL_DOMAINS + 1];           /* hosts */
	usec_t suspended_at[MODEL_DOMAINS + 1]; /* 0: not */
	struct sim_disk disk;
	unsigned attempts, deliveries, notices, crashes, repeats;
	unsigned count;
	struct model_message message[MODEL_MESSAGES];
};
extern struct model *model;

void model_begin(uint64_t seed);
/* 0 to n - 1, from the seed. */
unsigned model_random(unsigned n);

/* A random message; the answer may come later. */
void model_send(bool wait);
/* Before a life: its hooks. */
void model_life(void);
/* Some attempt that goes on gets its result. */
void model_answer_one(void);
/* An order for some recipients. */
void model_order(void);
void model_suspend(void);
/* All that is held or suspended goes on. */
void model_release_all(void);
/* smtpc dies; some of what it had delivered it has not told. */
void model_smtpc_dies(void);

/* In the parent: the life ended, by a crash or in order. */
void model_ended(bool crashed);
/* At the end: each recipient has ended in exactly one way. Returns how many did not. */
unsigned model_check_ends(void);

#endif
