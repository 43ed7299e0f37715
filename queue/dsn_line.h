/*
 * queue/dsn_line.h - lines of a DSN made of foreign text: escaped, folded, never too long.
 *
 * Pure. Memory: appends to a buffer.
 * RFC:  5322 2.1.1 (998 and 78), 5322 2.2.3 (folding), 6533 3 (\x{HEX} for what cannot stand as it
 *       is).
 */
#ifndef QUEUE_DSN_LINE_H
#define QUEUE_DSN_LINE_H
#include "core/buf.h"

enum dsn_charset {
	DSN_ASCII = 0, /* characters over 127 as \x{HEX} */
	DSN_UTF8
};

/* One line: `begin` as it is, then the text, then CRLF. Control characters become \x{HEX}, bytes that
 * are no UTF-8 '?'. Longer than 78 it is folded at blanks, longer than 900 anywhere; what follows is
 * indented by one blank. It never begins with a dot. 0 or -ENOMEM. */
int dsn_line(struct buf *out, struct span begin, struct span text, enum dsn_charset c);

#endif
