/*
 * bench/fault.h - what smtp-sink does wrong on purpose: rules per stage of a session.
 *
 * A rule is KIND STAGE[:VALUE][:RATE[:MATCH]].
 *   KIND   fail (VALUE is a reply: 450, "550 5.1.1 no such user"), delay (VALUE is a time), drop,
 * stall STAGE  connect helo mail rcpt data body dot accepted rset quit. body: while the content
 * comes in; dot: before the message counts; accepted: after it counted, before its 250. RATE   10%
 * by chance, 1/50 every 50th, 20x the first 20; without it always MATCH  only when the address has
 * this in it (sender at mail, the recipient at rcpt and LMTP's dot, the first recipient later),
 * letters in any case
 *
 * Owner:  fault_add before threads start; fault_check any thread (counters are atomic, the
 *         generator is the caller's).
 * Limits: FAULT_RULES rules.
 * Memory: texts point into argv.
 */
#ifndef BENCH_FAULT_H
#define BENCH_FAULT_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include "core/clock.h"
#include "core/span.h"

enum { FAULT_RULES = 64 };

enum fault_kind { FAULT_FAIL = 0, FAULT_DELAY, FAULT_DROP, FAULT_STALL };

enum fault_stage {
	FAULT_CONNECT = 0,
	FAULT_HELO,
	FAULT_MAIL,
	FAULT_RCPT,
	FAULT_DATA,
	FAULT_BODY,
	FAULT_DOT,
	FAULT_ACCEPTED,
	FAULT_RSET,
	FAULT_QUIT,
	FAULT_STAGES
};

struct fault_rule {
	enum fault_kind kind;
	enum fault_stage stage;
	unsigned code;
	struct span text; /* behind the code; empty: a text is made up */
	struct span match;
	usec_t delay_usec;
	double chance;           /* 1: always */
	uint64_t every, first;   /* 0: not by count */
	_Atomic uint64_t visits; /* that matched, for every and first */
	_Atomic uint64_t hits;
};

struct fault_set {
	unsigned n;
	bool has[FAULT_STAGES];
	struct fault_rule rule[FAULT_RULES];
};

/* What to do now; all zero: go on as if nothing were. */
struct fault_verdict {
	const struct fault_rule *fail;
	usec_t delay_usec;
	bool drop, stall;
};

/* Adds a rule from its text without KIND. 0, or -EINVAL and the reason in why. */
int fault_add(struct fault_set *f, enum fault_kind kind, const char *spec, const char **why);

/* Names as they stand in rules. */
const char *fault_stage_name(enum fault_stage stage);
/* And of the options that take rules. */
const char *fault_kind_name(enum fault_kind kind);

/* Asks all rules of the stage in order; delays add up, the first fail counts. rng: any state,
 * changed. */
void fault_ask(struct fault_set *f, enum fault_stage stage, struct span addr, uint64_t *rng,
	       struct fault_verdict *v);

static inline void fault_check(struct fault_set *f, enum fault_stage stage, struct span addr,
			       uint64_t *rng, struct fault_verdict *v)
{
	*v = (struct fault_verdict){ 0 };
	if (f->has[stage])
		fault_ask(f, stage, addr, rng, v);
}

#endif
