/*
 * core/ctl.h - a program's control socket: one line in, an answer out, on a unix socket of mode
 * 0660.
 *
 * Owner:  one loop. Peers: root, our own uid, and those of link_allow_uid(), by SO_PEERCRED; others
 *         are closed.
 * Form:   "VERB arguments\n" -> the answer, then the connection is closed. "GET /metrics HTTP/1.x"
 *         is the verb "metrics" with an HTTP answer, so that curl --unix-socket works.
 * Limits: requests of 64 KB, 64 connections, 30 s without progress.
 */
#ifndef CORE_CTL_H
#define CORE_CTL_H
#include "core/buf.h"
#include "core/loop.h"

struct ctl_request {
	struct span args;         /* valid until done */
	struct buf *out;          /* append the answer here */
	void *ctx;                /* of ctl_listen */
	void *state;              /* the verb's own, NULL at first */
	struct ctl_request *self; /* for ctl_resume() */
};

enum ctl_step { CTL_DONE = 0, CTL_MORE, CTL_WAIT };

struct ctl_verb {
	const char *name;
	const char *help; /* one line: "stats [text|json|metrics]" */
	/* Appends some of the answer. CTL_MORE: call again when what is there was read by the peer
	 * (keep parts near 64 KB); CTL_WAIT: call again after ctl_resume(). */
	enum ctl_step (*run)(struct ctl_request *rq);
	/* The peer has gone or the answer is complete: free rq->state. May be NULL. */
	void (*end)(struct ctl_request *rq);
};

struct ctl_server;
/* verbs ends with a NULL name; "help", "stats" and "metrics" (core/stats.h) and "log_level N" are
 * built in. NULL: *error is -errno. */
struct ctl_server *ctl_listen(struct loop *l, const char *path, const struct ctl_verb *verbs,
			      void *ctx, int *error);
/* Those who connect from now on wait in the kernel's queue until it is called with false. */
void ctl_wait(struct ctl_server *s, bool wait);
void ctl_free(struct ctl_server *s);
/* The loop of the server: go on with a request that said CTL_WAIT. */
void ctl_resume(struct ctl_request *rq);

/* A tool's side: connects, sends request and a newline, copies the answer to fd. 0 or -errno.
 * Blocks. */
int ctl_ask(const char *path, const char *request, int fd);

#endif
