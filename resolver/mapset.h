/*
 * resolver/mapset.h - all maps of smar as one snapshot: what a question is answered from.
 *
 * Owner:  made by the main thread at start and by the reload thread after that; read by all loops.
 * Memory: a snapshot holds references on its maps. A published one is freed after a grace period.
 * RCU:    mapset_current_rcu() is valid in the read section of its caller.
 */
#ifndef RESOLVER_MAPSET_H
#define RESOLVER_MAPSET_H
#include "resolver/access.h"
#include "resolver/aliases.h"
#include "resolver/mailertable.h"
#include "resolver/smar_options.h"

#include "core/rcu.h"

struct mapset {
	struct access *access;
	struct mailertable *mailertable;
	struct aliases *aliases;    /* NULL: none */
	struct map *local_users;    /* local_user_map; NULL: none */
	uint64_t local_users_flags; /* SMAR_LOCAL_USER_F_* */
	char delimiter;             /* begins a detail */
	struct map **declared;      /* the map sections in their order */
	unsigned declared_count;
	struct rcu_head rcu;
};

/* Opens all maps of o. What cannot be read or is wrong is an error in r; then that part is taken
 * from `old` (a reload), or without old the result is NULL. Blocks. */
struct mapset *mapset_load(const struct smar_options *o, const struct mapset *old,
			   struct report *r);
/* For one that was never published. May be NULL. */
void mapset_free(struct mapset *own);

/* The one that was published last, or NULL. */
struct mapset *mapset_current_rcu(void);
/* Makes own the current snapshot; NULL: none, at the end. One thread at a time. */
void mapset_publish(struct mapset *own);

#endif
