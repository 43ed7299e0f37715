/*
 * bench/hashset.h - a set of 64-bit hashes, for (message, recipient) pairs.
 *
 * Owner:  any thread.
 * Locks:  one mutex per shard, a leaf, never held over I/O.
 * Memory: 8 bytes per slot, at most 2/3 full, doubled per shard; nothing is given back before
 *         hashset_free.
 * Limits: max_count values; beyond that hashset_add says so. Two pairs with one hash count as the
 *         same: with ten million pairs the chance of one such mistake is below 1 in 300,000.
 */
#ifndef BENCH_HASHSET_H
#define BENCH_HASHSET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashset;

/* NULL: out of memory. */
struct hashset *hashset_new(size_t max_count);
void hashset_free(struct hashset *s);

/* 1: new, 0: was there before, -ENOSPC: limit or memory, not recorded. */
int hashset_add(struct hashset *s, uint64_t hash);
bool hashset_has(struct hashset *s, uint64_t hash);
uint64_t hashset_count(struct hashset *s);

#endif
