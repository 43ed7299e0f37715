/*
 * proto/smtps_session.h - one SMTP session: its state, reading, writing, its end.
 *
 * Owner:     the loop of its host, from accept to the end.
 * Memory:    the struct from the host's pool, buffers only while something is in them, a
 *            transaction's data in an arena that goes with it. An idle session is the struct and
 *            its EHLO name.
 * Invariant: replies leave in the order of the commands; all replies of a turn leave in one write.
 *            Only smtps_session_phase() changes the phase.
 * RFC:       5321 4.3, 2920.
 */
#ifndef PROTO_SMTPS_SESSION_H
#define PROTO_SMTPS_SESSION_H
#include "core/addr.h"
#include "core/buf.h"
#include "core/loop.h"
#include "proto/smtps_host.h"
#include "proto/stream.h"

struct smtps_greet;
struct smtps_slot;
struct smtps_ta;

enum smtps_phase {
	SMTPS_PH_PROXY = 0, /* a PROXY header must come first */
	SMTPS_PH_WAIT,      /* qmgr and smar are asked, no greeting yet */
	SMTPS_PH_START,     /* greeted, no EHLO */
	SMTPS_PH_READY,
	SMTPS_PH_MAIL, /* a sender, no recipient yet */
	SMTPS_PH_RCPT,
	SMTPS_PH_CHUNK,   /* BDAT has begun */
	SMTPS_PH_DATA,    /* content until the final dot */
	SMTPS_PH_COMMIT,  /* content is complete, qmgr has not answered */
	SMTPS_PH_REFUSED, /* 554 in place of a greeting: only QUIT is left */
	SMTPS_PH_LINGER,  /* nothing more is said; reading until the client closes */
	SMTPS_PH_DEAD
};

/* How the next bytes are taken. */
enum smtps_input {
	SMTPS_IN_LINE = 0,
	SMTPS_IN_SKIP, /* an overlong line up to its end */
	SMTPS_IN_DATA,
	SMTPS_IN_CHUNK,
	SMTPS_IN_PROXY
};

enum smtps_session_flags {
	SMTPS_SE_EHLO = 1u << 0,    /* EHLO, not HELO */
	SMTPS_SE_EOF = 1u << 1,     /* the client will send nothing more */
	SMTPS_SE_BLOCKED = 1u << 2, /* the client does not read our replies */
	SMTPS_SE_COUNTED = 1u << 3, /* qmgr counts it and must hear of its end */
	SMTPS_SE_LOCAL = 1u << 4,   /* came over a unix socket */
	SMTPS_SE_EARLY = 1u << 5,   /* talked before the greeting */
	SMTPS_SE_DELAYED = 1u << 6, /* the greeting was delayed for that already */
	SMTPS_SE_MAY_RELAY = 1u << 7,
	SMTPS_SE_CLIENT_OK = 1u << 8,    /* quick:ok */
	SMTPS_SE_CLIENT_RELAY = 1u << 9, /* quick:relay */
	SMTPS_SE_DISCARD = 1u << 10,     /* every transaction is dropped */
	SMTPS_SE_CHUNK_LAST = 1u << 11,
	SMTPS_SE_XCLIENT = 1u << 12, /* XCLIENT has replaced the client's address */
	SMTPS_SE_RUNNING = 1u << 13, /* input is being worked on */
	SMTPS_SE_IN_VAIN = 1u << 14, /* MAIL was refused, or a chunk: what follows may be in vain */
};

struct smtps_session {
	struct loop_io io; /* the worker's; unused in tests */
	struct loop_task flush;
	struct timer timer;
	struct stream stream;
	struct smtps_session *next, **prev; /* of the host */
	struct smtps_host *host;
	uint64_t id;     /* 0: not yet */
	usec_t deadline; /* the timer is set at or before it */
	usec_t begun;
	usec_t active;        /* the last command, or content, that has come */
	usec_t content_since; /* when the content began */
	struct buf in, out;
	struct smtps_ta *ta;                   /* the open transaction */
	struct smtps_greet *greet;             /* only before the greeting */
	struct smtps_slot *slots, **slots_end; /* commands that wait for an answer, in order */
	char *helo;                            /* malloc'd; NULL: none */
	char *name;                            /* verified name of the client, malloc'd */
	char *later; /* error of the connection check that RCPT gets, malloc'd */
	uint64_t chunk_left;
	uint64_t content_bytes; /* that came since then */
	uint32_t slot_count;
	uint32_t bad, invalid,
		nops;     /* commands, recipients, idle commands since the last transaction */
	uint32_t in_vain; /* commands behind a refused MAIL since the last one */
	uint32_t rcpts, transactions;
	uint32_t lingered; /* bytes read after the end */
	struct addr client;
	uint32_t flags; /* enum smtps_session_flags */
	uint8_t phase, input;
	uint32_t watching;
};

/* A new one for a client whose stream is `own`, which it takes; NULL when the pool is used up: then
 * the caller keeps it. The worker watches the stream, then starts it. */
struct smtps_session *smtps_session_new(struct smtps_host *h, const struct stream *own,
					const struct addr *client, unsigned flags);
void smtps_session_start(struct smtps_session *s);

/* The stream has something, or takes something again. */
void smtps_session_ready(struct smtps_session *s, uint32_t events);

/* Go on after something that it waited for has come. */
void smtps_session_run(struct smtps_session *s);

/* Stop early: what is not in a transaction is told 421 now, the others at the end of theirs. */
void smtps_session_stop(struct smtps_session *s);
/* 421 with the reason now, whatever it does. */
void smtps_session_stop_now(struct smtps_session *s);

/* For the handlers. */
void smtps_session_phase(struct smtps_session *s, enum smtps_phase next);
/* Content begins now: it must come fast enough from here on, option min_data_rate. */
void smtps_session_content(struct smtps_session *s);
/* More content has come than anybody sends who looks at SIZE and at replies. */
bool smtps_session_flooded(const struct smtps_session *s);
/* The last reply is in the buffer: let it leave, then linger. */
void smtps_session_end(struct smtps_session *s);
/* Gone at once, without a word. */
void smtps_session_kill(struct smtps_session *s, const char *why);
/* Bytes to send; they leave at the end of the turn. */
void smtps_session_put(struct smtps_session *s, struct span bytes);
/* Appends what has come to the session's own input; false: nothing came. */
bool smtps_session_peek(struct smtps_session *s);
/* Idle sessions have less time from now on: those that are over it end. */
void smtps_session_press(struct smtps_session *s);

static inline bool smtps_session_over(const struct smtps_session *s)
{
	return s->phase >= SMTPS_PH_LINGER;
}

static inline const struct smtps_options *smtps_session_opt(const struct smtps_session *s)
{
	return &s->host->conf->o;
}

#endif
