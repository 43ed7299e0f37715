#include "proto/dots.h"

#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_MAX = 4096 };

/* What came out of a scanner. */
struct run {
	char out[OUT_MAX];
	size_t n;
	size_t used; /* of the input, up to the end of data */
	bool ended;
	struct dots d;
};

static void keep(struct run *r, struct span piece)
{
	if (r->n + piece.n <= OUT_MAX)
		memcpy(r->out + r->n, piece.p, piece.n);
	r->n += piece.n;
}

/* Feeds one part, in a block of its own so that a sanitizer sees reads beyond it. */
static void feed(struct run *r, const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);
	struct span in = { copy, n }, piece;

	memcpy(copy, p, n);
	for (;;) {
		enum dots_step s = dots_next(&r->d, &in, &piece);

		if (s == DOTS_PIECE) {
			keep(r, piece);
			continue;
		}
		r->ended = s == DOTS_END;
		break;
	}
	r->used += n - in.n;
	free(copy);
}

/* The input in parts: cut a, cut b, the rest; step > 0: parts of step bytes. */
static void scan(struct run *r, enum dots_mode mode, bool fix, struct span in, size_t a, size_t b,
		 size_t step)
{
	size_t at = 0;

	r->n = r->used = 0;
	r->ended = false;
	dots_init(&r->d, mode, fix);
	while (at < in.n && !r->ended) {
		size_t to = step ? at + step : at < a ? a : at < b ? b : in.n;

		to = to > in.n ? in.n : to;
		feed(r, in.p + at, to - at);
		at = to;
	}
	if (mode != DOTS_DATA)
		keep(r, dots_finish(&r->d));
}

static bool same(const struct run *a, const struct run *b)
{
	return a->n == b->n && !memcmp(a->out, b->out, a->n) && a->used == b->used &&
	       a->ended == b->ended && a->d.bytes == b->d.bytes && a->d.dots == b->d.dots &&
	       a->d.header_bytes == b->d.header_bytes && a->d.longest == b->d.longest &&
	       a->d.hops == b->d.hops && a->d.bare == b->d.bare && a->d.hidden == b->d.hidden &&
	       a->d.eight_bit == b->d.eight_bit && a->d.msgid_n == b->d.msgid_n &&
	       !memcmp(a->d.msgid, b->d.msgid, a->d.msgid_n);
}

/* ---- table */

struct row {
	const char *name;
	enum dots_mode mode;
	bool fix;
	const char *in, *out, *rest; /* rest NULL: no end of data */
	unsigned dots, hops;
	unsigned header;
	bool bare;
	const char *msgid;
};

static const struct row rows[] = {
	{ "empty", DOTS_DATA, false, ".\r\n", "", "", 0, 0, 0, false, "" },
	{ "one line", DOTS_DATA, false, "a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n", 0, 0, 0, false,
	  "" },
	{ "no end", DOTS_DATA, false, "a\r\n.", "a\r\n", NULL, 0, 0, 0, false, "" },
	{ "no end, CR", DOTS_DATA, false, "a\r\n.\r", "a\r\n", NULL, 0, 0, 0, false, "" },
	{ "stuffed", DOTS_DATA, false, "..\r\n..x\r\n.y\r\n.\r\n", "..\r\n..x\r\n.y\r\n", "", 3, 0,
	  0, false, "" },
	{ "dot inside", DOTS_DATA, false, "a.\r\n.\r\n", "a.\r\n", "", 0, 0, 0, false, "" },
	{ "header", DOTS_DATA, false, "A: b\r\n c\r\nReceived: x\r\n\r\nReceived: y\r\n.\r\n",
	  "A: b\r\n c\r\nReceived: x\r\n\r\nReceived: y\r\n", "", 0, 1, 23, false, "" },
	{ "header alone", DOTS_DATA, false, "A: b\r\n.\r\n", "A: b\r\n", "", 0, 0, 6, false, "" },
	{ "two hops, any case", DOTS_DATA, false, "received: x\r\nRECEIVED : y\r\n\r\n.\r\n",
	  "received: x\r\nRECEIVED : y\r\n\r\n", "", 0, 2, 27, false, "" },
	{ "name that begins the same", DOTS_DATA, false,
	  "Received-SPF: x\r\nReceive: y\r\n\r\n.\r\n", "Received-SPF: x\r\nReceive: y\r\n\r\n", "",
	  0, 0, 29, false, "" },
	{ "no header", DOTS_DATA, false, "just text\r\nReceived: x\r\n.\r\n",
	  "just text\r\nReceived: x\r\n", "", 0, 0, 0, false, "" },
	{ "begins with white space", DOTS_DATA, false, " x: y\r\nReceived: x\r\n.\r\n",
	  " x: y\r\nReceived: x\r\n", "", 0, 0, 0, false, "" },
	{ "message id", DOTS_DATA, false, "Message-ID: <a@b> \t\r\n\r\nMessage-ID: <c>\r\n.\r\n",
	  "Message-ID: <a@b> \t\r\n\r\nMessage-ID: <c>\r\n", "", 0, 0, 21, false, "<a@b>" },
	{ "folded message id", DOTS_DATA, false, "message-id:\r\n\t<a@b>\r\n\r\n.\r\n",
	  "message-id:\r\n\t<a@b>\r\n\r\n", "", 0, 0, 21, false, "<a@b>" },
	{ "the first of two", DOTS_DATA, false, "Message-Id: <1>\r\nMessage-Id: <2>\r\n\r\n.\r\n",
	  "Message-Id: <1>\r\nMessage-Id: <2>\r\n\r\n", "", 0, 0, 34, false, "<1>" },
	{ "LF.LF", DOTS_DATA, false, "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", "", 0, 0, 0, true, "" },
	{ "LF.CRLF", DOTS_DATA, false, "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", "", 0, 0, 0, true,
	  "" },
	{ "CRLF.LF", DOTS_DATA, false, "a\r\n.\nb\r\n.\r\n", "a\r\n.\nb\r\n", "", 0, 0, 0, true,
	  "" },
	{ "CR.CR", DOTS_DATA, false, "a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", "", 0, 0, 0, true, "" },
	{ "CRLF.CR", DOTS_DATA, false, "a\r\n.\rb\r\n.\r\n", "a\r\n.\rb\r\n", "", 0, 0, 0, true,
	  "" },
	{ "CRCRLF", DOTS_DATA, false, "a\r\r\n.\r\n", "a\r\r\n", "", 0, 0, 0, true, "" },
	{ "CRLF.CRCRLF", DOTS_DATA, false, "a\r\n.\r\r\n.\r\n", "a\r\n.\r\r\n", "", 0, 0, 0, true,
	  "" },
	{ "fixed LF", DOTS_DATA, true, "a\nb\r\n.\r\n", "a\r\nb\r\n", "", 0, 0, 0, true, "" },
	{ "fixed CR", DOTS_DATA, true, "a\rb\r\n.\r\n", "a\r\nb\r\n", "", 0, 0, 0, true, "" },
	{ "fixed LF.LF", DOTS_DATA, true, "a\n.\nb\r\n.\r\n", "a\r\n..\r\nb\r\n", "", 1, 0, 0, true,
	  "" },
	{ "fixed LF.CRLF", DOTS_DATA, true, "a\n.\r\nb\r\n.\r\n", "a\r\n..\r\nb\r\n", "", 1, 0, 0,
	  true, "" },
	{ "fixed CRLF.LF", DOTS_DATA, true, "a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", "", 0, 0, 0,
	  true, "" },
	{ "fixed CRLF.CR", DOTS_DATA, true, "a\r\n.\rb\r\n.\r\n", "a\r\n\r\nb\r\n", "", 0, 0, 0,
	  true, "" },
	{ "fixed CR.CR", DOTS_DATA, true, "a\r.\rb\r\n.\r\n", "a\r\n..\r\nb\r\n", "", 1, 0, 0, true,
	  "" },
	{ "fixed CRCRLF", DOTS_DATA, true, "a\r\r\n.\r\n", "a\r\n\r\n", "", 0, 0, 0, true, "" },
	{ "chunk", DOTS_CHUNK, false, "a\r\n.\r\n..x\r\n", "a\r\n..\r\n...x\r\n", NULL, 2, 0, 0,
	  false, "" },
	{ "chunk without last CRLF", DOTS_CHUNK, false, "a: b\r\n.", "a: b\r\n..\r\n", NULL, 1, 0,
	  6, false, "" },
	{ "chunk with last CR", DOTS_CHUNK, false, "a\r", "a\r\n", NULL, 0, 0, 0, true, "" },
	{ "chunk with bare LF", DOTS_CHUNK, false, "a\nb\r\n", "a\nb\r\n", NULL, 0, 0, 0, true,
	  "" },
	{ "fixed chunk", DOTS_CHUNK, true, "a\n.b\r", "a\r\n..b\r\n", NULL, 1, 0, 0, true, "" },
	{ "empty chunk", DOTS_CHUNK, false, "", "", NULL, 0, 0, 0, false, "" },
	{ "raw", DOTS_RAW, false, "Received: x\r\n\r\n.\n\r.\r\nx",
	  "Received: x\r\n\r\n.\n\r.\r\nx", NULL, 0, 1, 13, false, "" },
	{ "raw by LF", DOTS_RAW, false, "Message-Id: <1>\nReceived: x\n\nReceived: y\n",
	  "Message-Id: <1>\nReceived: x\n\nReceived: y\n", NULL, 0, 1, 28, false, "<1>" },
};

static void check_row(const struct row *t)
{
	struct run whole, r;
	struct span in = span_str(t->in);
	const struct dots *d = &whole.d;
	bool all = true;

	scan(&whole, t->mode, t->fix, in, in.n, in.n, 0);
	is_mem(whole.out, whole.n, t->out, strlen(t->out), t->name);
	ok(whole.ended == (t->rest != NULL), "%s: end", t->name);
	if (t->rest)
		ok(in.n - whole.used == strlen(t->rest), "%s: rest", t->name);
	ok(d->bytes == whole.n, "%s: bytes", t->name);
	is_int((int64_t)d->dots, t->dots, "dots");
	is_int(d->hops, t->hops, "hops");
	is_int((int64_t)d->header_bytes, t->header, "header");
	is_int(d->bare, t->bare, "bare");
	is_mem(d->msgid, d->msgid_n, t->msgid, strlen(t->msgid), "msgid");
	for (size_t a = 0; a <= in.n && all; a++)
		for (size_t b = a; b <= in.n && all; b++) {
			scan(&r, t->mode, t->fix, in, a, b, 0);
			all = same(&whole, &r);
		}
	scan(&r, t->mode, t->fix, in, 0, 0, 1);
	ok(all && same(&whole, &r), "%s: every split", t->name);
}

/* ---- all short texts, against a model that looks at whole lines */

/* Where CRLF.CRLF begins to end the data; in.n: nowhere. */
static size_t model_end(struct span in)
{
	for (size_t i = 0; i + 3 <= in.n; i++)
		if (!memcmp(in.p + i, ".\r\n", 3) &&
		    (i == 0 || (i >= 2 && !memcmp(in.p + i - 2, "\r\n", 2))))
			return i;
	return in.n;
}

/* Lines end at CRLF, CR and LF; a dot behind a real CRLF is stuffing. Written with CRLF, stuffed
 * again. */
static size_t model_fix(struct span in, char *out)
{
	size_t n = 0, i = 0;
	bool real = true;

	while (i < in.n) {
		if (real && in.p[i] == '.')
			i++;
		bool stuff = i < in.n && in.p[i] == '.';
		if (stuff)
			out[n++] = '.';
		while (i < in.n && in.p[i] != '\r' && in.p[i] != '\n')
			out[n++] = in.p[i++];
		if (i == in.n)
			break;
		real = in.p[i] == '\r' && i + 1 < in.n && in.p[i + 1] == '\n';
		i += real ? 2 : 1;
		memcpy(out + n, "\r\n", 2);
		n += 2;
	}
	return n;
}

/* Lines of unstuffed text, however they were marked; for comparing what a reader would see. */
static size_t unstuff(const char *p, size_t n, char *out)
{
	bool start = true;

	return dots_unstuff(&start, span_of(p, n), out);
}

static bool has_bare(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] == '\n' && (!i || p[i - 1] != '\r')) ||
		    (p[i] == '\r' && (i + 1 == n || p[i + 1] != '\n')))
			return true;
	return false;
}

static bool check_text(struct span in)
{
	struct run a, b, one;
	size_t end = model_end(in);
	char want[64], got[64], plain[64];

	scan(&a, DOTS_DATA, false, in, in.n, in.n, 0);
	if (a.ended != (end < in.n) ||
	    (a.ended && (a.n != end || memcmp(a.out, in.p, end) || a.used != end + 3)))
		return false;
	scan(&one, DOTS_DATA, false, in, 0, 0, 1);
	scan(&b, DOTS_DATA, true, in, 0, 0, 1);
	if (!same(&a, &one) || b.ended != a.ended)
		return false;
	if (!a.ended)
		return true;
	if (a.d.bare != has_bare(in.p, end) || b.d.bare != a.d.bare)
		return false;
	/* Fixed text: no bare newline, no early end, and a reader sees the lines of the model. */
	if (has_bare(b.out, b.n) || model_end(span_of(b.out, b.n)) < b.n)
		return false;
	size_t want_n = model_fix(span_of(in.p, end), want);
	size_t got_n = unstuff(b.out, b.n, got), plain_n = unstuff(want, want_n, plain);
	return got_n == plain_n && !memcmp(got, plain, got_n);
}

static void check_all_short(void)
{
	static const char alphabet[] = ".\r\na";
	enum { LEN = 8 };
	unsigned bad = 0;
	char text[LEN];

	for (unsigned code = 0; code < 1u << (2 * LEN); code++) {
		for (unsigned i = 0; i < LEN; i++)
			text[i] = alphabet[code >> (2 * i) & 3];
		if (!check_text(span_of(text, LEN)) && bad++ < 5)
			diag("code %u", code);
	}
	is_int(bad, 0, "all texts of 8 bytes of . CR LF a");
}

/* Who drops NULs must not find an end of data in what comes out; where it would, we say so. */
static bool check_nuls(enum dots_mode mode, bool fix, struct span in)
{
	struct run r;
	char plain[64];
	size_t n = 0;

	scan(&r, mode, fix, in, 0, 0, 1);
	if ((mode == DOTS_DATA && !r.ended) || (r.d.bare && !fix))
		return true;
	for (size_t i = 0; i < r.n; i++)
		if (r.out[i])
			plain[n++] = r.out[i];
	return r.d.hidden == (model_end(span_of(plain, n)) < n);
}

static void check_all_nuls(void)
{
	static const char alphabet[] = ".\r\n";
	unsigned bad = 0;
	char text[11];

	for (unsigned code = 0; code < 1u << 16; code++) {
		for (unsigned i = 0; i < 8; i++)
			text[i] = alphabet[code >> (2 * i) & 3];
		memcpy(text + 8, "\r\n", 2);
		bad += !check_nuls(DOTS_CHUNK, false, span_of(text, 10));
		bad += !check_nuls(DOTS_CHUNK, true, span_of(text, 8));
		memcpy(text + 8, ".\r\n", 3);
		bad += !check_nuls(DOTS_DATA, false, span_of(text, 11));
		bad += !check_nuls(DOTS_DATA, true, span_of(text, 11));
	}
	is_int(bad, 0, "all texts of 8 bytes of . CR LF NUL: no end of data when NULs are dropped");
}

/* BDAT and back. */
static void check_round_trip(void)
{
	static const char alphabet[] = ".\r\na";
	unsigned bad = 0;
	char text[8], back[32];
	struct run r;

	for (unsigned code = 0; code < 1u << 16; code++) {
		bool start = true;

		for (unsigned i = 0; i < 8; i++)
			text[i] = alphabet[code >> (2 * i) & 3];
		if (has_bare(text, 8))
			continue;
		scan(&r, DOTS_CHUNK, false, span_of(text, 8), 3, 5, 0);
		size_t n = dots_unstuff(&start, span_of(r.out, r.n), back);
		bool line_end = text[7] == '\n';
		bad += n != (line_end ? 8u : 10u) || memcmp(back, text, 8) ||
		       model_end(span_of(r.out, r.n)) < r.n;
	}
	is_int(bad, 0, "chunks come back as they were");
}

static void check_numbers(void)
{
	static char text[3000];
	struct run r;

	memset(text, 'x', 1500);
	memcpy(text + 1500, "\r\n.\r\n", 5);
	scan(&r, DOTS_DATA, false, span_of(text, 1505), 0, 0, 7);
	is_int((int64_t)r.d.longest, 1500, "longest line");
	text[0] = '.';
	scan(&r, DOTS_DATA, false, span_of(text, 1505), 700, 701, 0);
	is_int((int64_t)r.d.longest, 1499, "a stuffed dot does not count");
	ok(!r.d.eight_bit, "seven bits");
	text[1234] = (char)0x80;
	scan(&r, DOTS_DATA, false, span_of(text, 1505), 0, 0, 1505);
	ok(r.d.eight_bit, "eight bits");
	memcpy(text, "Message-Id: ", 12);
	scan(&r, DOTS_DATA, false, span_of(text, 1505), 0, 0, 11);
	is_int(r.d.msgid_n, DOTS_MSGID_MAX, "a long Message-Id is cut");
	/* Linear whatever comes: this took minutes when each CR searched for the next LF. */
	char *big = malloc(1 << 20);
	memset(big, '\r', 1 << 20);
	struct dots d;
	struct span in = span_of(big, 1 << 20), piece;
	dots_init(&d, DOTS_DATA, true);
	while (dots_next(&d, &in, &piece) == DOTS_PIECE)
		;
	is_int((int64_t)d.bytes, (1 << 21) - 1, "a megabyte of CR, fixed");
	free(big);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		check_row(&rows[i]);
	check_all_short();
	check_all_nuls();
	check_round_trip();
	check_numbers();
	return plan_done();
}
