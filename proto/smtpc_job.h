/*
 * proto/smtpc_job.h - one attempt: a message, some recipients, one host, what became of each.
 *
 * Owner:     the loop that got it; the session that works on it points to it.
 * Memory:    an arena with copies of everything; the content record stays open to the end.
 * Invariant: a recipient's outcome is set once; open_count is the number of those without one.
 * RFC:       5321 4.2.1 and 4.3.2 (classes of replies), 3463 (codes of our own texts).
 */
#ifndef PROTO_SMTPC_JOB_H
#define PROTO_SMTPC_JOB_H
#include "core/arena.h"
#include "core/cdb_read.h"
#include "core/envelope.h"
#include "core/msg.h"

/* A destination as qmgr names it; sessions are shared by this. */
struct smtpc_key {
	uint8_t mailer; /* enum route_mailer */
	struct addr host;
};

static inline bool smtpc_key_eq(const struct smtpc_key *a, const struct smtpc_key *b)
{
	return a->mailer == b->mailer && addr_eq(&a->host, &b->host);
}

struct smtpc_rcpt {
	bool set;      /* outcome, stage and reply are final */
	bool accepted; /* RCPT was answered 2yz */
	bool skip;     /* not to be named in this transaction; set before its first command */
	uint8_t outcome;
	uint8_t stage;
	struct span reply;
};

struct smtpc_session;

struct smtpc_job {
	struct smtpc_job *next, **prev; /* of all in progress */
	struct arena *arena;
	uint64_t attempt, run; /* as qmgr calls it; numbers of another run are its own */
	struct smtpc_key key;
	struct cdb_reader *reader; /* of rec, NULL: rec is closed */
	struct cdb_record rec;
	struct envelope env;
	struct smtpc_rcpt *rcpt; /* env.rcpt_count of them */
	uint32_t open_count;
	uint32_t accepted_count; /* open ones that were accepted */
	uint32_t da_ta;          /* its number in this worker, for the log */
	usec_t start_usec;
	struct smtpc_session *session;
	bool retried;       /* the session was found dead and this is the second one */
	bool no_session;    /* the host could not be talked to: counts against its address */
	bool mail_answered; /* MAIL got any reply: no silent second try any more */
	bool mail_failed;
	bool utf8;     /* SMTPUTF8 is to be said */
	bool peer_dsn; /* the host offered DSN: notices are its business, RFC 3461 5.2 */
	bool no_chunk; /* a server that offered CHUNKING did not know BDAT */
	bool others;   /* there are further hosts */
	bool keep;     /* the session may stay open for the next message */
};

/* Copies what d says. 0 and *out, or -EBADMSG (envelope), -ENOMEM. The record is not opened yet. */
int smtpc_job_new(const struct msg_deliver *d, usec_t now_usec, struct smtpc_job **out);
/* Closes the record. */
void smtpc_job_free(struct smtpc_job *j);

/* Opens the content. On failure all outcomes are set. 0 or -errno. */
int smtpc_job_open_content(struct smtpc_job *j, struct cdb_reader *r, const struct msg_deliver *d);

/* Sets the outcome of one recipient that has none; text is copied. */
void smtpc_job_set(struct smtpc_job *j, uint32_t i, enum msg_outcome o, enum msg_stage stage,
		   struct span text);
/* The same for all that have none. */
void smtpc_job_set_open(struct smtpc_job *j, enum msg_outcome o, enum msg_stage stage,
			struct span text);
/* The same for those of the transaction going on: accepted, and without one. */
void smtpc_job_set_accepted(struct smtpc_job *j, enum msg_outcome o, enum msg_stage stage,
			    struct span text);
/* Forget what a dead session answered, for the second try. */
void smtpc_job_restart(struct smtpc_job *j);

/* Size as SIZE= counts it: unstuffed, with our Received. */
static inline uint64_t smtpc_job_size(const struct smtpc_job *j)
{
	return j->rec.head.content_bytes - j->rec.head.dots;
}

/* The `rcpts` of its result, appended to out. 0 or -ENOMEM. */
int smtpc_job_results(const struct smtpc_job *j, struct buf *out);

#endif
