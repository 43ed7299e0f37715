/*
 * supervisor/spawn.h - start a process: user, rights, descriptors, signals, environment.
 *
 * The child has a process group of its own (^C reaches only mcp), dies with SIGTERM when mcp does,
 * and holds no descriptors but 0, 1 and 2, and HOLD_FD when it is held (core/hold.h).
 *
 * Owner:  the caller's only thread; it must not have made others.
 * Memory: none.
 */
#ifndef SUPERVISOR_SPAWN_H
#define SUPERVISOR_SPAWN_H
#include "supervisor/account.h"

#include <stdbool.h>
#include <sys/types.h>

struct spawn {
	const char *path;
	char *const *argv;
	char *const *env;
	const char *working_directory; /* NULL: stay */
	const struct account *account;
	bool drop_rights;    /* no new privileges, empty bounding set */
	bool ignore_signals; /* USR1, USR2 are ignored until the program takes them */
	int fd[3];           /* become 0, 1, 2 */
	const int *hold_fd;  /* becomes HOLD_FD; NULL: it is not held */
};

/* Returns the process id or a negative errno. What fails after fork(), such as execve(2), is told
 * on the child's descriptor 2, and the child exits with EX_OSERR. */
pid_t spawn_start(const struct spawn *s);

/* Start time of a process in clock ticks since boot, which with its id names it for good; 0: gone.
 */
unsigned long long spawn_birth(pid_t pid);

#endif
