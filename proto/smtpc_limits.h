/*
 * proto/smtpc_limits.h - what smtpc bounds and waits for: the numbers that are not options.
 *
 * RFC: 5321 4.5.3.2 (time limits), 2920 3.1 (how much may be in flight).
 */
#ifndef PROTO_SMTPC_LIMITS_H
#define PROTO_SMTPC_LIMITS_H
#include "core/clock.h"

enum smtpc_limits {
	/* Of one pipelined group; the socket buffers of both sides hold it. */
	SMTPC_COMMANDS_BYTES = 16 << 10,
	/* Content up to this is read and sent at once, more by sendfile(2). */
	SMTPC_COPY_BYTES = 64 << 10,
	/* Content up to this goes by BDAT with the commands, where that is offered. */
	SMTPC_CHUNK_BYTES = 64 << 10,
	/* Sent in one turn of the loop, then the others are served. */
	SMTPC_SENDFILE_BYTES = 1 << 20,
	SMTPC_READ_BYTES = 16 << 10,
	SMTPC_MESSAGES_PER_SESSION = 1000,
	/* Per event loop; then the oldest is closed. */
	SMTPC_IDLE_SESSIONS = 1000,
	/* Per event loop, idle ones too. */
	SMTPC_SESSIONS = 20000,
	SMTPC_RECENT_RESULTS = 1024,
	SMTPC_UNSENT_RESULTS = 100000,
	SMTPC_LOAD_STEP_PERCENT = 10,
	/* Per event loop, for segments, links and so on. */
	SMTPC_DESCRIPTORS_KEPT = 96,
};

/* Times in microseconds. */
#define SMTPC_SEC(n) ((usec_t)(n)*USEC_PER_SEC)
/* RFC 5321 names none; a dead host must not hold a connection of qmgr's for long. */
#define SMTPC_CONNECT_USEC SMTPC_SEC(30)
/* Where there are others: time for two SYNs, so that one may get lost. RFC 8305. */
#define SMTPC_CONNECT_QUICK_USEC (2500 * USEC_PER_MSEC)
#define SMTPC_GREETING_USEC      SMTPC_SEC(300)
#define SMTPC_EHLO_USEC          SMTPC_SEC(300)
#define SMTPC_MAIL_USEC          SMTPC_SEC(300)
#define SMTPC_RCPT_USEC          SMTPC_SEC(300)
#define SMTPC_DATA_USEC          SMTPC_SEC(120)
#define SMTPC_BLOCK_USEC         SMTPC_SEC(180)
#define SMTPC_DOT_USEC           SMTPC_SEC(600)
/* For the reply to QUIT; nothing depends on it. */
#define SMTPC_QUIT_USEC SMTPC_SEC(5)
#define SMTPC_IDLE_USEC SMTPC_SEC(5)
/* For attempts in progress after SIGTERM. */
#define SMTPC_STOP_USEC SMTPC_SEC(10)
/* Results sent so long before a link broke may be lost. */
#define SMTPC_RESEND_USEC SMTPC_SEC(1)

#endif
