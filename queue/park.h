/*
 * queue/park.h - what waits together: the recipients of a destination that is down or has no room
 * in AQ, and those of a suspension. One time for all of them, in one row of the database.
 *
 * Parked:  a recipient is in DEFEDB and in no queue; `parked` (queue/store.h) has a row of it, in
 *          the order of arrival, and `due` one at the time of its warning or return. Neither is
 *          rewritten when the destination is tried again.
 * States:  open: the keeper brings them as far as there is room; closed: until wall_next nothing
 *          goes there; probing: the keeper has brought one, which tells how it goes on.
 * Share:   a destination may have as many recipients in AQ as there is room left in it. So one alone
 *          gets half of AQ, n of them the n + 1st part each, and there is always as much left for
 *          the next one: whoever has more than that gets nothing new until it has less. The rule
 *          needs neither a list of who is active nor a setting.
 * Tables:  by route or suspension, and by number, in RCU. An entry stays as long as somebody holds
 *          it, recipients are parked under it or on their way from it, or the database has rows.
 * Threads: loops park and report, the keeper brings, the committer writes; counts are atomic,
 *          changes of the state are made under a lock that is never held over anything else.
 */
#ifndef QUEUE_PARK_H
#define QUEUE_PARK_H
#include "core/timer.h"
#include "queue/aq.h"

enum park_state { PARK_OPEN = 0, PARK_CLOSED, PARK_PROBING };

/* Numbers of suspensions are below this; above it stand parks whose head is lost. */
#define PARK_LOST ((uint64_t)1 << 63)

struct park {
	struct cds_lfht_node by_key, by_id;
	struct rcu_head rcu;
	uint64_t id;         /* what its rows begin with; never reused while one is there */
	uint64_t suspension; /* its number; 0: a destination */
	struct span route;   /* encoded */
	atomic_int refs;
	atomic_uint in_aq;        /* recipients in the queues of the loops, or being tried */
	atomic_uint coming;       /* brought, and not there yet */
	_Atomic uint64_t parked;  /* recipients */
	_Atomic uint64_t spilled; /* of those: at most so many only for want of room */
	_Atomic uint8_t state;    /* enum park_state */
	_Atomic uint32_t failures;
	_Atomic usec_t wall_next; /* clock_steady(); 0: none */
	atomic_bool changed;      /* the head in the database is not of today */
	atomic_bool dry;          /* the keeper has read all rows */
	atomic_bool told;         /* on the list of those that the keeper is to look at */
	struct park *told_next;
	_Atomic uint64_t rows; /* in the database */
	atomic_bool has_head;  /* too */
	struct {               /* the committer's */
		bool touched;
		struct park *next;
		bool has_low;
		uint64_t low_ta;
		uint32_t low_idx;
	} c;
	struct { /* the keeper's, but for `low`: under the lock */
		struct timer timer;
		struct park *next;
		bool listed;
		unsigned step;
		uint64_t ta; /* rows before this one are in AQ or gone */
		uint32_t idx;
		bool has_low;
		uint64_t low_ta;
		uint32_t low_idx;
	} k;
};

/* Once, at the start. wake(): parks_told() has something, any thread; may be set later. */
void parks_init(void);
void parks_on_told(void (*wake)(void));

/* The entry of a destination, made when it is new, with a reference. Any thread. */
struct park *park_get(struct span route);
/* That of a suspension: closed when it is new. */
struct park *park_get_suspension(uint64_t number);
void park_ref(struct park *p);
void park_put(struct park *p);
/* Inside a read section; NULL: there is none. */
struct park *park_find(uint64_t id);
/* fn for each, inside a read section. */
void parks_each(void (*fn)(struct park *p, void *ctx), void *ctx);
/* Drops those that nobody needs. Loop 0, now and then. */
void parks_sweep(void);

/* Pure: the recipients that one destination may have in AQ. */
unsigned park_share(unsigned aq_max, unsigned aq_count);
/* Pure: how many more may go there when it has `has` of the aq_count: each one makes the share
 * smaller, too. */
unsigned park_share_room(unsigned aq_max, unsigned aq_count, unsigned has);
/* How many of n new ones (counted in AQ already) may go into its queue; the others are parked. */
unsigned park_room(const struct park *p, unsigned n);
/* Recipients came into the queue of the destination; they left it and AQ. Loop. */
void park_came(struct park *p, unsigned n);
void park_gone(struct park *p, unsigned n);
/* An active recipient is where it was going to, or on its way elsewhere: it comes from no park any
 * more. True: it came from p (may be NULL). Loop. */
bool park_arrived(struct rcpt *r, const struct park *p);
/* Becomes parked (before its state says so); is not any more, but comes from there (keeper). */
void park_add(struct park *p, struct rcpt *r);
void park_take(struct rcpt *r);

/* Nothing goes there: the next look is after a delay by queue/retry.h. Nothing when it is closed
 * already. Any loop. */
void park_close(struct park *p, usec_t min_delay, usec_t max_delay);
/* The host is there, the suspension is over. Any thread. */
void park_open(struct park *p);
/* Who says "now": a closed destination is looked at now. Any thread. */
void park_hurry(struct park *p);
/* This host is up again: the same for all destinations that have it. Loop. */
void parks_host_up(uint8_t mailer, const struct addr *host);
/* It is closed, and its time has come: true: one may be brought as a probe. Any thread. */
bool park_probe(struct park *p);

/* Keeper: all that changed since the last call, linked by told_next until their `told` is cleared,
 * with a reference each. */
struct park *parks_told(void);
/* Committer: rows from this one on may have to be brought, they are on disk. */
void park_written(struct park *p, uint64_t ta, uint32_t idx);
/* Keeper: moves its place back to the first of those. */
void park_rewind(struct park *p);
/* Keeper: it has read all rows; false: there are others meanwhile. */
bool park_dry(struct park *p);
/* Keeper, at its start: all of them. */
void parks_tell_all(void);

/* Why they wait, in a word: "down", "suspended" or "busy". */
const char *park_why(const struct park *p);
/* For a deferred recipient that is parked: why, and when its destination is looked at next (0:
 * when there is room, or when it is resumed); NULL: it is not parked. Read section. */
const char *park_of(const struct rcpt *r, usec_t *wall_next);

struct park_numbers {
	uint64_t recipients, destinations;
	uint64_t backlog; /* recipients that wait for nothing but room */
};
struct park_numbers parks_numbers(void);

/* Start and tools: the heads of the database. 0 or -errno. */
int parks_load(struct store *s);
/* Start: a parked recipient in the database. False: its park has no head (it is opened: what is in
 * it is brought at once). */
bool parks_load_rcpt(const struct store_deferred *d);
/* Its head, as it is to be written. */
size_t park_encode(const struct park *p, char *dst);

#endif
