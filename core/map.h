/*
 * core/map.h - read-only maps: `hash` (LMDB files of createmap), `sequence` and `passwd`.
 *
 * Owner:  opened by one thread, then looked up by any number, each with a slot of its own.
 * Memory: reference counted; what map_get() hands out lives as long as the map. A file is copied
 *         into memory (memfd), so it may be replaced, or even overwritten, at any time.
 * Locks:  none. LMDB opens the copy read-only without a lock file; its read transactions stay open,
 *         since nobody ever writes.
 * Limits: keys over MAP_KEY_MAX bytes never match.
 */
#ifndef CORE_MAP_H
#define CORE_MAP_H
#include "core/report.h"

enum { MAP_KEY_MAX = 511 };

/* The record that createmap puts in front of all others: form and treatment of case. */
#define MAP_MARK_KEY    span_of("\0createmap", 10)
#define MAP_MARK_NOCASE SPAN("1 nocase")
#define MAP_MARK_CASE   SPAN("1 case")

struct map;

/* How many threads will look up, with slots 0 to count - 1; before the first map is opened.
 * Default 1. */
void map_slots(unsigned count);
/* The slot of the calling thread; two threads must not have the same. */
void map_use_slot(unsigned slot);

/* A hash map. NULL: reported in r as an error. A file that is absent is an empty map and a warning
 * in r. */
struct map *map_open_hash(const char *name, const char *path, struct report *r);
/* Tries the maps in this order; takes a reference on each. */
struct map *map_new_sequence(const char *name, struct map *const *maps, unsigned count);
/* The accounts of the system: the key is a name, the value "uid:gid". */
struct map *map_new_passwd(const char *name);

/* Another reference; any thread that has one. */
struct map *map_get_ref(struct map *m);
/* Any thread; closes after the last reference. m may be NULL. */
void map_put_ref(struct map *m);

/* The name it was declared under. */
const char *map_name(const struct map *m);
/* The file of a hash map, else its name: for messages. */
const char *map_file(const struct map *m);
/* A lookup may block: only in a helper thread of the caller's. */
bool map_blocks(const struct map *m);
/* Nothing can be found in it. */
bool map_is_empty(const struct map *m);

/* 0 and *value, -ENOENT, or another -errno when the map cannot be read. value points into the map;
 * that of a passwd map into memory of the thread, until its next lookup. */
int map_get(const struct map *m, struct span key, struct span *value);

/* Calls fn for each entry of a hash map whose key begins with prefix, in order, until fn returns
 * non-zero. Returns what fn returned, 0 at the end, -errno. For the thread that opened it, before
 * others know m. */
int map_walk(const struct map *m, struct span prefix,
	     int (*fn)(void *ctx, struct span key, struct span value), void *ctx);

#endif
