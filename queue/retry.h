/*
 * queue/retry.h - when to try again. Pure functions; wall-clock microseconds.
 */
#ifndef QUEUE_RETRY_H
#define QUEUE_RETRY_H
#include "core/clock.h"

#include <stdint.h>

/* Doubling from min to max with the number of attempts made (1: the first has failed), with up to a
 * tenth of jitter taken from `random`. R 3.8. */
usec_t retry_delay(usec_t min_usec, usec_t max_usec, uint32_t attempts, uint32_t random);

#endif
