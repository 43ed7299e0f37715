/*
 * queue/inventory.h - the records of the content database and what the queue database says of them. For cdbctl.
 *
 * Reads only, takes no lock: qmgr and smtps may be running, the picture is that of the moment.
 * Owner:  one thread, registered with RCU.
 */
#ifndef QUEUE_INVENTORY_H
#define QUEUE_INVENTORY_H
#include "core/cdb_read.h"
#include "queue/store.h"

enum inventory_state {
	INVENTORY_LIVE = 0, /* queued */
	INVENTORY_NEW,      /* not in the database yet: just accepted, or about to be */
	INVENTORY_FINISHED,
	INVENTORY_UNKNOWN, /* there is no database to ask */
};
const char *inventory_state_name(enum inventory_state s);

struct inventory;

/* store: NULL: the marks beside the segments are all there is. It belongs to the caller. 0: *error is -errno. */
struct inventory *inventory_new(const char *base, struct store *store, int *error);
void inventory_free(struct inventory *own);

/* One file: a segment or an own file. */
struct inventory_file {
	uint64_t seg; /* 0: the own file of ta */
	uint64_t gen, ta;
	uint64_t size_bytes;
	bool in_use; /* a process holds it: its writer */
	int error;   /* -errno: it cannot be read, its header is damaged */
};
struct inventory_record {
	const struct inventory_file *file;
	struct cdb_ref ref;
	struct cdb_head head;
	enum inventory_state state;
	int damage; /* with check: 0, -EBADMSG a CRC does not fit, -errno of the disk */
};
struct inventory_calls {
	void (*begin)(void *ctx, const struct inventory_file *f);
	void (*record)(void *ctx, const struct inventory_record *r);
	void (*end)(void *ctx, const struct inventory_file *f);
	void *ctx;
};
/* All files, in the order of the folders. check: read all content and compare the CRCs. 0 or -errno. */
int inventory_walk(struct inventory *v, bool check, const struct inventory_calls *calls);
struct cdb_reader *inventory_reader(struct inventory *v);

#endif
