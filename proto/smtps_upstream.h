/*
 * proto/smtps_upstream.h - what sessions ask of qmgr and smar, without saying how it gets there.
 *
 * smtps_links.c implements it with links; the replay tests with a script.
 * Owner:     the loop of the sessions. An answer never comes inside the call that asked.
 * Memory:    a request is embedded in its user and must stay until done() was called or it was
 *            forgotten. What it points to stays too, because it is sent again after a reconnect.
 * Invariant: done() is called exactly once for each request that was not forgotten.
 */
#ifndef PROTO_SMTPS_UPSTREAM_H
#define PROTO_SMTPS_UPSTREAM_H
#include "core/buf.h"
#include "core/cdb.h"
#include "core/clock.h"
#include "core/msg.h"

struct smtps_upstream;

enum smtps_request_kind {
	SMTPS_ASK_CLIENT = 0,
	SMTPS_ASK_MAIL,
	SMTPS_ASK_RCPT,
	SMTPS_CONN_OPEN,
	SMTPS_COMMIT,
	SMTPS_ID_LEASE
};

/* The part that all have in common; belongs to the upstream while it waits. */
struct smtps_request {
	struct smtps_request *next, **prev; /* prev NULL: does not wait */
	uint64_t req;
	usec_t asked, deadline;
	uint8_t kind; /* enum smtps_request_kind */
};

/* To smar. */
struct smtps_ask {
	struct smtps_request r;
	uint32_t flags; /* enum msg_ask_flags */
	const struct addr *client;
	struct span sender, rcpt;
	/* In front of the verdict, only SMTPS_ASK_RCPT: what an alias stands for, core/members.h.
	 * 0 or -EBADMSG. */
	int (*members)(struct smtps_ask *a, uint32_t part, struct span list);
	/* v NULL: no answer in time. Its spans are valid during the call. */
	void (*done)(struct smtps_ask *a, const struct msg_verdict *v);
};

/* To qmgr: may this client open a session? */
struct smtps_open {
	struct smtps_request r;
	const struct addr *client;
	void (*done)(struct smtps_open *o, const struct msg_conn_verdict *v);
};

/* To qmgr: make it durable. */
struct smtps_commit {
	struct smtps_request r;
	uint64_t ta;
	struct cdb_ref ref;
	struct buf envelope;
	void (*done)(struct smtps_commit *c, const struct msg_commit_done *v);
};

struct smtps_upstream_ops {
	/* r.kind of an ask must be filled in. 0 or -ENOMEM: then done() is not called. */
	int (*ask)(struct smtps_upstream *u, struct smtps_ask *a);
	int (*open)(struct smtps_upstream *u, struct smtps_open *o);
	int (*commit)(struct smtps_upstream *u, struct smtps_commit *c);
	/* No answer is wanted any more. No-op when it does not wait. */
	void (*forget)(struct smtps_upstream *u, struct smtps_request *r);
	/* A session that was let in has ended. */
	void (*closed)(struct smtps_upstream *u, const struct addr *client);
	/* A new S id; 0: none at the moment, the host's sessions are told when there are some. */
	uint64_t (*id)(struct smtps_upstream *u);
};

struct smtps_upstream {
	const struct smtps_upstream_ops *ops;
};

static inline bool smtps_request_waits(const struct smtps_request *r)
{
	return r->prev != NULL;
}

#endif
