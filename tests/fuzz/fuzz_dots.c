/*
 * tests/fuzz/fuzz_dots.c - content in parts as the first bytes say: the same must come out as from
 * one part, and nothing that could be taken for the end of data.
 */
#include "core/err.h"
#include "proto/dots.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct out {
	char *p;
	size_t n;
	bool ended;
	struct dots d;
};

static void scan(struct out *o, enum dots_mode mode, bool fix, struct span in, size_t step)
{
	struct span piece;
	enum dots_step s = DOTS_MORE;

	o->n = 0;
	dots_init(&o->d, mode, fix);
	while (in.n && s != DOTS_END) {
		struct span part = span_head(in, step);
		size_t before = part.n;

		while ((s = dots_next(&o->d, &part, &piece)) == DOTS_PIECE) {
			memcpy(o->p + o->n, piece.p, piece.n);
			o->n += piece.n;
		}
		in = span_from(in, before - part.n);
	}
	o->ended = s == DOTS_END;
	piece = mode == DOTS_DATA ? SPAN("") : dots_finish(&o->d);
	memcpy(o->p + o->n, piece.p, piece.n);
	o->n += piece.n;
}

/* Wire form: only CRLF ends lines, no line is a dot alone, also for whoever drops NULs. */
static void must_be_wire(const struct out *o)
{
	size_t dots = 0, others = 0;

	for (size_t i = 0; i < o->n && !o->d.hidden; i++) {
		dots += o->p[i] == '.';
		others += o->p[i] && !strchr(".\r\n", o->p[i]);
		if (o->p[i] != '\n')
			continue;
		if (dots == 1 && !others)
			panic("end of data among NULs at %zu", i);
		dots = others = 0;
	}
	for (size_t i = 0; i < o->n; i++) {
		bool lf = o->p[i] == '\n', cr = o->p[i] == '\r';

		if ((lf && (!i || o->p[i - 1] != '\r')) ||
		    (cr && (i + 1 == o->n || o->p[i + 1] != '\n')))
			panic("bare newline at %zu", i);
		if (o->p[i] == '.' && (!i || o->p[i - 1] == '\n') && i + 1 < o->n &&
		    o->p[i + 1] == '\r')
			panic("end of data at %zu", i);
	}
}

static void one(enum dots_mode mode, bool fix, struct span in, size_t step)
{
	size_t room = in.n * 2 + 8;
	struct out a = { .p = xmalloc(room) }, b = { .p = xmalloc(room) };

	scan(&a, mode, fix, in, in.n);
	scan(&b, mode, fix, in, step);
	if (a.n != b.n || memcmp(a.p, b.p, a.n) || a.ended != b.ended || a.d.bytes != a.n ||
	    a.d.hops != b.d.hops || a.d.header_bytes != b.d.header_bytes || a.d.bare != b.d.bare ||
	    a.d.hidden != b.d.hidden || a.d.dots != b.d.dots || a.d.msgid_n != b.d.msgid_n ||
	    a.d.eight_bit != b.d.eight_bit || a.d.longest != b.d.longest)
		panic("mode %d, fix %d: parts of %zu make a difference", mode, fix, step);
	if (a.d.header_bytes > a.n || a.d.dots > a.n)
		panic("counts do not fit");
	bool complete = mode == DOTS_CHUNK || a.ended;
	if (mode != DOTS_RAW && complete && (fix || !a.d.bare))
		must_be_wire(&a);
	free(a.p);
	free(b.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 100000)
		return 0;
	size_t step = 1 + data[0] % 40;
	struct span in = span_of(data + 1, size - 1);

	for (int mode = DOTS_DATA; mode <= DOTS_RAW; mode++) {
		one(mode, false, in, step);
		one(mode, true, in, step);
	}
	return 0;
}
