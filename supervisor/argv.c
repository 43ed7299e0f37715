#include "supervisor/argv.h"

#include "core/err.h"
#include "core/hold.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Copies one word to *to and ends it. Returns what follows it, or NULL for an open quote. */
static const char *take_word(const char *p, char **to)
{
	char quote = '\0', *dst = *to;

	for (; *p && (quote || !is_blank(*p)); p++) {
		if (quote && *p == quote)
			quote = '\0';
		else if (!quote && (*p == '"' || *p == '\''))
			quote = *p;
		else if (*p == '\\' && p[1] && (!quote || (quote == '"' && strchr("\"\\", p[1]))))
			*dst++ = *++p;
		else
			*dst++ = *p;
	}
	*dst++ = '\0';
	*to = dst;
	return quote ? NULL : p;
}

static size_t list_count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

char **argv_split(const char *text, const char *const *extra)
{
	size_t extra_count = list_count(extra), extra_bytes = 0, n = 0;

	for (size_t i = 0; i < extra_count; i++)
		extra_bytes += strlen(extra[i]) + 1;
	if (extra_count > ARGV_WORDS_MAX / 2) {
		errno = E2BIG;
		return NULL;
	}
	size_t list_bytes = sizeof(char *) * (ARGV_WORDS_MAX + 1);
	char **list = xmalloc(list_bytes + strlen(text) + 1 + extra_bytes);
	char *dst = (char *)list + list_bytes;

	for (;;) {
		while (is_blank(*text))
			text++;
		if (!*text)
			break;
		if (n + extra_count >= ARGV_WORDS_MAX) {
			free(list);
			errno = E2BIG;
			return NULL;
		}
		list[n++] = dst;
		text = take_word(text, &dst);
		if (!text)
			break;
		for (size_t i = 0; n == 1 && i < extra_count; i++) {
			list[n + i] = dst;
			dst = stpcpy(dst, extra[i]) + 1;
		}
		if (n == 1)
			n += extra_count;
	}
	if (!text || !n) {
		free(list);
		errno = EINVAL;
		return NULL;
	}
	list[n] = NULL;
	return list;
}

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool argv_env_passes(const char *var)
{
	static const char *const names[] = { "PATH=", "TZ=",         "LANG=",         "TMPDIR=",
					     "SMX_",  "LD_PRELOAD=", "SM_NAMESERVER=" };
	static const char san[] = "SAN_OPTIONS";
	const char *eq = strchr(var, '=');

	if (starts_with(var, HOLD_VARIABLE "="))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (starts_with(var, names[i]))
			return eq;
	return eq && (size_t)(eq - var) >= sizeof(san) - 1 &&
	       strncmp(eq - (sizeof(san) - 1), san, sizeof(san) - 1) == 0;
}

char **argv_env(char *const *env)
{
	size_t n = 0, kept = 0;

	while (env[n])
		n++;
	char **list = xmalloc(sizeof(char *) * (n + 1));
	for (size_t i = 0; i < n; i++)
		if (argv_env_passes(env[i]))
			list[kept++] = env[i];
	list[kept] = NULL;
	return list;
}
