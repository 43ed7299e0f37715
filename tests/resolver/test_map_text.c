#include "resolver/map_text.h"

#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

/* Each entry as LINE{KEY}{VALUE}, each bad one as LINE!. */
static const struct {
	const char *name, *text, *want;
} cases[] = {
	{ "one entry", "a b\n", "1{a}{b}" },
	{ "no line end", "a b", "1{a}{b}" },
	{ "nothing", "", "" },
	{ "empty lines and comments", "\n# a b\n  # c\n \t\na b\n\n", "5{a}{b}" },
	{ "any white space between, trimmed behind", "a \t b c \t\n", "1{a}{b c}" },
	{ "one trailing colon is dropped", "a: b\nb:: c\nto:x: d\n", "1{a}{b}2{b:}{c}3{to:x}{d}" },
	{ "a tag alone", "oci: 5\n", "1{oci}{5}" },
	{ "case stays", "Ab Cd\n", "1{Ab}{Cd}" },
	{ "continuation", "a b\n c\n\td  \ne f\n", "1{a}{b c d}4{e}{f}" },
	{ "a comment inside of a continuation", "a b\n# x\n\n c\n", "1{a}{b c}" },
	{ "the value in the next line", "a\n b\n", "1{a}{b}" },
	{ "CR LF", "a b\r\nc d\r\n e\r\n", "1{a}{b}2{c}{d e}" },
	{ "a # in a value", "a b # c\n", "1{a}{b # c}" },
	{ "UTF-8", "\xc3\xa4 \xc3\xb6\n", "1{\xc3\xa4}{\xc3\xb6}" },
	{ "no value", "a b\nc\nd e\n", "1{a}{b}2!3{d}{e}" },
	{ "no value but a comment", "c\n#x\n", "1!" },
	{ "only a colon", ": b\n", "1!" },
	{ "a continuation of nothing", " a b\nc d\n", "1!2{c}{d}" },
	{ "control characters", "a b\001\nb\177 c\nc d\n", "1!2!3{c}{d}" },
	{ "CR inside", "a b\rc\n", "1!" },
	{ "a control character in a continuation", "a b\n \001\nc d\n", "1!3{c}{d}" },
};

static char *describe(struct span text)
{
	struct map_text t;
	struct map_entry e;
	const char *why = NULL;
	char *out = NULL;
	size_t n;
	FILE *f = open_memstream(&out, &n);
	int rc;

	map_text_init(&t, text);
	while ((rc = map_text_next(&t, &e, &why)) != 0) {
		if (rc < 0)
			fprintf(f, "%u!", e.line);
		else
			fprintf(f, "%u{%.*s}{%.*s}", e.line, (int)e.key.n, e.key.p, (int)e.value.n,
				e.value.p);
	}
	map_text_free(&t);
	fclose(f);
	return out;
}

static void test_limits(void)
{
	size_t n = MAP_TEXT_VALUE_MAX + 10;
	char *text = malloc(n), *got;

	memset(text, 'k', n);
	text[511] = ' ';
	got = describe(span_of(text, 520));
	ok(got[0] == '1' && got[1] == '{', "a key of 511 bytes");
	free(got);
	text[511] = 'k';
	text[512] = ' ';
	got = describe(span_of(text, 520));
	is_str(got, "1!", "a key of 512 bytes");
	free(got);
	text[511] = ':';
	got = describe(span_of(text, 520));
	ok(got[0] == '1' && got[1] == '{', "the dropped colon does not count");
	free(got);
	text[1] = ' ';
	got = describe(span_of(text, MAP_TEXT_VALUE_MAX + 2));
	ok(got[1] == '{', "the longest value");
	free(got);
	got = describe(span_of(text, MAP_TEXT_VALUE_MAX + 3));
	is_str(got, "1!", "a longer one");
	free(got);
	free(text);
	got = describe(span_of("a b\0c\n", 6));
	is_str(got, "1!", "NUL");
	free(got);
}

int main(void)
{
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *got = describe(span_str(cases[i].text));

		is_str(got, cases[i].want, cases[i].name);
		free(got);
	}
	test_limits();
	is_mem(map_text_key(SPAN("a:")).p, map_text_key(SPAN("a:")).n, "a", 1,
	       "map_text_key drops a colon");
	return plan_done();
}
