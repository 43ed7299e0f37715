/*
 * proto/smtpc_outbox.h - results that qmgr may not have: unsent ones, and those sent just now.
 *
 * Owner:  one loop.
 * Memory: a ring of buffers that are used again, and a list while qmgr is away.
 * Why:    qmgr acknowledges nothing; what was written just before a link broke may be lost, so it is
 *         said again. qmgr ignores results of attempts that it does not know.
 * Limits: SMTPC_RECENT_RESULTS sent ones, SMTPC_UNSENT_RESULTS unsent ones; beyond, the oldest is
 *         dropped: then qmgr tries again, and somebody gets a message twice.
 */
#ifndef PROTO_SMTPC_OUTBOX_H
#define PROTO_SMTPC_OUTBOX_H
#include "core/buf.h"
#include "core/clock.h"

struct smtpc_outbox;

/* NULL without memory. */
struct smtpc_outbox *smtpc_outbox_new(void);
void smtpc_outbox_free(struct smtpc_outbox *o);

/* An empty buffer for a result that is sent at once; it may be said again for a while. Never NULL.
 */
struct buf *smtpc_outbox_recent(struct smtpc_outbox *o, usec_t now);
/* A result that cannot be sent now. 0 or -ENOMEM. */
int smtpc_outbox_keep(struct smtpc_outbox *o, struct span body);
/* The link is new: send(ctx, body) for what was sent at `since` or later and for what was kept,
 * oldest first. A non-zero value ends it; what is left is kept. Returns how many were sent. */
unsigned smtpc_outbox_replay(struct smtpc_outbox *o, usec_t since, usec_t now,
			     int (*send)(void *ctx, struct span body), void *ctx);

#endif
