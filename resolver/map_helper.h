/*
 * resolver/map_helper.h - lookups that may block (passwd maps) in threads of their own.
 *
 * Owner:  one helper for the process; map_helper_ask() from any loop, answers come in that loop.
 * Memory: a query is embedded in its asker, who keeps it until done is called.
 * Locks:  one mutex around the list of queries, never held over a lookup.
 * Limits: keys of MAP_KEY_MAX bytes, values of MAP_HELPER_VALUE_MAX; `max_waiting` queries.
 */
#ifndef RESOLVER_MAP_HELPER_H
#define RESOLVER_MAP_HELPER_H
#include "core/map.h"

#include "core/loop.h"

enum { MAP_HELPER_VALUE_MAX = 1024, MAP_HELPER_THREADS_MAX = 16 };

struct map_helper;

struct map_query {
	struct loop_mail mail;
	struct map_query *next;
	struct loop *loop;
	struct map *map;
	/* In the loop of the asker. rc: 0 and value; -ENOENT; -E2BIG: the value is longer than may
	 * be; another -errno. */
	void (*done)(struct map_query *q);
	int rc;
	struct span value;
	size_t key_n;
	char key[MAP_KEY_MAX];
	char value_bytes[MAP_HELPER_VALUE_MAX];
};

/* thread_count threads (1 to MAP_HELPER_THREADS_MAX) with the map slots first_slot and up. NULL
 * without threads. */
struct map_helper *map_helper_start(unsigned thread_count, unsigned first_slot,
				    unsigned max_waiting);

/* Looks key up in m and calls q->done (filled in by the caller) in l. 0; -ENOENT: no map holds such
 * a key; -EBUSY: too many wait. Then done is not called. */
int map_helper_ask(struct map_helper *h, struct map_query *q, struct loop *l, struct map *m,
		   struct span key);

/* Ends the threads; waiting queries are dropped without an answer. */
void map_helper_stop(struct map_helper *own);

#endif
