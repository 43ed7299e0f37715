/*
 * resolver/map_text.h - the text form of a map, as createmap and the text mailertable read it.
 *
 * Form:   a line is a key up to the first white space, then the value. One trailing colon of the
 *         key is dropped. A line whose first visible byte is `#` and an empty line count for
 *         nothing; a line that begins with white space continues the entry before it. CR LF ends a
 *         line as LF does.
 * Memory: entries point into the text, joined ones into the parser, until the next call.
 * Limits: keys of MAP_TEXT_KEY_MAX bytes, values of MAP_TEXT_VALUE_MAX; the only control character
 *         is tab.
 */
#ifndef RESOLVER_MAP_TEXT_H
#define RESOLVER_MAP_TEXT_H
#include "core/buf.h"

enum { MAP_TEXT_KEY_MAX = 511, MAP_TEXT_VALUE_MAX = 16 << 20 };

struct map_text {
	struct span rest;
	unsigned line; /* number of the line that `rest` begins with */
	struct buf joined;
};

struct map_entry {
	struct span key; /* as written, without the trailing colon */
	struct span value;
	unsigned line; /* where the entry begins */
};

/* The parser in front of the first entry; text must live as long as it. */
void map_text_init(struct map_text *t, struct span text);

/* The next entry: 1, 0 at the end, -ENOMEM, or -EINVAL: the entry at e->line is bad, *why says how;
 * go on calling to see the rest. Any thread, no I/O. */
int map_text_next(struct map_text *t, struct map_entry *e, const char **why);

/* Gives back what joined entries needed. */
void map_text_free(struct map_text *t);

/* The key as text maps store it: without one trailing colon. */
static inline struct span map_text_key(struct span key)
{
	return key.n && key.p[key.n - 1] == ':' ? span_head(key, key.n - 1) : key;
}

#endif
