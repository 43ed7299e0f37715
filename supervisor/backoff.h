/*
 * supervisor/backoff.h - how long to wait before something that died is started again.
 *
 * Pure; any thread. The first time not at all, then 1, 2, 4 ... 60 seconds; whoever lived for a
 * minute begins anew.
 */
#ifndef SUPERVISOR_BACKOFF_H
#define SUPERVISOR_BACKOFF_H
#include "core/clock.h"

enum { BACKOFF_MAX_SEC = 60, BACKOFF_GOOD_LIFE_SEC = 60 };

/* The wait in microseconds. failures: kept by the caller, 0 at first; counts. lived_usec: from the
 * last start to the death. */
usec_t backoff_next(unsigned *failures, usec_t lived_usec);

#endif
