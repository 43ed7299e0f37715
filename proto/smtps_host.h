/*
 * proto/smtps_host.h - what the sessions of one event loop share, and what they need of their
 * surroundings.
 *
 * smtps_worker.c makes one per event loop; the replay tests make one with a clock of their own.
 * Owner:  one loop.
 * Memory: the pools live as long as the host. What a session lends goes back when it ends.
 * Limits: SMTPS_BLOCK_* bytes of content in memory for all sessions of a loop; over it content goes
 * to files.
 */
#ifndef PROTO_SMTPS_HOST_H
#define PROTO_SMTPS_HOST_H
#include "core/cdb_write.h"
#include "core/loop.h"
#include "core/pool.h"
#include "proto/smtps_conf.h"
#include "proto/smtps_upstream.h"

enum {
	SMTPS_INPUT_BYTES = 65536, /* one read */
	SMTPS_BLOCK_KINDS = 3,     /* content blocks of 4, 16 and 64 KB */
	SMTPS_PARTS_MAX = 264,     /* blocks of one message in memory */
	SMTPS_SLOTS_MAX = 64,      /* pipelined commands of one session that wait for smar */
};

struct smtps_host;
struct smtps_session;

struct smtps_host_ops {
	usec_t (*now)(struct smtps_host *h);
	usec_t (*wall)(struct smtps_host *h);
	void (*timer_set)(struct smtps_host *h, struct timer *t, usec_t at);
	void (*timer_stop)(struct smtps_host *h, struct timer *t);
	void (*defer)(struct smtps_host *h, struct loop_task *t);
	/* Wait for these of the session's stream: EPOLLIN, EPOLLOUT, or 0. */
	void (*watch)(struct smtps_host *h, struct smtps_session *s, uint32_t events);
	/* The session is over and its memory about to go. */
	void (*ended)(struct smtps_host *h, struct smtps_session *s);
};

struct smtps_credit {
	uint32_t sessions, recipients; /* UINT32_MAX until qmgr has said something */
	uint8_t level;
	bool lets_in; /* at level stop: clients are told 452 instead of being left to wait */
};

struct smtps_host {
	const struct smtps_host_ops *ops;
	struct smtps_upstream *up;
	struct cdb_writer *cdb;
	struct smtps_conf *conf; /* a reference */
	struct pool sessions, slots, greets, commits;
	struct pool blocks[SMTPS_BLOCK_KINDS];
	char *input;         /* SMTPS_INPUT_BYTES */
	struct buf scratch;  /* for the length of one call */
	struct span command; /* the line that is being run, during the call */
	struct iovec parts[SMTPS_PARTS_MAX];
	struct smtps_session *first; /* all open sessions */
	uint32_t session_count;
	uint32_t rcpt_count;   /* in open transactions; an alias is one */
	uint32_t member_count; /* of aliases in memory */
	struct smtps_credit credit;
	bool stopping;
	bool pressed; /* few sessions are left: idle ones get less time */
};

/* Fills in all but ops, up, cdb; takes a reference to conf. max_sessions bounds the pool for good.
 * 0 or -ENOMEM. */
int smtps_host_init(struct smtps_host *h, struct smtps_conf *conf, size_t max_sessions);
/* All sessions must have ended. */
void smtps_host_free(struct smtps_host *h);

static inline usec_t smtps_host_now(struct smtps_host *h)
{
	return h->ops->now(h);
}

#endif
