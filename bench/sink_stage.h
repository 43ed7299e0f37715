/*
 * bench/sink_stage.h - what a session does at each stage that fault rules know: refuse, wait, drop,
 * or go on.
 *
 * A command's handler checks its argument and begins a stage; only stages change the phase and make
 * replies to accepted commands. A stage that must wait sets pause_until and goes on in
 * sink_stage_resume.
 *
 * Owner: the session's worker.
 */
#ifndef BENCH_SINK_STAGE_H
#define BENCH_SINK_STAGE_H
#include "bench/sink_sess.h"

/* Asks the fault rules and does what follows. The address they look at is the one set last. */
void sink_stage_begin(struct sink_env *env, struct sink_sess *s, enum fault_stage stage);

/* The pause is over. A stalled session stays as it is. */
void sink_stage_resume(struct sink_env *env, struct sink_sess *s);

/* The content is whole: one reply, with LMTP one for each recipient, RFC 2033 4.2. */
void sink_stage_dot(struct sink_env *env, struct sink_sess *s);

/* Sets the address; cut at SINK_ADDR_MAX. */
void sink_stage_addr(struct sink_sess *s, struct span addr);

/* No transaction is open any more; the phase stays. */
void sink_stage_reset(struct sink_sess *s);

/* Appends a reply. code ends with its space; enhanced is left out unless it was offered. */
void sink_stage_reply(struct sink_env *env, const char *code, const char *enhanced,
		      const char *text);

#endif
