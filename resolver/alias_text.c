#include "resolver/alias_text.h"

#include <errno.h>

#define LOCAL SPAN("local:")

bool alias_text_is_local(struct span value)
{
	return span_caseeq(span_trim(value), LOCAL);
}

/* ---- values */

static bool is_white(char c)
{
	return c == ' ' || c == '\t';
}

/* The length up to `>`, or s.n; quoted strings may hold one. */
static size_t find_end(struct span s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (quoted && s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '>' && !quoted)
			return i;
	}
	return s.n;
}

static int bad(const char **why, const char *text)
{
	*why = text;
	return -EINVAL;
}

/* Behind the '<'. */
static int take_bracketed(struct span *rest, struct span *addr, const char **why)
{
	size_t n = find_end(*rest);

	if (n == rest->n)
		return bad(why, "an address has no closing >");
	*addr = span_head(*rest, n);
	*rest = span_from(*rest, n + 1);
	if (rest->n && rest->p[0] == ',')
		return bad(why, "addresses are separated by white space, not by commas");
	if (rest->n && !is_white(rest->p[0]))
		return bad(why, "expected white space behind an address");
	struct span next = span_trim(*rest);
	if (next.n && next.p[0] != '<')
		return bad(why, "several addresses need <> around each of them");
	return addr->n ? 1 : bad(why, "<> is nobody's address");
}

int alias_text_next(struct span *rest, struct span *addr, const char **why)
{
	struct span s = span_trim(*rest);

	*rest = s;
	if (!s.n)
		return 0;
	if (s.p[0] == '<') {
		*rest = span_from(s, 1);
		return take_bracketed(rest, addr, why);
	}
	for (size_t i = 0; i < s.n && s.p[0] != '"'; i++) {
		if (s.p[i] == ',')
			return bad(why, "addresses are separated by white space, not by commas");
		if (is_white(s.p[i]) || s.p[i] == '<')
			return bad(why, "several addresses need <> around each of them");
	}
	*addr = s;
	*rest = span_from(s, s.n);
	return 1;
}

/* ---- addresses */

struct out {
	char *p;
	size_t n;
};

static void put(struct out *o, struct span s)
{
	if (s.n && o->n + s.n <= ADDRESS_MAX)
		memcpy(o->p + o->n, s.p, s.n);
	o->n += s.n;
}

/* The macro at the begin of s: its length with ${}, 0: none. */
static size_t put_macro(struct span s, const struct alias_macros *m, struct out *o)
{
	struct span delimiter = span_of(&m->delimiter, 1);
	size_t n = span_chr(s, '}');
	struct span name = span_from(span_head(s, n), 2);

	if (s.n < 3 || s.p[0] != '$' || s.p[1] != '{' || n == s.n)
		return 0;
	if (span_eq(name, SPAN("user"))) {
		put(o, m->user);
	} else if (span_eq(name, SPAN("detail"))) {
		put(o, m->detail);
	} else if (span_eq(name, SPAN("domain"))) {
		put(o, m->domain);
	} else if (span_eq(name, SPAN("subdomain"))) {
		put(o, m->subdomain);
	} else if (span_eq(name, SPAN("delimiter"))) {
		put(o, delimiter);
	} else if (span_eq(name, SPAN("extension"))) {
		put(o, m->has_detail ? delimiter : SPAN(""));
		put(o, m->has_detail ? m->detail : SPAN(""));
	} else if (!span_eq(name, SPAN("tag"))) { /* keys of aliases have none */
		return 0;
	}
	return n + 1;
}

static bool is_domain(struct span s)
{
	if (!s.n || s.n > 255 || s.p[0] == '.' || s.p[s.n - 1] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '.' && s.p[i - 1] == '.')
			return false;
		if (!ascii_isalnum(c) && c != '-' && c != '_' && c != '.' && !(c & 0x80))
			return false;
	}
	return true;
}

/* What may be sent as a path: no byte can end it or begin another. */
static bool is_address(struct span s)
{
	struct address box;

	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	if (address_split(s, &box) || (box.odd && s.p[0] != '"'))
		return false;
	return box.literal.family != ADDR_NONE || is_domain(box.domain);
}

int alias_text_make(struct span addr, const struct alias_macros *m, struct span domain, char *dst)
{
	struct out o = { dst, 0 };

	while (addr.n) {
		size_t n = m ? put_macro(addr, m, &o) : 0;

		if (!n) {
			put(&o, span_head(addr, 1));
			n = 1;
		}
		addr = span_from(addr, n);
	}
	if (o.n > ADDRESS_MAX)
		return -EINVAL;
	struct span made = span_of(dst, o.n);
	/* An @ in quotes is part of a local part. */
	size_t at = span_rchr(made, '@');
	if (at == o.n || (o.n && dst[0] == '"' && dst[o.n - 1] == '"')) {
		put(&o, SPAN("@"));
		put(&o, domain);
	}
	if (o.n > ADDRESS_MAX || !is_address(span_of(dst, o.n)))
		return -EINVAL;
	return (int)o.n;
}

/* ---- an entry */

static bool is_key_part(struct span s, const char *more)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!ascii_isalnum(c) && !(c & 0x80) && (!c || !strchr(more, c)))
			return false;
	}
	return true;
}

static int check_key(struct span key, const char **why)
{
	size_t at = span_rchr(key, '@');
	struct span local = span_head(key, at), domain = span_from(key, at + 1);

	if (at < key.n && domain.n && domain.p[0] == '.')
		domain = span_from(domain, 1);
	if (!is_key_part(local, ".!#$%&'*+-/=?^_`{|}~"))
		return bad(why, "expected a local part, an address or @domain as key");
	if (at < key.n && !is_domain(domain))
		return bad(why, "expected a domain behind the @ of the key");
	return 0;
}

int alias_text_check(struct span key, struct span value, const char **why)
{
	static const struct alias_macros sample = { .user = { "u", 1 },
						    .detail = { "d", 1 },
						    .domain = { "d.tld", 5 },
						    .subdomain = { "s", 1 },
						    .delimiter = '+',
						    .has_detail = true };
	char made[ADDRESS_MAX];
	struct span rest = value, addr;
	int rc = check_key(key, why);

	if (rc || alias_text_is_local(value))
		return rc;
	while ((rc = alias_text_next(&rest, &addr, why)) == 1) {
		if (alias_text_make(addr, NULL, SPAN("d.tld"), made) < 0 &&
		    alias_text_make(addr, &sample, SPAN("d.tld"), made) < 0)
			return bad(why, "expected addresses, user@domain or user, in the value");
	}
	return rc;
}
