/*
 * supervisor/argv.h - the option `arguments` as a list of words, and the environment of a process.
 *
 * Owner:  any thread; pure.
 * Memory: one malloc'd block each; the caller frees it with free().
 * Limits: ARGV_WORDS_MAX words.
 */
#ifndef SUPERVISOR_ARGV_H
#define SUPERVISOR_ARGV_H
#include <stdbool.h>

enum { ARGV_WORDS_MAX = 256 };

/*
 * argv_split - words are divided by blanks; '...' keeps all, "..." all but \" and \\, outside of
 * quotes \ keeps the next byte. extra (an array that ends with NULL, or NULL itself) goes in behind
 * the first word. Returns the list, ended by NULL; or NULL with errno EINVAL (an open quote, no
 * word) or E2BIG.
 */
char **argv_split(const char *text, const char *const *extra);

/* May a process of ours see this environment variable ("NAME=value")? A short list; see mcp(8). */
bool argv_env_passes(const char *var);

/* The variables of env that pass, ended by NULL. The strings stay env's. */
char **argv_env(char *const *env);

#endif
