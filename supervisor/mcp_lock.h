/*
 * supervisor/mcp_lock.h - one mcp for one spool, and what a killed one left running.
 *
 * mcp.lock is locked with flock(2) by the mcp that lives, never by its children. Its text says who
 * runs, one line each: "boot ID", "state STATE", "mcp PID BIRTH", then "NAME PID BIRTH" for every
 * process; BIRTH is the start time in clock ticks, so that a process id used again is not mistaken.
 *
 * Owner:  mcp's only thread.
 * Memory: the descriptor lives as long as mcp.
 * Limits: text 128 KB.
 */
#ifndef SUPERVISOR_MCP_LOCK_H
#define SUPERVISOR_MCP_LOCK_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct mcp_process {
	const char *name;
	pid_t pid;
	unsigned long long birth; /* spawn_birth() */
};

/* Takes the lock in the current directory. Returns the descriptor; -EAGAIN: *holder runs here;
 * -EPERM: the file belongs to somebody else; other errors of open(2). */
int mcp_lock_take(pid_t *holder);

/* Writes who runs. state: "starting", "running" or "stopping". */
void mcp_lock_write(int fd, const char *state, const struct mcp_process *list, size_t count);

/*
 * mcp_lock_wait - for the processes of an mcp that was killed: they hold the database. They have
 * got a SIGTERM; after limit_sec they get a SIGKILL. Blocks. stop_fd: readable when mcp is told to
 * stop
 * (-1: none). Returns 0; -EINTR: told to stop; -ETIMEDOUT: one does not even die of SIGKILL.
 */
int mcp_lock_wait(int fd, int limit_sec, int stop_fd);

#endif
