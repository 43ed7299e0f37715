#include "queue/marks.h"
#include "core/span.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[300], path[400];

static size_t finished(uint64_t gen)
{
	struct marks_list l;
	int rc = marks_read(base, 0x15, gen, &l);
	size_t n = l.count;

	marks_list_free(&l);
	return rc ? 999999 : n;
}

static void tear(off_t bytes, const char *junk)
{
	int fd = open(path, O_RDWR);

	if (bytes)
		ok(!ftruncate(fd, bytes), "cut the file to %d", (int)bytes);
	else
		ok(pwrite(fd, junk, strlen(junk), lseek(fd, 0, SEEK_END)) > 0, "junk at the end");
	close(fd);
}

int main(void)
{
	struct marks *m = NULL;
	struct marks_list l;
	struct stat st;

	snprintf(base, sizeof base, "%s/", tap_tmpdir());
	snprintf(path, sizeof path, "%s5", base);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s5/M0000000000000015", base);
	is_int(marks_read(base, 0x15, 7, &l), -ENOENT, "no file");
	ok(!marks_add(&m, 0x15, 7, 4096, 100), "one waits");
	marks_add(&m, 0x15, 7, 8192, 200);
	ok(!marks_due(m, 100 + MARKS_WAIT_USEC - 1) && marks_due(m, 100 + MARKS_WAIT_USEC),
	   "for some seconds");
	marks_write(m, base);
	ok(!marks_due(m, INT64_MAX), "written");
	ok(!marks_read(base, 0x15, 7, &l) && l.count == 2 && marks_has(&l, 4096) &&
		   marks_has(&l, 8192) && !marks_has(&l, 64),
	   "both come back");
	marks_list_free(&l);
	is_int((int64_t)finished(8), 0, "nothing of it holds for another generation");
	marks_free(m);
	m = NULL;
	marks_add(&m, 0x15, 7, 64000, 0);
	marks_write(m, base);
	is_int((int64_t)finished(7), 3, "after a restart the file goes on");
	tear(3 * MARKS_ENTRY - 3, NULL);
	is_int((int64_t)finished(7), 2, "a torn entry says nothing");
	marks_add(&m, 0x15, 7, 128000, 0);
	marks_write(m, base);
	is_int((int64_t)finished(7), 3, "and does not shift those behind it");
	tear(0, "0123456789abcdefghijklmn");
	is_int((int64_t)finished(7), 3, "nor does junk say anything");
	bool full = false;
	for (unsigned i = 0; i < MARKS_WRITE_AT; i++)
		full = marks_add(&m, 0x15, 9, 4096 + i * 64, 0);
	ok(full, "enough to be written at once");
	marks_write(m, base);
	ok(finished(9) == MARKS_WRITE_AT && finished(7) == 0, "a new generation begins a new file");
	ok(!stat(path, &st) && st.st_size == MARKS_WRITE_AT * MARKS_ENTRY,
	   "which has nothing of the old one");
	marks_free(m);
	m = NULL;
	marks_add(&m, 0x16, 1, 4096, 0);
	marks_write(m, base);
	ok(true, "a folder that is not there is no reason to fail");
	marks_free(m);
	marks_remove(base, 0x15);
	is_int((int64_t)finished(9), 999999, "removed");
	return plan_done();
}
