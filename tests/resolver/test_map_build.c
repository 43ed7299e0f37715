#include "resolver/map_build.h"

#include "core/map.h"
#include "tests/resolver/map_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name, *text, *want;
} bad[] = {
	{ "duplicate key", "a 1\nb 2\na 3\n", "t:3: duplicate key \"a\", first in line 1\n" },
	{ "duplicate but for case", "Ab 1\naB 2\n",
	  "t:2: duplicate key \"ab\", first in line 1\n" },
	{ "duplicate but for a colon", "a: 1\na 2\n",
	  "t:2: duplicate key \"a\", first in line 1\n" },
	{ "three times", "a 1\na 2\na 3\n",
	  "t:2: duplicate key \"a\", first in line 1\nt:3: duplicate key \"a\", first in line 1\n" },
	{ "no value", "a 1\nb\n", "t:2: expected a value behind the key\n" },
	{ "several", "b\n: c\n",
	  "t:1: expected a value behind the key\nt:2: expected a key in front of the colon\n" },
};

static void test_bad(void)
{
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct report r = { 0 };
		struct map_build *b = map_build_new(false);

		is_int(map_build_text(b, "t", span_str(bad[i].text), &r), -EINVAL, bad[i].name);
		is_str(fixture_report(&r), bad[i].want, bad[i].name);
		map_build_free(b);
		report_free(&r);
	}
}

static unsigned files_in(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static int write_map(const char *path, const char *text, bool keep_case)
{
	struct report r = { 0 };
	struct map_build *b = map_build_new(keep_case);
	int rc = map_build_text(b, "t", span_str(text), &r);

	if (!rc)
		rc = map_build_write(b, path, &r);
	map_build_free(b);
	if (rc)
		diag("%s", fixture_report(&r));
	report_free(&r);
	return rc;
}

static void get_is(const char *path, const char *key, const char *want, const char *name)
{
	struct report r = { 0 };
	struct map *m = map_open_hash("m", path, &r);
	struct span v = { NULL, 0 };
	int rc = m ? map_get(m, span_str(key), &v) : -EIO;

	if (want)
		is_mem(v.p, v.n, want, strlen(want), name);
	else
		is_int(rc, -ENOENT, name);
	map_put_ref(m);
	report_free(&r);
}

static void test_files(void)
{
	char *path = fixture_path("one/a.db"), *dir = fixture_path("one");
	struct stat st;

	mkdir(dir, 0755);
	mode_t mask = umask(027);
	is_int(write_map(path, "Key 1\n", false), 0, "written");
	umask(mask);
	stat(path, &st);
	is_int(st.st_mode & 0777, 0640, "a new file obeys the umask");
	is_int(files_in(dir), 1, "no lock file, no temporary file");
	get_is(path, "key", "1", "found");
	chmod(path, 0604);
	ino_t before = st.st_ino;
	is_int(write_map(path, "Key 2\n", true), 0, "replaced");
	stat(path, &st);
	is_int(st.st_mode & 0777, 0604, "the mode of the old file stays");
	ok(st.st_ino != before, "it is another file: readers of the old one keep it");
	get_is(path, "Key", "2", "keys keep their case");
	get_is(path, "key", NULL, "and lookups are exact");
	is_int(write_map(path, "", false), 0, "an empty map");
	get_is(path, "Key", NULL, "nothing is in it");
	is_int(write_map(path, "a 1\nab 1\nb 1\naa 2\na\xff 4\n", false), 0, "keys in any order");
	get_is(path, "aa", "2", "a key between others");
	get_is(path, "a\xff", "4", "a key with a large byte");
	is_int(write_map(dir, "a 1\n", false), -EISDIR, "a folder is not replaced");
	is_int(files_in(dir), 1, "nothing was left behind");
	char *none = fixture_path("none/a.db");
	is_int(write_map(none, "a 1\n", false), -ENOENT, "no such folder");
	free(none);
	free(path);
	free(dir);
}

/* Larger than the first guess of the size: long values and several commits. */
static void test_large(void)
{
	enum { COUNT = 120000 };
	char *path = fixture_path("large.db"), *text = malloc(COUNT * 24 + 1), key[32];
	char *big = malloc(200010);
	size_t n = 0;

	for (unsigned i = 0; i < COUNT; i++)
		n += (size_t)sprintf(text + n, "k%u %u\n", i * 7919u % 1000003u, i);
	is_int(write_map(path, text, false), 0, "120000 entries");
	snprintf(key, sizeof key, "k%u", 119999u * 7919u % 1000003u);
	get_is(path, key, "119999", "the last one is there");
	memset(big, 'v', 200000);
	memcpy(big, "x ", 2);
	big[200000] = 0;
	is_int(write_map(path, big, false), 0, "a value of 200000 bytes");
	get_is(path, "x", big + 2, "comes back");
	free(big);
	free(text);
	free(path);
}

int main(void)
{
	test_bad();
	test_files();
	test_large();
	return plan_done();
}
