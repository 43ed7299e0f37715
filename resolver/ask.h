/*
 * resolver/ask.h - one question to smar as a small state machine: steps, any of which may wait.
 *
 * Owner:  one loop. A question lives on the stack of its caller; only one that must wait moves to
 *         the heap.
 * Memory: spans of a running question point into the message, the maps or the question itself;
 *         ask_park() copies them, so a waiting question needs nothing else. No allocation without
 *         waiting.
 * RCU:    maps is set for each run and must not be kept over a wait.
 * Limits: at most max_parked questions of a loop wait; more get a temporary error.
 */
#ifndef RESOLVER_ASK_H
#define RESOLVER_ASK_H
#include "resolver/mapset.h"

#include "core/msg.h"

enum { ASK_ROUTE_TTL_SEC = 3600 };

/* What a step says: take the next one, the answer is complete, or ask_park() was called. */
enum ask_next { ASK_NEXT = 0, ASK_DONE, ASK_WAIT };

struct ask;
struct map_helper;
typedef enum ask_next ask_step(struct ask *a);

/* One per loop. */
struct ask_loop {
	struct span hostname;      /* of this host: where recipients without a domain are */
	struct loop *loop;         /* NULL in tests: what goes on in pieces goes on at once */
	struct map_helper *helper; /* for maps that block; NULL: there are none */
	struct ask *parked;
	unsigned parked_count;
	unsigned max_parked;
};

struct ask {
	struct ask_loop *loop;
	const struct mapset *maps; /* of this run */
	ask_step *const *step;     /* the next one; the list ends with NULL */

	/* the question */
	struct addr client;
	uint32_t flags; /* enum msg_ask_flags */
	struct span sender;
	struct span subject; /* the address that is asked about: sender or recipient */

	/* the answer */
	enum msg_action action;
	bool quick;
	struct span text;  /* whole reply */
	struct span route; /* encoded */
	uint32_t ttl_sec;
	uint8_t mailer;   /* enum route_mailer, of route */
	uint32_t members; /* that were handed out; not 0: the recipient is an alias */

	/* what steps tell later ones */
	bool may_relay;
	bool is_alias;  /* the aliases map knows the address */
	int local_user; /* resolver/localuser.h */

	/* What a waiting question needs; released with it. */
	void *held;
	void (*release)(void *held);

	/* A part of what an alias stands for, in front of the answer. */
	void (*hand_out)(struct ask *a, uint32_t part, struct span list);
	/* Whether more may be handed out now; NULL: always. */
	bool (*takes_more)(struct ask *a);

	/* Called once, when the answer is complete; the question is gone after that. owner NULL:
	 * nobody waits any more. */
	void (*answer)(struct ask *a);
	void *owner;
	uint64_t req;
	unsigned number;

	/* of a parked one */
	struct ask *next, **prev;

	/* subject in its parts, taken apart at the begin of each run; box_rc: 0 or -EINVAL */
	int box_rc;
	struct address box;
	struct mailertable_hit hit;
	char text_bytes[ACCESS_TEXT_MAX + 8];
};

/* Clears what ask_run() needs cleared; the caller fills in question, steps, answer, owner. */
void ask_init(struct ask *a, struct ask_loop *loop, ask_step *const *steps);

/* Takes steps until the answer is complete (a->answer is called) or a step waits. In a read
 * section. */
void ask_run(struct ask *a);

/* For a step that must wait: a copy of a that lives until its answer; the step then returns
 * ASK_WAIT, and ask_resume() goes on with the step behind it. NULL: too many wait or there is no
 * memory. */
struct ask *ask_park(struct ask *a);
void ask_resume(struct ask *own);
/* Takes a parked copy back: what it was parked for will not come. The step goes on with the
 * original, its held thing is released. */
void ask_unpark(struct ask *own);

/* The owner goes: its waiting questions are answered to nobody. */
void ask_forget_owner(struct ask_loop *l, const void *owner);

/* The end of the loop: frees the waiting ones; nobody may resume them. */
void ask_drop_all(struct ask_loop *l);

/* For steps: complete the answer with an error reply. text must be constant or live in the maps. */
enum ask_next ask_error(struct ask *a, struct span text);

/* For steps: take an access value (rc of access_client() or access_mailbox()) as the answer so far.
 * ASK_DONE: the map cannot be read or the entry is broken, the answer is a temporary error; else
 * ASK_NEXT, and *out is MSG_ACT_CONT without an entry. */
enum ask_next ask_access_value(struct ask *a, int rc, struct access_value *out);

/* For steps: the answer is this access value. */
enum ask_next ask_take_value(struct ask *a, const struct access_value *v);

#endif
