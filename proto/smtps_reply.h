/*
 * proto/smtps_reply.h - every reply of the server, in one table.
 *
 * Owner:  the session's loop.
 * Memory: appends to the session's output.
 * RFC:    5321 4.2, 3463 and 2034 (enhanced codes).
 */
#ifndef PROTO_SMTPS_REPLY_H
#define PROTO_SMTPS_REPLY_H
#include "core/span.h"

struct smtps_session;

enum smtps_reply {
	SMTPS_R_OK = 0,
	SMTPS_R_RESET,
	SMTPS_R_BYE,
	SMTPS_R_HELP,
	SMTPS_R_VRFY,
	SMTPS_R_NO_EXPN,
	SMTPS_R_SENDER_OK,
	SMTPS_R_RCPT_OK,
	SMTPS_R_START_DATA,
	SMTPS_R_CHUNK_OK,
	SMTPS_R_ACCEPTED, /* with the id */
	SMTPS_R_TIMEOUT,
	SMTPS_R_STOPPING,
	SMTPS_R_UNAVAILABLE,
	SMTPS_R_LIMIT_BAD,
	SMTPS_R_LIMIT_INVALID,
	SMTPS_R_LIMIT_NOPS,
	SMTPS_R_LIMIT_RCPTS,
	SMTPS_R_LIMIT_TRANSACTIONS,
	SMTPS_R_LIMIT_TIME,
	SMTPS_R_PROXY,
	SMTPS_R_BUSY,
	SMTPS_R_LOCAL,
	SMTPS_R_TOO_MANY_RCPTS,
	SMTPS_R_UNKNOWN,
	SMTPS_R_LINE_LONG,
	SMTPS_R_BARE,
	SMTPS_R_NUL,
	SMTPS_R_NO_ARGUMENT,
	SMTPS_R_NEED_ARGUMENT,
	SMTPS_R_HELO_SYNTAX,
	SMTPS_R_HELO_OURS,
	SMTPS_R_MAIL_SYNTAX,
	SMTPS_R_RCPT_SYNTAX,
	SMTPS_R_SENDER_SYNTAX,
	SMTPS_R_ADDRESS_SYNTAX,
	SMTPS_R_SENDER_LONG,
	SMTPS_R_ADDRESS_LONG,
	SMTPS_R_SENDER_DOMAIN,
	SMTPS_R_ADDRESS_DOMAIN,
	SMTPS_R_NEED_UTF8,
	SMTPS_R_PARAM_SYNTAX,
	SMTPS_R_PARAM_UNKNOWN,
	SMTPS_R_SIZE,
	SMTPS_R_NEED_HELO,
	SMTPS_R_NESTED_MAIL,
	SMTPS_R_NEED_MAIL,
	SMTPS_R_NEED_RCPT,
	SMTPS_R_SEQUENCE,
	SMTPS_R_IN_CHUNKS,
	SMTPS_R_NEED_BDAT,
	SMTPS_R_CHUNK_SYNTAX,
	SMTPS_R_CHUNK_SIZE,
	SMTPS_R_REFUSED,
	SMTPS_R_EARLY,
	SMTPS_R_XCLIENT_DENIED,
	SMTPS_R_XCLIENT_SYNTAX,
	/* After the content, with the id. */
	SMTPS_R_DOT_SIZE,
	SMTPS_R_DOT_HOPS,
	SMTPS_R_DOT_BARE,
	SMTPS_R_DOT_NUL,
	SMTPS_R_DOT_LINE,
	SMTPS_R_DOT_HEADER,
	SMTPS_R_DOT_STORE,
	SMTPS_R_DOT_SPACE,
	SMTPS_R_DOT_QMGR,
	SMTPS_R_COUNT
};

/* One of the table. */
void smtps_reply(struct smtps_session *s, enum smtps_reply r);
/* With the id of the transaction behind the enhanced code. */
void smtps_reply_ta(struct smtps_session *s, enum smtps_reply r, uint64_t ta);
/* Code 0: not known; text of qmgr "4.3.0 reason", with the id put in. */
void smtps_reply_code_ta(struct smtps_session *s, unsigned code, struct span text, uint64_t ta);
/* A whole reply line of smar or qmgr, "550 5.7.1 text"; what is not one becomes "550 5.7.1". */
void smtps_reply_text(struct smtps_session *s, struct span whole);
/* Then the session ends: 421 and the like. */
void smtps_reply_end(struct smtps_session *s, enum smtps_reply r);

/* The text of the table, for the log. */
struct span smtps_reply_text_of(enum smtps_reply r);
/* The code as a number, after soft_bounce. */
unsigned smtps_reply_code(const struct smtps_session *s, enum smtps_reply r);
unsigned smtps_reply_text_code(const struct smtps_session *s, struct span whole);

#endif
