#include "supervisor/precheck.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>
#include "core/conf.h"
#include "core/conf_near.h"
#include "core/err.h"
#include "supervisor/account.h"
#include "supervisor/argv.h"
#include "supervisor/spawn.h"

enum { OUTPUT_BYTES = 65536, LIMIT_MSEC = 30000 };

static const char *const components[] = { "qmgr", "smtps", "smtpc", "smar" };

static bool is_component(const char *keyword)
{
	for (unsigned i = 0; i < CONF_NELEM(components); i++) {
		if (!strcmp(keyword, components[i]))
			return true;
	}
	return false;
}

/* ---- running PROGRAM -n */

struct run {
	unsigned section;
	const char *path;
	pid_t pid;
	int fd; /* -1: it was not started */
	int64_t deadline_msec;
	char *output; /* what it wrote to stderr */
	size_t n;
	int spawn_error; /* -errno */
	int status;      /* of waitpid() */
	bool timed_out;
	struct held_list *keep; /* NULL: it runs with -n */
	bool ready;             /* held, and its configuration is good */
};

static int64_t now_msec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* As the section's user where that can be done; 0 or -errno. */
static int spawn(struct run *r, char *const *argv, const struct account *as, int err_fd)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char **env = argv_env(environ);
	struct spawn s = { .path = r->path,
			   .argv = argv,
			   .env = env,
			   .account = as,
			   .drop_rights = as->uid != 0,
			   .ignore_signals = r->keep,
			   .fd = { null_fd, null_fd, err_fd } };

	if (null_fd < 0 || access(r->path, X_OK))
		r->pid = -errno;
	else
		r->pid = r->keep ? held_start(r->keep, r->section, &s) : spawn_start(&s);
	free(env);
	if (null_fd >= 0)
		close(null_fd);
	return r->pid < 0 ? (int)r->pid : 0;
}

/* Reads to the end of file, or until it is ready; what does not fit is thrown away. False: it takes
 * too long. */
static bool collect(struct run *r)
{
	char waste[4096];
	int hold_fd = r->keep ? held_fd(r->keep, r->section) : -1;

	for (;;) {
		struct pollfd p[] = { { .fd = r->fd, .events = POLLIN },
				      { .fd = hold_fd, .events = POLLIN } };
		int64_t left = r->ready ? 0 : r->deadline_msec - now_msec();

		if (left <= 0 && !r->ready)
			return false;
		int n = poll(p, 2, (int)left);
		if (n == 0 && r->ready)
			return true;
		if (n <= 0)
			continue;
		if (p[1].revents) {
			r->ready = held_is_ready(r->keep, r->section);
			hold_fd = -1;
		}
		if (!p[0].revents)
			continue;
		size_t room = OUTPUT_BYTES - r->n;
		ssize_t got = room ? read(r->fd, r->output + r->n, room)
				   : read(r->fd, waste, sizeof waste);
		if (got == 0 || (got < 0 && errno != EINTR))
			return true;
		if (got > 0 && room)
			r->n += (size_t)got;
	}
}

static void begin_check(struct run *r, char *const *words, const char *file, const char *name,
			const struct account *as)
{
	const char *slash = strrchr(r->path, '/');
	const char *argv[] = { slash ? slash + 1 : r->path, "-n", "-f", file,
			       name ? "-N" : NULL,          name, NULL };
	int fd[2];

	r->output = xcalloc(1, OUTPUT_BYTES + 1);
	r->fd = -1;
	r->deadline_msec = now_msec() + LIMIT_MSEC;
	if (pipe2(fd, O_CLOEXEC)) {
		r->spawn_error = -errno;
		return;
	}
	r->spawn_error = spawn(r, words ? words : (char *const *)(uintptr_t)argv, as, fd[1]);
	close(fd[1]);
	if (r->spawn_error)
		close(fd[0]);
	else
		r->fd = fd[0];
}

static void end_check(struct run *r)
{
	if (r->fd < 0)
		return;
	r->timed_out = !collect(r);
	if (r->ready) {
		close(r->fd);
		return;
	}
	if (r->timed_out)
		kill(r->pid, SIGKILL);
	if (r->keep)
		held_forget(r->keep, r->section);
	while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
		;
	close(r->fd);
}

/* ---- merging messages */

struct line {
	unsigned long row; /* 0: no place */
	unsigned long column;
	const char *text;
};

struct lines {
	struct line *line;
	size_t count;
	size_t cap;
};

/* "FILE:12:5: ..." */
static void find_place(struct line *l, const char *file)
{
	size_t n = strlen(file);
	char *end;

	if (strncmp(l->text, file, n) || l->text[n] != ':')
		return;
	l->row = strtoul(l->text + n + 1, &end, 10);
	if (*end == ':')
		l->column = strtoul(end + 1, NULL, 10);
	else
		l->row = 0;
}

/* Splits text, which must stay, at newlines; what is there already is dropped. */
static void add_lines(struct lines *all, char *text, const char *file)
{
	for (char *next, *s = text; s && *s; s = next) {
		struct line l = { .text = s };
		bool known = false;

		next = strchr(s, '\n');
		if (next)
			*next++ = 0;
		find_place(&l, file);
		for (size_t i = 0; i < all->count && !known; i++)
			known = !strcmp(all->line[i].text, s);
		if (known || !*s)
			continue;
		if (all->count == all->cap) {
			all->cap = all->cap ? 2 * all->cap : 64;
			all->line = xrealloc(all->line, all->cap * sizeof l);
		}
		size_t k = all->count++;
		for (; k && (all->line[k - 1].row > l.row ||
			     (all->line[k - 1].row == l.row && all->line[k - 1].column > l.column));
		     k--)
			all->line[k] = all->line[k - 1];
		all->line[k] = l;
	}
}

/* ---- sections */

struct check {
	struct conf *cf;
	const char *file;
	bool as_root;
	bool readable; /* the syntax is right */
	bool failed;
	struct run *runs; /* one for each section at most */
	unsigned run_count;
	struct held_list *keep;
};

static void unknown_section(struct check *c, unsigned i, const char *keyword)
{
	struct conf_near near = { .word = keyword };

	for (unsigned k = 0; k < CONF_NELEM(components); k++)
		conf_near_try(&near, components[k]);
	conf_section_error(
		c->cf, i, NULL,
		"expected qmgr, smtps, smtpc, smar, or a service with path and start_action, "
		"found '%s'%s%s%s",
		keyword, near.best ? " (did you mean " : "", near.best ? near.best : "",
		near.best ? "?)" : "");
}

/* Its words when it can be held: with them it reads what it would read with -n. NULL: with -n. */
static char **held_words(const struct check *c, unsigned i, const struct conf_common *common,
			 const struct account *as)
{
	const char *name = conf_section_get(c->cf, i)->name;
	bool one = (common->start_action == CONF_START_WAIT ||
		    common->start_action == CONF_START_PASS) &&
		   common->min_processes == 1 && !common->pass_id && !common->working_directory;

	if (!c->keep || c->keep->count == HELD_MAX || !one || as->uid == 0 ||
	    !held_is_known(common->path))
		return NULL;
	char **w = argv_split(common->arguments, NULL);
	unsigned n = 0;
	while (w && w[n])
		n++;
	if (n == (name ? 5 : 3) && !strcmp(w[1], "-f") && !strcmp(w[2], c->file) &&
	    (!name || (!strcmp(w[3], "-N") && !strcmp(w[4], name))))
		return w;
	free(w);
	return NULL;
}

static void begin_program(struct check *c, unsigned i, const struct conf_common *common)
{
	const char *user = geteuid() == 0 ? common->user : NULL;
	struct account as;
	char why[200];

	if (account_find(user, user ? common->group : NULL, &as, why, sizeof why)) {
		conf_section_error(c->cf, i, "user", "%s", why);
		return;
	}
	struct run *r = &c->runs[c->run_count++];
	*r = (struct run){ .section = i, .path = common->path };
	char **words = held_words(c, i, common, &as);
	if (words)
		r->keep = c->keep;
	begin_check(r, words, c->file, conf_section_get(c->cf, i)->name, &as);
	free(words);
	account_free(&as);
}

static void end_program(struct check *c, struct run *r)
{
	unsigned i = r->section;

	end_check(r);
	if (r->spawn_error)
		conf_section_error(c->cf, i, "path",
				   "expected a program that can be run, found '%s': %s", r->path,
				   strerror(-r->spawn_error));
	else if (r->timed_out)
		conf_section_error(c->cf, i, "path",
				   "expected an end of '%s -n' within %d s, found none", r->path,
				   LIMIT_MSEC / 1000);
	else if (WIFSIGNALED(r->status))
		conf_section_error(c->cf, i, "path", "expected an exit of '%s -n', found signal %d",
				   r->path, WTERMSIG(r->status));
	else if (WEXITSTATUS(r->status) && (WEXITSTATUS(r->status) != EX_CONFIG || !r->n))
		conf_section_error(c->cf, i, "path", "expected exit status 0 of '%s -n', found %d",
				   r->path, WEXITSTATUS(r->status));
	else if (WEXITSTATUS(r->status))
		c->failed = true;
}

static void check_section(struct check *c, unsigned i)
{
	const struct conf_section *s = conf_section_get(c->cf, i);
	bool component = is_component(s->keyword);
	struct conf_common common;

	if (!component && !(s->has_path && s->has_start_action)) {
		unknown_section(c, i, s->keyword);
		return;
	}
	conf_apply_common(c->cf, i, &common, !component);
	if (!c->readable)
		return;
	conf_common_check(c->cf, i, &common, c->as_root);
	if (component && common.path)
		begin_program(c, i, &common);
}

static void print_all(struct check *c, FILE *out)
{
	struct lines all = { 0 };
	char *own = NULL;
	size_t n;
	FILE *f = open_memstream(&own, &n);

	if (!f)
		panic("no memory for the messages");
	conf_print_report(c->cf, f);
	fclose(f);
	add_lines(&all, own, c->file);
	for (unsigned i = 0; i < c->run_count; i++)
		add_lines(&all, c->runs[i].output, c->file);
	for (size_t i = 0; i < all.count; i++)
		fprintf(out, "%s\n", all.line[i].text);
	free(all.line);
	free(own);
}

int precheck_file(const char *path, bool as_root, FILE *out, struct held_list *keep)
{
	struct check c = { .cf = conf_new(), .file = path, .as_root = as_root, .keep = keep };
	struct conf_global g;

	c.readable = !conf_read(c.cf, path);
	conf_apply_global(c.cf, &g);
	c.runs = xcalloc(conf_section_count(c.cf) + 1, sizeof *c.runs);
	for (unsigned i = 0; i < conf_section_count(c.cf); i++)
		check_section(&c, i);
	for (unsigned i = 0; i < c.run_count; i++)
		end_program(&c, &c.runs[i]);
	print_all(&c, out);
	int rc = c.failed || conf_error_count(c.cf) ? -EINVAL : 0;
	if (rc && keep)
		held_drop_all(keep);
	for (unsigned i = 0; i < c.run_count; i++)
		free(c.runs[i].output);
	free(c.runs);
	conf_free(c.cf);
	return rc;
}
