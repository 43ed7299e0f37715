/*
 * proto/smtpc_session.h - one connection to a next hop, from connect to QUIT.
 *
 * Owner:     the loop of its engine.
 * Memory:    from the pool of the engine; a session that waits holds no buffer.
 * Invariant: `phase` is changed only by smtpc_session.c; a handler of a reply returns the next one.
 *            A job is bound to a session until its result is said; the session outlives it.
 * Limits:    every phase has a time limit (proto/smtpc_limits.h or io_timeout), which begins with
 *            the step, not with each byte of a reply.
 * RFC:       5321 3.1, 3.2, 3.8, 4.1.1.1, 4.5.3.2; 2033.
 */
#ifndef PROTO_SMTPC_SESSION_H
#define PROTO_SMTPC_SESSION_H
#include "proto/ehlo.h"
#include "proto/reply.h"
#include "proto/smtpc_content.h"
#include "proto/smtpc_engine.h"

enum smtpc_phase {
	SMTPC_PH_CONNECT = 0,
	SMTPC_PH_GREETING,
	SMTPC_PH_EHLO,
	SMTPC_PH_HELO,
	SMTPC_PH_COMMANDS, /* RSET, MAIL, RCPT, DATA */
	SMTPC_PH_CONTENT,  /* is being sent */
	SMTPC_PH_DOT,      /* is sent, the reply is awaited; with LMTP one for each recipient */
	SMTPC_PH_IDLE,     /* in the pool */
	SMTPC_PH_QUIT,
	SMTPC_PH_CLOSED,
};

/* Position in RSET, MAIL, RCPT..., DATA: negative, then the index of a recipient, then rcpt_count.
 */
enum { SMTPC_STEP_RSET = -2, SMTPC_STEP_MAIL = -1 };

struct smtpc_session {
	struct smtpc_io io;
	struct timer timer;
	struct smtpc_engine *engine;
	struct smtpc_session *next, **prev; /* of all of the engine */
	struct smtpc_pool_link idle;
	struct smtpc_key key;
	struct addr peer; /* ADDR_NONE: unix socket */
	uint32_t id;
	uint32_t message_count;
	uint8_t phase; /* enum smtpc_phase */
	bool lmtp;
	bool reused; /* was in the pool before this job */
	bool dirty;  /* RSET must go in front of the next MAIL */
	bool again;  /* close, and begin the job on another connection */
	int broken;  /* -errno of writing: only what can still be read counts */
	struct smtpc_job *job;
	/* the transaction, see proto/smtpc_mail.h */
	int32_t to_send;
	int32_t to_answer;
	uint32_t lmtp_at;
	bool chunk; /* BDAT goes out with the last commands, without waiting for their replies */
	bool chunk_sent; /* it did */
	struct smtpc_content content;
	struct ehlo offer;
	struct reply reply;
};

/* Opens a connection for j. 0; -errno: it could not even be begun, j is untouched. */
int smtpc_session_open(struct smtpc_engine *e, struct smtpc_job *j, const struct addr *to);
/* Uses an idle session, which has left the pool. */
void smtpc_session_reuse(struct smtpc_session *s, struct smtpc_job *j);
/* qmgr does not want the job any more: closes. */
void smtpc_session_cancel(struct smtpc_session *s);
/* An idle session that is not kept any more: QUIT, and close when that is answered. */
void smtpc_session_quit_idle(struct smtpc_session *s);
/* Closes at once and frees, says nothing to anybody. */
void smtpc_session_drop(struct smtpc_session *s);

/* Time limit of a stage. */
usec_t smtpc_session_limit(const struct smtpc_settings *s, enum msg_stage stage);

/* Transactions that this session may have: ours, or MAILMAX of RFC 9422. */
uint32_t smtpc_session_messages_max(const struct smtpc_session *s);

/* For handlers of replies: the session is of no more use. Who has no outcome yet is tried later, or
 * at once on another connection when only an idle one was dead. why: "4.4.2 ...". Returns
 * SMTPC_PH_CLOSED. */
enum smtpc_phase smtpc_session_lost(struct smtpc_session *s, struct span why);
/* The same for a reply that makes no sense here. */
enum smtpc_phase smtpc_session_garbled(struct smtpc_session *s);

#endif
