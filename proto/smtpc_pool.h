/*
 * proto/smtpc_pool.h - sessions that are kept for the next message to the same host.
 *
 * Owner:     one engine.
 * Memory:    the sessions are linked, nothing is allocated.
 * Invariant: a session in the pool waits for nothing from its peer; if its transaction is not
 *            closed yet (`dirty`), RSET goes in front of the next MAIL.
 * Limits:    the engine closes the oldest beyond SMTPC_IDLE_SESSIONS.
 */
#ifndef PROTO_SMTPC_POOL_H
#define PROTO_SMTPC_POOL_H
#include "proto/smtpc_job.h"

enum { SMTPC_POOL_BUCKETS = 256 };

/* Embedded in a session. */
struct smtpc_pool_link {
	struct smtpc_session *session;
	struct smtpc_pool_link *next, **prev;  /* same bucket, newest first; prev NULL: not in */
	struct smtpc_pool_link *older, *newer; /* of all */
};

struct smtpc_pool {
	struct smtpc_pool_link *bucket[SMTPC_POOL_BUCKETS];
	struct smtpc_pool_link *oldest, *newest;
	uint32_t count;
};

/* l->session must be filled in; its key must not change while it is in. */
void smtpc_pool_put(struct smtpc_pool *p, struct smtpc_pool_link *l);
/* The one used last, so that the others get old; NULL: none. It is out of the pool then. */
struct smtpc_session *smtpc_pool_take(struct smtpc_pool *p, const struct smtpc_key *key);
bool smtpc_pool_has(const struct smtpc_pool *p, const struct smtpc_key *key);
/* No-op when it is not in. */
void smtpc_pool_remove(struct smtpc_pool *p, struct smtpc_pool_link *l);
/* The one that waits longest, or NULL. */
struct smtpc_session *smtpc_pool_oldest(const struct smtpc_pool *p);

#endif
