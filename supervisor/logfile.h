/*
 * supervisor/logfile.h - NAME.log, to which a component's descriptors 1 and 2 go.
 *
 * Owner:  the caller's only thread.
 * Memory: none; the caller closes the descriptor.
 */
#ifndef SUPERVISOR_LOGFILE_H
#define SUPERVISOR_LOGFILE_H
#include "supervisor/account.h"

#include <stddef.h>

enum { LOGFILE_MODE = 0640, LOGFILE_PATH_BYTES = 4096 };

/* DIR/NAME.log, or DIR/NAMEid.log when id is not negative. 0 or -ENAMETOOLONG. */
int logfile_path(const char *dir, const char *name, int id, char *dst, size_t cap);

/*
 * logfile_open - for appending; made when missing, owned by the account. An existing file is opened
 * with no more rights than the account has. Returns the descriptor (close-on-exec) or a negative
 * errno: -EACCES is a file that the account may not write, -ELOOP a symbolic link, -EINVAL no file.
 */
int logfile_open(const char *path, const struct account *a);

#endif
