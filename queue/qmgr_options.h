/*
 * queue/qmgr_options.h - the options of qmgr.
 *
 * Owner:  filled by conf_main() in the main thread before others start; constant after that.
 * Memory: strings belong to the struct conf of conf_main().
 */
#ifndef QUEUE_QMGR_OPTIONS_H
#define QUEUE_QMGR_OPTIONS_H
#include "core/conf.h"

enum { QMGR_F_REUSE_CONNECTION = 1u << 0 };
enum { QMGR_DEFEDB_F_REMOVE_UNUSED_LOGFILES = 1u << 0 };
enum { QMGR_DSN_F_HEADER_ONLY = 1u << 0, QMGR_DSN_F_MIME_FORMAT = 1u << 1 };

struct qmgr_options {
	struct conf_common common;
#define CONF_DEF "queue/qmgr_options.def"
#include "core/conf_fields.h"
};

/* For conf_main(): the table, the command line options -C -c -O of R 3.8.1, the checks between
 * options. */
extern const struct conf_component qmgr_options_component;

#endif
