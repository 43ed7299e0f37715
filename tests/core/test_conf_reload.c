#include "core/conf.h"

#include <fcntl.h>
#include <unistd.h>
#include "tests/conf_text.h"
#include "tests/core/conf_toy.h"
#include "tests/tap.h"

static char path[512];
static struct conf_toy old;
static struct conf_toy fresh;
static struct conf_global old_global;
static struct conf_global fresh_global;
static struct conf_run run;

static void write_conf(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

/* The messages without the path of the file. */
static const char *messages(const struct conf *cf)
{
	static char text[8192];
	const char *s = conf_text_report(cf);
	size_t n = 0;

	for (; *s; s++) {
		if (!strncmp(s, path, strlen(path)))
			s += strlen(path);
		text[n++] = *s;
	}
	text[n] = 0;
	return text;
}

static struct conf *reload(int want, const char *what)
{
	struct conf *cf;

	is_int(conf_reload(&conf_toy_component, &run, &old, &fresh, &old_global, &fresh_global,
			   &cf),
	       want, what);
	return cf;
}

static void start(void)
{
	static char f[] = "-f";
	static char c[] = "-C";
	static char four[] = "4";
	static char *argv[] = { f, f, path, c, four, NULL };

	write_conf("hostname = a.example;\n"
		   "toy { number = 1; bytes = 2MB; any = x; item a { size = 5; } text = old; }");
	conf_main(&conf_toy_component, 5, argv, &old, &old_global, &run);
	ok(old.number == 1 && old.count == 4, "started");
}

static void changes(void)
{
	write_conf(
		"hostname = b.example; SMAR_socket = x;\n"
		"toy {\n number = 2;\n bytes = 3MB;\n any = y;\n item a { size = 6; }\n"
		" item b { }\n text = new; log_level = 3; user = somebody;\n tls { cert = x; } }");
	struct conf *cf = reload(0, "a changed file");

	ok(fresh.number == 2 && !strcmp(fresh.text, "new") && fresh.common.log_level == 3,
	   "RELOAD options have the new values");
	is_int(fresh.count, 4, "the command line is still in effect");
	ok(fresh.bytes == 2 << 20 && !strcmp(fresh.any, "x") && fresh.item.count == 1 &&
		   ((struct conf_toy_item *)fresh.item.item)->size == 5 &&
		   !strcmp(((struct conf_toy_item *)fresh.item.item)->name, "a") &&
		   !fresh.common.user,
	   "RESTART options have the old ones");
	ok(!strcmp(fresh_global.hostname, "a.example") &&
		   !strcmp(fresh_global.smar_socket, "qmsmar/smarsock"),
	   "global ones too");
	ok(fresh.any != old.any && fresh.item.item != old.item.item &&
		   fresh_global.hostname != old_global.hostname,
	   "as copies");
	is_str(messages(cf),
	       ": warning: hostname: changed, but a change needs a restart\n"
	       ": warning: SMAR_socket: changed, but a change needs a restart\n"
	       ":4:2: warning: toy.bytes: changed, but a change needs a restart\n"
	       ":5:2: warning: toy.any: changed, but a change needs a restart\n"
	       ":6:2: warning: toy.item: changed, but a change needs a restart\n"
	       ":8:29: warning: toy.user: changed, but a change needs a restart\n"
	       ":9:8: warning: toy.tls.cert: not available in this version, ignored\n",
	       "what was not taken");
	conf_free(run.conf);
	run.conf = cf;
	old = fresh;
	old_global = fresh_global;
	is_str(old.any, "x", "still there when the first file is gone");
	is_str(((struct conf_toy_item *)old.item.item)->name, "a", "with its items");
}

static void unchanged(void)
{
	write_conf("hostname = a.example;\n"
		   "toy { number = 1; bytes = 2MB; any = x; item a { size = 5; } text = old; }");
	struct conf *cf = reload(0, "as at the start");
	is_str(messages(cf), "", "without a word");
	conf_free(cf);
}

static void broken(void)
{
	write_conf("toy { number = ; }");
	struct conf *cf = reload(-EINVAL, "a wrong file");
	is_str(messages(cf), ":1:16: toy.number: expected a value, found ';'\n", "and why");
	conf_free(cf);
	unlink(path);
	cf = reload(-EINVAL, "no file");
	is_str(messages(cf), ": expected a configuration file, found: No such file or directory\n",
	       "and why");
	conf_free(cf);
}

int main(void)
{
	snprintf(path, sizeof path, "%s/smx.conf", tap_tmpdir());
	start();
	changes();
	unchanged();
	broken();
	conf_free(run.conf);
	return plan_done();
}
