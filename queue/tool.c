#include "queue/qclock.h"
#include "queue/tool.h"

#include "core/err.h"
#include "core/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* ---- the spool */

static bool is_spool(const struct tool_spool *t)
{
	return access(t->opt.defedb_base_directory, F_OK) == 0;
}

static void enter(const struct tool_spool *t, const char *dir)
{
	if (!dir)
		dir = getenv("SMX_SPOOL");
	if (!dir && is_spool(t) && access("qmsmtps", F_OK) == 0)
		return;
	if (!dir)
		dir = SMX_SPOOLDIR;
	if (chdir(dir))
		fatal(EX_NOINPUT, "%s: %s", dir, strerror(errno));
	if (!is_spool(t))
		fatal(EX_NOINPUT, "%s is no spool of smX: it has no %s", dir,
		      t->opt.defedb_base_directory);
}

static void become_owner(const char *path)
{
	struct stat st;

	if (geteuid() != 0)
		return;
	if (stat(path, &st))
		fatal(EX_NOINPUT, "%s: %s", path, strerror(errno));
	if (st.st_uid == 0)
		fatal(EX_NOPERM, "%s belongs to root, not to the account of qmgr", path);
	struct passwd *pw = getpwuid(st.st_uid);
	if ((pw ? initgroups(pw->pw_name, st.st_gid) : setgroups(0, NULL)) || setgid(st.st_gid) ||
	    setuid(st.st_uid))
		fatal(EX_NOPERM, "cannot become the owner of %s: %s", path, strerror(errno));
}

static bool uses_installed_spool(const char *dir)
{
	return !dir && !getenv("SMX_SPOOL") && (access("defedb", F_OK) || access("qmsmtps", F_OK));
}

void tool_begin(struct tool_spool *t, const char *dir, const char *conf, const char *socket)
{
	struct conf *cf = conf_new();
	int rc = 0;

	memset(t, 0, sizeof *t);
	if (!conf && uses_installed_spool(dir) && access(SMX_CONFDIR "/smx.conf", R_OK) == 0)
		conf = SMX_CONFDIR "/smx.conf";
	if (conf)
		rc = conf_read(cf, conf);
	if (!rc)
		rc = conf_apply(cf, &qmgr_options_component, NULL, &t->opt, &t->global);
	if (rc) {
		conf_print_report(cf, stderr);
		exit(EX_CONFIG);
	}
	/* cf owns the strings and stays to the end. */
	t->socket = socket ? socket : t->opt.control_socket;
	/* Who names the socket needs no spool. */
	if (socket && socket[0] == '/' && !dir && !is_spool(t))
		return;
	enter(t, dir);
	become_owner(t->opt.defedb_base_directory);
}

void tool_version(const char *name, unsigned level)
{
	printf("%s: smX %s\n", name, SMX_VERSION);
	if (level >= 2)
		printf("configuration %s, spool %s\n", SMX_CONFDIR, SMX_SPOOLDIR);
	if (level >= 3)
		printf("users: smtps %s, qmgr %s, smtpc %s, smar %s, others %s\n", SMX_SMTPS_USER,
		       SMX_QMGR_USER, SMX_SMTPC_USER, SMX_SMAR_USER, SMX_OTHER_USER);
}

/* ---- the selector */

static _Noreturn void show_mistake(const struct buf *text, const struct select_error *e)
{
	struct span s = buf_span(text);
	size_t from = e->at > 60 ? e->at - 60 : 0;

	fprintf(stderr, "%s\n", e->text);
	fprintf(stderr, "  %.*s\n", (int)(s.n - from < 100 ? s.n - from : 100), s.p + from);
	fprintf(stderr, "  %*s^\n", (int)(e->at - from), "");
	exit(EX_USAGE);
}

void tool_selector(char **word, int count, struct buf *text)
{
	struct select_error e;

	for (int i = 0; i < count; i++)
		if (strchr(word[i], '\n') || select_add_word(text, span_str(word[i])))
			fatal(EX_USAGE, "a line break in the selector");
	struct select *s = select_parse(buf_span(text), &e);
	if (!s)
		show_mistake(text, &e);
	select_free(s);
}

/* ---- the running qmgr */

static int send_all(int fd, const char *request)
{
	struct buf b = { 0 };
	int rc = buf_printf(&b, "%s\n", request);

	while (!rc && buf_len(&b)) {
		ssize_t n = send(fd, buf_span(&b).p, buf_len(&b), MSG_NOSIGNAL);

		if (n >= 0)
			buf_eat(&b, (size_t)n);
		else if (errno != EINTR)
			rc = -errno;
	}
	buf_release(&b);
	return rc;
}

struct answer {
	struct buf b; /* not copied yet: may be the mark, or the begin of an error */
	bool mark;
	bool answered;
	int exit; /* not 0: it is an error */
};

/* Says what is wrong; the lines behind the first go to stderr too. Returns the exit code. */
static int tell_error(struct span s)
{
	static const struct {
		struct span begin;
		int exit;
	} kinds[] = { { { "usage: ", 7 }, EX_USAGE },
		      { { "config: ", 8 }, EX_CONFIG },
		      { { "denied: ", 8 }, EX_NOPERM },
		      { { "busy: ", 6 }, EX_TEMPFAIL } };
	int code = EX_UNAVAILABLE;

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (span_startswith(s, kinds[i].begin)) {
			code = kinds[i].exit;
			s = span_from(s, kinds[i].begin.n);
		}
	fprintf(stderr, "%s: %.*s\n", program_invocation_short_name, (int)s.n, s.p);
	return code;
}

/* Copies all but what may still be the mark. */
static void copy(struct answer *a, bool end)
{
	struct span s = buf_span(&a->b);
	size_t keep = end || !a->mark ? 0 : s.n < 2 ? s.n : 2;

	if (!a->exit && span_startswith(s, SPAN("error: "))) {
		size_t nl = span_chr(s, '\n');

		if (nl == s.n && !end)
			return;
		a->exit = tell_error(span_of(s.p + 7, nl - 7));
		buf_eat(&a->b, nl < s.n ? nl + 1 : nl);
		copy(a, end);
		return;
	}
	if (s.n < 7 && !end)
		return;
	if (s.n > keep && fwrite(s.p, 1, s.n - keep, a->exit ? stderr : stdout) != s.n - keep)
		fatal(EX_IOERR, "cannot write: %s", strerror(errno));
	buf_eat(&a->b, s.n - keep);
}

static int finish(struct answer *a)
{
	struct span s = buf_span(&a->b);
	bool marked = a->mark && (span_eq(s, SPAN(".\n")) || span_endswith(s, SPAN("\n.\n")));
	bool cut = a->mark && !a->exit && !marked;

	if (marked)
		a->b.w -= 2;
	copy(a, true);
	if (fflush(stdout))
		fatal(EX_IOERR, "cannot write: %s", strerror(errno));
	buf_release(&a->b);
	if (cut)
		fatal(EX_PROTOCOL, "the answer of qmgr was cut");
	return a->exit;
}

/* No answer at all is the end of qmgr, if it did not read all that was sent, or would say something. */
static bool is_gone(ssize_t n, const char *room, int sent, enum tool_whole whole)
{
	if (n < 0)
		return room && errno == ECONNRESET;
	return n == 0 && (sent || whole != TOOL_MAY_BE_EMPTY);
}

int tool_ask(const struct tool_spool *t, const char *request, enum tool_whole whole)
{
	struct answer a = { .mark = whole == TOOL_MARKED };
	int fd = sock_connect_unix(t->socket), rc;

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return TOOL_NOT_RUNNING;
	rc = fd < 0 ? fd : fcntl(fd, F_SETFL, 0) ? -errno : send_all(fd, request);
	if (rc == -EACCES || rc == -EPERM)
		fatal(EX_NOPERM,
		      "%s: %s: only root, the accounts of smX and the user that qmgr runs as may ask it",
		      t->socket, strerror(-rc));
	/* Who is refused is told why, and nobody reads what it asks. */
	if (rc && rc != -EPIPE && rc != -ECONNRESET)
		fatal(EX_UNAVAILABLE, "%s: %s", t->socket, strerror(-rc));
	for (;;) {
		char *to = buf_room(&a.b, 65536);
		ssize_t n = to ? recv(fd, to, 65536, 0) : -1;

		if (n < 0 && to && errno == EINTR)
			continue;
		if (!a.answered && is_gone(n, to, rc, whole)) {
			close(fd);
			buf_release(&a.b);
			return TOOL_GONE;
		}
		if (n < 0 && !(errno == ECONNRESET && a.exit))
			fatal(EX_IOERR, "%s: %s", t->socket, strerror(errno));
		if (n <= 0)
			break;
		a.answered = true;
		buf_wrote(&a.b, (size_t)n);
		copy(&a, false);
	}
	close(fd);
	return finish(&a);
}

/* ---- the database */

pid_t tool_database_user(const struct tool_spool *t)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[CDB_PATH_MAX];

	snprintf(path, sizeof path, "%sLOCK", t->opt.defedb_base_directory);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	int rc = fcntl(fd, F_GETLK, &lock);
	close(fd);
	return rc || lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

bool tool_wait_end(pid_t pid, int limit_ms)
{
	struct pollfd p = { .fd = pidfd_open(pid, 0), .events = POLLIN };

	if (p.fd < 0)
		return errno == ESRCH;
	bool ended = poll(&p, 1, limit_ms) == 1;
	close(p.fd);
	return ended;
}

struct store *tool_open_store(const struct tool_spool *t, char *why, size_t cap)
{
	struct store_setup set = { .dir = t->opt.defedb_base_directory,
				   .log_dir = t->opt.defedb_log_directory,
				   .cache_bytes = 8 << 20,
				   .page_bytes = t->opt.defedb_page_size,
				   .log_bytes = t->opt.ibdb_size,
				   .read_only = true };
	bool created;
	int error;

	struct store *s = store_open(&set, &error, why, cap, &created);

	/* Times are shown, and written by a rebuild, as qmgr would. */
	if (s)
		qclock_start(s, t->opt.queue_return_timeout);
	return s;
}
