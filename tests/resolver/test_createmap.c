#include "tests/resolver/program.h"

#include <sys/stat.h>
#include <sysexits.h>

static char *in, *out;

/* createmap with these arguments in the test's folder, input as text. */
static int createmap(const char *input, char *const *argv)
{
	FILE *f = fopen(in, "we");

	fputs(input, f);
	fclose(f);
	return program_wait(program_start("createmap", argv, tap_tmpdir(), in, out, false));
}

#define ARGS(...) ((char *[]){ "createmap", __VA_ARGS__, NULL })

static const char text[] = "# a comment\n"
			   "Cltaddr:127: relay\n"
			   "oci: 5\n"
			   "list <a@b.c>\n"
			   "\t<d@e.f>\n"
			   "x:: y\n";
static const char dumped[] = "cltaddr:127\trelay\nlist\t<a@b.c> <d@e.f>\noci\t5\nx::\ty\n";

static void test_round_trip(void)
{
	is_int(createmap(text, ARGS("-F", "a.db")), EX_OK, "a map is made");
	is_str(program_text(out), "", "without a word");
	is_int(createmap("", ARGS("-F", "a.db", "-d")), EX_OK, "it is printed");
	is_str(program_text(out), dumped, "in the order of keys");
	is_int(createmap(dumped, ARGS("-F", "b.db")), EX_OK, "what was printed makes a map");
	is_int(createmap("", ARGS("-F", "b.db", "-d")), EX_OK, "it is printed");
	is_str(program_text(out), dumped, "it is the same");
	is_int(createmap("", ARGS("-F", "a.db", "-t", "CLTADDR:127")), EX_OK, "a key is there");
	is_str(program_text(out), "relay\n", "its value");
	is_int(createmap("", ARGS("-F", "a.db", "-t", "oci:")), EX_OK, "a key with a colon");
	is_int(createmap("", ARGS("-F", "a.db", "-t", "nothing")), 1, "a key is not there");
	is_str(program_text(out), "", "no value");
	is_int(createmap("Ab 1\nab 2\n", ARGS("-c", "-F", "c.db")), EX_OK, "keys keep their case");
	is_int(createmap("", ARGS("-F", "c.db", "-t", "Ab")), EX_OK, "found");
	is_str(program_text(out), "1\n", "its value");
	is_int(createmap("", ARGS("-F", "c.db", "-t", "AB")), 1, "lookups are exact");
}

static void test_errors(void)
{
	static const struct {
		const char *name, *input, *want;
	} bad[] = {
		{ "duplicate key", "a 1\nA: 2\n",
		  "stdin:2: duplicate key \"a\", first in line 1\n" },
		{ "no value", "a 1\n\nb\n", "stdin:3: expected a value behind the key\n" },
		{ "several", "b\na 1\na 2\n", "stdin:3: duplicate key \"a\", first in line 2\n" },
		{ "continuation of nothing", " a 1\n", "stdin:1: white space at the begin" },
	};

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		is_int(createmap(bad[i].input, ARGS("-F", "a.db")), EX_DATAERR, bad[i].name);
		ok(strstr(program_text(out), bad[i].want), "its message: %s", bad[i].want);
		is_int(createmap("", ARGS("-F", "a.db", "-d")), EX_OK, "the old map is there");
		is_str(program_text(out), dumped, "and unchanged");
	}
	char *file = fixture_file("bad.txt", "a\n");
	is_int(createmap("", ARGS("-F", "a.db", "bad.txt")), EX_DATAERR, "a text in a file");
	ok(strstr(program_text(out), "bad.txt:1: "), "the message names the file");
	free(file);
	is_int(createmap("", ARGS("-F", "a.db", "no.txt")), EX_NOINPUT, "no such text");
	is_int(createmap("a 1\n", ARGS("-F", "none/a.db")), EX_CANTCREAT, "no such folder");
	is_int(createmap("", ARGS("-F", "none.db", "-d")), EX_NOINPUT, "no such map");
	is_int(createmap("", ARGS("-F", "in", "-d")), EX_DATAERR, "not a map");
	is_int(createmap("", ARGS("-d")), EX_USAGE, "no map is named");
	is_int(createmap("", ARGS("-F", "a.db", "-d", "-t", "x")), EX_USAGE, "two things at once");
	is_int(createmap("", ARGS("-F", "a.db", "one", "two")), EX_USAGE, "too many files");
	is_int(createmap("", ARGS("-X")), EX_USAGE, "no such option");
	is_int(createmap("", ARGS("-h")), EX_OK, "-h");
	ok(strstr(program_text(out), "usage: createmap"), "says how it is used");
	is_int(createmap("", ARGS("-V")), EX_OK, "-V");
	is_str(program_text(out), "createmap " SMX_VERSION "\n", "says the version");
	is_int(createmap("", ARGS("-VV")), EX_OK, "-VV");
	ok(strstr(program_text(out), "LMDB"), "says more");
}

/* A map called aliases.db, and any with -A, holds aliases. */
static void test_aliases(void)
{
	is_int(createmap("a: <b@c.tld>, <d@e.tld>\n", ARGS("-F", "aliases.db")), EX_DATAERR,
	       "a bad alias");
	ok(strstr(program_text(out), "stdin:1: addresses are separated by white space"),
	   "is told with its line");
	is_int(createmap("a: <b@c.tld> <d@e.tld>\nu: local:\n", ARGS("-F", "aliases.db")), EX_OK,
	       "good ones");
	is_int(createmap("ok: x\n<a>: b\n", ARGS("-A", "-F", "other.db")), EX_DATAERR, "a bad key");
	ok(strstr(program_text(out), "stdin:2: expected a local part"), "is told with its line");
	is_int(createmap("<a>: <b\n", ARGS("-F", "other.db")), EX_OK,
	       "other maps may hold anything");
	is_int(createmap("", ARGS("-A", "-F", "other.db", "-d")), EX_USAGE, "-A does not read");
}

/* As root the map is written by the owner of its folder. */
static void test_owner(void)
{
	char *dir = fixture_path("owned"), *path = fixture_path("owned/a.db");
	struct stat st = { 0 };

	if (geteuid() != 0) {
		skip("only root can become another user");
		free(dir);
		free(path);
		return;
	}
	mkdir(dir, 0755);
	/* The folder above is closed to others. */
	if (chown(dir, PROGRAM_UID, PROGRAM_UID) || chmod(tap_tmpdir(), 0711))
		ok(false, "chown");
	is_int(createmap("a 1\n", ARGS("-F", "owned/a.db")), EX_OK,
	       "a map in a folder of another user");
	is_int(stat(path, &st), 0, "is there");
	is_int(st.st_uid, PROGRAM_UID, "and belongs to that user");
	free(dir);
	free(path);
}

int main(void)
{
	in = fixture_path("in");
	out = fixture_path("out");
	test_round_trip();
	test_errors();
	test_aliases();
	test_owner();
	return plan_done();
}
