/*
 * proto/line.h - one command line out of what has arrived.
 *
 * Memory: none; the line is a span of the input.
 * RFC:    5321 2.3.8 (only CRLF ends a line), 4.5.3.1.4 (length), 2.4 (no NUL in commands).
 */
#ifndef PROTO_LINE_H
#define PROTO_LINE_H
#include "core/span.h"

enum line_result {
	LINE_OK = 0,
	LINE_MORE, /* the end has not come */
	LINE_NUL,  /* complete, but holds a NUL: a syntax error */
	LINE_LONG, /* more than max bytes without an end: drop all up to it, with line_skip() */
	LINE_BARE, /* a CR or LF alone: this peer does not speak SMTP */
};

/* Looks at the begin of *in. LINE_OK, LINE_NUL: *line is the line without CRLF and *in moves behind
 * it. Otherwise *in stays. max counts the CRLF. */
enum line_result line_next(struct span *in, size_t max, struct span *line);

/* Moves *in behind the next CRLF: true. False: none is there yet, *in is at a last CR or empty. */
bool line_skip(struct span *in);

#endif
