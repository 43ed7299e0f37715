/*
 * bench/timerq.h - a heap of deadlines for one event loop.
 *
 * Owner:  one thread.
 * Memory: the nodes are the caller's and stay where they are while armed.
 * Limits: one deadline per node; setting it again moves it.
 */
#ifndef BENCH_TIMERQ_H
#define BENCH_TIMERQ_H
#include <stdbool.h>
#include <stddef.h>
#include "core/clock.h"

/* All zero is not armed. */
struct timerq_node {
	usec_t due_usec;
	size_t at; /* place in the heap plus 1; 0: not armed */
};

/* All zero is empty. */
struct timerq {
	struct timerq_node **heap;
	size_t n;
	size_t cap;
};

/* Arms a node, or moves an armed one. Out of memory ends the program. */
void timerq_set(struct timerq *q, struct timerq_node *node, usec_t due_usec);
/* Takes a node out; does nothing when it is not armed. */
void timerq_cancel(struct timerq *q, struct timerq_node *node);

/* Takes out a node that is due at now, earliest first. NULL: none. */
struct timerq_node *timerq_pop(struct timerq *q, usec_t now_usec);

/* Earliest deadline, or `otherwise` when nothing is armed. */
usec_t timerq_next(const struct timerq *q, usec_t otherwise);

/* Gives the heap back; the nodes stay with their owners. */
void timerq_free(struct timerq *q);

#endif
