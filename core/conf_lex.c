#include "core/conf_lex.h"

#include <string.h>

enum { TOKEN_BYTES = 8191, CONTROL_ERRORS = 5 };

static bool is_control(const char *p, const char *end)
{
	unsigned char c = (unsigned char)*p;

	if (c == '\r')
		return p + 1 == end || p[1] != '\n';
	return (c < 32 && c != '\t' && c != '\n') || c == 127;
}

/* Reports one control byte of each line, a few in all, and blanks all of them out. */
static void refuse_controls(struct conf_report *r, char *text, size_t n)
{
	struct conf_pos pos = { 1, 1 };
	unsigned last_line = 0;
	unsigned errors = 0;

	for (size_t i = 0; i < n; i++, pos.column++) {
		if (text[i] == '\n')
			pos = (struct conf_pos){ pos.line + 1, 0 };
		if (!is_control(text + i, text + n))
			continue;
		if (pos.line != last_line && errors++ < CONTROL_ERRORS)
			conf_report_add(r, pos, false, NULL,
					"expected text, found the control byte 0x%02X",
					(unsigned char)text[i]);
		last_line = pos.line;
		text[i] = ' ';
	}
}

void conf_lex_init(struct conf_lex *lex, struct conf_report *r, char *text, size_t n)
{
	size_t skip = n >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0;

	refuse_controls(r, text + skip, n - skip);
	*lex = (struct conf_lex){ .report = r, .p = text + skip, .end = text + n, .pos = { 1, 1 } };
}

static void step(struct conf_lex *lex)
{
	if (*lex->p++ == '\n') {
		lex->pos.line++;
		lex->pos.column = 1;
	} else {
		lex->pos.column++;
	}
}

static bool at_comment(const struct conf_lex *lex)
{
	return lex->end - lex->p >= 2 && lex->p[0] == '/' && lex->p[1] == '*';
}

/* Only where a token begins, so that http://host/ is a word. */
static bool at_line_comment(const struct conf_lex *lex)
{
	return lex->end - lex->p >= 2 && lex->p[0] == '/' && lex->p[1] == '/';
}

static void skip_c_comment(struct conf_lex *lex)
{
	struct conf_pos start = lex->pos;

	step(lex);
	step(lex);
	while (lex->end - lex->p >= 2) {
		if (lex->p[0] == '*' && lex->p[1] == '/') {
			step(lex);
			step(lex);
			return;
		}
		step(lex);
	}
	while (lex->p < lex->end)
		step(lex);
	conf_report_add(lex->report, start, false, NULL,
			"expected '*/' that ends this comment, found the end of the file");
}

static void skip_blanks(struct conf_lex *lex)
{
	while (lex->p < lex->end) {
		if (*lex->p == '#' || at_line_comment(lex)) {
			while (lex->p < lex->end && *lex->p != '\n')
				step(lex);
		} else if (at_comment(lex)) {
			skip_c_comment(lex);
		} else if (strchr(" \t\r\n", *lex->p)) {
			step(lex);
		} else {
			return;
		}
	}
}

static bool in_word(const struct conf_lex *lex)
{
	return lex->p < lex->end && !strchr(" \t\r\n{}=,;\"#", *lex->p) && !at_comment(lex);
}

/* Copies min(n, TOKEN_BYTES) bytes of p; n is the length that the file has. */
static const char *keep(struct conf_lex *lex, struct conf_lex_token *t, const char *p, size_t n)
{
	if (n > TOKEN_BYTES) {
		conf_report_add(lex->report, t->pos, false, NULL,
				"expected at most %d bytes, found %zu", TOKEN_BYTES, n);
		t->bad = true;
		n = TOKEN_BYTES;
	}
	char *copy = conf_report_alloc(lex->report, n + 1);
	memcpy(copy, p, n);
	copy[n] = 0;
	return copy;
}

static void word(struct conf_lex *lex, struct conf_lex_token *t)
{
	const char *start = lex->p;

	t->type = CONF_LEX_WORD;
	while (in_word(lex))
		step(lex);
	t->text = keep(lex, t, start, (size_t)(lex->p - start));
	if (*start == '\'') {
		conf_report_add(lex->report, t->pos, false, NULL,
				"expected double quotes around a string, found a single quote");
		t->bad = true;
	}
}

/* The byte behind a backslash; 0: unknown. */
static char escaped(char c)
{
	switch (c) {
	case '"':
	case '\\':
		return c;
	case 'n':
		return '\n';
	case 't':
		return '\t';
	default:
		return 0;
	}
}

/* One byte of a string, behind an escape if need be; 0: an unknown escape, reported. */
static char string_byte(struct conf_lex *lex, struct conf_lex_token *t)
{
	char c = *lex->p;

	if (c == '\\' && lex->end - lex->p >= 2 && lex->p[1] != '\n') {
		c = escaped(lex->p[1]);
		if (!c) {
			conf_report_add(lex->report, lex->pos, false, NULL,
					"expected \\\" \\\\ \\n or \\t in a string, found '\\%c'",
					lex->p[1]);
			t->bad = true;
		}
		step(lex);
	}
	step(lex);
	return c;
}

static void string(struct conf_lex *lex, struct conf_lex_token *t)
{
	char buf[TOKEN_BYTES];
	size_t n = 0;

	t->type = CONF_LEX_STRING;
	step(lex);
	while (lex->p < lex->end && *lex->p != '\n' && *lex->p != '"') {
		char c = string_byte(lex, t);

		if (c && n < sizeof buf)
			buf[n] = c;
		n += c != 0;
	}
	if (lex->p < lex->end && *lex->p == '"') {
		step(lex);
	} else {
		conf_report_add(lex->report, t->pos, false, NULL,
				"expected '\"' that ends this string, found the end of the %s",
				lex->p < lex->end ? "line" : "file");
		t->bad = true;
	}
	t->text = keep(lex, t, buf, n);
}

struct conf_lex_token conf_lex_next(struct conf_lex *lex)
{
	static const char single[] = "{}=,;";
	static const enum conf_lex_type type[] = { CONF_LEX_OPEN, CONF_LEX_CLOSE, CONF_LEX_EQUAL,
						   CONF_LEX_COMMA, CONF_LEX_SEMI };
	struct conf_lex_token t = { .type = CONF_LEX_END, .text = "" };

	skip_blanks(lex);
	t.pos = lex->pos;
	if (lex->p == lex->end)
		return t;
	const char *s = strchr(single, *lex->p);
	if (s) {
		t.type = type[s - single];
		t.text = conf_report_printf(lex->report, "%c", *s);
		step(lex);
	} else if (*lex->p == '"') {
		string(lex, &t);
	} else {
		word(lex, &t);
	}
	return t;
}

const char *conf_lex_found(struct conf_report *r, const struct conf_lex_token *t)
{
	if (t->type == CONF_LEX_END)
		return "the end of the file";
	if (t->type == CONF_LEX_STRING)
		return conf_report_printf(r, "\"%s\"", conf_report_quote(r, t->text));
	return conf_report_printf(r, "'%s'", conf_report_quote(r, t->text));
}
