/*
 * queue/rowcheck.h - do the rows of the queue database fit each other? Every recipient that waits
 * must have the rows that bring it back. For cdbctl check.
 *
 * Reads only; the picture is that of the moment in which the database was opened.
 */
#ifndef QUEUE_ROWCHECK_H
#define QUEUE_ROWCHECK_H
#include "queue/store.h"

/* say(): once for each recipient with something wrong. Returns how many, or -errno. */
int rowcheck(struct store *s, void (*say)(uint64_t ta, uint32_t idx, const char *what));

#endif
