/*
 * proto/smtps_log.h - the log lines of a session, R 10.2.
 *
 * Owner: the session's loop. Encoding is that of core/log.h; nothing is formatted when the level is
 *        off.
 */
#ifndef PROTO_SMTPS_LOG_H
#define PROTO_SMTPS_LOG_H
#include "proto/smtps_reply.h"
#include "proto/smtps_session.h"
#include "proto/smtps_ta.h"

/* A client has come and was greeted (stat 0) or refused. */
void smtps_log_client(const struct smtps_session *s, unsigned stat, struct span reply);
/* MAIL, RCPT: stat 0 when accepted, else code and reply. ta NULL: refused before there was one. */
void smtps_log_mail(const struct smtps_session *s, const struct smtps_ta *ta, struct span sender,
		    unsigned stat, struct span reply);
void smtps_log_rcpt(const struct smtps_session *s, const struct smtps_ta *ta, struct span rcpt,
		    uint32_t idx, unsigned stat, struct span reply);
/* A command that was refused before anybody was asked, or made a limit pass. */
void smtps_log_command(const struct smtps_session *s, struct span input, enum smtps_reply r);
/* The same for one that was accepted, with the number of its members when it is an alias. */
void smtps_log_accepted_rcpt(const struct smtps_session *s, const struct smtps_ta *ta,
			     const struct smtps_rcpt *r);
/* The content was accepted (stat 0) or refused. */
void smtps_log_content(uint64_t session, const struct smtps_ta *ta, unsigned stat,
		       struct span reply);
/* The end, at a high level only. */
void smtps_log_end(const struct smtps_session *s, const char *why);
/* Trouble with the disk, or the program's own. */
void smtps_log_trouble(const struct smtps_session *s, const struct smtps_ta *ta, const char *where,
		       int error);

#endif
