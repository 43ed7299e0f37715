#include "core/conf_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/tap.h"

static void dump_node(const struct conf_tree *t, FILE *f)
{
	for (const struct conf_tree *c = t->child; c; c = c->next) {
		fprintf(f, "%s%s", c->bad ? "!" : "", c->key);
		if (c->is_section) {
			fprintf(f, "%s%s{", c->name ? ":" : "", c->name ? c->name : "");
			dump_node(c, f);
			fputs("}", f);
			continue;
		}
		fputs(c->braced ? "={" : "=", f);
		for (const struct conf_tree_value *v = c->value; v; v = v->next)
			fprintf(f, "%s<%s>%u", v == c->value ? "" : ",", v->text, v->words);
		fputs(c->braced ? "};" : ";", f);
	}
}

/* The tree in one line, then the messages. */
static const char *parse(const char *text, size_t n)
{
	static char out[65536];
	struct conf_report r = { .arena = arena_new(), .path = "t" };
	char *copy = malloc(n + 1);
	FILE *f = fmemopen(out, sizeof out, "w");

	if (!f || !r.arena || !copy)
		abort();
	memcpy(copy, text, n);
	dump_node(conf_tree_parse(&r, copy, n), f);
	if (r.message_count)
		fputc('\n', f);
	conf_report_print(&r, f);
	fputc(0, f);
	fclose(f);
	arena_free(r.arena);
	free(copy);
	return out;
}

static const struct {
	const char *name;
	const char *text;
	const char *want;
} rows[] = {
	{ "nothing", "", "" },
	{ "option", "a = b;", "a=<b>1;" },
	{ "option without blanks", "a=b;c=d;", "a=<b>1;c=<d>1;" },
	{ "string", "a = \"b c\";", "a=<b c>0;" },
	{ "adjacent strings", "a = \"b \"\n  \"c\" \"\";", "a=<b c>0;" },
	{ "sequence of words", "a = 1h 5m\n 12s;", "a=<1h 5m 12s>3;" },
	{ "list", "a = { b, \"c d\", e };", "a={<b>1,<c d>0,<e>1};" },
	{ "list without ;", "a = { b } c = d;", "a={<b>1};c=<d>1;" },
	{ "list with a comma at its end", "a = { b, };", "a={<b>1};" },
	{ "empty list", "a = { }", "a={};" },
	{ "section", "a { b = c; }", "a{b=<c>1;}" },
	{ "section with ;", "a { };b{}", "a{}b{}" },
	{ "section with a name", "a B.1 { }", "a:B.1{}" },
	{ "section with a quoted name", "a \"B\" { }", "a:B{}" },
	{ "nested sections", "a { b { c { } d = 1; } }", "a{b{c{}d=<1>1;}}" },
	{ "eight nested sections", "a{a{a{a{a{a{a{a{b=c;}}}}}}}}",
	  "a{a{a{a{a{a{a{a{b=<c>1;}}}}}}}}" },

	{ "nine nested sections", "a{a{a{a{a{a{a{a{i{b=c;};}}}}}}}}x=y;",
	  "a{a{a{a{a{a{a{a{i{}}}}}}}}}x=<y>1;\n"
	  "t:1:17: a.a.a.a.a.a.a.a.i: expected at most 8 nested sections, found one more\n" },
	{ "missing ; before a new line", "a = 1\nb = 2;",
	  "!a=<1 b>2;b=<2>1;\n"
	  "t:2:1: a: expected ';', found 'b'\n" },
	{ "missing ; on the same line", "a = 1 b = 2;",
	  "!a=<1 b>2;b=<2>1;\n"
	  "t:1:7: a: expected ';', found 'b'\n" },
	{ "missing ; behind a string", "a = \"1\"\nb = 2;",
	  "!a=<1>0;b=<2>1;\n"
	  "t:2:1: a: expected ';', found 'b'\n" },
	{ "missing ; before a section", "a = 1\nb { c = 1; }",
	  "!a=<1 b>2;b{c=<1>1;}\n"
	  "t:2:1: a: expected ';', found 'b'\n" },
	{ "missing ; before a named section", "a = 1\nb n { c = 1; }",
	  "!a=<1 b n>3;b:n{c=<1>1;}\n"
	  "t:2:1: a: expected ';', found 'b'\n" },
	{ "missing ; before }", "s { a = 1 } b = 2;",
	  "s{!a=<1>1;}b=<2>1;\n"
	  "t:1:11: s.a: expected ';', found '}'\n" },
	{ "missing ; at the end", "a = 1",
	  "!a=<1>1;\n"
	  "t:1:6: a: expected ';', found the end of the file\n" },
	{ "two missing ;", "a = 1\nb = 2\nc = 3;",
	  "!a=<1 b>2;!b=<2 c>2;c=<3>1;\n"
	  "t:2:1: a: expected ';', found 'b'\n"
	  "t:3:1: b: expected ';', found 'c'\n" },
	{ "string behind a word", "a = b \"c\"; d = 1;",
	  "!a=<b>1;d=<1>1;\n"
	  "t:1:7: a: expected ';', found \"c\"\n" },
	{ "two equal signs", "a = b = c; d = 1;",
	  "!a=<b>1;d=<1>1;\n"
	  "t:1:7: a: expected ';', found '='\n" },
	{ "no value", "a = ; b = 1;",
	  "!a=;b=<1>1;\n"
	  "t:1:5: a: expected a value, found ';'\n" },
	{ "no equal sign", "a 1; b = 1;",
	  "!a=;b=<1>1;\n"
	  "t:1:3: a: expected '=' or '{', found '1'\n" },
	{ "a blank in a name", "log level = 1; b = 1;",
	  "!log=;b=<1>1;\n"
	  "t:1:5: log: expected '=' or '{', found 'level'\n" },
	{ "only a word", "a; b = 1;",
	  "!a=;b=<1>1;\n"
	  "t:1:2: a: expected '=' or '{', found ';'\n" },
	{ "only a word at the end", "a",
	  "!a=;\n"
	  "t:1:2: a: expected '=' or '{', found the end of the file\n" },
	{ "comma where a value should be", "a = {,}; b = 1;",
	  "!a={};b=<1>1;\n"
	  "t:1:6: a: expected a value, found ','\n" },
	{ "two commas", "a = { b,,c }; d = 1;",
	  "!a={<b>1};d=<1>1;\n"
	  "t:1:9: a: expected a value, found ','\n" },
	{ "list that is not closed", "a = { b, c; d = 1;",
	  "!a={<b>1,<c>1};d=<1>1;\n"
	  "t:1:11: a: expected ',' or '}', found ';'\n" },
	{ "section in a list", "a = { b { c = 1; } }; d = 1;",
	  "!a={<b>1};d=<1>1;\n"
	  "t:1:9: a: expected ',' or '}', found '{'\n" },
	{ "one } too many", "a { } } b = 1;",
	  "a{}b=<1>1;\n"
	  "t:1:7: expected an option or a section, found '}'\n" },
	{ "one ; too many", "a = 1;; b = 1;",
	  "a=<1>1;b=<1>1;\n"
	  "t:1:7: expected an option or a section, found ';'\n" },
	{ "string as a name", "s { \"a\" = 1; b = 1; }",
	  "!s{b=<1>1;}\n"
	  "t:1:5: s: expected an option or a section, found \"a\"\n" },
	{ "block without a name", "{ a = 1; } b = 1;",
	  "b=<1>1;\n"
	  "t:1:1: expected an option or a section, found '{'\n" },
	{ "section that is not closed", "a {\n b N {\n c = 1;\n",
	  "a{b:N{c=<1>1;}}\n"
	  "t:4:1: a.b N: expected '}' for the '{' of line 2, found the end of the file\n" },
	{ "bad name of a section", "a ../b { c = 1; }",
	  "a:../b{c=<1>1;}\n"
	  "t:1:3: a: expected a name of up to 64 letters, digits, '_', '-', '.', found '../b'\n" },
	{ "hidden file as a name", "a .b { }",
	  "a:.b{}\n"
	  "t:1:3: a: expected a name of up to 64 letters, digits, '_', '-', '.', found '.b'\n" },
	{ "string that is not closed", "a = \"b;\nc = 1;",
	  "!a=<b;>0;c=<1>1;\n"
	  "t:1:5: expected '\"' that ends this string, found the end of the line\n" },
	{ "quote that was never opened", "a = b\";\nc = 1;",
	  "!a=<b>1;c=<1>1;\n"
	  "t:1:6: expected '\"' that ends this string, found the end of the line\n" },
	{ "several errors", "a 1;\nb = ;\nc = { d e };\n}\nf = 1;",
	  "!a=;!b=;c={<d e>2};f=<1>1;\n"
	  "t:1:3: a: expected '=' or '{', found '1'\n"
	  "t:2:5: b: expected a value, found ';'\n"
	  "t:4:1: expected an option or a section, found '}'\n" },
};

static char *repeat(const char *s, size_t times)
{
	size_t n = strlen(s);
	char *p = malloc(n * times + 1);

	for (size_t i = 0; i < times; i++)
		memcpy(p + i * n, s, n);
	p[n * times] = 0;
	return p;
}

static void limits(void)
{
	static const struct {
		const char *name;
		const char *unit;
		size_t times;
		const char *end;
	} big[] = {
		{ "file of more than 1 MB", "a = b;\n", 150000,
		  "\nt: expected at most 1048576 bytes, found more\n" },
		{ "1001 sections", "a { }\n", 1001,
		  "\nt:1001:1: expected at most 1000 sections, found one more\n" },
		{ "more errors than are shown", "a;\n", 30,
		  "\nt:20:2: a: expected '=' or '{', found ';'\nt: 10 more errors\n" },
	};

	for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
		char *text = repeat(big[i].unit, big[i].times);
		const char *got = parse(text, strlen(text));
		const char *end = strstr(got, big[i].end);

		ok(end && !end[strlen(big[i].end)], "%s", big[i].name);
		free(text);
	}
}

static void long_value(void)
{
	char *strings = repeat("\"0123456789\" ", 820);
	char text[20000];

	snprintf(text, sizeof text, "s { a = %s; b = 1; }", strings);
	ok(strstr(parse(text, strlen(text)),
		  "t:1:9: s.a: expected a value of at most 8191 bytes, found a longer one\n") !=
		   NULL,
	   "adjacent strings of more than 8191 bytes");
	free(strings);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		is_str(parse(rows[i].text, strlen(rows[i].text)), rows[i].want, rows[i].name);
	limits();
	long_value();
	return plan_done();
}
