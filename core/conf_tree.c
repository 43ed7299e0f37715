#include "core/conf_tree.h"

#include <string.h>
#include "core/conf_lex.h"

struct parser {
	struct conf_report *r;
	struct conf_lex lex;
	struct conf_lex_token tok; /* the next one */
	struct conf_lex after;     /* the lexer before tok was taken */
	unsigned sections;         /* outside of others */
	bool end_reported;         /* that the file ends inside of a section */
};

static void advance(struct parser *p)
{
	p->after = p->lex;
	p->tok = conf_lex_next(&p->lex);
}

/* Makes tok, which began where lex stands, the next token again. */
static void go_back(struct parser *p, const struct conf_lex *lex)
{
	p->lex = *lex;
	advance(p);
}

static bool at(const struct parser *p, enum conf_lex_type type)
{
	return p->tok.type == type;
}

static bool at_text(const struct parser *p)
{
	return at(p, CONF_LEX_WORD) || at(p, CONF_LEX_STRING);
}

const char *conf_tree_name(struct conf_report *r, const struct conf_tree *t)
{
	const char *up = t->parent ? conf_tree_name(r, t->parent) : NULL;

	if (!t->key)
		return NULL;
	return conf_report_printf(r, "%s%s%s%s%s", up ? up : "", up ? "." : "", t->key,
				  t->name ? " " : "", t->name ? t->name : "");
}

/* "expected WHAT, found TOKEN" at the next token, for node t. */
static void expected(struct parser *p, struct conf_tree *t, const char *what)
{
	t->bad = true;
	if (p->tok.bad)
		return; /* the lexer has said why */
	conf_report_add(p->r, p->tok.pos, false, conf_tree_name(p->r, t), "expected %s, found %s",
			what, conf_lex_found(p->r, &p->tok));
}

/* To the next place where an entry can begin: behind a ';' or a block that is skipped. depth: 1 in
 * a list, whose '}' is skipped too, otherwise 0, and the '}' that closes what we are in is left. */
static void resync(struct parser *p, unsigned depth)
{
	unsigned ours = depth;

	for (; !at(p, CONF_LEX_END); advance(p)) {
		if (at(p, CONF_LEX_OPEN))
			depth++;
		if (at(p, CONF_LEX_CLOSE) && !depth)
			return;
		if (at(p, CONF_LEX_CLOSE) && --depth == 0) {
			advance(p);
			if (at(p, CONF_LEX_SEMI))
				advance(p);
			return;
		}
		if (at(p, CONF_LEX_SEMI) && depth == ours) {
			advance(p);
			return;
		}
	}
}

static struct conf_tree_value *add_value(struct parser *p, struct conf_tree *t)
{
	struct conf_tree_value *v = conf_report_alloc(p->r, sizeof *v);

	*v = (struct conf_tree_value){ .pos = p->tok.pos, .text = "" };
	if (t->last_value)
		t->last_value->next = v;
	else
		t->value = v;
	t->last_value = v;
	t->value_count++;
	return v;
}

/* What a value was made of, so that a missing ';' can be found behind it. */
struct gathered {
	char text[8192];
	size_t n;
	bool too_long;
	unsigned tokens;
	struct conf_lex last; /* before its last token */
	struct conf_lex
		new_line; /* before the first token that begins a line; .report NULL: none */
};

static void gather_token(struct parser *p, struct gathered *g, struct conf_tree *t)
{
	size_t n = strlen(p->tok.text);
	size_t blank = g->tokens && at(p, CONF_LEX_WORD);

	if (g->n + n + blank >= sizeof g->text) {
		g->too_long = true;
	} else {
		if (blank)
			g->text[g->n++] = ' ';
		memcpy(g->text + g->n, p->tok.text, n);
		g->n += n;
	}
	g->text[g->n] = 0;
	if (p->tok.bad)
		t->bad = true;
	g->tokens++;
	g->last = p->after;
}

/* Adjacent strings, or adjacent words. At a string or word. */
static void gather(struct parser *p, struct gathered *g, struct conf_tree *t)
{
	struct conf_tree_value *v = add_value(p, t);
	enum conf_lex_type type = p->tok.type;
	struct conf_pos pos = p->tok.pos;

	g->n = 0;
	g->tokens = 0;
	g->too_long = false;
	g->new_line.report = NULL;
	for (; at(p, type); advance(p)) {
		if (p->tok.pos.line > pos.line && !g->new_line.report)
			g->new_line = p->after;
		pos = p->tok.pos;
		gather_token(p, g, t);
		if (g->tokens == 2)
			v->second = pos;
	}
	if (g->too_long && !t->bad) {
		conf_report_add(p->r, v->pos, false, conf_tree_name(p->r, t),
				"expected a value of at most %zu bytes, found a longer one",
				sizeof g->text - 1);
		t->bad = true;
	}
	v->text = conf_report_printf(p->r, "%s", g->text);
	v->words = type == CONF_LEX_WORD ? g->tokens : 0;
}

/* Behind the value of an option stands no ';'. If that is because it was forgotten, go on with the
 * next option, otherwise skip. */
static void no_semicolon(struct parser *p, struct gathered *g, struct conf_tree *t)
{
	unsigned line = g->last.pos.line;

	if ((at(p, CONF_LEX_EQUAL) || at(p, CONF_LEX_OPEN)) && g->tokens >= 2 &&
	    t->last_value->words) {
		/* `a = 1 \n b = 2;` was read as a = `1 b` */
		go_back(p, g->new_line.report ? &g->new_line : &g->last);
		expected(p, t, "';'");
		return;
	}
	if (!t->bad || !at_text(p))
		expected(p, t, "';'");
	if (p->tok.bad)
		advance(p);
	if (at(p, CONF_LEX_WORD) && p->tok.pos.line > line)
		return;
	resync(p, 0);
}

static void single_value(struct parser *p, struct conf_tree *t)
{
	struct gathered g;

	if (!at_text(p)) {
		expected(p, t, "a value");
		resync(p, 0);
		return;
	}
	gather(p, &g, t);
	if (at(p, CONF_LEX_SEMI))
		advance(p);
	else
		no_semicolon(p, &g, t);
}

static void list_failed(struct parser *p, struct conf_tree *t, const char *what)
{
	expected(p, t, what);
	resync(p, 1);
}

/* Behind the '{'. */
static void list_value(struct parser *p, struct conf_tree *t)
{
	struct gathered g;

	t->braced = true;
	while (!at(p, CONF_LEX_CLOSE)) {
		if (!at_text(p)) {
			list_failed(p, t, "a value");
			return;
		}
		gather(p, &g, t);
		if (at(p, CONF_LEX_COMMA)) {
			advance(p);
		} else if (!at(p, CONF_LEX_CLOSE)) {
			list_failed(p, t, "',' or '}'");
			return;
		}
	}
	advance(p);
	if (at(p, CONF_LEX_SEMI))
		advance(p);
}

static void parse_entries(struct parser *p, struct conf_tree *t, unsigned depth);

static bool name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

	return n && !s[n] && n <= 64 && *s != '.' && *s != '-';
}

/* At the '{' of section t. */
static void section(struct parser *p, struct conf_tree *t, unsigned depth)
{
	t->is_section = true;
	if (t->name && !name_ok(t->name))
		conf_report_add(p->r, t->name_pos, false, t->key,
				"expected a name of up to 64 letters, digits, '_', '-', '.', "
				"found '%s'",
				conf_report_quote(p->r, t->name));
	if (!depth && ++p->sections == CONF_TREE_SECTIONS + 1)
		conf_report_add(p->r, t->pos, false, NULL,
				"expected at most %d sections, found one more", CONF_TREE_SECTIONS);
	if (depth >= CONF_TREE_DEPTH) {
		conf_report_add(p->r, t->pos, false, conf_tree_name(p->r, t),
				"expected at most %d nested sections, found one more",
				CONF_TREE_DEPTH);
		resync(p, 0);
		return;
	}
	advance(p);
	parse_entries(p, t, depth + 1);
	if (at(p, CONF_LEX_CLOSE)) {
		advance(p);
		if (at(p, CONF_LEX_SEMI))
			advance(p);
	} else if (at(p, CONF_LEX_END) && !p->end_reported) {
		p->end_reported = true;
		conf_report_add(p->r, p->tok.pos, false, conf_tree_name(p->r, t),
				"expected '}' for the '{' of line %u, found the end of the file",
				t->pos.line);
	}
}

/* At the first word of an option or section. */
static void entry(struct parser *p, struct conf_tree *t, unsigned depth)
{
	advance(p);
	if (at(p, CONF_LEX_EQUAL)) {
		advance(p);
		if (!at(p, CONF_LEX_OPEN)) {
			single_value(p, t);
			return;
		}
		advance(p);
		list_value(p, t);
		return;
	}
	if (at_text(p)) {
		struct conf_lex before = p->after;

		t->name = p->tok.text;
		t->name_pos = p->tok.pos;
		advance(p);
		if (!at(p, CONF_LEX_OPEN)) {
			t->name = NULL;
			go_back(p, &before);
		}
	}
	if (at(p, CONF_LEX_OPEN)) {
		section(p, t, depth);
		return;
	}
	expected(p, t, "'=' or '{'");
	resync(p, 0);
}

static struct conf_tree *add_child(struct parser *p, struct conf_tree *parent)
{
	struct conf_tree *t = conf_report_alloc(p->r, sizeof *t);

	*t = (struct conf_tree){ .key = p->tok.text, .pos = p->tok.pos, .parent = parent };
	if (parent->last_child)
		parent->last_child->next = t;
	else
		parent->child = t;
	parent->last_child = t;
	return t;
}

/* Up to the '}' that closes t, or the end. */
static void parse_entries(struct parser *p, struct conf_tree *t, unsigned depth)
{
	while (!at(p, CONF_LEX_END) && !conf_report_full(p->r)) {
		if (at(p, CONF_LEX_WORD)) {
			entry(p, add_child(p, t), depth);
			continue;
		}
		if (at(p, CONF_LEX_CLOSE) && depth)
			return;
		expected(p, t, "an option or a section");
		if (at(p, CONF_LEX_CLOSE) || at(p, CONF_LEX_SEMI))
			advance(p);
		else
			resync(p, 0);
	}
}

struct conf_tree *conf_tree_parse(struct conf_report *r, char *text, size_t n)
{
	struct conf_tree *root = conf_report_alloc(r, sizeof *root);
	struct parser p = { .r = r };

	*root = (struct conf_tree){ .is_section = true };
	if (n > CONF_TREE_BYTES) {
		conf_report_add(r, (struct conf_pos){ 0 }, false, NULL,
				"expected at most %d bytes, found more", CONF_TREE_BYTES);
		return root;
	}
	conf_lex_init(&p.lex, r, text, n);
	advance(&p);
	parse_entries(&p, root, 0);
	return root;
}
