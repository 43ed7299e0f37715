/*
 * bench/sink_sess.h - one SMTP or LMTP session of smtp-sink, without its socket.
 *
 * Bytes go in through sink_sess_feed, replies come out in env->out. RFC 5321, 2033, 2920, 1870,
 * 6152, 3030.
 *
 * Owner:     one worker; a session lives and dies there.
 * Memory:    grows with recipients (8 bytes each) and, with --dump, LMTP or faults, their
 *            addresses.
 * Invariant: while pause_until is set nothing is fed; sink_sess_resume ends the pause.
 * Limits:    a command line of SINK_LINE_MAX bytes, an address of SINK_ADDR_MAX.
 */
#ifndef BENCH_SINK_SESS_H
#define BENCH_SINK_SESS_H
#include "bench/sink_opts.h"
#include "bench/sink_total.h"

enum { SINK_LINE_MAX = 4096, SINK_ADDR_MAX = 320, SINK_LIMIT_LIFTED = -1 };

/* What all sessions of a worker share. */
struct sink_env {
	struct sink_opts *opts;
	struct sink_total *total;
	struct sink_count *count; /* this worker's */
	struct outbuf out;        /* replies of the session at work */
	uint64_t rng;
	usec_t now_usec;
	_Atomic int64_t *limit_slot;   /* --limit: when the next message may be answered, or
					SINK_LIMIT_LIFTED; all workers */
	_Atomic uint64_t *dump_number; /* all workers */
};

enum sink_phase {
	SINK_CONNECT = 0,
	SINK_GREET, /* greeted, no EHLO yet */
	SINK_READY,
	SINK_MAIL,
	SINK_RCPT,
	SINK_CHUNKS, /* between two BDAT */
	SINK_DATA,
	SINK_BDAT,
	SINK_DOT /* the content is whole, replies are due */
};

/* All zero is a session whose connection has just come. */
struct sink_sess {
	uint8_t phase;
	uint8_t stage; /* the fault stage that a pause interrupted */
	bool closing;  /* send what is in out, then close */
	bool esmtp, utf8, body_8bit, body_asked;
	bool bdat_last, bdat_bad, counted;
	usec_t pause_until; /* 0: none, INT64_MAX: stalled */
	struct fault_verdict verdict;
	struct datascan scan;
	uint64_t *rcpt; /* span_casehash of each */
	uint32_t rcpt_n, rcpt_cap;
	uint32_t mail_n;        /* transactions begun */
	uint32_t dot_at, dot_n; /* replies to the final dot: given, all */
	size_t env_at;          /* LMTP: next recipient in env */
	uint64_t bdat_left;
	struct outbuf
		env; /* sender and recipients, each ended by NUL; only when something needs them */
	struct outbuf content; /* --dump */
	uint16_t addr_n;
	char addr[SINK_ADDR_MAX]; /* what a fault rule's MATCH looks at */
};

/* Greets. */
void sink_sess_begin(struct sink_env *env, struct sink_sess *s);

/* Takes bytes until they are used up, a pause begins, or the session is closing. Returns how many
 * it took; the rest must be fed again together with what follows. */
size_t sink_sess_feed(struct sink_env *env, struct sink_sess *s, const char *p, size_t n);

/* The pause is over. */
void sink_sess_resume(struct sink_env *env, struct sink_sess *s);

/* The client has gone or the time is over: counts it. */
void sink_sess_end(struct sink_env *env, struct sink_sess *s);

/* Makes it all zero again but keeps memory for the next connection. */
void sink_sess_recycle(struct sink_sess *s);
void sink_sess_free(struct sink_sess *s);

#endif
