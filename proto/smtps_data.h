/*
 * proto/smtps_data.h - the content: DATA, the final dot, handing it to qmgr.
 *
 * Owner:     the session's loop.
 * Memory:    a struct smtps_sending from the host's pool lives from the end of the content to
 *            qmgr's answer, also when the client has gone: the message is then accepted all the
 *            same.
 * Invariant: 250 only after qmgr said durable; every 4yz and 5yz after the content has the id.
 * Limits:    options max_message_size, max_header_size, max_hops, max_line_length.
 * RFC:       5321 4.1.1.4, 4.5.2, 6.3.
 */
#ifndef PROTO_SMTPS_DATA_H
#define PROTO_SMTPS_DATA_H
#include "proto/smtps_reply.h"
#include "proto/smtps_session.h"
#include "proto/smtps_ta.h"
#include "proto/smtps_upstream.h"

struct smtps_sending {
	struct smtps_commit c;
	struct smtps_host *host;
	struct smtps_session *s; /* NULL: gone */
	struct smtps_ta *ta;
	uint64_t session_id;
};

/* The command DATA, which has no argument: 354, and content follows. */
enum smtps_phase smtps_data_verb(struct smtps_session *s, struct span args);

/* Content up to the final dot. False: all was used. */
bool smtps_data_take(struct smtps_session *s, struct span *in);

/* For BDAT. Begins the content with our Received; false without memory. */
bool smtps_data_begin(struct smtps_session *s, enum dots_mode mode);
/* One piece of it; errors are kept until the end. */
void smtps_data_keep(struct smtps_session *s, struct span piece);
/* It is complete: store it and ask qmgr, or refuse it. Returns the next phase. */
enum smtps_phase smtps_data_end(struct smtps_session *s);
/* What content has done wrong so far, 0: nothing. */
enum smtps_reply smtps_data_error(const struct smtps_session *s);

#endif
