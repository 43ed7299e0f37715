/*
 * queue/qadmin_words.h - the words of a request on the control socket: options first, then a
 * selector.
 *
 * Thread: loop 0.
 */
#ifndef QUEUE_QADMIN_WORDS_H
#define QUEUE_QADMIN_WORDS_H
#include "core/ctl.h"
#include "queue/select.h"

/* Is the next word `name`? Then it is taken. */
bool qadmin_words_take(struct span *args, const char *name);
/* The next word, whatever it is. */
struct span qadmin_words_next(struct span *args);
/* The rest as a selector. NULL: the answer says why, with the prefix "error: ". needed: an empty
 * one is refused. */
struct select *qadmin_words_select(struct ctl_request *rq, struct span args, bool needed);

#endif
