/*
 * proto/smtpc_options.h - the options of smtpc.
 *
 * Owner:  filled by conf_main() in the main thread before others start; constant after that.
 * Memory: strings belong to the struct conf of conf_main().
 */
#ifndef PROTO_SMTPC_OPTIONS_H
#define PROTO_SMTPC_OPTIONS_H
#include "core/conf.h"

enum { SMTPC_F_SEND_8BIT = 1u << 0, SMTPC_F_USE_DATA = 1u << 1 };
enum smtpc_cpu_affinity { SMTPC_CPU_AUTO = 0, SMTPC_CPU_ON, SMTPC_CPU_OFF };

struct smtpc_options {
	struct conf_common common;
#define CONF_DEF "proto/smtpc_options.def"
#include "core/conf_fields.h"
};

/* For conf_main(): the table and the checks between options. */
extern const struct conf_component smtpc_options_component;

#endif
