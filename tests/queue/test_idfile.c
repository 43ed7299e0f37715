#include "queue/idfile.h"

#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[400];

static void path_of(char path[500], const char *name)
{
	snprintf(path, 500, "%s/%s", dir, name);
}

/* A folder whose CURRENT says this; NULL: it has none. */
static void begin(const char *name, const char *current)
{
	char path[500];

	snprintf(dir, sizeof dir, "%s/%s", tap_tmpdir(), name);
	mkdir(dir, 0700);
	path_of(path, "CURRENT");
	unlink(path);
	if (!current)
		return;
	FILE *f = fopen(path, "w");
	fputs(current, f);
	fclose(f);
}

static void change_byte(long at)
{
	char path[500];

	path_of(path, "ids");
	FILE *f = fopen(path, "r+");
	fseek(f, at, SEEK_SET);
	int c = fgetc(f);
	fseek(f, at, SEEK_SET);
	fputc(c ^ 1, f);
	fclose(f);
}

static void test_believed(void)
{
	uint64_t v = 7;

	begin("good", "MANIFEST-000005\n");
	is_int(idfile_read(dir, &v), -ENOENT, "no file");
	is_int((long long)v, 0, "says nothing");
	is_int(idfile_write(dir, 123456789), 0, "write");
	is_int(idfile_read(dir, &v), 0, "read");
	is_int((long long)v, 123456789, "what was written");
	is_int(idfile_write(dir, 1ll << 55), 0, "write over it");
	is_int(idfile_read(dir, &v), 0, "read again");
	ok(v == 1ull << 55, "the last one counts");
}

static void test_other_state(void)
{
	uint64_t v;

	begin("state", "MANIFEST-000005\n");
	idfile_write(dir, 1000);
	begin("state", "MANIFEST-000006\n");
	is_int(idfile_read(dir, &v), -ESTALE, "the database was opened by somebody else since");
	is_int((long long)v, 1000, "it is a hint");
	begin("state", NULL);
	is_int(idfile_read(dir, &v), -ESTALE, "the database has gone");
	is_int((long long)v, 1000, "it is a hint, too");
	is_int(idfile_write(dir, 2000), -ENOENT, "nothing to write it for");
	is_int(idfile_read(dir, &v), -ENOENT, "and nothing is left that says less than is in use");
}

static void test_damaged(void)
{
	char path[500];
	uint64_t v;

	for (long at = 0; at < 64; at++) {
		begin("damaged", "MANIFEST-000005\n");
		idfile_write(dir, 1000);
		change_byte(at);
		if (idfile_read(dir, &v) == -EBADMSG && v == 0)
			continue;
		ok(false, "byte %ld is changed: not believed", at);
		return;
	}
	ok(true, "a changed byte is found, wherever it is");
	path_of(path, "ids");
	is_int(truncate(path, 20), 0, "cut off");
	is_int(idfile_read(dir, &v), -EBADMSG, "not believed");
	is_int(idfile_write(dir, 5000), 0, "written again");
	is_int(idfile_read(dir, &v), 0, "it is whole");
	is_int((long long)v, 5000, "and says what was written");
}

int main(void)
{
	test_believed();
	test_other_state();
	test_damaged();
	return plan_done();
}
