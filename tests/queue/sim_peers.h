/*
 * tests/queue/sim_peers.h - smtps, smtpc and smar as qmgr sees them; for sim.c alone. What tests do
 * with them is in sim.h.
 */
#ifndef TESTS_QUEUE_SIM_PEERS_H
#define TESTS_QUEUE_SIM_PEERS_H
#include "tests/queue/sim.h"

/* They connect from this loop, as soon as time passes. */
void sim_peers_start(struct loop *l, const struct sim_setup *s);
/* All have said hello. */
bool sim_peers_up(void);
void sim_peers_end(void);

#endif
