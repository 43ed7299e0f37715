#include "core/log_text.h"

#include <stdio.h>

size_t log_text_encode(struct span *s, bool ours, char *dst, size_t room)
{
	size_t n = 0;

	for (; s->n; s->p++, s->n--) {
		unsigned char c = (unsigned char)*s->p;
		bool plain = c >= 32 && c < 127 && (ours || (c != ',' && c != '%'));

		if (room - n < (plain ? 1 : 3))
			break;
		if (plain) {
			dst[n++] = (char)c;
			continue;
		}
		dst[n++] = '%';
		dst[n++] = "0123456789ABCDEF"[c >> 4];
		dst[n++] = "0123456789ABCDEF"[c & 15];
	}
	return n;
}

/* Bytes of the UTF-8 character at s (RFC 3629 4), 0: it is none. */
static size_t utf8_bytes(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n = p[0] < 0x80   ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	if (n > s.n)
		return 0;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	for (size_t i = 1; i < n; i++, lo = 0x80, hi = 0xbf)
		if (p[i] < lo || p[i] > hi)
			return 0;
	return n;
}

size_t log_text_escape(struct span *s, char *dst, size_t room)
{
	size_t n = 0;

	while (s->n) {
		size_t k = utf8_bytes(*s);
		unsigned char c = (unsigned char)*s->p;
		char e[8];

		if (!k || c < 32 || c == 127)
			k = 1, snprintf(e, sizeof e, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			snprintf(e, sizeof e, "\\%c", c);
		else
			span_cstr(span_head(*s, k), e, sizeof e);
		size_t len = strlen(e);
		if (room - n < len)
			break;
		memcpy(dst + n, e, len);
		n += len;
		*s = span_from(*s, k);
	}
	return n;
}
