/*
 * supervisor/mcp_proc.h - the processes of mcp: start, stop, end.
 *
 * Owner: mcp's only thread. Nothing here blocks.
 */
#ifndef SUPERVISOR_MCP_PROC_H
#define SUPERVISOR_MCP_PROC_H
#include "supervisor/mcp_unit.h"

/* Every log file can be opened or made. 0 or -EINVAL; says why on the log. */
int mcp_proc_check_logs(const struct mcp *m);

/* Start one process in an empty slot. fd: becomes its descriptors 0 and, with both, 1; -1: none.
 * When that fails, the slot waits like after a death. Returns 0 or a negative errno. */
int mcp_proc_start(struct mcp *m, struct mcp_unit *u, unsigned slot, int fd, bool both);

/* Start the slots of a wait or pass unit whose time has come. */
void mcp_proc_start_due(struct mcp *m, struct mcp_unit *u);

/* SIGTERM to all processes of the unit; SIGKILL after m->stop_limit_sec. */
void mcp_proc_stop(struct mcp *m, struct mcp_unit *u);

/* SIGKILL where the time is over. */
void mcp_proc_kill_due(struct mcp_unit *u, usec_t now_usec);

/* Take the ends of all children that have ended. */
void mcp_proc_reap(struct mcp *m);

/* A signal for the four components; services do not know it. */
void mcp_proc_forward(struct mcp *m, int sig);

/* What had a useless exit code may be tried again. */
void mcp_proc_revive(struct mcp *m);

#endif
