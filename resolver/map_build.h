/*
 * resolver/map_build.h - makes the LMDB file of a map of type hash; what createmap does.
 *
 * Owner:  one thread. Blocks: it reads nothing, but writes and syncs.
 * Memory: the builder owns copies of all keys and values.
 * Safety: the file appears complete or not
 *         at all: temporary file in the same folder, fsync, rename, fsync of the folder. No lock
 *         file is left behind.
 */
#ifndef RESOLVER_MAP_BUILD_H
#define RESOLVER_MAP_BUILD_H
#include "core/report.h"

struct map_build;

/* keep_case: keys stay as they are and lookups are exact; else ASCII letters of keys become lower
 * case. */
struct map_build *map_build_new(bool keep_case);
void map_build_free(struct map_build *b);

/* What entries must be: fn gets each, 0, or -EINVAL and *why; NULL: any will do. */
typedef int map_build_check_fn(struct span key, struct span value, const char **why);
void map_build_check(struct map_build *b, map_build_check_fn *fn);

/* Takes in a whole text, called name in messages. Bad lines and duplicate keys are reported, each
 * with its line. 0; -EINVAL: r has the errors; -ENOMEM. Once for each builder. */
int map_build_text(struct map_build *b, const char *name, struct span text, struct report *r);

/* Replaces path by a map of what was taken in. A file that is replaced passes on its mode, and as
 * root its owner. 0, or -errno and a line in r; then path is untouched. */
int map_build_write(struct map_build *b, const char *path, struct report *r);

/* Async-signal-safe: unlinks the temporary file that map_build_write() has open, if any. */
void map_build_abort(void);

#endif
