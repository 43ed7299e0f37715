/*
 * resolver/smar_ask.h - the questions of smtps and qmgr over their links, and the answers.
 *
 * Owner:  a struct smar_ask and its links belong to one loop.
 * Memory: one small object per link; a question costs no allocation unless it waits.
 * Limits: SMAR_ASK_PARKED_MAX waiting questions a loop. A message that cannot be read closes its
 *         link.
 */
#ifndef RESOLVER_SMAR_ASK_H
#define RESOLVER_SMAR_ASK_H
#include "core/link.h"
#include "core/span.h"

enum { SMAR_ASK_PARKED_MAX = 65536 };

struct smar_ask;

struct map_helper;

/* hostname must live as long as the result; helper: for maps that block, NULL: there are none. */
struct smar_ask *smar_ask_new(struct loop *l, struct span hostname, struct map_helper *helper);
/* After its loop has ended, and the helper: closes its links. */
void smar_ask_free(struct smar_ask *own);
struct loop *smar_ask_loop(const struct smar_ask *s);

/* For link_listen(); the ctx that pick hands out is the struct smar_ask of the loop. */
extern const struct link_ops smar_ask_ops;

#endif
