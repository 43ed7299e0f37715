#include "queue/unstuff.h"

#include <errno.h>

enum { AT_LINE = 0, IN_LINE, AFTER_CR };

int unstuff_add(struct unstuff *u, struct span in, struct buf *out)
{
	char *to = buf_room(out, in.n + 1), *p = to;

	if (u->raw)
		return buf_add_span(out, in);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (u->state == AFTER_CR && (c != '\n' || !u->lf))
			*p++ = '\r';
		if (c == '\r') {
			u->state = AFTER_CR;
			continue;
		}
		/* The first dot of a line was put there for the wire, RFC 5321 4.5.2. */
		if (c != '.' || u->state != AT_LINE)
			*p++ = c;
		u->state = c == '\n' && u->state == AFTER_CR ? AT_LINE : IN_LINE;
	}
	buf_wrote(out, (size_t)(p - to));
	return 0;
}

int unstuff_end(struct unstuff *u, struct buf *out)
{
	if (u->raw || u->state != AFTER_CR)
		return 0;
	u->state = IN_LINE;
	return buf_add(out, "\r", 1);
}
