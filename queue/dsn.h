/*
 * queue/dsn.h - delivery status notifications: made, written to the content database, committed,
 * queued.
 *
 * Owner: the loop that saw the first failure of the transaction: the others send theirs there. The
 *        recipients stay active until the DSN is durable; then they end. A warning that waits counts
 *        as one more that is active.
 * To:    the sender, for members of a list its owner; where that is an alias here, those it stands
 *        for. Each of them gets DSNs of its own, always from the null reverse-path.
 * Never: a DSN to the null reverse-path (RFC 5321 4.5.5), or for NOTIFY=NEVER (RFC 3461 4.1).
 * Form:  R 10.4; with flag MIME_Format a multipart/report of RFC 3464.
 */
#ifndef QUEUE_DSN_H
#define QUEUE_DSN_H
#include "queue/qmgr.h"

/* Takes over recipients that failed (RCPT_FAILED, active): they are named together in one DSN as
 * long as others of the transaction are being tried, in whatever loop, or will be once more within
 * merge_delay_max; at most that long, at most max_errors_per_DSN. */
void dsn_failed(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count);
/* These recipients (active) are over queue_delay_timeout: one warning per transaction and addressee
 * names all that are not done, when no other is being tried, at most after merge_delay_max. */
void dsn_delayed(struct qloop *l, struct ta *ta, uint32_t *idx, unsigned count);
/* So many of ta's recipients are active yet, others have just left: does a notice wait for nothing
 * any more? Looks in the loop where it waits. */
void dsn_left(struct ta *ta, unsigned left);
/* After each outcome: sends what waits for nothing any more. ta may be gone. */
void dsn_settle(struct qloop *l, struct ta *ta);
/* As dsn_settle(), without waiting for those that are deferred: the operator waits. */
void dsn_hurry(struct qloop *l, struct ta *ta);
/* What a notice says of its recipients, the Action of RFC 3464 2.3.3. */
enum dsn_kind { DSN_FAILED = 0, DSN_DELAYED, DSN_RELAYED, DSN_DELIVERED, DSN_EXPANDED };

/* A notice of success to those who asked for it; nothing changes for the recipients. */
void dsn_notice(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		enum dsn_kind kind);

#endif
