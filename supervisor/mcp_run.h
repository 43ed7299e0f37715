/*
 * supervisor/mcp_run.h - the loop of mcp: signals, ends of processes, connections, times.
 *
 * Owner: mcp's only thread.
 */
#ifndef SUPERVISOR_MCP_RUN_H
#define SUPERVISOR_MCP_RUN_H
#include "supervisor/mcp_unit.h"

/* Blocks the signals that mcp takes and opens m->signal_fd for them (until mcp_run()
 * without SIGCHLD), m->timer_fd and m->null_fd.
 * 0 or a negative errno. */
int mcp_run_prepare(struct mcp *m);

/* Has SIGTERM or SIGINT come? Takes and forgets other signals. For the time before mcp_run(). */
bool mcp_run_is_told_to_stop(struct mcp *m);

/* Starts everything and watches it until it is told to stop and all is gone. Returns the exit code.
 */
int mcp_run(struct mcp *m);

#endif
