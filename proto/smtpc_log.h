/*
 * proto/smtpc_log.h - the log lines of sessions and transactions, R 10.2.
 *
 * Owner: the loop of the session. Encoding is core/log's.
 */
#ifndef PROTO_SMTPC_LOG_H
#define PROTO_SMTPC_LOG_H
#include "proto/smtpc_session.h"

/* da_sess=..., status=connected, port=..., addr=... */
void smtpc_log_connected(const struct smtpc_session *s);
/* The session is of no use: where, why. */
void smtpc_log_lost(const struct smtpc_session *s, enum msg_stage where, struct span why);
/* da_sess=..., da_ta=..., ss_ta=..., mail=<...>, stat=..., reply=... */
void smtpc_log_mail(const struct smtpc_session *s);
/* ... rcpt=<...>, stat=..., reply=...; where: NULL, or "final_dot" for LMTP */
void smtpc_log_rcpt(const struct smtpc_session *s, uint32_t i, const char *where);
/* ... where=..., size=..., stat=..., reply=... */
void smtpc_log_where(const struct smtpc_session *s, const char *where);

/* The content of transaction ta cannot be read: in which file, and why. -ESTALE, whose client was told
 * to send it again, is not worth a line. */
void smtpc_log_unreadable(uint64_t ta, uint64_t seg, int rc);

#endif
