/*
 * proto/smtpc_engine.h - deliveries of one event loop: takes attempts, runs sessions, says results.
 *
 * Owner:  one loop; call only from its thread. No lock.
 * Memory: sessions come from a pool, attempts have an arena each. Buffers that are needed only
 *         while an event is handled (in, out, block) are shared by all sessions, so a session that
 *         waits holds none.
 * Limits: session_max connections; an attempt beyond it is answered at once with "later".
 */
#ifndef PROTO_SMTPC_ENGINE_H
#define PROTO_SMTPC_ENGINE_H
#include "core/pool.h"
#include "proto/smtpc_job.h"
#include "proto/smtpc_pool.h"

/* Who gave the work: qmgr, or a test. */
struct smtpc_upstream {
	/* The attempt has ended; j is valid during the call. Exactly one for each attempt that was
	 * taken. */
	void (*result)(void *ctx, const struct smtpc_job *j, enum msg_conn conn);
	/* An idle session with this host was closed. */
	void (*gone)(void *ctx, const struct smtpc_key *key);
};

/* What a reload may change. */
struct smtpc_settings {
	usec_t io_timeout_usec; /* for each step; 0: those of RFC 5321 4.5.3.2 */
	char lmtp_socket[108];
	struct addr connect_only_to; /* ADDR_NONE: not set */
	uint16_t remote_port;
	bool send_8bit;
	bool use_data; /* BDAT only for what cannot go otherwise */
};

struct smtpc_setup {
	struct loop *loop;
	const char *cdb_base;
	struct span hostname; /* for EHLO; outlives the engine */
	uint8_t process;      /* number of this process, for ids in the log */
	uint32_t worker;      /* number of this loop */
	uint32_t session_max;
	uint32_t messages_max; /* over one session; 0: SMTPC_MESSAGES_PER_SESSION */
	usec_t idle_usec;      /* that a session is kept; 0: SMTPC_IDLE_USEC */
	struct smtpc_settings settings;
	const struct smtpc_upstream *up;
	void *up_ctx;
};

struct smtpc_engine {
	struct smtpc_setup setup;
	struct loop *loop;
	struct cdb_reader *cdb;
	uint32_t counter; /* of sessions and transactions, R 10.1 */
	struct smtpc_job *jobs;
	uint32_t job_count;
	struct smtpc_session *sessions;
	uint32_t session_count;
	struct pool session_pool;
	struct smtpc_pool idle;
	bool stopping;
	struct buf out; /* commands of the event being handled */
	char *in;       /* SMTPC_READ_BYTES */
	char *block;    /* SMTPC_BLOCK_BYTES */
};

/* 0 or -ENOMEM. */
int smtpc_engine_init(struct smtpc_engine *e, const struct smtpc_setup *s);
/* Closes all sessions; attempts in progress get no result. */
void smtpc_engine_free(struct smtpc_engine *e);

/* Begins an attempt; the result may come before this returns. 0, or -EBADMSG: not one of ours, no
 * result comes. */
int smtpc_engine_deliver(struct smtpc_engine *e, const struct msg_deliver *d);
/* Ends an attempt; its result is "later" for whom nothing is known yet. An unknown number is
 * ignored: its result is on the way. */
void smtpc_engine_cancel(struct smtpc_engine *e, uint64_t attempt, uint64_t run);
/* No session is kept any more; idle ones say QUIT. */
void smtpc_engine_stop(struct smtpc_engine *e);
/* Closes all idle sessions now, say because nobody gives work any more. */
void smtpc_engine_drop_idle(struct smtpc_engine *e);

/* For sessions: the attempt is over, all outcomes are set. Says so and frees it. */
void smtpc_engine_finish(struct smtpc_engine *e, struct smtpc_job *own, enum msg_conn conn);
/* For sessions: j needs another connection because its idle one was dead. */
void smtpc_engine_again(struct smtpc_engine *e, struct smtpc_job *j);

#endif
