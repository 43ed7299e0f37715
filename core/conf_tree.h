/*
 * core/conf_tree.h - a configuration file as a tree of options and sections; grammar of R 3.2.
 *
 * Owner:  the thread that owns the struct conf.
 * Memory: nodes live in the arena of the report.
 * Limits: file 1 MB, nesting 8, 1000 sections outside of others.
 *
 *   entries ::= (option | section)*
 *   section ::= keyword [name] "{" entries "}" [";"]
 *   option  ::= name "=" (value ";" | "{" [value ("," value)* [","]] "}" [";"])
 * A value is a string, several adjacent ones, or words: `1h 5m 12s`. The name of a section has up
 * to 64 letters, digits, and _ - . inside, because it also names a log file.
 */
#ifndef CORE_CONF_TREE_H
#define CORE_CONF_TREE_H
#include "core/conf_report.h"

enum { CONF_TREE_BYTES = 1048576, CONF_TREE_DEPTH = 8, CONF_TREE_SECTIONS = 1000 };

struct conf_tree_value {
	const char *text; /* adjacent strings joined; words with one blank between them */
	struct conf_pos pos;
	unsigned words;         /* 0: it is made of strings */
	struct conf_pos second; /* place of the second word */
	struct conf_tree_value *next;
};

struct conf_tree {
	bool is_section;
	bool braced; /* option whose values are in braces */
	bool bad;    /* has a syntax error that is reported: do not look at its value */
	const char *key;
	const char *name; /* of a section; NULL: none */
	struct conf_pos pos;
	struct conf_pos name_pos;
	struct conf_tree_value *value;
	struct conf_tree_value *last_value;
	unsigned value_count;
	struct conf_tree *child;
	struct conf_tree *last_child;
	struct conf_tree *next;
	struct conf_tree *parent; /* NULL: the file */
};

/* The whole file, with errors in the report; never NULL. text is changed, see conf_lex_init(). */
struct conf_tree *conf_tree_parse(struct conf_report *r, char *text, size_t n);

/* "qmgr.DEFEDB.cache_size", "smtps MTA.flags", in the spelling of the file; NULL for the file. */
const char *conf_tree_name(struct conf_report *r, const struct conf_tree *t);

#endif
