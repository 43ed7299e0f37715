#include "proto/reply.h"

#include <errno.h>

void reply_reset(struct reply *r)
{
	r->code = 0;
	r->whole = r->line_whole = false;
	r->line_count = r->byte_count = 0;
	r->line_n = r->text_n = 0;
}

struct span reply_line(const struct reply *r)
{
	return r->line_n > 4 ? span_of(r->line + 4, r->line_n - 4u) : span_of(r->line, 0);
}

/* The "d.d.d" at the begin of text, or empty; d has up to three digits (RFC 3463 2). */
static struct span status(struct span text)
{
	size_t i = 0;

	for (int part = 0; part < 3; part++) {
		size_t digits = 0;

		if (part && (i == text.n || text.p[i++] != '.'))
			return span_of(text.p, 0);
		while (i < text.n && digits < 3 && ascii_isdigit(text.p[i])) {
			i++;
			digits++;
		}
		if (!digits || (!part && digits > 1))
			return span_of(text.p, 0);
	}
	return i == text.n || text.p[i] == ' ' ? span_head(text, i) : span_of(text.p, 0);
}

struct span reply_enhanced(const struct reply *r)
{
	struct span s =
		r->text_n > 4 ? status(span_of(r->text + 4, r->text_n - 4u)) : span_of(r->text, 0);

	return s.n && s.p[0] == r->text[0] ? s : span_of(r->text, 0);
}

static void add_text(struct reply *r, struct span s)
{
	size_t room = REPLY_TEXT_MAX - r->text_n;

	s = span_head(s, room);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		r->text[r->text_n++] = c >= ' ' && c <= '~' ? c : c == '\t' ? ' ' : '?';
	}
}

/* The kept text of a reply: the first line whole, of the others what is behind the code. */
static void keep_line(struct reply *r)
{
	struct span s = span_of(r->line, r->line_n);

	if (r->line_count > REPLY_LINES_MAX)
		return;
	if (r->line_count > 1) {
		struct span own = status(reply_line(r));

		s = reply_line(r);
		/* The enhanced code stands in each line, RFC 2034 4: once is enough. */
		if (own.n && span_eq(own, reply_enhanced(r)))
			s = span_from(s, own.n);
		s = span_trim(s);
		if (!s.n)
			return;
		add_text(r, SPAN(" / "));
		add_text(r, s);
		return;
	}
	size_t at = r->text_n;
	add_text(r, s);
	if (r->code && s.n > 3 && s.p[3] == '-')
		r->text[at + 3] = ' ';
	while (r->text_n > at && r->text[r->text_n - 1] == ' ')
		r->text_n--;
}

static uint16_t code_of(struct span s)
{
	if (s.n < 3 || s.p[0] < '2' || s.p[0] > '5' || !ascii_isdigit(s.p[1]) ||
	    !ascii_isdigit(s.p[2]))
		return 0;
	if (s.n > 3 && s.p[3] != ' ' && s.p[3] != '-')
		return 0;
	return (uint16_t)((s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + (s.p[2] - '0'));
}

static int line_done(struct reply *r)
{
	if (r->line_n && r->line[r->line_n - 1] == '\r')
		r->line_n--;
	uint16_t code = code_of(span_of(r->line, r->line_n));
	r->line_count++;
	if (!code || (r->line_count > 1 && code != r->code)) {
		/* What is wrong must be seen in the log, so it is the text, as it came. */
		r->code = 0;
		r->text_n = 0;
		r->line_count = 1;
		keep_line(r);
		return -EPROTO;
	}
	r->code = code;
	keep_line(r);
	if (r->line_n > 3 && r->line[3] == '-')
		return REPLY_LINE;
	r->whole = true;
	return REPLY_DONE;
}

int reply_feed(struct reply *r, struct span *in)
{
	if (!in->n)
		return REPLY_MORE;
	if (r->whole)
		reply_reset(r);
	if (r->line_whole) {
		r->line_whole = false;
		r->line_n = 0;
	}
	size_t nl = span_chr(*in, '\n');
	struct span part = span_head(*in, nl);
	struct span kept = span_head(part, sizeof r->line - r->line_n);

	memcpy(r->line + r->line_n, kept.p, kept.n);
	r->line_n = (uint16_t)(r->line_n + kept.n);
	size_t eaten = nl < in->n ? nl + 1 : nl;
	if (eaten > REPLY_BYTES_MAX - r->byte_count) {
		if (!r->line_count && r->line_n)
			line_done(r);
		return -EMSGSIZE;
	}
	r->byte_count += (uint32_t)eaten;
	bool ended = nl < in->n;
	*in = span_from(*in, eaten);
	if (!ended)
		return REPLY_MORE;
	r->line_whole = true;
	return line_done(r);
}
