/*
 * queue/occ.h - the outgoing connection cache: per address how many attempts go on, how many may
 * (slow start, R 3.8.1), which smtpc workers hold an idle session, and whether the address is down.
 *
 * Tables:  by mailer and address, in RCU; entries stay as long as somebody holds them or octo has
 *          not passed.
 * Threads: any loop; counts are atomic.
 * Window:  initial_connections; each success allows one more, up to max_connections. A host that
 *          takes no further session while it serves others has all that it wants: the window
 *          becomes what it has, and one more takes more successes the oftener it refuses. One that
 *          serves nobody is down.
 * Limits:  OCC_max_entries; beyond that idle entries are dropped, else occ_get() still makes one:
 *          mail goes on.
 */
#ifndef QUEUE_OCC_H
#define QUEUE_OCC_H
#include "core/addr.h"
#include "core/clock.h"
#include "core/rcu.h"

#include <stdatomic.h>

enum { OCC_AGENTS_MAX = 64 };

struct occ_host {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	struct addr addr;       /* family ADDR_NONE: the local LMTP socket */
	uint8_t mailer;         /* enum route_mailer */
	atomic_int refs;        /* destinations that point here */
	atomic_uint busy;       /* attempts going on */
	atomic_uint limit;      /* window of slow start */
	atomic_uint need, has;  /* successes for one more, since the last one: 1 until it refuses */
	atomic_uint failures;   /* in a row; those that fail together count once */
	_Atomic usec_t well;    /* monotonic, last success */
	_Atomic usec_t refused; /* monotonic, when it took no further one */
	_Atomic usec_t down_until; /* monotonic; 0: not down */
	_Atomic usec_t used;       /* monotonic, last use */
	_Atomic uint64_t waiting;  /* bit per loop that wants a slot */
	atomic_int idle[OCC_AGENTS_MAX];
};

struct occ_setup {
	unsigned max_entries;
	unsigned initial;
	unsigned max;
	usec_t keep_usec;      /* octo */
	usec_t retry_min_usec; /* an address that failed is left alone for half of it, at most
				  OCC_DOWN_USEC */
};
enum { OCC_SERVES_USEC = 10 * USEC_PER_SEC, OCC_NEED_MAX = 1024 };
enum { OCC_DOWN_USEC = 60 * USEC_PER_SEC, OCC_DOWN_MAX_USEC = 8 * OCC_DOWN_USEC };

/* Once, at the start. */
void occ_init(const struct occ_setup *s);
/* New limits; any thread. */
void occ_tune(unsigned initial, unsigned max, usec_t retry_min_usec);
/* The entry, made when missing, with a reference; occ_put() gives it back. Any loop. */
struct occ_host *occ_get(uint8_t mailer, const struct addr *a);
void occ_put(struct occ_host *h);
/* Inside a read section; NULL: unknown. */
struct occ_host *occ_find(uint8_t mailer, const struct addr *a);
struct cds_lfht *occ_table(void);

enum occ_state { OCC_FREE = 0, OCC_FULL, OCC_DOWN };
/* May an attempt start? Takes a slot when OCC_FREE. A host that was down is probed by one attempt
 * at a time. OCC_FULL: loop `n` is woken (occ_waiters) when a slot is free. */
enum occ_state occ_take(struct occ_host *h, unsigned loop, usec_t now);
/* The attempt is over. connected: a session came up; delivered: at least one recipient was
 * accepted. down_usec: that a host which did not connect is left alone at least, up to
 * OCC_DOWN_MAX_USEC. */
void occ_give(struct occ_host *h, bool connected, bool delivered, usec_t down_usec, usec_t now);
/* Do attempts go on there? Then loop `n` is woken when one of them ends. */
bool occ_waits(struct occ_host *h, unsigned loop);
/* Loops to wake after occ_give(): bits, cleared by the call. */
uint64_t occ_waiters(struct occ_host *h);
/* Addresses that are down may be probed now. Any loop. */
void occ_probe(usec_t now);
/* The same for one of them. */
void occ_probe_host(struct occ_host *h, usec_t now);
/* octo now. Inside a read section. */
usec_t occ_keep_usec(void);
/* Drops entries that nobody holds and that were not used for octo, or that are more than
 * max_entries. Any loop, now and then. */
void occ_expire(usec_t now);
unsigned occ_count(void);

#endif
