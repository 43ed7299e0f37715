/*
 * resolver/createmap.c - the tool that makes, prints and tests maps of type hash; see createmap(8).
 *
 * As root it becomes the owner of the folder of the map before it writes.
 * Exit codes: sysexits.h; -t: 1 when the key is not there.
 */
#include "core/map.h"
#include "resolver/alias_text.h"
#include "resolver/map_build.h"
#include "resolver/map_text.h"

#include "core/err.h"

#include <errno.h>
#include <grp.h>
#include <lmdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { EX_NOT_FOUND = 1, READ_STEP = 1 << 16 };

struct args {
	const char *map;
	const char *key;   /* -t */
	const char *input; /* NULL: stdin */
	bool keep_case, dump, aliases;
	unsigned version;
};

static void usage(FILE *out)
{
	fputs("usage: createmap [-c] [-A] -F MAP.db [FILE]  make a map from FILE or standard input\n"
	      "       createmap -F MAP.db -d              print a map as text\n"
	      "       createmap -F MAP.db -t KEY          print the value of KEY; exit 1 when there is none\n"
	      "  -c   keep the case of keys, lookups are exact\n"
	      "  -A   check keys and values as those of aliases; a map aliases.db is checked anyway\n"
	      "  -h   this text     -V  version, -VV with libraries\n"
	      "A line is a key, white space, the value. One trailing colon of the key is dropped;\n"
	      "# begins a comment line; a line that begins with white space continues the last one.\n",
	      out);
}

static void parse_args(int argc, char **argv, struct args *a)
{
	int c;

	while ((c = getopt(argc, argv, "AF:cdt:hV")) != -1) {
		switch (c) {
		case 'F':
			a->map = optarg;
			break;
		case 'A':
			a->aliases = true;
			break;
		case 'c':
			a->keep_case = true;
			break;
		case 'd':
			a->dump = true;
			break;
		case 't':
			a->key = optarg;
			break;
		case 'V':
			a->version++;
			break;
		case 'h':
			usage(stdout);
			exit(EX_OK);
		default:
			usage(stderr);
			exit(EX_USAGE);
		}
	}
	if (a->version)
		return;
	if (optind < argc)
		a->input = argv[optind++];
	bool reads = a->dump || a->key;
	if (!a->map || !*a->map || optind < argc || (a->dump && a->key) ||
	    (reads && (a->input || a->keep_case || a->aliases))) {
		usage(stderr);
		exit(EX_USAGE);
	}
}

/* Root must not write into a folder that another account may change under its feet. */
static void become_owner(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (geteuid() != 0)
		return;
	char *dir =
		slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
	if (!dir || stat(dir, &st))
		fatal(EX_CANTCREAT, "%s: %s", dir ? dir : path, strerror(errno));
	free(dir);
	if (st.st_uid == 0)
		return;
	struct passwd *pw = getpwuid(st.st_uid);
	gid_t gid = pw ? pw->pw_gid : st.st_gid;
	int rc = pw ? initgroups(pw->pw_name, gid) : setgroups(1, &gid);
	if (rc || setgid(gid) || setuid(st.st_uid))
		fatal(EX_NOPERM, "cannot become the owner of the folder of %s: %s", path,
		      strerror(errno));
}

static void read_all(FILE *f, const char *name, struct buf *b)
{
	size_t n;

	do {
		char *p = buf_room(b, READ_STEP);

		if (!p)
			fatal(EX_OSERR, "%s: too large", name);
		n = fread(p, 1, READ_STEP, f);
		buf_wrote(b, n);
	} while (n);
	if (ferror(f))
		fatal(EX_IOERR, "%s: %s", name, strerror(errno));
}

static int exit_code(int rc)
{
	switch (rc) {
	case 0:
		return EX_OK;
	case -EACCES:
	case -EPERM:
		return EX_NOPERM;
	case -ENOSPC:
	case -EIO:
	case -EDQUOT:
		return EX_IOERR;
	default:
		return EX_CANTCREAT;
	}
}

/* Prints what is in r, says how much was left out. */
static void complain(const struct report *r)
{
	struct span t = buf_span(&r->text);
	unsigned all = r->error_count + r->warning_count;

	if (t.n)
		fwrite(t.p, 1, t.n, stderr);
	if (all > REPORT_LINES_MAX)
		fprintf(stderr, "%u more\n", all - REPORT_LINES_MAX);
}

static void on_signal(int sig)
{
	map_build_abort();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* By its name, or because it was said. */
static bool is_aliases(const struct args *a)
{
	const char *slash = strrchr(a->map, '/');

	return a->aliases || !strcmp(slash ? slash + 1 : a->map, "aliases.db");
}

static int make(const struct args *a)
{
	const char *name = a->input ? a->input : "stdin";
	FILE *f = a->input ? fopen(a->input, "re") : stdin;
	struct buf text = { 0 };
	struct report r = { 0 };

	if (!f)
		fatal(EX_NOINPUT, "%s: %s", name, strerror(errno));
	become_owner(a->map);
	read_all(f, name, &text);
	struct map_build *b = map_build_new(a->keep_case);
	map_build_check(b, is_aliases(a) ? alias_text_check : NULL);
	int rc = map_build_text(b, name, buf_span(&text), &r), code = EX_OK;
	if (rc == -ENOMEM)
		fatal(EX_OSERR, "%s: out of memory", name);
	if (rc) {
		code = EX_DATAERR;
	} else {
		static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };

		for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++)
			signal(sigs[i], on_signal);
		code = exit_code(map_build_write(b, a->map, &r));
	}
	complain(&r);
	if (code)
		fprintf(stderr, "createmap: %s is unchanged\n", a->map);
	map_build_free(b);
	buf_release(&text);
	report_free(&r);
	if (a->input)
		fclose(f);
	return code;
}

static struct map *open_map(const struct args *a)
{
	struct report r = { 0 };

	become_owner(a->map);
	struct map *m = map_open_hash(a->map, a->map, &r);
	if (!m || r.warning_count) {
		complain(&r);
		exit(m ? EX_NOINPUT : EX_DATAERR);
	}
	report_free(&r);
	return m;
}

/* A key that ends in a colon is written with another, so that the text gives the same map. */
static int print_row(void *ctx, struct span key, struct span value)
{
	const char *sep = key.n && key.p[key.n - 1] == ':' ? ":\t" : "\t";

	(void)ctx;
	fwrite(key.p, 1, key.n, stdout);
	fputs(sep, stdout);
	fwrite(value.p, 1, value.n, stdout);
	putchar('\n');
	return ferror(stdout) ? -EIO : 0;
}

static int dump(const struct args *a)
{
	struct map *m = open_map(a);
	int rc = map_walk(m, SPAN(""), print_row, NULL);

	map_put_ref(m);
	if (fflush(stdout) || rc)
		fatal(EX_IOERR, "cannot print %s: %s", a->map, strerror(rc ? -rc : errno));
	return EX_OK;
}

static int test_key(const struct args *a)
{
	struct map *m = open_map(a);
	struct span value;
	int rc = map_get(m, map_text_key(span_str(a->key)), &value);

	if (rc && rc != -ENOENT)
		fatal(EX_IOERR, "cannot read %s: %s", a->map, strerror(-rc));
	if (!rc)
		printf("%.*s\n", (int)value.n, value.p);
	map_put_ref(m);
	return rc ? EX_NOT_FOUND : EX_OK;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };

	err_plain();
	parse_args(argc, argv, &a);
	if (a.version) {
		printf("createmap %s\n", SMX_VERSION);
		if (a.version > 1)
			printf("%s\n", mdb_version(NULL, NULL, NULL));
		return EX_OK;
	}
	if (a.dump)
		return dump(&a);
	return a.key ? test_key(&a) : make(&a);
}
