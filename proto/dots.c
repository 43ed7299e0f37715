#include "proto/dots.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum state {
	S_BOL = 0,   /* behind CRLF, or at the begin */
	S_BOL_FIXED, /* behind a line end that was not CRLF: a dot here is text */
	S_DOT,       /* a dot at the begin of a line is held back */
	S_DOT_CR,    /* dot and CR are held back */
	S_TEXT,
	S_CR /* a CR was handed out */
};

enum field { F_NAME = 0, F_OTHER, F_MSGID };

void dots_init(struct dots *d, enum dots_mode mode, bool fix)
{
	*d = (struct dots){ .mode = (uint8_t)mode, .fix = fix, .in_header = true };
}

/* The first CR or LF, or end. One pass over both, so that no input makes it quadratic. */
static const char *find_newline(const char *p, const char *end)
{
#if defined(__SSE2__)
	const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		int hit = _mm_movemask_epi8(
			_mm_or_si128(_mm_cmpeq_epi8(v, cr), _mm_cmpeq_epi8(v, lf)));

		if (hit)
			return p + __builtin_ctz((unsigned)hit);
	}
#endif
	while (p < end && *p != '\r' && *p != '\n')
		p++;
	return p;
}

static bool has_high_bit(const char *p, size_t n)
{
	uint64_t all = 0, w;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		all |= w;
	}
	for (; n; p++, n--)
		all |= (unsigned char)*p;
	return all & 0x8080808080808080ull;
}

/* ---- the header section */

/* The name of a field is complete. */
static void header_name(struct dots *d)
{
	struct span name = { d->name, d->name_n < DOTS_NAME_MAX ? d->name_n : DOTS_NAME_MAX };

	d->field = F_OTHER;
	if (d->name_n > DOTS_NAME_MAX)
		return;
	name = span_trim(name);
	if (span_caseeq(name, SPAN("Received")))
		d->hops++;
	else if (!d->msgid_n && span_caseeq(name, SPAN("Message-Id")))
		d->field = F_MSGID;
}

static void header_char_of_name(struct dots *d, unsigned char c)
{
	bool space = c == ' ' || c == '\t';

	/* RFC 5322 3.6.8 ftext; 4.5.8 allows space before the colon. */
	bool after_space = d->name_n && d->name_n < DOTS_NAME_MAX && d->name[d->name_n - 1] == ' ';
	if (c == ':' && d->name_n) {
		header_name(d);
	} else if (c < 33 ? !space : (c > 126 || c == ':' || after_space)) {
		d->in_header = false;
	} else {
		if (d->name_n < DOTS_NAME_MAX)
			d->name[d->name_n] = space ? ' ' : (char)c;
		if (d->name_n < UINT8_MAX)
			d->name_n++;
	}
}

static void header_msgid(struct dots *d, const char *p, size_t n)
{
	if (!d->msgid_n)
		for (; n && (*p == ' ' || *p == '\t'); n--)
			p++;
	if (n > (size_t)(DOTS_MSGID_MAX - d->msgid_n))
		n = (size_t)(DOTS_MSGID_MAX - d->msgid_n);
	memcpy(d->msgid + d->msgid_n, p, n);
	d->msgid_n = (uint8_t)(d->msgid_n + n);
}

static void header_text(struct dots *d, const char *p, size_t n)
{
	size_t i = 0;

	if (n && !d->line) {
		if (*p != ' ' && *p != '\t') {
			d->field = F_NAME;
			d->name_n = 0;
		} else if (!d->header_bytes) {
			d->in_header = false; /* nothing to continue */
		}
	}
	while (i < n && d->in_header && d->field == F_NAME)
		header_char_of_name(d, (unsigned char)p[i++]);
	if (d->in_header && d->field == F_MSGID)
		header_msgid(d, p + i, n - i);
}

static void header_eol(struct dots *d, unsigned stuffed, unsigned newline)
{
	if (!d->line || d->field == F_NAME) {
		d->in_header = false;
		return;
	}
	while (d->msgid_n && (d->msgid[d->msgid_n - 1] == ' ' || d->msgid[d->msgid_n - 1] == '\t'))
		d->msgid_n--;
	d->header_bytes += d->line + stuffed + newline;
}

/* ---- lines */

/* A line that began with NUL: is it one dot among NULs? */
static void text_behind_nul(struct dots *d, const char *p, size_t n)
{
	for (size_t i = 0; i < n && d->nuls; i++) {
		d->nul_dots += p[i] == '.';
		d->nuls = !p[i] || (p[i] == '.' && d->nul_dots + d->stuffed <= 1);
	}
}

static void text(struct dots *d, const char *p, size_t n)
{
	if (d->in_header)
		header_text(d, p, n);
	if (!d->line && n) {
		d->nuls = !*p;
		d->nul_dots = 0;
	}
	if (d->nuls)
		text_behind_nul(d, p, n);
	d->line += n;
}

static void eol(struct dots *d, enum state next, unsigned newline)
{
	if (d->line > d->longest)
		d->longest = d->line;
	if (d->in_header)
		header_eol(d, d->stuffed, newline);
	d->hidden |= d->nuls && d->nul_dots + d->stuffed == 1;
	d->nuls = false;
	d->line = 0;
	d->stuffed = 0;
	d->state = (uint8_t)next;
}

static void stuffed(struct dots *d)
{
	d->dots++;
	d->stuffed = 1;
	d->state = S_TEXT;
}

static enum dots_step hand_out(struct dots *d, struct span s, struct span *piece)
{
	d->bytes += s.n;
	if (!d->eight_bit)
		d->eight_bit = has_high_bit(s.p, s.n);
	*piece = s;
	return DOTS_PIECE;
}

/* The run start..p, then `insert`; the input goes on at `next`. */
static enum dots_step cut(struct dots *d, struct span *in, const char *start, const char *p,
			  const char *next, struct span insert, struct span *piece)
{
	in->n -= (size_t)(next - in->p);
	in->p = next;
	if (p == start)
		return hand_out(d, insert, piece);
	memcpy(d->insert, insert.p, insert.n);
	d->insert_n = (uint8_t)insert.n;
	return hand_out(d, span_of(start, (size_t)(p - start)), piece);
}

/* A dot, or dot and CR, were held back and the next byte has come. The run is empty here. */
static enum dots_step held(struct dots *d, struct span *in, const char *p, struct span *piece)
{
	bool dot_only = d->state == S_DOT;

	if (dot_only && *p != '\n') {
		stuffed(d);
		return cut(d, in, p, p, p, SPAN("."), piece);
	}
	d->bare = true;
	if (!d->fix) {
		d->state = S_TEXT;
		return cut(d, in, p, p, p, dot_only ? SPAN(".") : SPAN(".\r"), piece);
	}
	/* An empty line: the dot was stuffing, and dot CRLF would end the data for whoever gets
	 * this. */
	eol(d, S_BOL_FIXED, 2);
	return cut(d, in, p, p, dot_only ? p + 1 : p, SPAN("\r\n"), piece);
}

/* The begin of a line. True: the byte is text, or a stuffed dot that is kept where it stands. */
static bool begin_of_line(struct dots *d, const char **p, const char *end)
{
	if (**p != '.' || d->mode == DOTS_RAW) {
		d->state = S_TEXT;
		return true;
	}
	if (d->mode == DOTS_DATA && d->state == S_BOL && end - *p >= 2 && (*p)[1] != '\r' &&
	    (*p)[1] != '\n') {
		stuffed(d);
		++*p;
		return true;
	}
	return false;
}

/* Text up to the line end. True: all of it may stay as it is; else a LF alone must be replaced. */
static bool text_run(struct dots *d, const char **p, const char *end)
{
	const char *q = find_newline(*p, end);

	text(d, *p, (size_t)(q - *p));
	*p = q;
	if (q == end)
		return true;
	if (*q == '\r') {
		if (end - q >= 2 && q[1] == '\n') {
			eol(d, S_BOL, 2);
			*p = q + 2;
		} else {
			d->state = S_CR;
			*p = q + 1;
		}
		return true;
	}
	if (d->mode == DOTS_RAW) {
		eol(d, S_BOL, 1);
		*p = q + 1;
		return true;
	}
	d->bare = true;
	if (!d->fix) {
		text(d, q, 1);
		*p = q + 1;
	}
	return !d->fix;
}

/* A CR was handed out. True: nothing to insert. */
static bool after_cr(struct dots *d, const char **p)
{
	if (**p == '\n') {
		++*p;
		eol(d, S_BOL, 2);
		return true;
	}
	if (d->mode == DOTS_RAW || !d->fix) {
		d->bare |= d->mode != DOTS_RAW;
		d->state = S_TEXT;
		text(d, "\r", 1);
		return true;
	}
	d->bare = true;
	eol(d, S_BOL_FIXED, 2);
	return false;
}

/* One step at p. 0: go on; else what dots_next() returns. */
static enum dots_step step(struct dots *d, struct span *in, const char **start, const char **p,
			   const char *end, struct span *piece)
{
	switch ((enum state)d->state) {
	case S_CR:
		if (!after_cr(d, p))
			return cut(d, in, *start, *p, *p, SPAN("\n"), piece);
		break;
	case S_BOL:
	case S_BOL_FIXED:
		if (begin_of_line(d, p, end))
			break;
		if (d->mode == DOTS_CHUNK || d->state == S_BOL_FIXED) {
			const char *at = *p;

			stuffed(d);
			return cut(d, in, *start, at, at, SPAN("."), piece);
		}
		d->state = S_DOT;
		++*p;
		if (*p - 1 > *start)
			return cut(d, in, *start, *p - 1, *p, SPAN(""), piece);
		*start = *p;
		break;
	case S_DOT:
		if (**p != '\r')
			return held(d, in, *p, piece);
		d->state = S_DOT_CR;
		*start = ++*p;
		break;
	case S_DOT_CR:
		if (**p != '\n')
			return held(d, in, *p, piece);
		in->n -= (size_t)(*p + 1 - in->p);
		in->p = *p + 1;
		return DOTS_END;
	case S_TEXT:
		if (!text_run(d, p, end)) {
			eol(d, S_BOL_FIXED, 2);
			return cut(d, in, *start, *p, *p + 1, SPAN("\r\n"), piece);
		}
		break;
	}
	return DOTS_MORE;
}

enum dots_step dots_next(struct dots *d, struct span *in, struct span *piece)
{
	const char *start = in->p, *p = in->p, *end = in->p + in->n;

	if (d->insert_n) {
		size_t n = d->insert_n;

		d->insert_n = 0;
		return hand_out(d, span_of(d->insert, n), piece);
	}
	while (p < end) {
		enum dots_step s = step(d, in, &start, &p, end, piece);

		if (s != DOTS_MORE)
			return s;
	}
	in->p = end;
	in->n = 0;
	return p > start ? hand_out(d, span_of(start, (size_t)(p - start)), piece) : DOTS_MORE;
}

struct span dots_finish(struct dots *d)
{
	struct span piece = { "", 0 }, add = { "", 0 };

	if (d->mode == DOTS_RAW) {
		if (d->line)
			eol(d, S_BOL, 0);
		return piece;
	}
	if (d->state == S_CR) {
		d->bare = true;
		add = SPAN("\n");
	} else if (d->state == S_TEXT || d->line) {
		add = SPAN("\r\n");
	}
	if (add.n) {
		eol(d, S_BOL, 2);
		hand_out(d, add, &piece);
	}
	return piece;
}

uint64_t dots_header_size(const struct dots *d)
{
	/* What has no colon yet may be the body. */
	bool field = d->in_header && d->field != F_NAME;

	return d->header_bytes + (field ? d->line : 0);
}

size_t dots_unstuff(bool *at_start, struct span in, char *dst)
{
	const char *p = in.p, *end = in.p + in.n;
	char *to = dst;

	while (p < end) {
		if (*at_start && *p == '.')
			p++;
		*at_start = false;
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl + 1 : end) - p);

		memcpy(to, p, n);
		to += n;
		p += n;
		*at_start = nl != NULL;
	}
	return (size_t)(to - dst);
}
