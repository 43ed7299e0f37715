#include "queue/select.h"

#include "core/err.h"
#include "core/ids.h"
#include "queue/select_tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const uint64_t YEARS_100_SEC = (uint64_t)100 * 366 * 86400;

struct parser {
	struct select *s;
	struct span text;
	size_t at;
	unsigned depth;
	struct select_error *e;
	bool failed;
};

/* ---- values */

static void *grab(struct parser *p, size_t n)
{
	void *m = arena_alloc(p->s->arena, n);

	if (!m)
		panic("no memory for a selector");
	memset(m, 0, n);
	return m;
}

static void fail(struct parser *p, size_t at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void fail(struct parser *p, size_t at, const char *fmt, ...)
{
	va_list ap;

	if (p->failed)
		return;
	p->failed = true;
	p->e->at = at;
	va_start(ap, fmt);
	vsnprintf(p->e->text, sizeof p->e->text, fmt, ap);
	va_end(ap);
}

/* Foreign text in a message about it. */
#define SHOW(s) (int)((s).n < 60 ? (s).n : 60), (s).p

int select_duration(struct span s, usec_t *out)
{
	static const struct {
		char unit;
		uint32_t sec;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	uint64_t sum = 0;

	if (!s.n)
		return -EINVAL;
	while (s.n) {
		size_t digits = 0, u = 0;
		uint64_t n;

		while (digits < s.n && ascii_isdigit(s.p[digits]))
			digits++;
		int rc = span_u64(span_head(s, digits), YEARS_100_SEC, &n);
		if (rc)
			return rc;
		s = span_from(s, digits);
		while (s.n && u < 5 && units[u].unit != ascii_lower(s.p[0]))
			u++;
		if (u == 5 || (!s.n && n))
			return -EINVAL;
		sum += n * (s.n ? units[u].sec : 0);
		s = span_from(s, 1);
		if (sum > YEARS_100_SEC)
			return -ERANGE;
	}
	*out = (usec_t)sum * USEC_PER_SEC;
	return 0;
}

static int parse_size(struct span s, uint64_t *out)
{
	static const char unit[] = "kmgt";
	size_t digits = 0;
	uint64_t n;

	while (digits < s.n && ascii_isdigit(s.p[digits]))
		digits++;
	int rc = span_u64(span_head(s, digits), (uint64_t)1 << 40, &n);
	if (rc)
		return rc;
	s = span_from(s, digits);
	for (unsigned i = 0; s.n && unit[i]; i++)
		if (ascii_lower(s.p[0]) == unit[i]) {
			n <<= 10 * (i + 1);
			s = span_from(s, 1);
			break;
		}
	if (s.n && ascii_lower(s.p[0]) == 'b')
		s = span_from(s, 1);
	*out = n;
	return s.n || n >> 52 ? -EINVAL : 0;
}

/* A net, an address, with or without brackets and port. */
static int parse_net(struct span s, struct addr_net *net, uint16_t *port)
{
	size_t colon = span_rchr(s, ':'), close = span_chr(s, ']');
	uint64_t n = 0;

	*port = 0;
	if (s.n && s.p[0] == '[') {
		if (close == s.n || (close + 1 < s.n && close + 1 != colon))
			return -EINVAL;
		if (close + 1 < s.n && (span_u64(span_from(s, colon + 1), 65535, &n) || !n))
			return -EINVAL;
		s = span_of(s.p + 1, close - 1);
	} else if (colon < s.n && colon == span_chr(s, ':')) {
		if (span_u64(span_from(s, colon + 1), 65535, &n) || !n)
			return -EINVAL;
		s = span_head(s, colon);
	}
	*port = (uint16_t)n;
	return addr_net_parse(s, net);
}

static int parse_host(struct value *v)
{
	static const struct {
		struct span name;
		uint8_t mailer;
	} mailers[] = { { { "esmtp:", 6 }, ROUTE_ESMTP },
			{ { "lmtp:", 5 }, ROUTE_LMTP },
			{ { "discard:", 8 }, ROUTE_DISCARD } };
	struct span s = v->text;

	v->mailer = ANY_MAILER;
	for (size_t i = 0; i < sizeof mailers / sizeof mailers[0]; i++)
		if (span_casestartswith(s, mailers[i].name)) {
			v->mailer = mailers[i].mailer;
			s = span_from(s, mailers[i].name.n);
		}
	if (v->mailer != ANY_MAILER && !s.n) {
		v->any_host = true;
		if (v->mailer == ROUTE_LMTP)
			v->mailer = ROUTE_LMTP_LOCAL;
		return 0;
	}
	if (span_eq(s, SPAN("*"))) {
		v->any_host = true;
		return 0;
	}
	return parse_net(s, &v->net, &v->port);
}

static int parse_state(struct value *v)
{
	static const struct {
		struct span name;
		unsigned state;
	} states[] = { { { "active", 6 }, SELECT_ACTIVE },
		       { { "deferred", 8 }, SELECT_DEFERRED },
		       { { "held", 4 }, SELECT_HELD },
		       { { "failed", 6 }, SELECT_FAILED } };

	for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
		if (span_caseeq(v->text, states[i].name)) {
			v->number = states[i].state;
			return 0;
		}
	return -EINVAL;
}

static int parse_id(struct value *v)
{
	char upper[ID_TEXT_MAX];

	if (select_match_has_glob(v->text))
		return 0;
	v->exact = true;
	if (v->text.n >= sizeof upper)
		return -EINVAL;
	for (size_t i = 0; i < v->text.n; i++)
		upper[i] = v->text.p[i] >= 'a' && v->text.p[i] <= 'z' ? (char)(v->text.p[i] - 32)
								      : v->text.p[i];
	return id_parse(span_of(upper, v->text.n), &v->number);
}

/* What the values of a key look like. */
static const struct {
	const char *want;
} wants[SELECT_KEYS] = {
	[SELECT_ID] = { "the id of a message such as S0000000065F1A20301, or a pattern with * and ?" },
	[SELECT_HOST] = { "an address or net such as [192.0.2.1]:25, 192.0.2.0/24, lmtp:, or none" },
	[SELECT_CLIENT] = { "an address or net" },
	[SELECT_AGE] = { "a time such as 90s, 30m, 1h30m, 2d" },
	[SELECT_STATE] = { "active, deferred, held or failed" },
	[SELECT_ATTEMPTS] = { "a number" },
	[SELECT_SIZE] = { "a size such as 100k or 5MB" },
};

static void check_value(struct parser *p, const struct node *t, struct value *v, size_t at)
{
	bool may_be_none = t->key == SELECT_HOST || t->key == SELECT_REPLY;
	usec_t usec = 0;
	int rc = 0;

	v->none = !v->text.n || span_caseeq(v->text, SPAN("none"));
	if (may_be_none && v->none)
		return;
	switch (t->key) {
	case SELECT_ID:
		rc = parse_id(v);
		break;
	case SELECT_FROM:
		if (span_eq(v->text, SPAN("<>")))
			v->text.n = 0;
		break;
	case SELECT_HOST:
		rc = parse_host(v);
		break;
	case SELECT_CLIENT:
		rc = parse_net(v->text, &v->net, &v->port);
		break;
	case SELECT_AGE:
		rc = select_duration(v->text, &usec);
		v->number = (uint64_t)usec;
		break;
	case SELECT_STATE:
		rc = parse_state(v);
		break;
	case SELECT_ATTEMPTS:
		rc = span_u64(v->text, UINT32_MAX, &v->number);
		break;
	case SELECT_SIZE:
		rc = parse_size(v->text, &v->number);
		break;
	default:
		break;
	}
	if (rc)
		fail(p, at, "'%.*s' is not %s", SHOW(v->text), wants[t->key].want);
}

/* ---- the text */

static bool ends_value(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == '(' || c == ')';
}

static struct span quoted(struct parser *p)
{
	size_t start = p->at++, n = 0;

	while (p->at < p->text.n && p->text.p[p->at] != '"')
		p->at += p->text.p[p->at] == '\\' && p->at + 1 < p->text.n ? 2 : 1;
	char *copy = grab(p, p->at - start);
	for (size_t i = start + 1; i < p->at; i++) {
		i += p->text.p[i] == '\\' && i + 1 < p->at;
		copy[n++] = p->text.p[i];
	}
	if (p->at == p->text.n)
		fail(p, start, "the quotation mark is not closed");
	p->at++;
	if (p->at < p->text.n && !ends_value(p->text.p[p->at]))
		fail(p, p->at, "a space is missing after the quoted value");
	return span_of(copy, n);
}

static struct span plain(struct parser *p)
{
	size_t start = p->at;

	while (p->at < p->text.n && !ends_value(p->text.p[p->at]))
		p->at++;
	return span_of(p->text.p + start, p->at - start);
}

static void parse_values(struct parser *p, struct node *t)
{
	struct value **end = &t->values;
	bool more = true;

	while (more && !p->failed) {
		struct value *v = grab(p, sizeof *v);
		size_t at = p->at;
		bool quotes = p->at < p->text.n && p->text.p[p->at] == '"';

		v->text = quotes ? quoted(p) : plain(p);
		if (!v->text.n && !quotes)
			fail(p, at, "a value is missing (\"\" is the empty one)");
		else
			check_value(p, t, v, at);
		*end = v;
		end = &v->next;
		more = p->at < p->text.n && p->text.p[p->at] == ',';
		p->at += more;
	}
}

static uint8_t parse_op(struct parser *p)
{
	char c = p->text.p[p->at], d = p->at + 1 < p->text.n ? p->text.p[p->at + 1] : 0;
	bool two = d == '=' && c != '=';

	p->at += two ? 2 : 1;
	if (c == '!' && !two)
		fail(p, p->at - 1, "expected != after the key");
	return c == '='   ? OP_IS
	       : c == '!' ? OP_NOT
	       : c == '<' ? (two ? OP_UPTO : OP_LESS)
	       : two      ? OP_FROM
			  : OP_MORE;
}

static const struct {
	const char *name;
	uint8_t key, op; /* op: for =, OP_IS unless the key says more */
} keys[] = {
	{ "id", SELECT_ID, OP_IS },
	{ "from", SELECT_FROM, OP_IS },
	{ "sender", SELECT_FROM, OP_IS },
	{ "to", SELECT_TO, OP_IS },
	{ "rcpt", SELECT_TO, OP_IS },
	{ "recipient", SELECT_TO, OP_IS },
	{ "domain", SELECT_DOMAIN, OP_IS },
	{ "host", SELECT_HOST, OP_IS },
	{ "client", SELECT_CLIENT, OP_IS },
	{ "age", SELECT_AGE, OP_IS },
	{ "older", SELECT_AGE, OP_MORE },
	{ "newer", SELECT_AGE, OP_LESS },
	{ "reply", SELECT_REPLY, OP_IS },
	{ "state", SELECT_STATE, OP_IS },
	{ "attempts", SELECT_ATTEMPTS, OP_IS },
	{ "tries", SELECT_ATTEMPTS, OP_IS },
	{ "size", SELECT_SIZE, OP_IS },
};

static void check_op(struct parser *p, struct node *t, uint8_t of_key, size_t at)
{
	bool numeric = t->key == SELECT_AGE || t->key == SELECT_SIZE || t->key == SELECT_ATTEMPTS;

	if (of_key != OP_IS) {
		if (t->op != OP_IS)
			fail(p, at, "only = goes with this key");
		t->op = of_key;
	} else if (t->key == SELECT_AGE && (t->op == OP_IS || t->op == OP_NOT)) {
		fail(p, at, "write age>1h (in quotes for the shell), or older=1h and newer=1h");
	} else if (!numeric && t->op != OP_IS && t->op != OP_NOT) {
		fail(p, at, "only = and != go with this key");
	}
}

/* KEY=...: the text stands behind the key. */
static struct node *parse_keyed(struct parser *p, struct span key, size_t start)
{
	struct node *t = grab(p, sizeof *t);
	size_t i = 0, at = p->at, count = sizeof keys / sizeof keys[0];

	while (i < count && !span_caseeq(key, span_str(keys[i].name)))
		i++;
	if (i == count) {
		fail(p, start,
		     "'%.*s' is no key: id, from, to, domain, host, client, older, newer, reply, state, attempts, size",
		     SHOW(key));
		return t;
	}
	t->key = keys[i].key;
	t->op = parse_op(p);
	check_op(p, t, keys[i].op, at);
	if (!p->failed)
		parse_values(p, t);
	p->s->keys |= 1u << t->key;
	return t;
}

static void skip_space(struct parser *p)
{
	while (p->at < p->text.n && (p->text.p[p->at] == ' ' || p->text.p[p->at] == '\t'))
		p->at++;
}

/* A word up to white space, a parenthesis or an operator; nothing is taken. */
static struct span peek_word(struct parser *p)
{
	size_t n = 0;

	skip_space(p);
	while (p->at + n < p->text.n && !ends_value(p->text.p[p->at + n]) &&
	       !strchr("=<>!", p->text.p[p->at + n]))
		n++;
	return span_of(p->text.p + p->at, n);
}

static char char_after(const struct parser *p, struct span word)
{
	return p->at + word.n < p->text.n ? p->text.p[p->at + word.n] : 0;
}

static bool is_operator(char c)
{
	return c && strchr("=<>!", c);
}

static bool take_keyword(struct parser *p, const char *name)
{
	struct span w = peek_word(p);

	if (!span_caseeq(w, span_str(name)) || is_operator(char_after(p, w)))
		return false;
	p->at += w.n;
	return true;
}

/* Ids beside each other are one list: "show S1 S2" means both. */
static struct node *parse_ids(struct parser *p)
{
	struct node *t = grab(p, sizeof *t);
	struct value **end = &t->values;
	struct span w;

	t->key = SELECT_ID;
	p->s->keys |= 1u << SELECT_ID;
	while ((w = peek_word(p)).n && !is_operator(char_after(p, w))) {
		struct value *v = grab(p, sizeof *v);

		v->text = w;
		if (parse_id(v) || !v->exact)
			break;
		*end = v;
		end = &v->next;
		p->at += w.n;
		if (p->at < p->text.n && p->text.p[p->at] == ',')
			p->at++;
	}
	return t;
}

static struct node *parse_or(struct parser *p);

static struct node *parse_group(struct parser *p, size_t open)
{
	struct node *n;

	if (++p->depth > SELECT_DEPTH_MAX) {
		fail(p, open, "more than %d parentheses inside each other", SELECT_DEPTH_MAX);
		return NULL;
	}
	p->at++;
	n = parse_or(p);
	skip_space(p);
	if (p->at == p->text.n)
		fail(p, open, "this parenthesis is not closed");
	else if (p->text.p[p->at] != ')')
		fail(p, p->at, "expected )");
	p->at++;
	p->depth--;
	return n;
}

static void unknown_word(struct parser *p, struct span w)
{
	if (span_chr(w, '@') < w.n)
		fail(p, p->at, "'%.*s': say from=%.*s or to=%.*s", SHOW(w), SHOW(w), SHOW(w));
	else
		fail(p, p->at, "'%.*s' is neither KEY=VALUE nor the id of a message", SHOW(w));
}

static struct node *parse_not(struct parser *p)
{
	unsigned nots = 0;
	struct node *n;

	for (;;) {
		struct span w = peek_word(p);

		if (!w.n && char_after(p, w) == '!')
			p->at++;
		else if (!take_keyword(p, "not"))
			break;
		nots++;
	}
	struct span w = peek_word(p);
	size_t start = p->at;
	if (is_operator(char_after(p, w))) {
		if (!w.n)
			fail(p, start, "a key is missing before '%c'", p->text.p[start]);
		p->at += w.n;
		n = p->failed ? NULL : parse_keyed(p, w, start);
	} else if (!w.n && char_after(p, w) == '(') {
		n = parse_group(p, start);
	} else if (take_keyword(p, "all")) {
		n = grab(p, sizeof *n);
	} else {
		n = w.n ? parse_ids(p) : NULL;
		if (!w.n)
			fail(p, start,
			     p->at == p->text.n ? "something is missing at the end"
						: "unexpected '%c'",
			     p->text.p[p->at == p->text.n ? 0 : p->at]);
		else if (!n->values)
			unknown_word(p, w);
	}
	if (nots % 2 == 0)
		return n;
	struct node *not = grab(p, sizeof *not );
	not ->kind = NODE_NOT;
	not ->child = n;
	return not ;
}

/* Ends a run of terms that must all hold. */
static bool at_end_of_and(struct parser *p)
{
	struct span w = peek_word(p);

	return p->at == p->text.n || char_after(p, span_of(w.p, 0)) == ')' ||
	       (span_caseeq(w, SPAN("or")) && !is_operator(char_after(p, w)));
}

static struct node *parse_list(struct parser *p, uint8_t kind)
{
	struct node *list = grab(p, sizeof *list), **end = &list->child;

	list->kind = kind;
	do {
		*end = kind == NODE_OR ? parse_list(p, NODE_AND) : parse_not(p);
		if (*end)
			end = &(*end)->next;
	} while (!p->failed && (kind == NODE_OR ? take_keyword(p, "or")
						: (take_keyword(p, "and") || !at_end_of_and(p))));
	return list->child && !list->child->next ? list->child : list;
}

static struct node *parse_or(struct parser *p)
{
	return parse_list(p, NODE_OR);
}

/* ---- which ids */

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct ids ids_of(const struct node *n);

static struct ids ids_of_term(const struct node *t)
{
	struct ids out = { .any = t->key != SELECT_ID || t->op != OP_IS };
	size_t n = 0;

	for (const struct value *v = t->values; v && !out.any; v = v->next) {
		out.any = !v->exact;
		n++;
	}
	if (out.any)
		return out;
	out.id = xmalloc((n + 1) * sizeof *out.id);
	for (const struct value *v = t->values; v; v = v->next)
		out.id[out.count++] = v->number;
	return out;
}

static struct ids ids_of_or(const struct node *n)
{
	struct ids out = { .any = false };

	for (const struct node *c = n->child; c && !out.any; c = c->next) {
		struct ids part = ids_of(c);

		out.any = part.any;
		if (!part.any) {
			out.id = xrealloc(out.id, (out.count + part.count + 1) * sizeof *out.id);
			memcpy(out.id + out.count, part.id, part.count * sizeof *out.id);
			out.count += part.count;
			free(part.id);
		}
	}
	if (out.any) {
		free(out.id);
		out = (struct ids){ .any = true };
	}
	return out;
}

/* The smallest set that is known of one of the terms: it holds all that match. */
static struct ids ids_of_and(const struct node *n)
{
	struct ids out = { .any = true };

	for (const struct node *c = n->child; c; c = c->next) {
		struct ids part = ids_of(c);

		if (part.any || (!out.any && out.count <= part.count)) {
			free(part.id);
			continue;
		}
		free(out.id);
		out = part;
	}
	return out;
}

static struct ids ids_of(const struct node *n)
{
	switch (n->kind) {
	case NODE_TERM:
		return ids_of_term(n);
	case NODE_OR:
		return ids_of_or(n);
	case NODE_AND:
		return ids_of_and(n);
	default:
		return (struct ids){ .any = true };
	}
}

static void sort_ids(struct ids *s)
{
	size_t n = 0;

	if (s->any || !s->count)
		return;
	qsort(s->id, s->count, sizeof *s->id, by_number);
	for (size_t i = 0; i < s->count; i++)
		if (!n || s->id[n - 1] != s->id[i])
			s->id[n++] = s->id[i];
	s->count = n;
}

/* ---- life */

struct select *select_parse(struct span text, struct select_error *e)
{
	struct select *s = xcalloc(1, sizeof *s);
	struct parser p = { .s = s, .e = e };

	s->arena = arena_new();
	if (!s->arena)
		panic("no memory for a selector");
	s->ids.any = true;
	if (text.n > SELECT_TEXT_MAX) {
		fail(&p, SELECT_TEXT_MAX, "the selector is too long");
	} else {
		s->text = p.text = arena_span(s->arena, span_trim(text));
		/* Positions are those of the caller's text. */
		size_t before = text.n ? (size_t)(span_trim(text).p - text.p) : 0;

		skip_space(&p);
		if (p.at < p.text.n)
			s->root = parse_or(&p);
		if (!p.failed && p.at < p.text.n)
			fail(&p, p.at, "unexpected '%c'", p.text.p[p.at]);
		e->at += p.failed ? before : 0;
	}
	if (p.failed) {
		select_free(s);
		return NULL;
	}
	if (s->root)
		s->ids = ids_of(s->root);
	sort_ids(&s->ids);
	return s;
}

void select_free(struct select *own)
{
	if (!own)
		return;
	free(own->ids.id);
	arena_free(own->arena);
	free(own);
}

bool select_is_empty(const struct select *s)
{
	return !s->root;
}

bool select_ids(const struct select *s, const uint64_t **id, size_t *count)
{
	*id = s->ids.id;
	*count = s->ids.count;
	return !s->ids.any;
}

unsigned select_keys(const struct select *s)
{
	return s->keys;
}

struct span select_text(const struct select *s)
{
	return s->text;
}

/* ---- words of a command line */

static bool parses(struct span s)
{
	struct select_error e;
	struct select *t = select_parse(s, &e);

	select_free(t);
	return t != NULL;
}

/* KEY=VALUE with white space in the value: VALUE in quotes. */
static int add_quoted(struct buf *text, struct span word, size_t value)
{
	int rc = buf_add(text, word.p, value);

	if (!rc)
		rc = buf_add(text, "\"", 1);
	for (size_t i = value; i < word.n && !rc; i++) {
		if (word.p[i] == '"' || word.p[i] == '\\')
			rc = buf_add(text, "\\", 1);
		if (!rc)
			rc = buf_add(text, word.p + i, 1);
	}
	return rc ? rc : buf_add(text, "\"", 1);
}

int select_add_word(struct buf *text, struct span word)
{
	size_t value = 0;
	int rc = buf_len(text) ? buf_add(text, " ", 1) : 0;

	while (value < word.n && ascii_isalnum(word.p[value]))
		value++;
	while (value < word.n && is_operator(word.p[value]))
		value++;
	bool keyed = value > 0 && value < word.n && is_operator(word.p[value - 1]);
	if (rc || !keyed || span_chr(word, ' ') == word.n || parses(word))
		return rc ? rc : buf_add_span(text, word);
	return add_quoted(text, word, value);
}
