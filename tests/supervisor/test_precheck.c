#include "supervisor/precheck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/tap.h"

/* Programs that answer -n are shell scripts in the folder of the test. */
static char dir[512];

static const char *path_of(const char *name)
{
	static char path[1024];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void write_file(const char *name, mode_t mode, const char *text)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static void write_script(const char *name, const char *commands)
{
	char text[4096];

	snprintf(text, sizeof text, "#!/bin/sh\n%s\n", commands);
	write_file(name, 0755, text);
}

/* Copies with @ as the folder. */
static const char *expand(const char *s)
{
	static char out[2][16384];
	static unsigned turn;
	char *p = out[turn ^= 1];
	size_t n = 0;

	for (; *s && n < sizeof out[0] - sizeof dir; s++) {
		if (*s == '@')
			n += (size_t)sprintf(p + n, "%s", dir);
		else
			p[n++] = *s;
	}
	p[n] = 0;
	return p;
}

static const struct {
	const char *name;
	const char *text;
	int rc;
	const char *want;
} rows[] = {
	{ "an empty file", "", 0, "" },
	{ "a good file",
	  "qmgr { start_action = wait; path = \"@/good\"; arguments = \"q\"; }\n"
	  "smtps A { start_action = wait; path = \"@/good\"; arguments = \"q\"; }\n"
	  "X { start_action = wait; path = /none; arguments = \"q\"; }\n",
	  0, "" },
	{ "a warning of a program",
	  "qmgr { start_action = wait; path = \"@/warns\"; arguments = \"q\"; }", 0,
	  "@/smx.conf:1:8: warning: qmgr.x: so so\n" },
	{ "what it is given: -n -f FILE, -N NAME",
	  "qmgr { start_action = wait; path = \"@/echo\"; arguments = \"q\"; }\n"
	  "smtps MTA { start_action = wait; path = \"@/echo\"; arguments = \"q\"; }\n",
	  -EINVAL, "@/echo -n -f @/smx.conf\n@/echo -n -f @/smx.conf -N MTA\n" },
	{ "messages in the order of the file, each once",
	  "hostnam = x;\n"
	  "qmgr { start_action = wait; path = \"@/bad\"; arguments = \"q\"; }\n"
	  "smtps { start_action = wiat; path = \"@/bad\"; arguments = \"q\"; }\n",
	  -EINVAL,
	  "@/smx.conf:1:1: hostnam: expected an option outside of sections, found 'hostnam' "
	  "(did you mean hostname?)\n"
	  "@/smx.conf:2:8: first\n"
	  "@/smx.conf:2:10: second\n"
	  "@/smx.conf:3:24: smtps.start_action: expected one of nostartaccept, accept, pass, wait, "
	  "found 'wiat' (did you mean wait?)\n"
	  "@/smx.conf:12:1: last\n" },
	{ "a program that is not there",
	  "qmgr { start_action = wait; path = \"@/none\"; arguments = \"q\"; }", -EINVAL,
	  "@/smx.conf:1:29: qmgr.path: expected a program that can be run, found '@/none': "
	  "No such file or directory\n" },
	{ "a program that fails in another way",
	  "qmgr { start_action = wait; path = \"@/fails\"; arguments = \"q\"; }", -EINVAL,
	  "@/smx.conf:1:29: qmgr.path: expected exit status 0 of '@/fails -n', found 3\n" },
	{ "EX_CONFIG without a word",
	  "qmgr { start_action = wait; path = \"@/silent\"; arguments = \"q\"; }", -EINVAL,
	  "@/smx.conf:1:29: qmgr.path: expected exit status 0 of '@/silent -n', found 78\n" },
	{ "a program that dies",
	  "qmgr { start_action = wait; path = \"@/dies\"; arguments = \"q\"; }", -EINVAL,
	  "@/smx.conf:1:29: qmgr.path: expected an exit of '@/dies -n', found signal 9\n" },
	{ "a program that says too much",
	  "qmgr { start_action = wait; path = \"@/loud\"; arguments = \"q\"; }", 0, NULL },
	{ "nothing is run when the syntax is wrong",
	  "qmgr { start_action = wait; path = \"@/bad\"; arguments = \"q\" }\nsmtps { log_levl = 3; }",
	  -EINVAL, "@/smx.conf:1:*: qmgr.arguments: expected ';', found '}'\n" },
	{ "an unknown section", "smpts { path = x; }\nfoo { start_action = wait; }", -EINVAL,
	  "@/smx.conf:1:1: smpts: expected qmgr, smtps, smtpc, smar, or a service with path and "
	  "start_action, found 'smpts' (did you mean smtps?)\n"
	  "@/smx.conf:2:1: foo: expected qmgr, smtps, smtpc, smar, or a service with path and "
	  "start_action, found 'foo'\n" },
	{ "a service with an unknown option",
	  "foo { start_action = wait; path = x; arguments = \"x\"; log_levl = 3; }", -EINVAL,
	  "@/smx.conf:1:55: foo.log_levl: expected an option of foo, found 'log_levl' "
	  "(did you mean log_level?)\n" },
};

/* Equal, where a * stands for digits, because the column depends on the folder. */
static bool matches(const char *got, const char *want)
{
	for (; *want; want++) {
		if (*want == '*') {
			got += strspn(got, "0123456789");
			continue;
		}
		if (*got++ != *want)
			return false;
	}
	return !*got;
}

static int check(const char *file, bool as_root, char *out, size_t cap)
{
	FILE *f = fmemopen(out, cap, "w");

	if (!f)
		abort();
	int rc = precheck_file(file, as_root, f, NULL);
	fputc(0, f);
	fclose(f);
	return rc;
}

static void table(void)
{
	static char out[100000];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char file[1024];

		write_file("smx.conf", 0644, expand(rows[i].text));
		snprintf(file, sizeof file, "%s", path_of("smx.conf"));
		int rc = check(file, false, out, sizeof out);
		is_int(rc, rows[i].rc, rows[i].name);
		if (rows[i].want && !ok(matches(out, expand(rows[i].want)), "and what it says"))
			diag("got '%s'", out);
	}
}

static void as_root(void)
{
	char out[4096];
	char file[1024];

	write_file("smx.conf", 0644, "X { start_action = wait; path = /x; arguments = \"x\"; }");
	snprintf(file, sizeof file, "%s", path_of("smx.conf"));
	is_int(check(file, true, out, sizeof out), -EINVAL, "no user as root");
	ok(strstr(out,
		  ":1:1: x.user: expected a user to run as, because mcp is run by root, found none"),
	   "and what it says");
	is_int(check(file, false, out, sizeof out), 0, "no user as another one");
	is_int(check(path_of("none"), false, out, sizeof out), -EINVAL, "no such file");
	ok(strstr(out, "/none: expected a configuration file, found: No such file or directory\n"),
	   "and what it says");
}

int main(void)
{
	snprintf(dir, sizeof dir, "%s", tap_tmpdir());
	chmod(dir, 0755);
	write_script("good", "exit 0");
	write_script("warns", "echo \"$3:1:8: warning: qmgr.x: so so\" >&2");
	write_script("echo", "echo \"$0 $*\" >&2; echo no >&1; exit 78");
	write_script("bad", "echo \"$3:12:1: last\" >&2; echo \"$3:2:10: second\" >&2\n"
			    "echo \"$3:2:8: first\" >&2; exit 78");
	write_script("fails", "exit 3");
	write_script("silent", "exit 78");
	write_script("dies", "kill -9 $$");
	write_script("loud", "i=0; while [ $i -lt 3000 ]; do echo 'a line that says too much' >&2; "
			     "i=$((i + 1)); done");
	table();
	as_root();
	return plan_done();
}
