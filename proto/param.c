#include "proto/param.h"

#include "core/envelope.h"
#include "core/xtext.h"

#include <errno.h>

int param_next(struct span *rest, bool utf8, struct param *out)
{
	struct span s = *rest;

	while (s.n && s.p[s.n - 1] == ' ')
		s.n--;
	if (!s.n) {
		*rest = s;
		return 0;
	}
	if (s.p[0] != ' ')
		return -EINVAL;
	while (s.n && s.p[0] == ' ')
		s = span_from(s, 1);
	size_t n = span_chr(s, ' ');
	struct span word = span_head(s, n);
	size_t eq = span_chr(word, '=');

	/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") */
	if (!eq || word.p[0] == '-')
		return -EINVAL;
	for (size_t i = 0; i < eq; i++)
		if (!ascii_isalnum(word.p[i]) && word.p[i] != '-')
			return -EINVAL;
	/* esmtp-value = 1*(%d33-60 / %d62-126) */
	for (size_t i = eq + 1; i < word.n; i++) {
		unsigned char c = (unsigned char)word.p[i];

		if (c <= 32 || c == 127 || (c > 127 && !utf8))
			return -EINVAL;
		if (c == '=' && !utf8)
			return -EINVAL;
	}
	out->key = span_head(word, eq);
	out->value =
		eq < word.n ? span_of(word.p + eq + 1, word.n - eq - 1) : (struct span){ NULL, 0 };
	if (out->value.p && !out->value.n)
		return -EINVAL;
	*rest = span_from(s, n);
	return 1;
}

static int hex_upper(char c)
{
	if (ascii_isdigit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool param_xtext_ok(struct span s, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++, n++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 33 || c > 126 || c == '=')
			return false;
		if (c != '+')
			continue;
		if (s.n - i < 3)
			return false;
		int hi = hex_upper(s.p[i + 1]), lo = hex_upper(s.p[i + 2]);
		if (hi < 0 || lo < 0 || hi * 16 + lo < 32 || hi * 16 + lo > 126)
			return false;
		i += 2;
	}
	return n && n <= max;
}

bool param_orcpt_ok(struct span s, size_t max, bool utf8)
{
	size_t semi = span_chr(s, ';');
	struct span type = span_head(s, semi), addr = span_from(s, semi + 1);

	if (s.n > max || !type.n || semi == s.n)
		return false;
	for (size_t i = 0; i < type.n; i++)
		if (!ascii_isalnum(type.p[i]) && type.p[i] != '-')
			return false;
	if (span_caseeq(type, SPAN("utf-8")) && xtext_utf8_ok(addr, utf8))
		return true;
	return param_xtext_ok(addr, max);
}

unsigned param_notify(struct span s)
{
	unsigned bits = 0;

	if (span_caseeq(s, SPAN("NEVER")))
		return ENV_NOTIFY_NEVER;
	for (;;) {
		size_t comma = span_chr(s, ',');
		struct span w = span_head(s, comma);
		unsigned bit = 0;

		if (span_caseeq(w, SPAN("SUCCESS")))
			bit = ENV_NOTIFY_SUCCESS;
		else if (span_caseeq(w, SPAN("FAILURE")))
			bit = ENV_NOTIFY_FAILURE;
		else if (span_caseeq(w, SPAN("DELAY")))
			bit = ENV_NOTIFY_DELAY;
		if (!bit)
			return 0;
		bits |= bit;
		if (comma == s.n)
			return bits;
		s = span_from(s, comma + 1);
	}
}

int param_chunk(struct span args, uint64_t *size, bool *last)
{
	struct span number = span_word(&args, " "), word = span_word(&args, " ");

	*last = span_caseeq(word, SPAN("LAST"));
	if ((word.n && !*last) || span_word(&args, " ").n)
		return -EINVAL;
	return span_u64(number, INT64_MAX, size);
}
