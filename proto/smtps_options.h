/*
 * proto/smtps_options.h - the options of smtps.
 *
 * Owner:  filled by conf_main() in the main thread before others start; constant after that.
 * Memory: strings belong to the struct conf of conf_main().
 */
#ifndef PROTO_SMTPS_OPTIONS_H
#define PROTO_SMTPS_OPTIONS_H
#include "core/conf.h"

enum {
	SMTPS_F_8BITMIME = 1u << 0,
	SMTPS_F_DELAY_CHECKS = 1u << 1,
	SMTPS_F_DELAY_GREYLISTING_ERROR_UNTIL_DATA = 1u << 2,
	SMTPS_F_GREYLISTING = 1u << 3,
	SMTPS_F_LMTP_DOES_NOT_IMPLY_RELAYING = 1u << 4,
	SMTPS_F_SOFT_BOUNCE = 1u << 5,
	SMTPS_F_STRICT_EHLO_CHECKS = 1u << 6,
	SMTPS_F_ACCESS = 1u << 7,
	SMTPS_F_BACKGROUND = 1u << 8,
	SMTPS_F_SERIALIZE_ACCEPT = 1u << 9,
	SMTPS_F_CHUNKING = 1u << 10,
	SMTPS_F_DSN = 1u << 11,
	SMTPS_F_SMTPUTF8 = 1u << 12,
	SMTPS_F_LIMITS = 1u << 13,
	SMTPS_F_BINARYMIME = 1u << 14
};
enum { SMTPS_ALLOW_BY_SENDER = 1u << 0, SMTPS_ALLOW_BY_CLIENT_IP = 1u << 1 };
enum {
	SMTPS_AUTH_F_NOPLAINTEXT = 1u << 0,
	SMTPS_AUTH_F_NOACTIVE = 1u << 1,
	SMTPS_AUTH_F_NODICTIONARY = 1u << 2,
	SMTPS_AUTH_F_FORWARD_SECRECY = 1u << 3,
	SMTPS_AUTH_F_NOANONYMOUS = 1u << 4,
	SMTPS_AUTH_F_PASS_CREDENTIALS = 1u << 5,
	SMTPS_AUTH_F_MUTUAL_AUTH = 1u << 6
};
enum { SMTPS_PMILTER_F_ABORT = 1u << 0, SMTPS_PMILTER_F_ACCEPT_BUT_RECONNECT = 1u << 1 };
enum {
	SMTPS_TLS_F_ALLOW_RELAYING_IF_VERIFIED = 1u << 0,
	SMTPS_TLS_F_CHECK_ACCESS_MAP_FOR_RELAYING = 1u << 1
};
enum smtps_bare_newline { SMTPS_BARE_NEWLINE_REJECT = 0, SMTPS_BARE_NEWLINE_NORMALIZE };
enum smtps_early_talker {
	SMTPS_EARLY_TALKER_IGNORE = 0,
	SMTPS_EARLY_TALKER_DELAY,
	SMTPS_EARLY_TALKER_REJECT
};
enum smtps_cpu_affinity { SMTPS_CPU_AUTO = 0, SMTPS_CPU_ON, SMTPS_CPU_OFF };
enum smtps_match_type {
	SMTPS_MATCH_EXACT = 0,
	SMTPS_MATCH_GENERIC_LOOKUP,
	SMTPS_MATCH_IMPLICITLY_MATCH_DETAIL
};

struct smtps_options {
	struct conf_common common;
#define CONF_DEF "proto/smtps_options.def"
#include "core/conf_fields.h"
};

/* For conf_main(): the table and the checks between options. */
extern const struct conf_component smtps_options_component;

#endif
