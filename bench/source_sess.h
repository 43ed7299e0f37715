/*
 * bench/source_sess.h - one SMTP or LMTP client session of smtp-source, without its socket.
 *
 * Replies go in through source_sess_feed, commands come out in env->out; when send_tail is set, the
 * text's tail goes out behind them. RFC 5321, 2033, 2920, 3030.
 *
 * Owner:     one worker.
 * Memory:    with several recipients one byte for each.
 * Invariant: number != 0: a message is assigned; it leaves by one of the results that source_total
 *            counts.
 */
#ifndef BENCH_SOURCE_SESS_H
#define BENCH_SOURCE_SESS_H
#include "bench/reply.h"
#include "bench/source_text.h"
#include "bench/source_total.h"

/* What all sessions of a worker share. */
struct source_env {
	const struct source_opts *opts;
	const struct source_text *text;
	struct source_total *total;
	struct source_count *count; /* this worker's */
	struct outbuf out;          /* commands of the session at work */
	struct outbuf acked;        /* lines for --acked, written once per turn */
	usec_t now_usec;
};

enum source_phase {
	SOURCE_CLOSED = 0, /* no connection */
	SOURCE_GREETING,
	SOURCE_EHLO,
	SOURCE_HELO,
	SOURCE_READY, /* nothing is under way */
	SOURCE_MAIL,
	SOURCE_RCPT,
	SOURCE_DATA,
	SOURCE_CHUNK, /* first of two BDAT */
	SOURCE_DOT,
	SOURCE_RSET,
	SOURCE_QUIT
};

/* All zero is closed and without a message. */
struct source_sess {
	uint8_t phase;
	bool offers_pipelining, offers_chunking;
	bool piped;       /* this message's commands were sent together */
	bool open;        /* MAIL was accepted and nothing has ended the transaction yet */
	bool ended;       /* the message has its result, the dialogue goes on to its end */
	bool send_tail;   /* for the worker: send text->tail too, then clear it */
	bool tried;       /* MAIL was sent before, over a connection that broke */
	bool refused;     /* the last message got 4yz; a tolerant worker waits before the next */
	uint16_t code;    /* the worst refusal of this message, 0: none */
	uint32_t number;  /* message, 0: none */
	uint32_t done;    /* messages this connection has ended */
	uint32_t rcpt_at; /* replies to RCPT seen; later, with LMTP, replies to the final dot */
	uint32_t rcpt_ok; /* recipients accepted */
	uint32_t dot_ok;
	uint32_t lmtp_at; /* the recipient that the last reply to the final dot was about, plus 1 */
	usec_t begin_usec;   /* latency counts from here */
	uint8_t *rcpt_state; /* of each, 1: accepted; NULL with one recipient */
	struct reply reply;
};

enum source_end {
	SOURCE_GOES_ON = 0, /* wait for more, or READY for a message */
	SOURCE_FINISHED,    /* QUIT was answered: close */
	SOURCE_REFUSED,     /* no greeting or no EHLO: close, a failed connection */
	SOURCE_BROKEN       /* close, the connection is lost (421, no reply at all) */
};

/* Assigns a message that source_total_claim gave out. */
void source_sess_assign(struct source_sess *s, uint32_t number);

/* The connection has been begun; waits for the greeting. */
void source_sess_connected(struct source_env *env, struct source_sess *s);

/* READY and a message assigned: begins it. */
void source_sess_start(struct source_env *env, struct source_sess *s);

/* READY: says good-bye. */
void source_sess_quit(struct source_env *env, struct source_sess *s);

/* Eats replies. Stops early when it wants to be closed. */
enum source_end source_sess_feed(struct source_env *env, struct source_sess *s, const char *p,
				 size_t n);

/* The connection is closed, for whatever reason: gives the message its result unless it may be sent
 * again over another connection (MAIL was not answered, and the connection had worked before). */
void source_sess_closed(struct source_env *env, struct source_sess *s);

/* Takes the message away, unsent. */
void source_sess_release(struct source_env *env, struct source_sess *s);

/* Gives its memory back; it has no connection any more. */
void source_sess_free(struct source_sess *s);

#endif
