#include "core/conf_lex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/tap.h"

/* Every token as TYPE@line:column[text], then the messages. */
static const char *dump(const char *text, size_t n)
{
	static char out[65536];
	static const char *const type[] = { "end",   "w",     "s",     "open",
					    "close", "equal", "comma", "semi" };
	struct conf_report r = { .arena = arena_new(), .path = "t" };
	struct conf_lex lex;
	struct conf_lex_token t;
	char *copy = malloc(n + 1);
	FILE *f = fmemopen(out, sizeof out, "w");

	if (!f || !r.arena || !copy)
		abort();
	memcpy(copy, text, n);
	conf_lex_init(&lex, &r, copy, n);
	do {
		t = conf_lex_next(&lex);
		fprintf(f, "%s@%u:%u", type[t.type], t.pos.line, t.pos.column);
		if (t.type == CONF_LEX_WORD || t.type == CONF_LEX_STRING)
			fprintf(f, "[%s]", t.text);
		fprintf(f, "%s", t.bad ? "! " : t.type == CONF_LEX_END ? "" : " ");
	} while (t.type != CONF_LEX_END);
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
	{ "nothing", "", "end@1:1" },
	{ "blanks", " \t\n\r\n ", "end@3:2" },
	{ "words", "a b.c/d -e", "w@1:1[a] w@1:3[b.c/d] w@1:9[-e] end@1:11" },
	{ "punctuation", "a={b,c};",
	  "w@1:1[a] equal@1:2 open@1:3 w@1:4[b] comma@1:5 w@1:6[c] close@1:7 semi@1:8 end@1:9" },
	{ "lines", "a\n  b\n", "w@1:1[a] w@2:3[b] end@3:1" },
	{ "string", "\"a b\"", "s@1:1[a b] end@1:6" },
	{ "empty string", "\"\"", "s@1:1[] end@1:3" },
	{ "special characters in a string", "\"{};=,#/*\"", "s@1:1[{};=,#/*] end@1:11" },
	{ "escapes", "\"a\\\"b\\\\c\\td\"", "s@1:1[a\"b\\c\td] end@1:13" },
	{ "adjacent strings are two tokens", "\"a\" \"b\"", "s@1:1[a] s@1:5[b] end@1:8" },
	{ "string beside a word", "a\"b\"c", "w@1:1[a] s@1:2[b] w@1:5[c] end@1:6" },
	{ "comment to the end of the line", "a # b ; \"\nc", "w@1:1[a] w@2:1[c] end@2:2" },
	{ "comment behind a word", "a#b\nc", "w@1:1[a] w@2:1[c] end@2:2" },
	{ "C comment", "a/* b\n*/c", "w@1:1[a] w@2:3[c] end@2:4" },
	{ "C comment with stars", "/***/a/**/", "w@1:6[a] end@1:11" },
	{ "C++ comment", "a // b\nc", "w@1:1[a] w@2:1[c] end@2:2" },
	{ "slashes in a word", "http://x/ /a//b", "w@1:1[http://x/] w@1:11[/a//b] end@1:16" },
	{ "no comments in strings", "\"/* # */\"", "s@1:1[/* # */] end@1:10" },
	{ "bytes above 127", "\xc3\xa4 \"\xc3\xbc\"", "w@1:1[\xc3\xa4] s@1:4[\xc3\xbc] end@1:8" },
	{ "byte order mark",
	  "\xEF\xBB\xBF"
	  "a",
	  "w@1:1[a] end@1:2" },
	{ "CR before newline", "a\r\nb\r\n", "w@1:1[a] w@2:1[b] end@3:1" },
	{ "CR alone", "a\rb",
	  "w@1:1[a] w@1:3[b] end@1:4\n"
	  "t:1:2: expected text, found the control byte 0x0D\n" },
	{ "control bytes, one of each line", "a\x01\x02\nb\x7f",
	  "w@1:1[a] w@2:1[b] end@2:3\n"
	  "t:1:2: expected text, found the control byte 0x01\n"
	  "t:2:2: expected text, found the control byte 0x7F\n" },
	{ "control byte in a string", "\"a\x1b\"",
	  "s@1:1[a ] end@1:5\n"
	  "t:1:3: expected text, found the control byte 0x1B\n" },
	{ "control byte in a comment", "# \x07",
	  "end@1:4\n"
	  "t:1:3: expected text, found the control byte 0x07\n" },
	{ "string that does not end on its line", "\"a;\nb",
	  "s@1:1[a;]! w@2:1[b] end@2:2\n"
	  "t:1:1: expected '\"' that ends this string, found the end of the line\n" },
	{ "string that does not end", "x \"a",
	  "w@1:1[x] s@1:3[a]! end@1:5\n"
	  "t:1:3: expected '\"' that ends this string, found the end of the file\n" },
	{ "string that ends with a backslash", "\"a\\",
	  "s@1:1[a\\]! end@1:4\n"
	  "t:1:1: expected '\"' that ends this string, found the end of the file\n" },
	{ "unknown escape", "\"a\\x41\"",
	  "s@1:1[a41]! end@1:8\n"
	  "t:1:3: expected \\\" \\\\ \\n or \\t in a string, found '\\x'\n" },
	{ "single quote", "'a b'",
	  "w@1:1['a]! w@1:4[b'] end@1:6\n"
	  "t:1:1: expected double quotes around a string, found a single quote\n" },
	{ "comment that does not end", "a /* b\n",
	  "w@1:1[a] end@2:1\n"
	  "t:1:3: expected '*/' that ends this comment, found the end of the file\n" },
	{ "slash and star at the end", "/*",
	  "end@1:3\n"
	  "t:1:1: expected '*/' that ends this comment, found the end of the file\n" },
	{ "one slash", "/", "w@1:1[/] end@1:2" },
};

static void long_tokens(void)
{
	static char text[20000];

	memset(text, 'x', 8191);
	ok(!strchr(dump(text, 8191), '\n'), "a word of 8191 bytes");
	memset(text, 'x', 8192);
	ok(strstr(dump(text, 8192), "t:1:1: expected at most 8191 bytes, found 8192\n") != NULL,
	   "a word of 8192 bytes");
	text[0] = '"';
	text[9001] = '"';
	memset(text + 1, 'x', 9000);
	ok(strstr(dump(text, 9002), "t:1:1: expected at most 8191 bytes, found 9000\n") != NULL,
	   "a string of 9000 bytes");
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		is_str(dump(rows[i].text, strlen(rows[i].text)), rows[i].want, rows[i].name);
	is_str(dump("a\0b\n\0c", 6),
	       "w@1:1[a] w@1:3[b] w@2:2[c] end@2:3\n"
	       "t:1:2: expected text, found the control byte 0x00\n"
	       "t:2:1: expected text, found the control byte 0x00\n",
	       "NUL");
	long_tokens();
	return plan_done();
}
