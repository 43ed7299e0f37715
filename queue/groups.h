/*
 * queue/groups.h - recipients counted by destination, domain, sender and so on: the largest groups
 * first.
 *
 * Owner:  one thread at a time.
 * Memory: one entry per group.
 * Limits: GROUPS_MAX groups, the rest counts as "(others)".
 */
#ifndef QUEUE_GROUPS_H
#define QUEUE_GROUPS_H
#include "core/buf.h"
#include "queue/sched.h"
#include "queue/select.h"

enum { GROUPS_MAX = 200000 };
enum groups_by {
	GROUPS_OF_HOST = 0,
	GROUPS_OF_DOMAIN,
	GROUPS_OF_FROM,
	GROUPS_OF_CLIENT,
	GROUPS_OF_REPLY
};
enum groups_order { GROUPS_BY_QUEUED = 0, GROUPS_BY_ATTEMPTS };

struct groups;

/* An empty table, and its end. */
struct groups *groups_new(void);
void groups_free(struct groups *own);
/* "host", "domain", "from", "client", "reply". */
bool groups_by_name(struct span word, enum groups_by *by);

/* Counts one recipient. */
void groups_add(struct groups *g, enum groups_by by, const struct select_row *row);
/* The first `rows` of them: a table, or one JSON object per line. 0 or -ENOMEM. */
int groups_print(struct groups *g, enum groups_by by, enum groups_order order, unsigned rows,
		 bool json, struct buf *out);

/* The same for destinations of the scheduler; equal ones of several loops become one. Attempts:
 * those going on. */
void groups_add_dest(struct groups *g, const struct sched_dest *d);
int groups_print_dests(struct groups *g, enum groups_order order, unsigned rows, bool json,
		       struct buf *out);

#endif
