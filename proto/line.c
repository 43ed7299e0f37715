#include "proto/line.h"

enum line_result line_next(struct span *in, size_t max, struct span *line)
{
	size_t look = in->n < max ? in->n : max;
	const char *lf = look ? memchr(in->p, '\n', look) : NULL;
	size_t n = lf ? (size_t)(lf - in->p) : look;
	const char *cr = n ? memchr(in->p, '\r', n) : NULL;

	/* A CR must be the last byte before the LF, or the last that has come. */
	if (cr && cr + 1 != in->p + n)
		return LINE_BARE;
	if (!lf)
		return in->n >= max ? LINE_LONG : LINE_MORE;
	if (!cr)
		return LINE_BARE;
	*line = span_of(in->p, n - 1);
	*in = span_from(*in, n + 1);
	return memchr(line->p, 0, line->n) ? LINE_NUL : LINE_OK;
}

bool line_skip(struct span *in)
{
	for (;;) {
		const char *cr = in->n ? memchr(in->p, '\r', in->n) : NULL;

		if (!cr) {
			*in = span_from(*in, in->n);
			return false;
		}
		*in = span_from(*in, (size_t)(cr - in->p));
		if (in->n < 2)
			return false;
		bool end = in->p[1] == '\n';
		*in = span_from(*in, end ? 2 : 1);
		if (end)
			return true;
	}
}
