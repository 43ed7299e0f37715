#include "queue/dsn_line.h"

#include "core/xtext.h"

enum { FOLD_AT = 78, CUT_AT = 900 };

static int put_char(struct buf *out, int32_t c, struct span bytes, enum dsn_charset set)
{
	if (c < 0)
		return buf_add(out, "?", 1);
	/* C1 is control as well. */
	if (c < ' ' || (c >= 127 && (c < 0xa0 || set == DSN_ASCII)))
		return buf_printf(out, "\\x{%02X}", (unsigned)c);
	return buf_add_span(out, bytes);
}

static int escape(struct buf *out, struct span text, enum dsn_charset set)
{
	int rc = 0;

	while (text.n && !rc) {
		struct span before = text;
		int32_t c = xtext_next(&text);

		rc = put_char(out, c, span_head(before, before.n - text.n), set);
	}
	return rc;
}

static bool in_char(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* The blank there goes into the next line, which begins with something else. */
static bool may_fold(struct span s, size_t i)
{
	return s.p[i] == ' ' && i > 0 && i + 1 < s.n && s.p[i + 1] != ' ';
}

/* Where the line ends that has `used` bytes already and goes on with s. */
static size_t line_end(struct span s, size_t used)
{
	size_t i = FOLD_AT > used ? FOLD_AT - used : 0;

	if (s.n + used <= FOLD_AT)
		return s.n;
	while (i > 0 && !may_fold(s, i))
		i--;
	if (i > 0)
		return i;
	while (++i < s.n && i + used < CUT_AT)
		if (may_fold(s, i))
			return i;
	while (i > 1 && i < s.n && in_char(s.p[i]))
		i--;
	return i;
}

int dsn_line(struct buf *out, struct span begin, struct span text, enum dsn_charset c)
{
	struct buf b = { 0 };
	size_t used = begin.n;
	int rc = escape(&b, text, c);
	struct span s = span_trim(buf_span(&b));

	if (!rc)
		rc = buf_add_span(out, begin);
	if (!rc && !begin.n && s.n && s.p[0] == '.')
		rc = buf_add(out, " ", 1);
	while (!rc && s.n) {
		size_t n = line_end(s, used);

		rc = buf_add_span(out, span_head(s, n));
		s = span_from(s, n);
		if (!rc && s.n) {
			rc = buf_add(out, "\r\n ", 3);
			s = s.p[0] == ' ' ? span_from(s, 1) : s;
			used = 1;
		}
	}
	buf_release(&b);
	return rc ? rc : buf_add(out, "\r\n", 2);
}
