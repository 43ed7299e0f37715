/*
 * queue/memory.h - how much memory this process could still get: of the machine, or of its control
 * group when that has less.
 *
 * Threads: any; reads a handful of small files, so not more often than once a second.
 * Source:  proc(5), MemAvailable; control groups version 2 and 1, memory controller. What the page
 *          cache holds in a group counts as available.
 */
#ifndef QUEUE_MEMORY_H
#define QUEUE_MEMORY_H
#include <stdint.h>

struct memory {
	uint64_t total_bytes, available_bytes;
};

/* root: "" on a real system, else the folder that /proc and /sys are looked for in. 0, or -errno
 * when even /proc/meminfo cannot be read; *out is unchanged then. */
int memory_read(const char *root, struct memory *out);

#endif
