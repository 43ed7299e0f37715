/*
 * core/process.h - what every program does at its start: descriptors, log, who may connect,
 * signals.
 *
 * Thread: main, before others start.
 * Order:  conf_main(), process_begin(), then what the program needs.
 */
#ifndef CORE_PROCESS_H
#define CORE_PROCESS_H
#include "core/conf.h"
#include "core/link.h"

/* Raises the descriptor limit (max_fds, 0: the hard limit), opens the log as `common` says under
 * `name`, ignores SIGPIPE and SIGHUP, blocks TERM, INT, USR1 and USR2 (they come through
 * process_signals()), lets the accounts of smX use links and control sockets. */
void process_begin(const char *name, const struct conf_common *common, uint32_t max_fds);

/* The hello of this process: component, id, workers, pid and a random instance. */
void process_hello(struct link_hello *me, const char *component, uint32_t id, uint32_t workers);

struct process_signals {
	struct loop_io io, reload_io;
	struct loop *loop;
	void (*terminate)(void *ctx); /* TERM, INT */
	void (*reload)(void *ctx);    /* USR1 */
	void *ctx;                    /* USR2 rewinds the log */
};
/* Watches the signals in this loop. Exits when it cannot. The struct lives as long as the loop. */
void process_signals(struct process_signals *s, struct loop *l);

#endif
