/*
 * queue/census.h - how many messages are queued, how many recipients wait in DEFEDB, how old the
 * oldest message is.
 *
 * Owner:  the committer changes them (before it runs: the main thread); any thread reads.
 * Memory: one bucket for each minute in which a message arrived that is still here.
 */
#ifndef QUEUE_CENSUS_H
#define QUEUE_CENSUS_H
#include "core/clock.h"

#include <stdint.h>

/* A message is in the queue now; it has left. */
void census_came(usec_t wall_arrival);
void census_left(usec_t wall_arrival);
/* Recipients that wait for their time, and held ones: so many more. */
void census_deferred(int deferred, int held);

struct census {
	uint64_t messages;
	uint64_t deferred, held; /* recipients */
	usec_t wall_oldest; /* arrival of the oldest message, to the minute; 0: there is none */
};
struct census census_now(void);

#endif
