#include "queue/dsn_line.h"

#include "tests/tap.h"

#include <stdio.h>

static void line(const char *begin, const char *text, enum dsn_charset c, const char *want,
		 const char *name)
{
	struct buf b = { 0 };

	dsn_line(&b, span_str(begin), span_str(text), c);
	is_mem(buf_span(&b).p, buf_len(&b), want, strlen(want), name);
	buf_release(&b);
}

/* No line over max, none that is blank, no bare CR or LF; unfolded it is want (NULL: not compared). */
static bool well_formed(struct span s, size_t max, const char *want)
{
	struct buf flat = { 0 };
	size_t at = 0;
	bool good = true;

	for (size_t i = 0; i < s.n && good; i++) {
		if (s.p[i] == '\n')
			return false;
		if (s.p[i] != '\r') {
			buf_add(&flat, s.p + i, 1);
			continue;
		}
		good = i + 1 < s.n && s.p[i + 1] == '\n' && i - at <= max &&
		       span_trim(span_of(s.p + at, i - at)).n;
		at = i += 2;
		i--;
		if (at < s.n)
			good = good && s.p[at] == ' ';
	}
	good = good && at == s.n && (!want || span_eq(buf_span(&flat), span_str(want)));
	buf_release(&flat);
	return good;
}

static void folds(void)
{
	char text[3000];
	struct buf b = { 0 };
	size_t n = 0;

	while (n < 900)
		n += (size_t)snprintf(text + n, sizeof text - n, "%sword%zu", n ? " " : "", n);
	dsn_line(&b, SPAN(""), span_str(text), DSN_UTF8);
	ok(well_formed(buf_span(&b), 78, text),
	   "folded at blanks before column 78, nothing changed");
	buf_release(&b);
	b = (struct buf){ 0 };
	memset(text, ' ', 200);
	text[0] = text[100] = text[199] = 'x';
	text[200] = 0;
	dsn_line(&b, SPAN("Begin: "), span_str(text), DSN_UTF8);
	ok(well_formed(buf_span(&b), 998, NULL), "many blanks make no blank line");
	buf_release(&b);
	b = (struct buf){ 0 };
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	dsn_line(&b, SPAN("Begin: "), span_str(text), DSN_UTF8);
	ok(well_formed(buf_span(&b), 910, NULL), "without blanks it is cut");
	buf_release(&b);
	b = (struct buf){ 0 };
	for (n = 0; n + 3 < sizeof text; n += 3)
		memcpy(text + n, "\xe2\x82\xac", 4);
	dsn_line(&b, SPAN("x"), span_str(text), DSN_UTF8);
	ok(well_formed(buf_span(&b), 910, NULL) &&
		   span_find(buf_span(&b), SPAN("\xe2\r")) == buf_len(&b) &&
		   span_find(buf_span(&b), SPAN("\x82\r")) == buf_len(&b),
	   "never within a character");
	buf_release(&b);
}

static void all_bytes(void)
{
	char text[256];
	struct buf b = { 0 };

	for (int i = 0; i < 256; i++)
		text[i] = (char)(i * 7);
	dsn_line(&b, SPAN("a"), span_of(text, sizeof text), DSN_ASCII);
	struct span s = buf_span(&b);
	bool clean = well_formed(s, 998, NULL);
	for (size_t i = 0; i < s.n; i++)
		clean = clean && (unsigned char)s.p[i] < 127;
	ok(clean, "any bytes become lines of printable ASCII");
	buf_release(&b);
}

int main(void)
{
	line("A: ", "b c", DSN_ASCII, "A: b c\r\n", "plain");
	line("A: ", "b\r\nC: d\x01\x7f", DSN_UTF8, "A: b\\x{0D}\\x{0A}C: d\\x{01}\\x{7F}\r\n",
	     "control characters");
	line("A: ", "\xc3\xa9\xff", DSN_UTF8, "A: \xc3\xa9?\r\n",
	     "UTF-8 stays, other bytes do not");
	line("A: ", "\xc3\xa9\xf0\x9f\x98\x80", DSN_ASCII, "A: \\x{E9}\\x{1F600}\r\n",
	     "UTF-8 where only ASCII may be");
	line("A: ", "\xc2\x9b", DSN_UTF8, "A: \\x{9B}\r\n", "C1 is control");
	line("", ".", DSN_UTF8, " .\r\n", "no dot begins a line");
	line("", "", DSN_UTF8, "\r\n", "nothing");
	folds();
	all_bytes();
	return plan_done();
}
