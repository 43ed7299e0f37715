#include "core/xtext.h"

#include <errno.h>

bool xtext_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 127)
			return false;
	return true;
}

/* ---- UTF-8, RFC 3629 */

enum { NO_LEAD = 4 };

/* How many bytes follow this one. */
static unsigned lead_bytes(unsigned char c)
{
	if (c < 0x80)
		return 0;
	if (c < 0xc2 || c > 0xf4)
		return NO_LEAD;
	return c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
}

int32_t xtext_next(struct span *rest)
{
	static const int32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)rest->p;
	unsigned more = lead_bytes(p[0]);
	int32_t c = more ? p[0] & (0x3f >> more) : p[0];

	if (more == NO_LEAD || more >= rest->n) {
		*rest = span_from(*rest, 1);
		return more ? -1 : c;
	}
	for (unsigned i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*rest = span_from(*rest, 1);
			return -1;
		}
		c = c << 6 | (p[i] & 0x3f);
	}
	bool good = c >= least[more] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
	*rest = span_from(*rest, good ? more + 1 : 1);
	return good ? c : -1;
}

static size_t put_utf8(uint32_t c, char dst[static 4])
{
	if (c < 0x80) {
		dst[0] = (char)c;
		return 1;
	}
	unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };

	for (unsigned i = more; i > 0; i--, c >>= 6)
		dst[i] = (char)(0x80 | (c & 0x3f));
	dst[0] = (char)(lead[more] | c);
	return more + 1;
}

/* ---- RFC 3461 */

static int hex_digit(char c)
{
	if (ascii_isdigit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int xtext_decode(struct span s, struct buf *out)
{
	char *to = buf_room(out, s.n + 1), *p = to;

	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < s.n; i++) {
		int hi = -1, lo = -1;

		if (s.p[i] == '+' && s.n - i > 2) {
			hi = hex_digit(s.p[i + 1]);
			lo = hex_digit(s.p[i + 2]);
		}
		*p++ = hi < 0 || lo < 0 ? s.p[i] : (char)(hi * 16 + lo);
		i += hi < 0 || lo < 0 ? 0 : 2;
	}
	buf_wrote(out, (size_t)(p - to));
	return 0;
}

/* ---- RFC 6533 */

/* \x{HEX} at the begin of s: its length and *c, or 0. */
static size_t embedded(struct span s, uint32_t *c)
{
	size_t i = 3;

	if (!span_startswith(s, SPAN("\\x{")))
		return 0;
	for (*c = 0; i < s.n && i < 9 && hex_digit(s.p[i]) >= 0; i++)
		*c = *c * 16 + (uint32_t)hex_digit(s.p[i]);
	return i > 4 && i < s.n && s.p[i] == '}' ? i + 1 : 0;
}

/* HEXPOINT: what needs no escape has none, no leading zero from three digits on, no surrogate. */
static bool may_embed(uint32_t c, size_t digits)
{
	static const uint32_t least[] = {
		[2] = 0, [3] = 0x100, [4] = 0x1000, [5] = 0x10000, [6] = 0x100000
	};

	if (c < 0x80)
		return digits == 2 &&
		       ((c && c <= 0x20) || c == '+' || c == '=' || c == '\\' || c == 0x7f);
	return c >= least[digits] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

bool xtext_utf8_ok(struct span s, bool raw)
{
	if (!s.n)
		return false;
	while (s.n) {
		uint32_t point;
		size_t n = embedded(s, &point);

		if (n && !may_embed(point, n - 4))
			return false;
		if (n) {
			s = span_from(s, n);
			continue;
		}
		int32_t c = xtext_next(&s);
		if (c <= ' ' || c == 127 || c == '+' || c == '=' || c == '\\' || (c > 127 && !raw))
			return false;
	}
	return true;
}

int xtext_utf8_decode(struct span s, struct buf *out)
{
	/* An escape is longer than what it stands for. */
	char *to = buf_room(out, s.n + 4), *p = to;

	if (!to)
		return -ENOMEM;
	while (s.n) {
		uint32_t c;
		size_t n = embedded(s, &c);

		if (n && may_embed(c, n - 4)) {
			p += put_utf8(c, p);
			s = span_from(s, n);
		} else {
			*p++ = s.p[0];
			s = span_from(s, 1);
		}
	}
	buf_wrote(out, (size_t)(p - to));
	return 0;
}

int xtext_utf8_encode(struct span s, struct buf *out)
{
	int rc = 0;

	while (s.n && !rc) {
		int32_t c = xtext_next(&s);

		if (c > ' ' && c < 127 && c != '+' && c != '=' && c != '\\')
			rc = buf_add(out, &(char){ (char)c }, 1);
		else if (c > 0)
			rc = buf_printf(out, "\\x{%02X}", (unsigned)c);
		else
			rc = buf_add(out, "?", 1);
	}
	return rc;
}
