/*
 * supervisor/precheck.h - is a configuration file good? For mcp before it starts, and for smconf.
 *
 * Owner:  the caller's only thread; it forks and waits, so call it before the event loop runs.
 * Memory: frees all it allocates; the list of what is held stays the caller's.
 * Limits: output of each program 64 KB, its time 30 s; all programs run at the same time.
 */
#ifndef SUPERVISOR_PRECHECK_H
#define SUPERVISOR_PRECHECK_H
#include "supervisor/held.h"

#include <stdbool.h>
#include <stdio.h>

/*
 * precheck_file - syntax, global options, mcp's options of every section; then runs the program
 * (`path`) of each section whose keyword is qmgr, smtps, smtpc or smar with -n -f FILE (-N NAME),
 * for root under the user of the section, and merges the messages in the order of the file.
 * as_root: every section also needs a user.
 * keep: NULL, or an empty list. A program that can be held and whose `arguments` are just these
 * (without -n) is started as mcp starts it, but held, and is in keep when the file is good.
 * Returns 0 for a good file (warnings may have been written to out), -EINVAL otherwise.
 */
int precheck_file(const char *path, bool as_root, FILE *out, struct held_list *keep);

#endif
