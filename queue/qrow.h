/*
 * queue/qrow.h - a queued recipient as the selector language sees it.
 *
 * Thread: inside a read section.
 * Memory: the row points into the transaction and the route.
 */
#ifndef QUEUE_QROW_H
#define QUEUE_QROW_H
#include "queue/aq.h"
#include "queue/select.h"

/* Fills *out; route is used as it is, NULL: not known. */
void qrow(const struct ta *ta, uint32_t idx, const struct route *route, usec_t wall_now,
	  struct select_row *out);
/* The same with the route that the recipient has, decoded into *space. */
void qrow_with_route(const struct ta *ta, uint32_t idx, usec_t wall_now, struct route *space,
		     struct select_row *out);
/* Bytes of content, as stored. */
uint64_t qrow_size(const struct ta *ta);

/* The address that the client gave, from an ORCPT of type rfc822; empty: there is none. dst is used
 * when something is encoded in it. */
struct span qrow_original(struct span orcpt, char dst[static ENV_ADDR_MAX]);

#endif
