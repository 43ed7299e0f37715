#include "queue/memory.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *root;

/* Writes a file below root, with its folders. */
static void put(const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof full, "%s/%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(full, 0700);
		*p = '/';
	}
	FILE *f = fopen(full, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

static void is_memory(const char *name, uint64_t total, uint64_t available)
{
	struct memory m = { 0 };

	is_int(memory_read(root, &m), 0, name);
	is_int(m.total_bytes, total, name);
	is_int(m.available_bytes, available, name);
}

int main(void)
{
	struct memory m;

	root = tap_tmpdir();
	is_int(memory_read(root, &m), -ENOENT, "no /proc");
	put("proc/meminfo", "nonsense\n");
	is_int(memory_read(root, &m), -EBADMSG, "no total");
	put("proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\nMemAvailable:     400 kB\n");
	is_memory("no groups", 1024000, 409600);
	put("proc/self/cgroup", "0::/a/b\n");
	is_memory("a group without a memory controller", 1024000, 409600);
	put("sys/fs/cgroup/a/b/memory.max", "max\n");
	put("sys/fs/cgroup/a/b/memory.current", "5000\n");
	put("sys/fs/cgroup/a/b/memory.stat", "anon 1\ninactive_file 1000\nactive_file 500\n");
	is_memory("no limit", 1024000, 409600);
	put("sys/fs/cgroup/a/b/memory.max", "10000\n");
	is_memory("a limit; the page cache is free", 10000, 6500);
	put("sys/fs/cgroup/a/memory.max", "8000\n");
	put("sys/fs/cgroup/a/memory.current", "9000\n");
	put("sys/fs/cgroup/a/memory.stat", "inactive_file 20000\n");
	is_memory("the group above has less", 8000, 6500);
	put("sys/fs/cgroup/a/memory.stat", "inactive_file 0\n");
	is_memory("and is full", 8000, 0);
	put("proc/self/cgroup", "8:pids:/x\n4:memory:/c\n0::/\n");
	put("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "100000\n");
	put("sys/fs/cgroup/memory/c/memory.usage_in_bytes", "70000\n");
	put("sys/fs/cgroup/memory/c/memory.stat",
	    "inactive_file 7\ntotal_inactive_file 10000\ntotal_active_file 20000\n");
	is_memory("version 1", 100000, 60000);
	is_int(memory_read("", &m), 0, "this machine");
	ok(m.total_bytes >= m.available_bytes && m.available_bytes, "has some left");
	return plan_done();
}
