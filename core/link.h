/*
 * core/link.h - framed messages between two of the programs over a unix stream socket.
 *
 * Owner:  one loop per link; call only from its thread. Messages sent in one turn leave in one
 *         write.
 * Frame:  u32 length of what follows, u16 number, u64 request id, body.
 * Limits: LINK_FRAME_MAX bytes a frame, the peer's uid among the allowed ones, LINK_BACKLOG_MAX
 *         bytes unsent (then the peer counts as dead). A frame that breaks a rule closes the link,
 *         never the program. Without descriptors the server side looks away for 100 ms.
 * Life:   the client side connects again by itself, with pauses from 1 ms (10 ms after a
 *         loss) to 1 s, each longer by a quarter.
 */
#ifndef CORE_LINK_H
#define CORE_LINK_H
#include "core/buf.h"
#include "core/loop.h"
#include "core/span.h"

#include <errno.h>
#include <sys/types.h>

enum {
	LINK_VERSION = 4,
	LINK_FRAME_MAX = 16 << 20,
	LINK_BACKLOG_MAX = 256 << 20,
	LINK_NAME_MAX = 32
};

struct link;

/* What each side says first. */
struct link_hello {
	char component[LINK_NAME_MAX]; /* "smtps", "smtpc", "qmgr", "smar" */
	uint32_t id;                   /* of the section (smtps id) or process */
	uint32_t worker;               /* number of this loop, from 0 */
	uint32_t workers;              /* how many loops this process has */
	uint64_t instance;             /* random per process start */
	uint64_t pid;
};

struct link_ops {
	/* Both sides have said hello. State after a reconnect is sent from here. */
	void (*up)(struct link *k, const struct link_hello *peer);
	/* The connection is gone. Server side: the link is freed after this call. */
	void (*down)(struct link *k);
	/* One message; body is valid during the call. A bad body is answered by link_refuse(). */
	void (*message)(struct link *k, unsigned number, uint64_t req, struct span body);
};

/* Client side: connects to path now and whenever the connection is lost. NULL without memory. */
struct link *link_connect(struct loop *l, const char *path, const struct link_hello *me,
			  const struct link_ops *ops, void *ctx);
/* Closes and frees; down() is not called. */
void link_free(struct link *k);

/* Server side: a listening socket; accept() runs in the loop of the listener and says in which loop
 * the new link is to live (NULL: refuse). ctx of the new link is that of its loop: *ctx is filled
 * in by pick. */
struct link_server;
typedef struct loop *link_pick_fn(void *server_ctx, const struct link_hello *peer, void **ctx);
struct link_server *link_listen(struct loop *l, int fd, const struct link_hello *me,
				const struct link_ops *ops, link_pick_fn *pick, void *server_ctx);
/* Stops listening; links stay, but connections without a hello yet are closed. */
void link_server_free(struct link_server *s);
/* Uids that may connect besides our own and root's; at most 8, before the first link_listen(). */
void link_allow_uid(uid_t uid);
/* Is the peer of a unix socket root, our own user or one of link_allow_uid()? Control sockets ask
 * too. */
bool link_peer_allowed(int fd);

/* Both sides have said hello; false for NULL. */
bool link_is_up(const struct link *k);
/* What link_connect() or pick gave, and another one. */
void *link_ctx(const struct link *k);
void link_set_ctx(struct link *k, void *ctx);
/* The loop it lives in. */
struct loop *link_loop(const struct link *k);
/* What the peer said of itself; valid while the link is up and in down(). */
const struct link_hello *link_peer(const struct link *k);

/* Queues a message; it leaves at the end of the turn. 0, -ENOTCONN while the link is down, -ENOMEM.
 */
int link_send(struct link *k, unsigned number, uint64_t req, struct span body);
/* Bytes that the peer has not taken yet. */
size_t link_unsent(const struct link *k);
/* The peer broke the protocol: log, close, down() comes at the end of the turn. */
void link_refuse(struct link *k, const char *why);

/* Encode in place: the buffer to append the body to, or NULL (down, no memory); then link_end(k,
 * rc) with what the encoder returned. 0, or -errno and the frame is taken back. */
struct buf *link_begin(struct link *k, unsigned number, uint64_t req);
int link_end(struct link *k, int rc);

/* link_put(k, req, name, &(struct msg_NAME){...}): encode and send; needs core/msg.h. 0 or -errno.
 */
#define link_put(k, req, name, ...)                                                                \
	({                                                                                         \
		struct buf *link_b_ = link_begin(k, MSG_##name, req);                              \
		link_b_ ? link_end(k, msg_##name##_encode(__VA_ARGS__, link_b_)) : -ENOTCONN;      \
	})

/* Requests that wait for an answer: a table from request id to what asked. Ids are never reused in
 * a table. */
struct link_requests;
struct link_requests *link_requests_new(void);
void link_requests_free(struct link_requests *t);
/* A new id for what; 0 without memory. */
uint64_t link_request_add(struct link_requests *t, void *what);
/* What asked, and forgets it; NULL: unknown (late or hostile answer). */
void *link_request_take(struct link_requests *t, uint64_t req);
/* What asked, without forgetting. */
void *link_request_peek(struct link_requests *t, uint64_t req);

#endif
