/*
 * core/err.h - the two ways out of the program; everything else returns -errno.
 *
 * Nothing that came from a socket may reach fatal() or panic().
 */
#ifndef CORE_ERR_H
#define CORE_ERR_H

/* Start-up or configuration is unusable: print to stderr and exit with a code of sysexits.h. Any
 * thread. */
_Noreturn void fatal(int sysexit, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* From now on fatal() prints what a person at a terminal wants to read, without the sev= of log
 * files: for the main() of a tool. */
void err_plain(void);

/* Our own bug: print and dump core. Any thread. */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Memory that the program cannot go on without: panics instead of returning NULL. The caller frees.
 */
void *xmalloc(unsigned long bytes);
void *xcalloc(unsigned long count, unsigned long bytes);
void *xrealloc(void *p, unsigned long bytes);
char *xstrdup(const char *s);

#endif
