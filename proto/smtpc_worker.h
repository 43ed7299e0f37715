/*
 * proto/smtpc_worker.h - one event loop of smtpc: its link to qmgr and its engine.
 *
 * Owner:  a thread of its own; other threads use only the functions marked "any thread".
 * Memory: all of it is made before the thread starts and freed after it ended.
 * Link:   after each connect the attempts in progress, then results that qmgr may not have, then state_end.
 */
#ifndef PROTO_SMTPC_WORKER_H
#define PROTO_SMTPC_WORKER_H
#include "proto/smtpc_engine.h"

struct smtpc_worker;

struct smtpc_worker_setup {
	const char *link_path; /* SMTPC_socket */
	const char *cdb_base;
	struct span hostname;
	uint64_t instance; /* random per start of the process */
	uint32_t process;
	uint32_t worker;
	uint32_t workers;
	uint32_t session_max;
	int cpu; /* THREAD_ANY_CPU, or to be bound to */
	usec_t wait_for_server_usec;
	struct smtpc_settings settings;
};

/* Starts the thread. NULL: *error is -errno. Strings of s outlive the worker. */
struct smtpc_worker *smtpc_worker_start(const struct smtpc_worker_setup *s, int *error);
/* Any thread: no new work, wait for attempts in progress at most SMTPC_STOP_USEC, end. */
void smtpc_worker_stop(struct smtpc_worker *w);
/* Any thread: what a reload changed. 0 or -ENOMEM. */
int smtpc_worker_set(struct smtpc_worker *w, const struct smtpc_settings *s,
		     usec_t wait_for_server_usec);
/* Waits for the end of the thread and frees. */
void smtpc_worker_join(struct smtpc_worker *w);
/* Any thread: part of a CPU that its thread uses. */
unsigned smtpc_worker_busy_percent(const struct smtpc_worker *w);

#endif
