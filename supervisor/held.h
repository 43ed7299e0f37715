/*
 * supervisor/held.h - programs that were started, found their configuration good, and wait for a
 * word of mcp, see core/hold.h.
 *
 * Owner:  the caller's only thread. Nothing here blocks.
 * Memory: one descriptor for each; held_drop_all() closes them.
 * Limits: HELD_MAX at the same time.
 */
#ifndef SUPERVISOR_HELD_H
#define SUPERVISOR_HELD_H
#include "supervisor/spawn.h"

enum { HELD_MAX = 64 };

struct held {
	unsigned section; /* its place in the file */
	pid_t pid;
	int fd;
};

struct held_list {
	unsigned count;
	struct held item[HELD_MAX];
};

/* Does the program at path say of itself that it can be held? */
bool held_is_known(const char *path);

/* Starts the program of a section, held. s->fd[2] gets what it says of its configuration. Returns
 * its process id or a negative errno. */
pid_t held_start(struct held_list *l, unsigned section, const struct spawn *s);

/* Its end of the socket, readable when it has said something or has ended; -1: there is none. */
int held_fd(const struct held_list *l, unsigned section);

/* True: its configuration is good, and it waits. False: it has ended, or is about to. */
bool held_is_ready(const struct held_list *l, unsigned section);

/* Not one of the list any more, as its end was taken by the caller. */
void held_forget(struct held_list *l, unsigned section);

/* The word: it goes on with out_fd as its stdout and stderr. Returns its process id; 0: there is
 * none, or it died while it waited and was reaped. */
pid_t held_go(struct held_list *l, unsigned section, int out_fd);

/* All end, and are reaped. */
void held_drop_all(struct held_list *l);

#endif
