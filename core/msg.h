/*
 * core/msg.h - the messages of core/msg.def as structs, with checked decoding.
 *
 * struct msg_NAME, MSG_NAME (the number), msg_NAME_encode(), msg_NAME_decode() for each row.
 * Memory: spans of a decoded message point into its bytes. Any thread.
 */
#ifndef CORE_MSG_H
#define CORE_MSG_H
#include "core/addr.h"
#include "core/buf.h"
#include "core/wire.h"

enum msg_number {
#define F(type, name)
#define M(name, number, fields) MSG_##name = number,
#include "core/msg.def"
#undef M
#undef F
};

typedef uint8_t msg_u8;
typedef uint16_t msg_u16;
typedef uint32_t msg_u32;
typedef uint64_t msg_u64;
typedef struct addr msg_addr;
typedef struct span msg_str;

#define F(type, name) msg_##type name;
#define M(name, number, fields)                                                                    \
	struct msg_##name {                                                                        \
		fields                                                                             \
	};
#include "core/msg.def"
#undef M
#undef F

/* Appends the fields to out: 0 or -ENOMEM. Decoding: 0 or -EBADMSG; out is filled only on success.
 */
#define F(type, name)
#define M(name, number, fields)                                                                    \
	int msg_##name##_encode(const struct msg_##name *m, struct buf *out);                      \
	int msg_##name##_decode(struct span s, struct msg_##name *out);
#include "core/msg.def"
#undef M
#undef F

/* "commit" for 24; "?" for what is not in the table. */
const char *msg_name(unsigned number);

/* Verdicts of smar, R 3.9.3. */
enum msg_action { MSG_ACT_CONT = 0, MSG_ACT_OK, MSG_ACT_RELAY, MSG_ACT_ERROR, MSG_ACT_DISCARD };

/* The reply of smar when a map cannot be read or says nonsense. */
#define MSG_TEXT_CONFIG "451 4.3.5 local configuration error"

/* Flags of ask_*. */
enum msg_ask_flags {
	MSG_ASK_ACCESS = 1u << 0,    /* the server has the flag `access` */
	MSG_ASK_MAY_RELAY = 1u << 1, /* the session may relay already (cltaddr: relay, AUTH, ...) */
	MSG_ASK_LOCAL_NO_RELAY = 1u << 2, /* lmtp_does_not_imply_relaying */
	MSG_ASK_CLIENT_OK = 1u << 3,      /* the session check said quick:ok */
	MSG_ASK_CLIENT_RELAY = 1u << 4,   /* the session check said quick:relay */
	MSG_ASK_NOTICE = 1u << 5, /* qmgr's: who gets a notice to this address? No checks, and an
				     answer without a route is one too */
};

/* The connection after an attempt. */
enum msg_conn { MSG_CONN_CLOSED = 0, MSG_CONN_IDLE };

/* Outcome for one recipient. */
enum msg_outcome { MSG_DONE = 0, MSG_LATER, MSG_FAILED };
/* Where in the dialogue a reply came; the words of logs and DSNs are in msg_stage_name(). */
enum msg_stage {
	MSG_AT_CONNECT = 0,
	MSG_AT_GREETING,
	MSG_AT_EHLO,
	MSG_AT_STARTTLS,
	MSG_AT_AUTH,
	MSG_AT_MAIL,
	MSG_AT_RCPT,
	MSG_AT_DATA,
	MSG_AT_DOT,
	MSG_AT_CONTENT, /* our own content cannot be read or may not be sent as it is */
};
const char *msg_stage_name(unsigned stage);

struct msg_rcpt_result {
	uint32_t idx;
	uint8_t outcome;   /* enum msg_outcome */
	uint8_t stage;     /* enum msg_stage */
	struct span reply; /* "550 5.1.1 no such user": one line, cut at 1000 bytes, printable */
};
/* Appends one to the `rcpts` of a result. 0 or -ENOMEM. */
int msg_rcpt_result_add(struct buf *rcpts, const struct msg_rcpt_result *r);
/* Takes the next one from *rest: 1, 0 at the end, -EBADMSG. */
int msg_rcpt_result_next(struct span *rest, struct msg_rcpt_result *out);

#endif
