#include "proto/address.h"

#include "core/addr.h"

static bool is_atext(unsigned char c)
{
	return ascii_isalnum((char)c) || c > 127 || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Length of a dot-string at the begin of s; 0: none. */
static size_t dot_string(struct span s)
{
	size_t i = 0;

	for (;;) {
		size_t atom = i;

		while (i < s.n && is_atext((unsigned char)s.p[i]))
			i++;
		if (i == atom)
			return 0;
		if (i == s.n || s.p[i] != '.')
			return i;
		i++;
	}
}

/* Length of a quoted string at the begin of s, with the quotes; 0: none. */
static size_t quoted_string(struct span s)
{
	size_t i = 1;

	if (s.n < 2 || s.p[0] != '"')
		return 0;
	for (; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"')
			return i + 1;
		if (c == '\\') {
			i++;
			if (i == s.n)
				return 0;
			c = (unsigned char)s.p[i];
			if (c > 126)
				return 0; /* quoted-pairSMTP is ASCII, also in RFC 6531 */
		}
		if (c < 32 || c == 127)
			return 0;
	}
	return 0;
}

/* Length of a domain name at the begin of s; 0: none. A label begins and ends with a letter or
 * digit. */
static size_t domain_name(struct span s)
{
	size_t i = 0, label = 0;

	for (; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool let_dig = ascii_isalnum((char)c) || c > 127;

		if (c == '.') {
			if (i == label || s.p[i - 1] == '-')
				return 0;
			label = i + 1;
		} else if (let_dig || (c == '-' && i > label)) {
			if (i - label >= 63 && c < 128)
				return 0;
		} else {
			break;
		}
	}
	return i == label || s.p[i - 1] == '-' ? 0 : i;
}

/* What stands between the brackets of a literal, 4.1.3. */
static bool literal_ok(struct span s)
{
	struct addr a;
	size_t colon = span_chr(s, ':');

	if (colon == s.n)
		return !addr_parse(s, &a) && a.family == ADDR_IPV4;
	if (span_casestartswith(s, SPAN("IPv6:")))
		return !addr_parse(s, &a) && a.family == ADDR_IPV6;
	/* General-address-literal = Standardized-tag ":" 1*dcontent */
	if (!colon || colon + 1 == s.n || s.p[colon - 1] == '-')
		return false;
	for (size_t i = 0; i < colon; i++)
		if (!ascii_isalnum(s.p[i]) && s.p[i] != '-')
			return false;
	for (size_t i = colon + 1; i < s.n; i++)
		if (s.p[i] < 33 || s.p[i] > 126 || (s.p[i] >= '[' && s.p[i] <= ']'))
			return false;
	return true;
}

/* Length of a domain or literal at the begin of s; 0: none. */
static size_t domain(struct span s)
{
	if (!s.n || s.p[0] != '[')
		return domain_name(s);
	size_t end = span_chr(s, ']');
	if (end == s.n || !literal_ok(span_of(s.p + 1, end - 1)))
		return 0;
	return end + 1;
}

bool address_domain_ok(struct span s, bool utf8)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 127 && !utf8)
			return false;
	return s.n && s.n <= ADDRESS_DOMAIN_MAX && domain(s) == s.n &&
	       (!utf8 || address_utf8_ok(s));
}

bool address_utf8_ok(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;

	while (p < end) {
		unsigned c = *p++, more, min;

		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c < 0xe0)
			more = 1, min = 0x80, c &= 0x1f;
		else if ((c & 0xf0) == 0xe0)
			more = 2, min = 0x800, c &= 0x0f;
		else if (c >= 0xf0 && c < 0xf5)
			more = 3, min = 0x10000, c &= 0x07;
		else
			return false;
		if ((size_t)(end - p) < more)
			return false;
		for (; more; more--, p++) {
			if ((*p & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*p & 0x3f);
		}
		if (c < min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
	}
	return true;
}

/* "@a.test,@b.test:" at the begin of *s is dropped. False: malformed. */
static bool drop_source_route(struct span *s)
{
	struct span r = *s;

	if (!r.n || r.p[0] != '@')
		return true;
	for (;;) {
		size_t n = r.n && r.p[0] == '@' ? domain(span_from(r, 1)) : 0;

		if (!n || n > ADDRESS_DOMAIN_MAX)
			return false;
		r = span_from(r, 1 + n);
		if (!r.n || (r.p[0] != ',' && r.p[0] != ':'))
			return false;
		bool last = r.p[0] == ':';
		r = span_from(r, 1);
		if (last)
			break;
	}
	*s = r;
	return true;
}

enum address_error address_path(struct span *in, struct address *out)
{
	struct span s = *in;
	struct address a = { .mailbox = { "", 0 }, .local = { "", 0 }, .domain = { "", 0 } };

	if (!s.n || s.p[0] != '<')
		return ADDRESS_SYNTAX;
	s = span_from(s, 1);
	if (s.n && s.p[0] == '>') {
		*in = span_from(s, 1);
		*out = a;
		return ADDRESS_OK;
	}
	if (!drop_source_route(&s))
		return ADDRESS_SYNTAX;
	size_t n = s.n && s.p[0] == '"' ? quoted_string(s) : dot_string(s);
	if (!n)
		return ADDRESS_SYNTAX;
	a.local = span_head(s, n);
	struct span rest = span_from(s, n);
	if (rest.n && rest.p[0] == '@') {
		size_t d = domain(span_from(rest, 1));

		if (!d)
			return ADDRESS_SYNTAX;
		a.domain = span_head(span_from(rest, 1), d);
		rest = span_from(rest, 1 + d);
	}
	if (!rest.n || rest.p[0] != '>')
		return ADDRESS_SYNTAX;
	a.mailbox = span_of(s.p, (size_t)(rest.p - s.p));
	for (size_t i = 0; i < a.mailbox.n && !a.utf8; i++)
		a.utf8 = (unsigned char)a.mailbox.p[i] > 127;
	if (a.utf8 && !address_utf8_ok(a.mailbox))
		return ADDRESS_SYNTAX;
	if (a.local.n > ADDRESS_LOCAL_MAX || a.domain.n > ADDRESS_DOMAIN_MAX ||
	    a.mailbox.n + 2 > ADDRESS_PATH_MAX)
		return ADDRESS_LONG;
	*in = span_from(rest, 1);
	*out = a;
	return a.domain.n ? ADDRESS_OK : ADDRESS_NO_DOMAIN;
}
