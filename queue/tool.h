/*
 * queue/tool.h - what mailq, qmgrctl and cdbctl share: where the spool is, whose it is.
 */
#ifndef QUEUE_TOOL_H
#define QUEUE_TOOL_H

/* Changes to the spool: dir (-d), else $SMX_SPOOL, else the current folder if it is a spool, else the installed
 * one. Exits EX_USAGE or EX_NOINPUT with a message when there is none. */
void tool_enter_spool(const char *dir);
/* As root: becomes the owner of path (the folder of the database), so that nothing is left that qmgr cannot
 * write. Exits on failure. */
void tool_become_owner(const char *path);

#endif
