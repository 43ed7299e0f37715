/*
 * core/conf_lex.h - the words of a configuration file, R 3.2.
 *
 * Owner:  the thread that owns the struct conf.
 * Memory: the text of tokens lives in the arena of the report.
 * Limits: one string or word 8191 bytes. NUL and control bytes are refused with their place, except
 *         tab, newline, and CR before newline.
 *
 * A word is everything without blanks, quotes and { } = , ; #. A string is in double quotes, ends
 * on its line, and knows \" \\ \n \t. Comments: # and // to the end of the line, and those of C.
 */
#ifndef CORE_CONF_LEX_H
#define CORE_CONF_LEX_H
#include "core/conf_report.h"

enum conf_lex_type {
	CONF_LEX_END = 0,
	CONF_LEX_WORD,
	CONF_LEX_STRING,
	CONF_LEX_OPEN,
	CONF_LEX_CLOSE,
	CONF_LEX_EQUAL,
	CONF_LEX_COMMA,
	CONF_LEX_SEMI
};

/* A token; bad: an error about it is in the report already. */
struct conf_lex_token {
	enum conf_lex_type type;
	bool bad;
	struct conf_pos pos;
	const char *text;
};

/* Where the lexer stands; copy it to come back. */
struct conf_lex {
	struct conf_report *report;
	const char *p;
	const char *end;
	struct conf_pos pos;
};

/* Begins with n bytes of text, which conf_lex changes (it blanks out control bytes after it has
 * reported them) and which must stay until the last token was taken. */
void conf_lex_init(struct conf_lex *lex, struct conf_report *r, char *text, size_t n);
struct conf_lex_token conf_lex_next(struct conf_lex *lex);

/* What the token is, for "found ...": 'word', a string, end of file. Lives in the arena. */
const char *conf_lex_found(struct conf_report *r, const struct conf_lex_token *t);

#endif
