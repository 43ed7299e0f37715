#include "resolver/address.h"

#include <errno.h>

/* "..." without quotes and backslashes into plain. 0 or -EINVAL. */
static int unquote(struct span local, struct address *out)
{
	size_t n = 0;

	if (local.n < 2 || local.p[local.n - 1] != '"')
		return -EINVAL;
	for (size_t i = 1; i < local.n - 1; i++) {
		char c = local.p[i];

		if (c == '"')
			return -EINVAL;
		if (c == '\\') {
			if (++i == local.n - 1)
				return -EINVAL;
			c = local.p[i];
		}
		out->plain[n++] = c;
	}
	out->local = span_of(out->plain, n);
	return 0;
}

/* RFC 5321 4.1.2: what may stand in a dot-string, with the dots; bytes over 127 are RFC 6531. */
static bool is_dot_string(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!ascii_isalnum(c) && !(c & 0x80) && (!c || !strchr(".!#$%&'*+-/=?^_`{|}~", c)))
			return false;
	}
	return true;
}

int address_split(struct span text, struct address *out)
{
	size_t at = span_rchr(text, '@');
	struct span local = span_head(text, at), domain = span_from(text, at + 1);

	if (!local.n || text.n > ADDRESS_MAX || (at < text.n && !domain.n))
		return -EINVAL;
	out->local = local;
	out->literal = (struct addr){ .family = ADDR_NONE };
	if (local.p[0] == '"' && unquote(local, out))
		return -EINVAL;
	out->odd = !is_dot_string(out->local);
	if (domain.n && domain.p[0] == '[') {
		if (domain.n < 2 || domain.p[domain.n - 1] != ']' ||
		    addr_parse(span_of(domain.p + 1, domain.n - 2), &out->literal))
			return -EINVAL;
	} else if (domain.n > 1 && domain.p[domain.n - 1] == '.') {
		domain.n--;
	}
	out->domain = domain;
	return 0;
}
