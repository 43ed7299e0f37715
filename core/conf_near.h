/*
 * core/conf_near.h - "did you mean ...": the candidate that is nearest to a mistyped word.
 *
 * Owner:  any thread.
 * Memory: keeps pointers to word and candidates.
 * Limits: words and candidates over 64 bytes are never near.
 */
#ifndef CORE_CONF_NEAR_H
#define CORE_CONF_NEAR_H
#include <stddef.h>

/* Begin with { .word = w }; best is NULL until a candidate was near enough. */
struct conf_near {
	const char *word;
	const char *best;
	unsigned distance; /* of best: insertions, deletions, changes, swaps of two neighbours */
};

/* Compares without regard to ASCII case; near is up to a third of the word's length. */
void conf_near_try(struct conf_near *n, const char *candidate);

#endif
