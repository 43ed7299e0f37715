/*
 * queue/tool.h - what mailq, qmgrctl and cdbctl share: where the spool is, whose it is, asking the
 * running qmgr.
 *
 * Thread: main. All of them exit with a message and a code of sysexits.h when they cannot do their
 *         work.
 */
#ifndef QUEUE_TOOL_H
#define QUEUE_TOOL_H
#include "queue/qmgr_options.h"
#include "queue/select.h"
#include "queue/store.h"

#include <sys/types.h>

/* Folders and socket, as qmgr has them. */
struct tool_spool {
	struct qmgr_options opt;
	struct conf_global global;
	const char *socket; /* -s, else control_socket */
};

/* Reads the configuration (-f; NULL: the installed one when the installed spool is used, else the
 * defaults), then changes to the spool: dir (-d), else $SMX_SPOOL, else the current folder if it is
 * a spool, else the installed one. As root: becomes the owner of the database's folder, so that
 * nothing is left that qmgr cannot write. */
void tool_begin(struct tool_spool *t, const char *dir, const char *conf, const char *socket);

/* Answers -V; level: how often it was given. More tells more. */
void tool_version(const char *name, unsigned level);

/* Words of the command line as one selector; without any an empty text. A mistake is shown with its
 * place. */
void tool_selector(char **word, int count, struct buf *text);

/* Sends the request to qmgr and copies the answer to stdout. What begins with "error: " goes to
 * stderr, with what follows; the kind that may stand behind it ("usage: ", "config: ", "denied: ",
 * "busy: ") makes the exit code. A marked answer ends with a line ".", which is not copied: without
 * it the answer is cut. Returns an exit code; TOOL_NOT_RUNNING: nobody listens; TOOL_GONE: qmgr
 * ended before it answered anything, and may have done what was asked. */
enum tool_whole { TOOL_MAY_BE_EMPTY = 0, TOOL_SAYS_SOMETHING, TOOL_MARKED };
enum { TOOL_NOT_RUNNING = -1, TOOL_GONE = -2 };
int tool_ask(const struct tool_spool *t, const char *request, enum tool_whole whole);

/* Who has the database open: a process id, or 0. */
pid_t tool_database_user(const struct tool_spool *t);
/* Waits until the process has ended, at most so many ms. False: it still runs. */
bool tool_wait_end(pid_t pid, int limit_ms);
/* The database, for reading only. NULL: there is none. */
struct store *tool_open_store(const struct tool_spool *t, char *why, size_t cap);

#endif
