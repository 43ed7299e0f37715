/*
 * proto/smtpc_mail.h - one mail transaction in a session that is ready: MAIL, RCPT, DATA or BDAT.
 *
 * Owner: the loop of the session. Functions return the next phase of the session.
 * Rules: with PIPELINING all commands go out in groups of at most SMTPC_COMMANDS_BYTES and the next
 *        group waits for all replies; without it each command waits. Small content goes out with
 *        the last group where BDAT may be used. Recipients that one transaction has no room for
 *        get another one in the same session. A session whose transaction was not ended by the
 *        reply to a final dot is `dirty`.
 * RFC:   5321 3.3, 3.8, 4.2.1, 4.5.3.1.10 (452 to RCPT); 2920 3.1; 3030; 2033 4.2; 9422.
 */
#ifndef PROTO_SMTPC_MAIL_H
#define PROTO_SMTPC_MAIL_H
#include "proto/smtpc_session.h"

/* Begins s->job; commands are in engine->out. */
enum smtpc_phase smtpc_mail_start(struct smtpc_session *s);
/* A whole reply in SMTPC_PH_COMMANDS, SMTPC_PH_CONTENT, SMTPC_PH_DOT (never 421). */
enum smtpc_phase smtpc_mail_command_reply(struct smtpc_session *s);
enum smtpc_phase smtpc_mail_early_reply(struct smtpc_session *s);
enum smtpc_phase smtpc_mail_dot_reply(struct smtpc_session *s);
/* Goes on with the content. progress: bytes went out. */
enum smtpc_phase smtpc_mail_content(struct smtpc_session *s, bool *progress);

#endif
