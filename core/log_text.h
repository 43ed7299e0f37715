/*
 * core/log_text.h - bytes of any origin as text of a log line: the two encodings, each in this one
 * place.
 *
 * Any thread. Both take off *s what they wrote to dst and stop before what does not fit into `room`
 * bytes; both return the bytes written, without a NUL behind them.
 */
#ifndef CORE_LOG_TEXT_H
#define CORE_LOG_TEXT_H
#include "core/span.h"

/* R 10.2: non-printing bytes, comma and percent as %XX; with our own text commas and percents stay.
 */
size_t log_text_encode(struct span *s, bool ours, char *dst, size_t room);
/* The inside of a JSON string (RFC 8259 7); a byte that is not UTF-8 becomes the character of its
 * number. */
size_t log_text_escape(struct span *s, char *dst, size_t room);

#endif
