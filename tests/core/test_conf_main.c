#include "core/conf.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include "tests/conf_text.h"
#include "tests/core/conf_toy.h"
#include "tests/tap.h"

static char conf_path[512];

static void write_conf(const char *text)
{
	int fd = open(conf_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static char out[65536];
static char err[65536];

static void slurp(const char *path, char *buf)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, buf, 65535);

	buf[n > 0 ? n : 0] = 0;
	close(fd);
}

/* Runs conf_main() in a child with these words ("FILE" is the configuration); what it prints is in
 * out and err. Returns its exit status; 100: conf_main() came back, having printed count and so on.
 */
static int run(const struct conf_component *c, const char *const *words)
{
	char out_path[600];
	char err_path[600];
	char *argv[16] = { (char *)(uintptr_t)c->keyword };
	int argc = 1;
	int status = 0;

	for (; words[argc - 1]; argc++)
		argv[argc] = strcmp(words[argc - 1], "FILE") ? (char *)(uintptr_t)words[argc - 1]
							     : conf_path;
	snprintf(out_path, sizeof out_path, "%s/out", tap_tmpdir());
	snprintf(err_path, sizeof err_path, "%s/err", tap_tmpdir());
	fflush(NULL);
	pid_t pid = fork();
	if (!pid) {
		struct conf_toy o;
		struct conf_global g;
		struct conf_run r;

		if (!freopen(out_path, "w", stdout) || !freopen(err_path, "w", stderr))
			_exit(99);
		conf_main(c, argc, argv, &o, &g, &r);
		printf("count %u, section %s, id %d %u, args %d\n", o.count,
		       r.section_name ? r.section_name : "-", r.has_id, r.id, argc - r.first_arg);
		fflush(stdout);
		conf_free(r.conf);
		_exit(100);
	}
	waitpid(pid, &status, 0);
	slurp(out_path, out);
	slurp(err_path, err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const struct {
	const char *name;
	const char *words[12];
	int status;
	const char *out; /* begins with this */
	const char *err;
} rows[] = {
	{ "nothing", { NULL }, 100, "count 7, section -, id 0 0, args 0\n", "" },
	{ "-f", { "-f", "FILE" }, 100, "count 5, section -, id 0 0, args 0\n", "" },
	{ "-N behind -f",
	  { "-f", "FILE", "-N", "B" },
	  100,
	  "count 6, section B, id 0 0, args 0\n",
	  "" },
	{ "-N before -f",
	  { "-N", "B", "-f", "FILE" },
	  100,
	  "count 6, section B, id 0 0, args 0\n",
	  "" },
	{ "-C behind -f overrides the file", { "-f", "FILE", "-C", "3" }, 100, "count 3,", "" },
	{ "-C before -f is overridden", { "-C", "3", "-f", "FILE" }, 100, "count 5,", "" },
	{ "-C without -f", { "-C", "3" }, 100, "count 3,", "" },
	{ "-i", { "-i", "12" }, 100, "count 7, section -, id 1 12, args 0\n", "" },
	{ "words behind the options",
	  { "-i", "1", "a", "-n" },
	  100,
	  "count 7, section -, id 1 1, args 2\n",
	  "" },
	{ "-i not a number",
	  { "-i", "x" },
	  EX_USAGE,
	  "",
	  "toy: option -i: expected a number, found 'x'\nusage: toy [-f FILE] [-N NAME] [-n [-v]] [-i NUM] [-h] [-V]...\ntoy -h tells all options\n" },
	{ "-C wrong",
	  { "-C", "x" },
	  EX_USAGE,
	  "",
	  "toy: option -C: expected another value, found 'x'\n" },
	{ "unknown option",
	  { "-x" },
	  EX_USAGE,
	  "",
	  "toy: invalid option -- 'x'\nusage: toy [-f FILE] [-N NAME] [-n [-v]] [-i NUM] [-h] [-V]...\ntoy -h tells all options\n" },
	{ "-f twice", { "-f", "FILE", "-f", "FILE" }, EX_USAGE, "", NULL },
	{ "-n", { "-n", "-f", "FILE" }, 0, "", "" },
	{ "-n -v",
	  { "-nv", "-f", "FILE" },
	  0,
	  "# hostname is not set\n# CDB_base_directory = \"\";\n",
	  "" },
	{ "no such file",
	  { "-n", "-f", "/nonexistent/x" },
	  EX_CONFIG,
	  "",
	  "/nonexistent/x: expected a configuration file, found: No such file or directory\n" },
	{ "no such section", { "-f", "FILE", "-N", "C" }, EX_CONFIG, "", NULL },
	{ "-h", { "-h" }, 0, "toy - a test\nusage: toy [-f FILE]", "" },
	{ "-h although the file is bad",
	  { "-f", "/nonexistent/x", "-h" },
	  0,
	  "toy - a test\n",
	  "" },
	{ "-V", { "-V" }, 0, "toy: smX " SMX_VERSION "\n", "" },
	{ "-VV", { "-VV" }, 0, "toy: smX " SMX_VERSION "\nconfiguration " SMX_CONFDIR, "" },
	{ "--man-options",
	  { "--man-options" },
	  0,
	  ".TP\n.BR count \" = a number from 1 to 1000\"\n",
	  "" },
};

static void command_lines(void)
{
	write_conf("toy { count = 5; }\ntoy B { count = 6; }\n");
	for (size_t i = 0; i < CONF_NELEM(rows); i++) {
		int status = run(&conf_toy_component, rows[i].words);

		ok(status == rows[i].status && !strncmp(out, rows[i].out, strlen(rows[i].out)) &&
			   (!rows[i].err || !strcmp(err, rows[i].err)),
		   "%s", rows[i].name);
		if (status != rows[i].status || (rows[i].err && strcmp(err, rows[i].err)))
			diag("status %d, out '%s', err '%s'", status, out, err);
	}
}

static void bad_file(void)
{
	const char *const words[] = { "-f", "FILE", NULL };
	char want[2048];

	write_conf("toy { count = 5000;\n ocunt = 6; }\n");
	is_int(run(&conf_toy_component, words), EX_CONFIG, "wrong options");
	snprintf(
		want, sizeof want,
		"%s:1:15: toy.count: expected a number from 1 to 1000, found '5000'\n"
		"%s:2:2: toy.ocunt: expected an option of toy, found 'ocunt' (did you mean count?)\n",
		conf_path, conf_path);
	is_str(err, want, "and what is wrong");
}

static void details(void)
{
	const char *const five[] = { "-VVVVV", NULL };
	const char *const six[] = { "-VVVVVV", NULL };

	is_int(run(&conf_toy_component, five), 0, "-VVVVV");
	ok(strstr(out, "\n  count = 7;\n") && strstr(out, "\n  bytes = 64MB;\n") &&
		   strstr(out, "\n  timeout = 5m;\n") &&
		   strstr(out, "\n  flags = { first, second };\n") &&
		   strstr(out, "\nSMAR_socket = \"qmsmar/smarsock\";\n") &&
		   strstr(out, "\n  log_level = 9;\n"),
	   "shows defaults");
	ok(!strstr(out, "      # third"), "but no flags");
	is_int(run(&conf_toy_component, six), 0, "-VVVVVV");
	ok(strstr(out, "      # first: the first\n") &&
		   strstr(out, "      # third (not available in this version)\n"),
	   "shows flags");
}

static void root(void)
{
	struct conf_component c = conf_toy_component;
	const char *const start[] = { NULL };
	const char *const check[] = { "-n", NULL };

	c.root_ok = false;
	is_int(run(&c, check), 0, "root may check");
	if (geteuid()) {
		is_int(run(&c, start), 100, "an ordinary user may start");
		return;
	}
	is_int(run(&c, start), EX_USAGE, "root may not start");
	is_str(err,
	       "toy: expected an ordinary user, found root; start it through mcp or as another user\n",
	       "and why");
}

int main(void)
{
	snprintf(conf_path, sizeof conf_path, "%s/smx.conf", tap_tmpdir());
	command_lines();
	bad_file();
	details();
	root();
	return plan_done();
}
