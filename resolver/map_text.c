#include "resolver/map_text.h"

#include <errno.h>

enum line_kind { LINE_SKIP = 0, LINE_ENTRY, LINE_MORE };

static bool is_white(char c)
{
	return c == ' ' || c == '\t';
}

/* The line at the start of rest, without its end; *whole is its length with the end. */
static struct span first_line(struct span rest, size_t *whole)
{
	size_t n = span_chr(rest, '\n');

	*whole = n < rest.n ? n + 1 : n;
	if (n && rest.p[n - 1] == '\r')
		n--;
	return span_head(rest, n);
}

static enum line_kind kind_of(struct span line)
{
	struct span t = span_trim(line);

	if (!t.n || t.p[0] == '#')
		return LINE_SKIP;
	return is_white(line.p[0]) ? LINE_MORE : LINE_ENTRY;
}

static bool has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

void map_text_init(struct map_text *t, struct span text)
{
	*t = (struct map_text){ .rest = text, .line = 1 };
}

void map_text_free(struct map_text *t)
{
	buf_release(&t->joined);
}

static void skip_line(struct map_text *t, size_t whole)
{
	t->rest = span_from(t->rest, whole);
	t->line++;
}

/* Appends the continuation lines to *text, which then points into t->joined. 0 or -ENOMEM. */
static int join(struct map_text *t, struct span *text)
{
	bool joined = false;
	size_t whole;

	while (t->rest.n) {
		struct span line = first_line(t->rest, &whole);
		enum line_kind kind = kind_of(line);

		if (kind == LINE_ENTRY)
			break;
		if (kind == LINE_MORE) {
			line = span_trim(line);
			if (!joined) {
				t->joined.r = t->joined.w = 0;
				if (buf_add_span(&t->joined, *text))
					return -ENOMEM;
				joined = true;
			}
			if (buf_add(&t->joined, " ", 1) || buf_add_span(&t->joined, line))
				return -ENOMEM;
		}
		skip_line(t, whole);
	}
	if (joined)
		*text = buf_span(&t->joined);
	return 0;
}

static int split(struct span text, struct map_entry *e, const char **why)
{
	size_t n = 0;

	while (n < text.n && !is_white(text.p[n]))
		n++;
	e->key = map_text_key(span_head(text, n));
	e->value = span_trim(span_from(text, n));
	if (has_control(text))
		*why = "control character in the entry";
	else if (!e->key.n)
		*why = "expected a key in front of the colon";
	else if (e->key.n > MAP_TEXT_KEY_MAX)
		*why = "the key is longer than 511 bytes";
	else if (!e->value.n)
		*why = "expected a value behind the key";
	else if (e->value.n > MAP_TEXT_VALUE_MAX)
		*why = "the value is longer than 16 MB";
	else
		return 1;
	return -EINVAL;
}

int map_text_next(struct map_text *t, struct map_entry *e, const char **why)
{
	while (t->rest.n) {
		size_t whole;
		struct span line = first_line(t->rest, &whole);
		enum line_kind kind = kind_of(line);

		e->line = t->line;
		skip_line(t, whole);
		if (kind == LINE_SKIP)
			continue;
		int rc = join(t, &line);
		if (rc)
			return rc;
		if (kind == LINE_MORE) {
			*why = "white space at the begin continues an entry, but there is none";
			return -EINVAL;
		}
		return split(line, e, why);
	}
	return 0;
}
