#include "queue/dsn_qp.h"

#include <errno.h>

enum { LINE_MAX_QP = 76 };

/* A blank at the end of a line would get lost, a dot at its begin would be a dot of the wire. */
static bool is_plain(struct span line, size_t i, size_t column)
{
	char c = line.p[i];

	if (c == ' ' || c == '\t')
		return i + 1 < line.n;
	return c > ' ' && c < 127 && c != '=' && (c != '.' || column);
}

/* One line, without CRLF. */
static char *put_line(char *p, struct span line)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t column = 0;

	for (size_t i = 0; i < line.n; i++) {
		size_t need = is_plain(line, i, column) ? 1 : 3;

		if (column + need > LINE_MAX_QP - 1) {
			memcpy(p, "=\r\n", 3);
			p += 3;
			column = 0;
			need = is_plain(line, i, column) ? 1 : 3;
		}
		unsigned char c = (unsigned char)line.p[i];
		if (need == 3) {
			*p++ = '=';
			*p++ = hex[c >> 4];
			*p++ = hex[c & 15];
		} else {
			*p++ = (char)c;
		}
		column += need;
	}
	return p;
}

int dsn_qp(struct span in, struct buf *out)
{
	while (in.n) {
		size_t n = span_find(in, SPAN("\r\n"));
		struct span line = span_head(in, n);
		bool ends = n < in.n;
		/* Three bytes each, and a soft break of three after each 73. */
		char *to = buf_room(out, line.n * 3 + line.n / 20 * 3 + 8), *p = to;

		if (!to)
			return -ENOMEM;
		if (line.n && line.p[0] == '.')
			line = span_from(line, 1);
		p = put_line(p, line);
		if (ends) {
			*p++ = '\r';
			*p++ = '\n';
		}
		buf_wrote(out, (size_t)(p - to));
		in = span_from(in, n + 2);
	}
	return 0;
}
