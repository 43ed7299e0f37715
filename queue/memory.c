#include "queue/memory.h"

#include "core/span.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 16384 };

struct files {
	const char *limit, *used, *stat;
	const char *cache[2]; /* rows of stat: pages that can be dropped */
};

static const struct files v2 = {
	"memory.max", "memory.current", "memory.stat", { "inactive_file ", "active_file " }
};
static const struct files v1 = { "memory.limit_in_bytes",
				 "memory.usage_in_bytes",
				 "memory.stat",
				 { "total_inactive_file ", "total_active_file " } };

static int slurp(const char *path, char *text, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, cap - 1);
	int rc = n < 0 ? -errno : 0;
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return rc;
}

/* The number behind `name` at the begin of a line; 0: it is not there. */
static uint64_t row(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, n) == 0)
			return strtoull(line + n, NULL, 10);
	}
	return 0;
}

static int number(const char *folder, const char *file, char *text, uint64_t *out)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
		return -ENAMETOOLONG;
	int rc = slurp(path, text, TEXT_MAX);
	if (rc)
		return rc;
	*out = strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
	return 0;
}

/* Narrows m to what this group has. */
static void narrow(const char *folder, const struct files *f, char *text, struct memory *m)
{
	uint64_t limit, used, ignored;

	if (number(folder, f->limit, text, &limit) || limit >= m->total_bytes ||
	    number(folder, f->used, text, &used) || number(folder, f->stat, text, &ignored))
		return;
	uint64_t cache = row(text, f->cache[0]) + row(text, f->cache[1]);
	used -= cache < used ? cache : used;
	m->total_bytes = limit;
	uint64_t left = limit > used ? limit - used : 0;
	if (left < m->available_bytes)
		m->available_bytes = left;
}

/* The group and all above it: each can have a limit. */
static void walk(const char *root, const char *mount, struct span group, const struct files *f,
		 char *text, struct memory *m)
{
	char folder[PATH_MAX];
	int n = snprintf(folder, sizeof folder, "%s%s%.*s", root, mount, (int)group.n, group.p);
	size_t top = strlen(root) + strlen(mount);

	if (n >= (int)sizeof folder)
		return;
	for (;;) {
		narrow(folder, f, text, m);
		char *slash = strrchr(folder, '/');
		if (!slash || (size_t)(slash - folder) < top)
			return;
		*slash = 0;
	}
}

/* The part before c, which is dropped; false: c is not there. */
static bool cut(struct span *rest, char c, struct span *part)
{
	size_t at = span_chr(*rest, c);

	if (at >= rest->n)
		return false;
	*part = span_head(*rest, at);
	*rest = span_from(*rest, at + 1);
	return true;
}

/* One row of /proc/self/cgroup: "id:controllers:/group". */
static void group_row(const char *root, struct span line, char *text, struct memory *m)
{
	struct span id, names;

	if (!cut(&line, ':', &id) || !cut(&line, ':', &names))
		return;
	if (!names.n)
		walk(root, "/sys/fs/cgroup", line, &v2, text, m);
	else if (span_eq(names, SPAN("memory")))
		walk(root, "/sys/fs/cgroup/memory", line, &v1, text, m);
}

int memory_read(const char *root, struct memory *out)
{
	char path[PATH_MAX], groups[4096], text[TEXT_MAX];
	struct span all, line;

	snprintf(path, sizeof path, "%s/proc/meminfo", root);
	int rc = slurp(path, text, sizeof text);
	if (rc)
		return rc;
	struct memory m = { row(text, "MemTotal:") * 1024, row(text, "MemAvailable:") * 1024 };
	if (!m.total_bytes)
		return -EBADMSG;
	snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
	if (slurp(path, groups, sizeof groups) == 0)
		for (all = span_str(groups); cut(&all, '\n', &line);)
			group_row(root, line, text, &m);
	*out = m;
	return 0;
}
