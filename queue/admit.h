/*
 * queue/admit.h - which recipients may go into the queue of a destination now; the others are parked
 * under it (queue/park.h).
 *
 * Owner: the loop of the destination.
 */
#ifndef QUEUE_ADMIT_H
#define QUEUE_ADMIT_H
#include "queue/dest.h"

/* All of these, as mostly: they come from nowhere, and there is room. */
bool admit_all(const struct dest *d, const struct ta *ta, const uint32_t *idx, unsigned count);
/* AQ is full, and has nothing of this destination: they wait for AQ, not for the destination. */
bool admit_spills(const struct dest *d, const struct ta *ta, const uint32_t *idx, unsigned count);
/* Puts those that may in front of idx, first those that the keeper brought for this destination:
 * they have room. Returns how many. */
unsigned admit_choose(const struct dest *d, const struct ta *ta, uint32_t *idx, unsigned count);
/* The keeper brought a probe: its hosts may be tried, whatever was said of them before. */
void admit_probe(struct dest *d, usec_t now);
/* New mail for a closed destination, one of whose hosts may be down no more: it is looked at now. The
 * oldest goes first. */
void admit_hurry(struct dest *d, usec_t now);

#endif
