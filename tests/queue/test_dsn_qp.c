#include "queue/dsn_qp.h"

#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

static void qp(const char *in, const char *want, const char *name)
{
	struct buf b = { 0 };

	dsn_qp(span_str(in), &b);
	is_mem(buf_span(&b).p, buf_len(&b), want, strlen(want), name);
	buf_release(&b);
}

static int hex(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Decodes and stuffs again. */
static struct buf decode(struct span s)
{
	struct buf b = { 0 };
	bool begin = true;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '=' && s.p[i + 1] == '\r') {
			i += 2;
			continue;
		}
		if (c == '=') {
			c = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
			i += 2;
		}
		if (begin && c == '.')
			buf_add(&b, ".", 1);
		buf_add(&b, &c, 1);
		begin = c == '\n';
	}
	return b;
}

static void random_lines(void)
{
	static const char alphabet[] = "..  \t=abcdefg\xc3\x01\x7f";
	struct buf in = { 0 }, out = { 0 };

	for (int i = 0; i < 2000; i++) {
		int n = rand() % 300;

		for (int k = 0; k < n; k++) {
			char c = alphabet[rand() % (int)(sizeof alphabet - 1)];

			if (k == 0 && c == '.')
				buf_add(&in, ".", 1);
			buf_add(&in, &c, 1);
		}
		buf_add(&in, "\r\n", 2);
	}
	dsn_qp(buf_span(&in), &out);
	struct span s = buf_span(&out);
	size_t line = 0;
	bool good = true;
	for (size_t i = 0; i < s.n; i++, line++) {
		good = good && !(s.p[i] & 0x80) && !(line == 0 && s.p[i] == '.') &&
		       (line < 77 || s.p[i] == '\n');
		if (s.p[i] == '\r') {
			good = good && (!line || (s.p[i - 1] != ' ' && s.p[i - 1] != '\t'));
			line = (size_t)-2;
		}
	}
	ok(good, "7 bits, short lines, no dot begins one, no blank ends one");
	struct buf back = decode(s);
	is_mem(buf_span(&back).p, buf_len(&back), buf_span(&in).p, buf_len(&in), "and back");
	buf_release(&in);
	buf_release(&out);
	buf_release(&back);
}

int main(void)
{
	qp("plain text\r\n", "plain text\r\n", "plain text");
	qp("a=b\r\n", "a=3Db\r\n", "the equals sign");
	qp("caf\xc3\xa9\r\n", "caf=C3=A9\r\n", "8 bits");
	qp("blank \r\ntab\t\r\n", "blank=20\r\ntab=09\r\n", "blanks at the end of a line");
	qp("..dot\r\n...\r\na.b\r\n", "=2Edot\r\n=2E.\r\na.b\r\n", "stuffed dots");
	qp("\r\n\r\n", "\r\n\r\n", "empty lines");
	qp("no end", "no end", "without CRLF");
	random_lines();
	return plan_done();
}
