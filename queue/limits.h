/*
 * queue/limits.h - the qmgr_conf map, R 3.8.1: limits of connections for single addresses and nets.
 *
 * Keys: oci ocm (initial and most outgoing connections), icr icm (incoming: per 60 s, open), each
 *       alone as the default or with ":" and an address or net (IPv4 shortened from the right, IPv6
 *       at 16-bit steps); octo.
 * RCU:  a load publishes a new table; lookups are inside a read section of any loop. Limits are per
 *       address: a net says what holds for each address in it.
 */
#ifndef QUEUE_LIMITS_H
#define QUEUE_LIMITS_H
#include "core/addr.h"
#include "core/clock.h"
#include "core/report.h"

enum limits_kind { LIMITS_OCI = 0, LIMITS_OCM, LIMITS_ICR, LIMITS_ICM, LIMITS_KINDS };

/* Reads path and publishes it. An absent file is an empty table and a warning. 0, or -EINVAL:
 * errors are in r, the former table stays. Main thread. */
int limits_load(const char *path, struct report *r);
/* The limit for this address, or `otherwise` when the map says nothing. */
unsigned limits_get(enum limits_kind kind, const struct addr *a, unsigned otherwise);
/* octo, or `otherwise`. */
usec_t limits_octo(usec_t otherwise);

#endif
