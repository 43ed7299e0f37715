/*
 * queue/outcome.h - what becomes of recipients after an attempt: done, later, failed.
 *
 * Owner:     the loop of the attempt.
 * Invariant: whoever takes the last active recipient of a transaction away hands it to the
 *            committer: finished when none is open, else unloaded.
 * Later:     next time by queue/retry.h, or parked when nobody was reached (queue/park.h); over
 *            queue_return_timeout it has failed.
 * Failed:    a DSN to the sender; the recipient ends when the DSN is durable, so a crash repeats
 *            it.
 */
#ifndef QUEUE_OUTCOME_H
#define QUEUE_OUTCOME_H
#include "core/msg.h"
#include "queue/qmgr.h"

struct outcome;
struct park;

/* Collect the outcomes of recipients of one transaction, then apply them at once. */
struct outcome *outcome_begin(struct qloop *l, struct ta *ta);
bool outcome_has(const struct outcome *o, uint32_t idx);
/* r->reply is copied with the recipient. */
void outcome_add(struct outcome *o, const struct msg_rcpt_result *r);
/* This host was tried, which took so long; copied. */
void outcome_from(struct outcome *o, const struct addr *remote, usec_t took_usec);
/* Those that are done and asked for it get a notice of this kind (enum dsn_kind). */
void outcome_notify(struct outcome *o, int dsn_kind);
/* Those that are to be tried later wait for this destination, not each for its own time. */
void outcome_parks(struct outcome *o, struct park *p);
/* Applies and frees. */
void outcome_end(struct outcome *o);

/* An attempt for `count` recipients begins: says so in the log, at level 12. */
void outcome_expected(const struct ta *ta, unsigned count, const struct addr *remote);

/* The same outcome (r without idx) for several recipients. */
void outcome_same(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		  const struct msg_rcpt_result *r);
/* Into DEFEDB to be tried at wall_next, without counting as an attempt (AQ is full). */
void outcome_spill(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		   usec_t wall_next);
/* Into DEFEDB, parked under p (queue/park.h), without counting as an attempt. why: the reply of those
 * that have none yet; empty: they get none. */
void outcome_park(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		  struct park *p, struct span why);
/* The keeper brought them from their park as it is time to warn or to return: that is done (what is
 * to be returned is tried once more where that is not known to be in vain), the others are parked
 * again. */
void outcome_event(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count);
/* Into DEFEDB, not to be tried until they are released. */
void outcome_hold(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count);
/* Their DSN is durable, or none is due: they are gone. */
void outcome_ended(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count);
/* n active recipients of it less; ta may be gone after this. */
void outcome_leave(struct qloop *l, struct ta *ta, unsigned n);
/* No DSN could be made durable: try the recipients again later. */
void outcome_no_dsn(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count);

#endif
