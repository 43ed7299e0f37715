/*
 * queue/select.h - the selector language of mailq and qmgrctl: which recipients is a command about?
 *
 * Pure: no clock, no I/O, no table. One term is KEY=VALUE; terms beside each other must all hold;
 * "or", "not" and parentheses as usual. A bare id or several select these messages. See mailq(1).
 * Row:     one recipient of one message; what is said of a message holds for each of its recipients.
 * Memory:  a selector owns its copy of the text.
 * Threads: constant after select_parse(), any thread may match.
 * Limits:  SELECT_TEXT_MAX bytes, SELECT_DEPTH_MAX parentheses; patterns never take more than
 *          pattern * text steps.
 */
#ifndef QUEUE_SELECT_H
#define QUEUE_SELECT_H
#include "core/buf.h"
#include "core/clock.h"
#include "core/route.h"

enum { SELECT_TEXT_MAX = 60000, SELECT_DEPTH_MAX = 32 };

enum select_key {
	SELECT_ALL = 0,
	SELECT_ID,
	SELECT_FROM,
	SELECT_TO,
	SELECT_DOMAIN,
	SELECT_HOST,
	SELECT_CLIENT,
	SELECT_AGE,
	SELECT_REPLY,
	SELECT_STATE,
	SELECT_ATTEMPTS,
	SELECT_SIZE,
	SELECT_KEYS
};

/* Bits for `state`. */
enum select_state {
	SELECT_ACTIVE = 1u << 0,
	SELECT_DEFERRED = 1u << 1,
	SELECT_HELD = 1u << 2,
	SELECT_FAILED = 1u << 3
};

struct select_row {
	uint64_t id;
	struct span sender, rcpt;  /* without <>; sender: of a member of a list its owner */
	struct span orcpt;         /* RFC 3461 4.2: what the client wrote, empty: not known */
	const struct route *route; /* NULL: not known */
	struct addr client;
	usec_t age_usec;
	uint64_t size_bytes;
	struct span reply; /* last one, empty: none */
	uint8_t state;     /* one bit of enum select_state */
	uint32_t attempts;
	bool parked; /* no key: for statistics */
};

struct select;

struct select_error {
	size_t at; /* byte of the text */
	char text[200];
};

/* An empty text selects everything. NULL: *e says where and why. */
struct select *select_parse(struct span text, struct select_error *e);
void select_free(struct select *own);
bool select_match(const struct select *s, const struct select_row *row);

/* It was an empty text. */
bool select_is_empty(const struct select *s);
/* Only messages with these ids can match: true, and the ids (sorted, of the selector). */
bool select_ids(const struct select *s, const uint64_t **id, size_t *count);
/* Keys that it looks at, bits 1 << enum select_key. */
unsigned select_keys(const struct select *s);
/* The text that it was made from. */
struct span select_text(const struct select *s);

/* Appends one word of a command line to the text that is to be parsed: a value with spaces in it
 * whose quotes the shell has eaten gets them back. 0 or -ENOMEM. */
int select_add_word(struct buf *text, struct span word);

/* "90s", "1h30m", "2d", "1w". 0, -EINVAL, -ERANGE (over 100 years). */
int select_duration(struct span s, usec_t *out);
/* * and ? in the pattern; without regard to ASCII case. */
bool select_match_glob(struct span pattern, struct span s);
/* Does it have a * or ? */
bool select_match_has_glob(struct span s);

#endif
