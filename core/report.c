#include "core/report.h"

#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>

static const char warning_mark[] = "warning: ";

static void add(struct report *r, const char *file, unsigned line, const char *mark,
		const char *fmt, va_list ap)
{
	char text[1024];
	unsigned before = r->error_count + r->warning_count;

	if (before >= REPORT_LINES_MAX)
		return;
	vsnprintf(text, sizeof text, fmt, ap);
	/* Without memory the count still says that something is wrong. */
	if (line)
		(void)buf_printf(&r->text, "%s:%u: %s%s\n", file, line, mark, text);
	else
		(void)buf_printf(&r->text, "%s: %s%s\n", file, mark, text);
}

void report_error(struct report *r, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, file, line, "", fmt, ap);
	va_end(ap);
	r->error_count++;
}

void report_warning(struct report *r, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, file, line, warning_mark, fmt, ap);
	va_end(ap);
	r->warning_count++;
}

const char *report_token(struct span foreign, char dst[static REPORT_TOKEN_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < foreign.n; i++) {
		if (n >= REPORT_TOKEN_MAX - 4) {
			memcpy(dst + n, "...", 3);
			n += 3;
			break;
		}
		unsigned char c = (unsigned char)foreign.p[i];
		dst[n++] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
	}
	dst[n] = 0;
	return dst;
}

void report_log(const struct report *r, const char *func)
{
	struct span rest = buf_span(&r->text);

	while (rest.n) {
		struct span line = span_head(rest, span_chr(rest, '\n'));
		bool warn =
			span_find(line, span_of(warning_mark, sizeof warning_mark - 1)) < line.n;
		struct log_line l;

		rest = span_from(rest, line.n + 1);
		log_begin(&l, warn ? LOG_LV_WARN : LOG_LV_ERROR, warn ? LOG_SEV_WARN : LOG_SEV_ERR);
		log_word(&l, "func", func);
		log_str(&l, "text", line);
		log_end(&l);
	}
}

void report_free(struct report *r)
{
	buf_release(&r->text);
}
