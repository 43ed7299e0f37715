/*
 * queue/icc.h - incoming connection control: open sessions and new ones in the last 60 s per
 * client, R 3.8 17; what is refused does not count.
 *
 * Tables: by client address, in RCU; any loop; counts are atomic.
 * Limits: connection_control_cache_size clients; idle ones are dropped first, beyond that clients
 *         are let in uncounted: control never refuses mail for lack of its own memory.
 */
#ifndef QUEUE_ICC_H
#define QUEUE_ICC_H
#include "core/addr.h"
#include "core/clock.h"

#include <stdbool.h>

struct icc_setup {
	unsigned max_entries, buckets;
	unsigned max_open; /* smtps.max_connections */
	unsigned max_rate; /* smtps.max_connection_rate, per 60 s */
};

/* Once, at the start. */
void icc_init(const struct icc_setup *s);
/* It begins small, so that a start is fast; this makes the buckets. Any registered thread. */
void icc_grow(void);
/* New limits; any thread. */
void icc_tune(unsigned max_open, unsigned max_rate);

enum icc_verdict { ICC_OK = 0, ICC_TOO_MANY, ICC_TOO_FAST };
/* A client wants a session; ICC_OK counts it as open. */
enum icc_verdict icc_open(const struct addr *client, usec_t now);
/* Counts it as open whatever the limits (after a reconnect). */
void icc_reopen(const struct addr *client, usec_t now);
void icc_close(const struct addr *client);
/* Drops clients without sessions that were quiet for 60 s. It looks at some of them, and at the others
 * the next times; every second, always the same loop. */
void icc_expire(usec_t now);
unsigned icc_count(void);

#endif
