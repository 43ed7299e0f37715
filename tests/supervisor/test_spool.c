#include "supervisor/spool.h"

#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct account me, other;

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_mode & 07777;
}

/* Runs spool_prepare() and gives back what it says; the caller frees. */
static char *prepare(const struct spool_owners *own, const char *base, bool as_root, int *rc)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	*rc = spool_prepare(own, base, as_root, f);
	fclose(f);
	return text;
}

static const struct {
	const char *path;
	mode_t mode;
} dirs[] = { { "0", 0771 },      { "9", 0771 },       { "A", 0771 },       { "F", 0771 },
	     { "defedb", 0700 }, { "ibdb", 0700 },    { "qmsmar", 02770 }, { "qmsmtpc", 02770 },
	     { "smtps", 0750 },  { "qmsmtps", 02770 } };

static void test_make(void)
{
	struct spool_owners own = { &me, &me, &me, &me };
	int rc;
	mode_t old = umask(077);

	free(prepare(&own, "", false, &rc));
	umask(old);
	is_int(rc, 0, "an empty spool is filled");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		is_int(mode_of(dirs[i].path), dirs[i].mode, dirs[i].path);
	chmod("smtps", 0755);
	char *said = prepare(&own, "", false, &rc);
	ok(!rc && !*said && mode_of("smtps") == 0755, "what exists is left alone");
	free(said);

	rmdir("ibdb");
	FILE *f = fopen("ibdb", "w");
	fclose(f);
	said = prepare(&own, "", false, &rc);
	ok(rc == -EINVAL && strstr(said, "ibdb is not a directory"), "a file in its place");
	free(said);
	unlink("ibdb");
	free(prepare(&own, "no/such/", false, &rc));
	is_int(rc, -EINVAL, "a base directory that is not there");
}

static void test_some(const char *dir)
{
	struct spool_owners own = { .qmgr = &me, .smar = &me };
	int rc;

	if (mkdir("some", 0700) || chdir("some"))
		diag("%s: %s", dir, strerror(errno));
	free(prepare(&own, "", false, &rc));
	is_int(rc, 0, "only two components");
	ok(mode_of("defedb") && mode_of("qmsmar") && !mode_of("qmsmtpc") && !mode_of("0"),
	   "... get only their directories");
	if (chdir(dir))
		diag("%s: %s", dir, strerror(errno));
}

static void test_root(const char *dir)
{
	struct spool_owners own = { &other, &other, &other, &other };
	struct stat st;
	int rc;

	if (geteuid() != 0) {
		skip("owners: not root");
		return;
	}
	if (mkdir("root", 0755) || chdir("root"))
		diag("%s: %s", dir, strerror(errno));
	char *said = prepare(&own, "", true, &rc);
	ok(rc && strstr(said, "chown root:") && strstr(said, "chmod 0771"),
	   "a wrong owner and mode of the spool");
	ok(!mode_of("0"), "... nothing is made in it");
	free(said);
	if (chown(".", 0, other.gid) || chmod(".", 0771))
		diag("chown: %s", strerror(errno));
	free(prepare(&own, "", true, &rc));
	is_int(rc, 0, "with the right owner it is filled");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		ok(!stat(dirs[i].path, &st) && st.st_uid == other.uid && st.st_gid == other.gid &&
			   (st.st_mode & 07777) == dirs[i].mode,
		   "%s has owner and mode", dirs[i].path);
	if (chown("A", 0, 0))
		diag("chown: %s", strerror(errno));
	said = prepare(&own, "", true, &rc);
	ok(rc && strstr(said, "/A\n"), "a wrong owner");
	ok(!stat("A", &st) && st.st_uid == 0, "... is not changed");
	free(said);
}

int main(void)
{
	const char *dir = tap_tmpdir();
	char why[200];

	/* What we make in the folder must not stop the others from being reached. */
	if (chdir(dir) || account_find(NULL, NULL, &me, why, sizeof(why)) ||
	    account_find("nobody", NULL, &other, why, sizeof(why)))
		return 1;
	test_make();
	test_some(dir);
	test_root(dir);
	account_free(&me);
	account_free(&other);
	if (chdir("/"))
		return 1;
	return plan_done();
}
