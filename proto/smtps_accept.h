/*
 * proto/smtps_accept.h - the listening sockets in one event loop.
 *
 * Owner:  the loop.
 * Memory: embedded.
 */
#ifndef PROTO_SMTPS_ACCEPT_H
#define PROTO_SMTPS_ACCEPT_H
#include "core/loop.h"
#include "proto/smtps_worker.h"

struct smtps_accept;

struct smtps_listener {
	struct loop_io io;
	struct smtps_accept *a;
	int fd;
	bool local;
};

struct smtps_accept {
	struct loop *loop;
	struct smtps_listener at[SMTPS_LISTEN_MAX];
	unsigned count;
	bool armed;
	bool starved; /* no descriptors or memory a moment ago */
	struct timer retry;
	/* May it accept one more? `wait`: nothing will tell when it may again, so ask after a
	 * while. */
	bool (*may)(struct smtps_accept *a, bool *wait);
	/* At most so many at once. */
	unsigned (*batch)(struct smtps_accept *a);
	/* A connection, which belongs to the callee. */
	void (*take)(struct smtps_accept *a, int own_fd, const struct addr *client, bool local);
};

/* Takes the listening sockets of sh; may, batch and take must be filled in. Nothing is watched yet.
 */
void smtps_accept_init(struct smtps_accept *a, struct loop *l, const struct smtps_shared *sh);
/* Something has changed: watch the sockets, or stop watching. */
void smtps_accept_update(struct smtps_accept *a);
/* Stop for good; the sockets stay open, connections wait in them. */
void smtps_accept_stop(struct smtps_accept *a);

#endif
