/*
 * core/xtext.h - addresses and envelope ids as parameters of SMTP and fields of a DSN have them:
 * xtext, and the 7-bit and 8-bit forms of addresses with UTF-8.
 *
 * Pure; any thread. Memory: appends to a buffer.
 * RFC:  3461 4 (xtext), 6533 3 (utf-8-addr-xtext: 7 bit, \x{HEX} for what is not plain;
 *       utf-8-addr-unitext: the same with UTF-8 as it is; utf-8-address: UTF-8 alone).
 */
#ifndef CORE_XTEXT_H
#define CORE_XTEXT_H
#include "core/buf.h"

/* No byte over 127. */
bool xtext_is_ascii(struct span s);

/* Takes the first character from *rest: its code point, or -1 for a byte that begins no valid UTF-8
 * (that one byte is taken). *rest must not be empty. */
int32_t xtext_next(struct span *rest);

/* xtext to what it means: +HH. A '+' without two hex digits stands for itself. 0 or -ENOMEM. */
int xtext_decode(struct span s, struct buf *out);

/* May this stand behind "utf-8;" in ORCPT? raw: UTF-8 as it is too (SMTPUTF8 was said). Each \x{HEX}
 * must be one that RFC 6533 allows. */
bool xtext_utf8_ok(struct span s, bool raw);
/* Any of the three forms to the 8-bit address. 0 or -ENOMEM. */
int xtext_utf8_decode(struct span s, struct buf *out);
/* An 8-bit address to utf-8-addr-xtext; bytes that are no UTF-8 become '?'. 0 or -ENOMEM. */
int xtext_utf8_encode(struct span s, struct buf *out);

#endif
