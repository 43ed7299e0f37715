/*
 * core/syncdir.h - makes the names in a folder as durable as the bytes of its files.
 *
 * Blocks. Any thread.
 */
#ifndef CORE_SYNCDIR_H
#define CORE_SYNCDIR_H

/* What was created, renamed or removed in this folder before is on disk. 0 or -errno. */
int syncdir(const char *path);

#endif
