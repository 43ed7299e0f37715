#include "bench/jsonw.h"
#include <math.h>
#include <stdlib.h>

void jsonw_init(struct jsonw *w, struct outbuf *out)
{
	*w = (struct jsonw){ .out = out };
}

static void text(struct outbuf *b, const char *p, size_t n)
{
	outbuf_mem(b, "\"", 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '"' || c == '\\')
			outbuf_fmt(b, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			outbuf_fmt(b, "\\u%04x", c);
		else
			outbuf_mem(b, p + i, 1);
	}
	outbuf_mem(b, "\"", 1);
}

/* The comma and the name in front of every value. */
static void lead(struct jsonw *w, const char *key)
{
	if (w->used[w->depth])
		outbuf_mem(w->out, ", ", 2);
	w->used[w->depth] = true;
	if (key) {
		text(w->out, key, strlen(key));
		outbuf_mem(w->out, ": ", 2);
	}
}

static void down(struct jsonw *w, const char *key, char c)
{
	lead(w, key);
	outbuf_mem(w->out, &c, 1);
	if (++w->depth == JSONW_DEPTH)
		abort();
	w->used[w->depth] = false;
}

static void up(struct jsonw *w, char c)
{
	if (w->depth == 0)
		abort();
	w->depth--;
	outbuf_mem(w->out, &c, 1);
}

void jsonw_open(struct jsonw *w, const char *key)
{
	down(w, key, '{');
}

void jsonw_close(struct jsonw *w)
{
	up(w, '}');
}

void jsonw_list(struct jsonw *w, const char *key)
{
	down(w, key, '[');
}

void jsonw_list_end(struct jsonw *w)
{
	up(w, ']');
}

void jsonw_u64(struct jsonw *w, const char *key, uint64_t v)
{
	lead(w, key);
	outbuf_u64(w->out, v);
}

void jsonw_num(struct jsonw *w, const char *key, double v, int digits)
{
	lead(w, key);
	if (isfinite(v))
		outbuf_fmt(w->out, "%.*f", digits, v);
	else
		outbuf_str(w->out, "null");
}

void jsonw_str(struct jsonw *w, const char *key, const char *p, size_t n)
{
	lead(w, key);
	text(w->out, p, n);
}
