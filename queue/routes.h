/*
 * queue/routes.h - from recipients to destinations: the route that smtps got with RCPT, else smar
 * is asked.
 *
 * Owner: the loop. While smar is away questions wait for wait_for_server, then the recipients are
 *        deferred.
 */
#ifndef QUEUE_ROUTES_H
#define QUEUE_ROUTES_H
#include "queue/qmgr.h"

/* Per loop: its link to smar. 0 or -errno. */
int routes_new(struct qloop *l);
/* Active recipients of a transaction go on their way. fresh: their routes may be used as they came;
 * else smar is asked again (retries). Takes room in AQ was done by the caller. */
void routes_queue(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count, bool fresh);

#endif
