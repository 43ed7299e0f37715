/*
 * core/mailbox.h - messages between threads; ownership moves with them.
 *
 * Owner:  one receiving thread; any thread may post.
 * Memory: the node is embedded in what is posted.
 * Order:  messages of one sender arrive in the order in which they were posted.
 * Cost:   a post to a receiver that is awake makes no system call.
 */
#ifndef CORE_MAILBOX_H
#define CORE_MAILBOX_H
#include <stdatomic.h>
#include <stdbool.h>

struct mail {
	struct mail *next;
};

struct mailbox {
	_Atomic(struct mail *) head; /* newest first */
	atomic_int asleep;
	int fd; /* eventfd */
};

/* 0 or -errno. */
int mailbox_init(struct mailbox *b);
void mailbox_close(struct mailbox *b);
/* Any thread. */
void mailbox_post(struct mailbox *b, struct mail *own);
/* The same, but wake the receiver only when *deep: it sleeps without a deadline of its own. */
void mailbox_post_lazy(struct mailbox *b, struct mail *own, const atomic_bool *deep);
/* Receiver: everything that is there, oldest first, NULL when empty. */
struct mail *mailbox_take(struct mailbox *b);
/* Receiver, before it waits for fd: true when it may sleep, false when mail has come meanwhile. */
bool mailbox_sleep(struct mailbox *b);
/* Receiver, when it runs again. */
void mailbox_wake(struct mailbox *b);
/* Receiver: the eventfd was readable. */
void mailbox_drain_fd(struct mailbox *b);

#endif
