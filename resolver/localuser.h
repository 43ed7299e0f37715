/*
 * resolver/localuser.h - does a local address exist? The map of local_user_map, R 3.9.2 item 7, 4.3.2.
 *
 * Steps:  localuser_look asks the map, in a helper thread when it may block, and the question waits;
 *         what it found is in ask->local_user for the steps behind it.
 * Memory: a waiting lookup belongs to its question.
 */
#ifndef RESOLVER_LOCALUSER_H
#define RESOLVER_LOCALUSER_H
#include "resolver/ask.h"

/* ask->local_user: 0 it exists, or nothing is configured that could tell; -ENOENT; another -errno:
 * the map cannot be read. Looks at the box and a->mailer; an alias that was found exists. */
enum ask_next localuser_look(struct ask *a);

#endif
