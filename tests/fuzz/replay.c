/*
 * tests/fuzz/replay.c - main() of a fuzz target that is not built with libFuzzer: gives it every
 * file of tests/fuzz/corpus/NAME, for a program called fuzz_NAME. Files may be named on the command
 * line instead, to look at one crash.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/tap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The file is in a block of exactly its size, so that a sanitizer sees the first byte too many. */
static void replay(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st)) {
		ok(false, "%s can be read", path);
		return;
	}
	uint8_t *data = malloc(st.st_size ? (size_t)st.st_size : 1);
	ssize_t n = data ? read(fd, data, (size_t)st.st_size) : -1;
	close(fd);
	if (ok(n == st.st_size, "%s", path))
		LLVMFuzzerTestOneInput(data, (size_t)n);
	free(data);
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash ? slash + 1 : argv[0];
	struct dirent **list;
	char path[4096];

	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (argc > 1)
		return plan_done();
	if (!strncmp(name, "fuzz_", 5))
		name += 5;
	snprintf(path, sizeof path, "tests/fuzz/corpus/%s", name);
	int n = scandir(path, &list, visible, alphasort);
	ok(n > 0, "there are files in %s", path);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "tests/fuzz/corpus/%s/%s", name, list[i]->d_name);
		replay(path);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return plan_done();
}
