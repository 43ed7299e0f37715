/*
 * supervisor/plan.h - what mcp stops and starts next: order, restart dependencies, the end.
 *
 * Units are numbered in stop order (smtps, smtpc, smar, qmgr, services); they start in the reverse.
 * One unit is stopped at a time, and nothing is started before all that have to stop are gone.
 *
 * Owner:     the caller's only thread; pure, no I/O and no clock.
 * Memory:    none.
 * Invariant: a unit in `asked` is in `cycle` and in `live`.
 * Limits:    PLAN_UNITS_MAX units.
 */
#ifndef SUPERVISOR_PLAN_H
#define SUPERVISOR_PLAN_H
#include <stdbool.h>
#include <stdint.h>

enum { PLAN_UNITS_MAX = 64 };

struct plan {
	unsigned count;
	uint64_t closure[PLAN_UNITS_MAX]; /* all that restarts with a unit, without itself */
	uint64_t live;                    /* has a process */
	uint64_t want;                    /* should run */
	uint64_t due;                     /* to be started when nothing has to stop */
	uint64_t cycle;                   /* to be stopped first */
	uint64_t asked;                   /* of these: was told to stop */
	bool stopping;
};

enum plan_step { PLAN_WAIT = 0, PLAN_STOP, PLAN_START, PLAN_END };

/* count units, all wanted and due. direct[i]: bits of the units that restart with unit i. */
void plan_init(struct plan *p, unsigned count, const uint64_t *direct);

/* What to do now: stop or start *unit, wait for an event, or (stopping only) nothing is left. Call
 * again until it says PLAN_WAIT or PLAN_END. The caller tells plan_live() what came of it. */
enum plan_step plan_next(struct plan *p, unsigned *unit);

/* Unit u has a process, or has none any more. */
void plan_live(struct plan *p, unsigned u, bool live);

/* Unit u lost a process and its wait is over: start it, together with its dependencies. */
void plan_restart(struct plan *p, unsigned u);

/* Unit u stays down, or may be tried again. */
void plan_useless(struct plan *p, unsigned u);
void plan_revive(struct plan *p, unsigned u);

/* Everything is stopped in order; nothing is started any more. */
void plan_stop_all(struct plan *p);

/* Unit u is being stopped: its end is no failure. */
bool plan_is_asked(const struct plan *p, unsigned u);

/* The units reachable from u over direct[], without u itself. */
uint64_t plan_closure(const uint64_t *direct, unsigned count, unsigned u);

/* Place of a section keyword in the stop order: 0 smtps, 1 smtpc, 2 smar, 3 qmgr, 4 all others. */
enum { PLAN_RANK_SERVICE = 4 };
unsigned plan_rank(const char *keyword);

#endif
