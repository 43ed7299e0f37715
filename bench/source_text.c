#include "bench/source_text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/crc32c.h"
#include "core/span.h"

enum { TEXT_LINE = 72 };

/* A stream of numbers for one purpose of one message. */
static uint64_t pick(const struct source_text *t, uint32_t number, uint32_t what)
{
	return msgid_mix(msgid_mix(t->opts->seed ^ ((uint64_t)what << 32)) ^ number);
}

/* Random text of length bytes (not 1) in lines, the last one ended too. Some lines begin with a
 * dot; such a dot is doubled on the wire unless BDAT carries it. */
static void random_body(struct outbuf *b, uint64_t length, uint64_t seed, bool stuff)
{
	static const char alphabet[] =
		"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789";
	uint64_t r = msgid_mix(seed);

	while (length) {
		uint64_t n = length < TEXT_LINE + 4 ? length : TEXT_LINE + 2;
		length -= n;
		for (uint64_t i = 0; i + 2 < n; i++) {
			r = msgid_mix(r);
			char c = alphabet[r % (sizeof(alphabet) - 1)];
			if (i == 0 && r % 16 == 5) {
				c = '.';
				outbuf_mem(b, "..", stuff ? 1 : 0);
			}
			outbuf_mem(b, &c, 1);
		}
		outbuf_mem(b, "\r\n", n < 2 ? (size_t)n : 2);
		if (n < 2)
			outbuf_mem(b, "\n", 1);
	}
}

/* A file's lines with CR LF, dots doubled. */
static int file_body(struct outbuf *b, const char *path, bool stuff)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!f)
		return -errno;
	while ((n = getline(&line, &cap, f)) > 0) {
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (stuff && line[0] == '.')
			outbuf_mem(b, ".", 1);
		outbuf_mem(b, line, (size_t)n);
		outbuf_mem(b, "\r\n", 2);
	}
	int rc = ferror(f) ? -EIO : 0;
	free(line);
	fclose(f);
	return rc;
}

/* Sum of what the receiver sees behind the empty line: without doubled dots. */
static uint32_t body_crc(struct span wire, bool stuffed)
{
	size_t at = wire.n >= 2 && memcmp(wire.p, "\r\n", 2) == 0
			    ? 2
			    : span_find(wire, SPAN("\r\n\r\n")) + 4;
	struct span rest = span_from(wire, at);
	uint32_t crc = 0;

	while (rest.n) {
		size_t end = span_find(rest, SPAN("\r\n")) + 2;
		struct span line = span_head(rest, end);
		if (stuffed && line.p[0] == '.')
			line = span_from(line, 1);
		crc = crc32c(crc, line.p, line.n);
		rest = span_from(rest, end);
	}
	return crc;
}

int source_text_init(struct source_text *t, const struct source_opts *o)
{
	struct outbuf b = { 0 };
	bool stuff = !o->bdat;

	*t = (struct source_text){ .opts = o, .has_fields = o->file };
	if (o->file) {
		int rc = file_body(&b, o->file, stuff);
		if (rc) {
			outbuf_free(&b);
			return rc;
		}
	} else {
		outbuf_mem(&b, "\r\n", 2);
		random_body(&b, o->length, o->seed, stuff);
	}
	t->crc = body_crc(span_of(b.p, b.n), stuff);
	if (stuff)
		outbuf_mem(&b, ".\r\n", 3);
	t->tail = b.p;
	t->tail_n = b.n;
	return 0;
}

void source_text_free(struct source_text *t)
{
	free(t->tail);
	t->tail = NULL;
}

static void sender_addr(const struct source_text *t, struct outbuf *out, uint32_t number)
{
	const char *from = t->opts->from;
	const char *at = strrchr(from, '@');

	if (!t->opts->senders || !at) {
		outbuf_str(out, from);
		return;
	}
	outbuf_mem(out, from, (size_t)(at - from));
	outbuf_mem(out, "-", 1);
	outbuf_u64(out, pick(t, number, UINT32_MAX) % t->opts->senders);
	outbuf_str(out, at);
}

void source_text_id(const struct source_text *t, struct outbuf *out, uint32_t number)
{
	outbuf_str(out, t->opts->run);
	outbuf_mem(out, "-", 1);
	outbuf_u64(out, number);
}

void source_text_rcpt_addr(const struct source_text *t, struct outbuf *out, uint32_t number,
			   uint32_t i)
{
	const struct source_opts *o = t->opts;
	const char *at = strrchr(o->to, '@');

	if (o->rcpt_number)
		outbuf_u64(out, (uint64_t)(number - 1) * o->rcpts + i + 1);
	else if (o->rcpts > 1)
		outbuf_u64(out, i + 1);
	outbuf_mem(out, o->to, at ? (size_t)(at - o->to) : strlen(o->to));
	if (o->rcpt_id) {
		outbuf_mem(out, "+", 1);
		source_text_id(t, out, number);
	}
	if (!at)
		return;
	if (!o->domains) {
		outbuf_str(out, at);
		return;
	}
	outbuf_mem(out, "@d", 2);
	outbuf_u64(out, pick(t, number, i) % o->domains);
	outbuf_mem(out, ".", 1);
	outbuf_str(out, at + 1);
}

static void command_end(struct outbuf *out, const char *args)
{
	outbuf_mem(out, ">", 1);
	if (args) {
		outbuf_mem(out, " ", 1);
		outbuf_str(out, args);
	}
	outbuf_mem(out, "\r\n", 2);
}

void source_text_mail(const struct source_text *t, struct outbuf *out, uint32_t number)
{
	outbuf_str(out, "MAIL FROM:<");
	sender_addr(t, out, number);
	command_end(out, t->opts->mail_args);
}

void source_text_rcpt(const struct source_text *t, struct outbuf *out, uint32_t number, uint32_t i)
{
	outbuf_str(out, "RCPT TO:<");
	source_text_rcpt_addr(t, out, number, i);
	command_end(out, t->opts->rcpt_args);
}

static void hex8(struct outbuf *out, uint32_t v)
{
	char *p = outbuf_reserve(out, 8);

	for (int i = 7; i >= 0; i--, v >>= 4)
		p[i] = "0123456789abcdef"[v & 15];
	out->n += 8;
}

void source_text_head(const struct source_text *t, struct outbuf *out, uint32_t number,
		      usec_t now_usec)
{
	char date[64];

	outbuf_str(out, "X-SMX-ID: ");
	source_text_id(t, out, number);
	outbuf_str(out, "\r\nX-SMX-Check: ");
	hex8(out, t->crc);
	outbuf_mem(out, " ", 1);
	outbuf_u64(out, (uint64_t)now_usec);
	outbuf_mem(out, "\r\n", 2);
	if (t->has_fields)
		return;
	outbuf_str(out, "From: <");
	sender_addr(t, out, number);
	outbuf_str(out, ">\r\nTo: <");
	source_text_rcpt_addr(t, out, number, 0);
	outbuf_str(out, ">\r\nDate: ");
	outbuf_mem(out, date, clock_rfc5322(clock_wall(), date, sizeof(date)));
	outbuf_str(out, "\r\nMessage-Id: <");
	source_text_id(t, out, number);
	outbuf_mem(out, "@", 1);
	outbuf_str(out, t->opts->hostname);
	outbuf_mem(out, ">\r\n", 3);
	if (t->opts->subject) {
		outbuf_str(out, "Subject: ");
		outbuf_str(out, t->opts->subject);
		outbuf_mem(out, "\r\n", 2);
	}
}
