/*
 * queue/outcome.h - what becomes of recipients after an attempt: done, later, failed.
 *
 * Owner:     the loop of the attempt.
 * Invariant: whoever takes the last active recipient of a transaction away hands it to the
 *            committer: finished when none is open, else unloaded.
 * Later:     next time by queue/retry.h; over queue_return_timeout it has failed.
 * Failed:    a DSN to the sender; the recipient ends when the DSN is durable, so a crash repeats
 *            it.
 */
#ifndef QUEUE_OUTCOME_H
#define QUEUE_OUTCOME_H
#include "core/msg.h"
#include "queue/qmgr.h"

struct outcome;

/* Collect the outcomes of recipients of one transaction, then apply them at once. */
struct outcome *outcome_begin(struct qloop *l, struct ta *ta);
bool outcome_has(const struct outcome *o, uint32_t idx);
/* r->reply is copied with the recipient. */
void outcome_add(struct outcome *o, const struct msg_rcpt_result *r);
/* This host was tried; copied. */
void outcome_from(struct outcome *o, const struct addr *remote);
/* Those that are done and asked for it get a notice of this kind (enum dsn_kind). */
void outcome_notify(struct outcome *o, int dsn_kind);
/* Applies and frees. */
void outcome_end(struct outcome *o);

/* The same outcome (r without idx) for several recipients. */
void outcome_same(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		  const struct msg_rcpt_result *r);
/* Into DEFEDB to be tried at wall_next, without counting as an attempt (AQ is full). */
void outcome_spill(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		   usec_t wall_next);
/* Into DEFEDB, not to be tried until they are released. */
void outcome_hold(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count);
/* Their DSN is durable, or none is due: they are gone. */
void outcome_ended(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count);
/* No DSN could be made durable: try the recipients again later. */
void outcome_no_dsn(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count);

#endif
