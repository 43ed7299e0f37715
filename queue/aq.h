/*
 * queue/aq.h - the active queue: transactions whose recipients are being tried or wait for their
 * turn.
 *
 * Tables: by transaction id, in RCU; readers may look at the constant parts (id, env, ref) in a
 *         read section.
 * Owner:  env, ref, wall_arrival never change. A recipient belongs to the loop of its destination
 *         while it is RCPT_ACTIVE. `c` belongs to the committer. active and open are counted by
 *         all.
 * Memory: freed through RCU by the committer, which is the last to have it.
 * Limits: AQ_max_entries recipients; beyond that they spill to DEFEDB.
 */
#ifndef QUEUE_AQ_H
#define QUEUE_AQ_H
#include "core/cdb.h"
#include "core/envelope.h"
#include "core/loop.h"
#include "core/rcu.h"
#include "queue/store.h"

#include <stdatomic.h>

enum rcpt_state {
	RCPT_ACTIVE = 0, /* queued or being tried */
	RCPT_DEFERRED,   /* in DEFEDB only; parked or not */
	RCPT_FAILED,     /* for good; its DSN is on the way */
	RCPT_DONE,
	RCPT_HELD, /* in DEFEDB only, until the operator releases it */
};

/* Where a recipient goes when that is not what its envelope says; readers see it inside a read
 * section. */
struct rcpt_route {
	struct rcu_head rcu;
	uint16_t n;
	bool forced;  /* by the operator: smar is not asked */
	char bytes[]; /* encoded */
};

struct order;

/* Text of a reply; readers see it inside a read section. */
struct rcpt_reply {
	struct rcu_head rcu;
	struct addr remote; /* who said it; family ADDR_NONE: we did, or nobody remembers */
	uint16_t n;
	char text[];
};

struct rcpt {
	_Atomic uint8_t state; /* enum rcpt_state */
	_Atomic uint8_t stage; /* enum msg_stage of the last reply */
	uint8_t warned;
	uint8_t was_held; /* before the keeper made it active */
	uint8_t stored;   /* its record in DEFEDB says all this */
	_Atomic uint32_t attempts;
	_Atomic usec_t wall_last;    /* of the last attempt, 0: none */
	_Atomic usec_t wall_next;    /* when it is deferred: of its row in `due` */
	_Atomic uint64_t park;       /* deferred: parked there; active: it comes from there */
	struct rcpt_reply *reply;    /* last reply, by RCU_PUBLISH; NULL: none */
	struct rcpt_route *route;    /* by RCU_PUBLISH; NULL: that of the envelope */
	struct order *_Atomic order; /* what the operator wants, queue/orders.h */
};

enum commit_kind {
	COMMIT_REQUEST = 0, /* make the transaction durable, then answer */
	COMMIT_FINISH,      /* no recipient is left */
	COMMIT_UNLOAD,      /* all that is left is in DEFEDB */
	COMMIT_RCPTS,       /* outcomes, struct commit_rcpts */
	COMMIT_CALL,        /* run a function in the committer, struct commit_call */
};

struct commit_op {
	struct mail mail;
	enum commit_kind kind;
};

/* What only the committer knows of a recipient; the array is made when it is needed. */
struct committed_rcpt {
	usec_t wall_due; /* its record in DEFEDB and its row in the index; 0: none */
	uint64_t park;   /* its row in `parked`; 0: none */
	bool held;       /* its record in DEFEDB, no row in the index */
	bool done;
	bool marked;   /* "finished" is in the database */
	bool reported; /* as it finished, a DSN about the transaction was out */
	bool warned;   /* or a warning */
};

struct ta {
	struct cds_lfht_node node; /* in AQ */
	struct cds_lfht_node iqdb_node;
	struct rcu_head rcu;
	uint64_t id;
	struct cdb_ref ref;
	struct arena *arena;
	struct span blob; /* the encoded envelope */
	struct envelope env;
	struct rcpt *rcpt;  /* env.rcpt_count */
	atomic_uint active; /* recipients in AQ; AQ_DYING: being unloaded */
	atomic_uint open;   /* recipients without an end */

	/* The commit: who asked, in which loop the answer is wanted. */
	struct commit_op op;
	struct loop_mail answer;
	struct loop *home;
	void (*answered)(struct ta *ta, int error);
	void *asker;
	uint64_t req;
	int error;

	/* DSNs about failures to the sender (0) and to owner n - 1: on their way or durable; kept
	 * over restarts as "some" or "none". */
	atomic_uint *dsn_count;

	/* Notices that wait for others of the same transaction, queue/dsn.h. */
	struct qloop *_Atomic dsn_loop; /* where they wait; NULL: none did so far */
	atomic_uint dsn_waiting;        /* so many of `active` are there */
	atomic_bool *warned;            /* sender and owners were told of a delay, as dsn_count */

	/* The committer's. */
	struct {
		bool in_db;
		bool again;              /* its record was put more than once */
		bool pending;            /* on the list of those to be put */
		bool touched;            /* on the list of those with news */
		struct ta *group_next;   /* requests of one turn */
		struct ta *next, **prev; /* pending */
		struct ta *touched_next;
		struct ta *leaving_next;
		struct committed_rcpt *rcpt;
	} c;
};

enum { AQ_DYING = 1u << 30 };

/* Once, at the start. */
void aq_init(unsigned max_recipients);
/* A transaction made of an encoded envelope (copied); its id is that of the envelope. All
 * recipients are RCPT_ACTIVE but counted nowhere yet. NULL: *error is -EBADMSG or -ENOMEM. */
struct ta *aq_ta_new(struct span envelope, const struct cdb_ref *ref, int *error);
/* It came at that time (clock_steady()), also in its encoded form. Before others can see it. */
void aq_ta_set_arrival(struct ta *ta, usec_t wall_arrival);
/* One that was never put into the table. */
void aq_ta_free(struct ta *ta);
/* The same for one that was in IQDB: readers may still see it. */
void aq_ta_free_later(struct ta *own);
/* Into the table; false: the id is there already. */
bool aq_insert(struct ta *ta);
/* Out of the table; the memory goes when no reader can see it. */
void aq_remove(struct ta *own);
/* Inside a read section. */
struct ta *aq_find(uint64_t id);
struct cds_lfht *aq_table(void);

/* Recipients in AQ, all loops together. */
unsigned aq_count(void);
unsigned aq_max(void);
/* Takes room for n, even over the ceiling: one transaction is never torn apart for counting. */
void aq_take(unsigned n);
void aq_give(unsigned n);

/* Moves those with the owner of the first one to the front of idx; returns how many. */
unsigned aq_first_owner(const struct ta *ta, uint32_t *idx, unsigned count);
/* Of the one who is told of that recipient. */
static inline atomic_uint *aq_dsn_count(const struct ta *ta, uint32_t idx)
{
	return &ta->dsn_count[ta->env.rcpt[idx].owner];
}
static inline atomic_bool *aq_warned(const struct ta *ta, uint32_t idx)
{
	return &ta->warned[ta->env.rcpt[idx].owner];
}

/* Keeps a copy of the reply with the recipient; its loop only. remote: who said it, NULL: we. */
void aq_rcpt_reply(struct rcpt *r, struct span reply, uint8_t stage, const struct addr *remote);
/* The last reply, empty: none. Valid in the read section. */
struct span aq_rcpt_last(struct rcpt *r);
/* Who said it: family ADDR_NONE when that is not known. */
struct addr aq_rcpt_remote(struct rcpt *r);
/* Another route than its envelope's; its loop only. The same one again changes nothing. */
void aq_rcpt_set_route(struct ta *ta, uint32_t idx, struct span route, bool forced);
/* As its record in DEFEDB says; before others can see ta. */
void aq_rcpt_restore(struct ta *ta, uint32_t idx, const struct store_deferred *d);
/* Back to the envelope's; its loop only. */
void aq_rcpt_drop_route(struct rcpt *r);
/* The route that is not its envelope's, empty: none. Valid in the read section. */
struct span aq_rcpt_own_route(const struct rcpt *r);
/* Where it goes as far as we know, encoded; empty: nobody knows. Valid in the read section. forced
 * may be NULL. */
struct span aq_rcpt_route(const struct ta *ta, uint32_t idx, bool *forced);

#endif
