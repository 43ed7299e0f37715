#include "queue/select.h"

#include "core/err.h"
#include "queue/select_ids.h"
#include "queue/select_value.h"

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
		const char *want;

		v->text = quotes ? quoted(p) : plain(p);
		if (!v->text.n && !quotes)
			fail(p, at, "a value is missing (\"\" is the empty one)");
		else if ((want = select_value_read(t->key, v)))
			fail(p, at, "'%.*s' is not %s", SHOW(v->text), want);
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
		if (select_value_id(v) || !v->exact)
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
	else
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
	struct node *negated = grab(p, sizeof *negated);
	negated->kind = NODE_NOT;
	negated->child = n;
	return negated;
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
		s->ids = select_ids_of(s->root);
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
