/*
 * supervisor/mcp_unit.h - the state of a running mcp: one unit for each program, its processes.
 *
 * Owner:     mcp's only thread.
 * Memory:    one struct mcp for the life of the program; mcp_unit_init() allocates the slots.
 * Invariant: a slot with pid 0 has no kill time and is not up; plan.live has a bit for each unit
 *            with a process.
 */
#ifndef SUPERVISOR_MCP_UNIT_H
#define SUPERVISOR_MCP_UNIT_H
#include "core/clock.h"
#include "supervisor/held.h"
#include "supervisor/mcp_conf.h"
#include "supervisor/plan.h"

#include <stdbool.h>
#include <sys/types.h>

/* Room for one process. wait, pass: always filled. nostartaccept: one for each listening socket.
 * accept: one for each connection at the same time. */
struct mcp_slot {
	pid_t pid; /* 0: none */
	unsigned long long birth;
	usec_t started_usec;
	usec_t due_usec;  /* start it, not before this; 0: does not wait for a start */
	usec_t kill_usec; /* SIGKILL then; 0: was not told to stop */
	bool killed;
	bool up; /* took its descriptors */
	unsigned failures;
};

struct mcp_unit {
	unsigned index; /* in the plan */
	const struct mcp_program *conf;
	struct mcp_slot *slot;
	unsigned slot_count;
	struct fdpass sockets;
	bool sockets_open;
	int pass_fd;              /* listens on pass_fd_socket; -1: none */
	usec_t not_up_since_usec; /* no process has its descriptors since then; 0: one has */
	usec_t rest_usec;         /* accepts nothing until then */
};

struct mcp {
	const char *log_dir;
	int stop_limit_sec; /* from SIGTERM to SIGKILL */
	int up_limit_sec; /* without a process that took the sockets until they are closed; 0: ever
			   */
	struct mcp_conf conf;
	struct held_list held; /* of the first start: wait for their turn */
	struct plan plan;
	struct mcp_unit unit[PLAN_UNITS_MAX];
	char **env;
	int lock_fd;
	int signal_fd;
	int timer_fd;
	int null_fd;
	bool changed; /* mcp.lock is to be written */
	int exit_code;
};

/* Units and slots from m->conf; the plan with its dependencies. */
void mcp_unit_init(struct mcp *m);
void mcp_unit_free(struct mcp *m);

/* Any process of the unit is there; one has its descriptors. */
bool mcp_unit_is_live(const struct mcp_unit *u);
bool mcp_unit_is_up(const struct mcp_unit *u);

/* The unit may start processes now: it is wanted and nothing is about to stop it. */
bool mcp_unit_may_start(const struct mcp *m, const struct mcp_unit *u);

/* The process with this id; NULL: none of ours. *slot is its place. */
struct mcp_unit *mcp_unit_find(struct mcp *m, pid_t pid, unsigned *slot);

/* Write mcp.lock. */
void mcp_unit_record(struct mcp *m, const char *state);

#endif
