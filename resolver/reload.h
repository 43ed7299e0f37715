/*
 * resolver/reload.h - the thread that reads the maps again, so that no loop ever waits for a file.
 *
 * Owner: one reload thread; reload_request() from any thread, the result comes in the loop that was
 *        given.
 * Locks: one mutex around the request numbers, never held over I/O.
 * RCU:   the thread is offline; it alone publishes map sets after the start.
 */
#ifndef RESOLVER_RELOAD_H
#define RESOLVER_RELOAD_H
#include "resolver/mapset.h"

#include "core/loop.h"

struct reload;

/* One reload has ended; it did what the requests up to number asked. text: lines of errors and
 * warnings. */
struct reload_result {
	uint64_t number;
	unsigned error_count;
	unsigned warning_count;
	struct span text;
};
typedef void reload_done_fn(void *ctx, const struct reload_result *result);

/* o must live as long; slot: for lookups of the thread (map_use_slot()). NULL without memory or
 * threads. */
struct reload *reload_start(const struct smar_options *o, unsigned slot, struct loop *l,
			    reload_done_fn *done, void *ctx);
/* Read all maps again, with files as they are from now on. Returns the number of the request. */
uint64_t reload_request(struct reload *r);
/* Ends the thread; the loop must have ended or be the caller's: results under way are dropped. */
void reload_stop(struct reload *own);

#endif
