/*
 * queue/routes.h - from recipients to destinations: the route that smtps got with RCPT, else smar
 * is asked.
 *
 * Owner: the loop. While smar is away questions wait for wait_for_server, then the recipients are
 *        deferred.
 */
#ifndef QUEUE_ROUTES_H
#define QUEUE_ROUTES_H
#include "core/envelope.h"
#include "queue/qmgr.h"

enum { ROUTES_WHO_MAX = 100 }; /* more stand for nobody: the address is taken as it is */

/* Per loop: its link to smar. 0 or -errno. */
int routes_new(struct qloop *l);
/* Active recipients of a transaction go on their way. fresh: their routes may be used as they came;
 * else smar is asked again (retries). Takes room in AQ was done by the caller. */
void routes_queue(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count, bool fresh);

/* Who gets the mail for an address. */
struct routes_who {
	int error;                 /* -EAGAIN: smar cannot tell now; then count is 0 */
	unsigned count;            /* at least 1 else */
	const struct env_rcpt *to; /* addr and route */
	const struct span *route;  /* encoded */
	unsigned route_count;
};
/* Asks smar, which follows aliases, and calls fn(l, arg) once, in a later turn; what it gets is
 * valid during the call. An address that smar refuses stands for itself. */
void routes_who(struct qloop *l, struct span addr,
		void (*fn)(struct qloop *l, void *arg, const struct routes_who *w), void *arg);

#endif
