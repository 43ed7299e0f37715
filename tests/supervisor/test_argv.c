#include "supervisor/argv.h"

#include "tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	const char *text;
	const char *extra[4];
	const char *want; /* words joined by '|'; NULL: EINVAL */
} cases[] = {
	{ "one word", "smtps", { NULL }, "smtps" },
	{ "the usual", "smtps -f /etc/smx/smx.conf", { NULL }, "smtps|-f|/etc/smx/smx.conf" },
	{ "blanks around", "  a \t b\n ", { NULL }, "a|b" },
	{ "pass_id goes in first", "smtpc -f x", { "-i", "3", NULL }, "smtpc|-i|3|-f|x" },
	{ "pass_id alone", "smtpc", { "-i", "0", NULL }, "smtpc|-i|0" },
	{ "single quotes", "a 'b c' d", { NULL }, "a|b c|d" },
	{ "double quotes", "a \"b 'c\" d", { NULL }, "a|b 'c|d" },
	{ "quotes within a word", "a=\"b c\"d", { NULL }, "a=b cd" },
	{ "an empty word", "a '' b", { NULL }, "a||b" },
	{ "escaped blank", "a b\\ c", { NULL }, "a|b c" },
	{ "escapes in double quotes", "\"a\\\"b\\\\c\\d\"", { NULL }, "a\"b\\c\\d" },
	{ "no escape in single quotes", "'a\\'", { NULL }, "a\\" },
	{ "backslash at the end", "a\\", { NULL }, "a\\" },
	{ "open single quote", "a 'b", { NULL }, NULL },
	{ "open double quote", "a \"b\\\"", { NULL }, NULL },
	{ "nothing", "", { NULL }, NULL },
	{ "only blanks", " \t", { "-i", NULL }, NULL },
};

static const struct {
	const char *var;
	bool passes;
} vars[] = {
	{ "PATH=/bin", true },
	{ "TZ=UTC", true },
	{ "LANG=C", true },
	{ "TMPDIR=/x", true },
	{ "SMX_SPOOL=/x", true },
	{ "SMX_SHIM_LOG=/x", true },
	{ "SMX_HOLD=3", false },
	{ "LD_PRELOAD=shim.so", true },
	{ "ASAN_OPTIONS=a", true },
	{ "TSAN_OPTIONS=", true },
	{ "SAN_OPTIONS=", true },
	{ "PATHX=/bin", false },
	{ "XPATH=/bin", false },
	{ "HOME=/root", false },
	{ "LD_LIBRARY_PATH=/x", false },
	{ "SAN_OPTIONSX=1", false },
	{ "X=SAN_OPTIONS=1", false },
	{ "SMX_", false },
	{ "", false },
};

static void check_split(unsigned i)
{
	char got[200] = "";
	char **argv = argv_split(cases[i].text, cases[i].extra);

	if (!argv) {
		ok(!cases[i].want && errno == EINVAL, "%s", cases[i].name);
		return;
	}
	for (unsigned k = 0; argv[k]; k++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", k ? "|" : "",
			 argv[k]);
	is_str(got, cases[i].want, cases[i].name);
	free(argv);
}

int main(void)
{
	char many[2 * ARGV_WORDS_MAX + 3];
	char *env[] = { "HOME=/root", "PATH=/bin", "SMX_A=1", "EVIL=1", NULL };

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_split(i);
	for (unsigned i = 0; i < sizeof(many) - 1; i++)
		many[i] = i % 2 ? ' ' : 'x';
	many[sizeof(many) - 1] = '\0';
	ok(!argv_split(many, NULL) && errno == E2BIG, "too many words");
	many[2 * ARGV_WORDS_MAX] = '\0';
	char **argv = argv_split(many, NULL);
	ok(argv && argv[ARGV_WORDS_MAX - 1] && !argv[ARGV_WORDS_MAX], "as many as there may be");
	free(argv);

	for (unsigned i = 0; i < sizeof(vars) / sizeof(vars[0]); i++)
		is_int(argv_env_passes(vars[i].var), vars[i].passes, vars[i].var);
	char **kept = argv_env(env);
	ok(kept[0] == env[1] && kept[1] == env[2] && !kept[2], "the environment of a process");
	free(kept);
	return plan_done();
}
