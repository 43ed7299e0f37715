/*
 * resolver/smar_options.h - the options of smar.
 *
 * Owner:  filled by conf_main() in the main thread before others start; constant after that.
 * Memory: strings, lists and arrays belong to the struct conf of conf_main().
 */
#ifndef RESOLVER_SMAR_OPTIONS_H
#define RESOLVER_SMAR_OPTIONS_H
#include "core/conf.h"

enum smar_map_type {
	SMAR_MAP_UNSET = 0,
	SMAR_MAP_HASH,
	SMAR_MAP_SEQUENCE,
	SMAR_MAP_SOCKET,
	SMAR_MAP_PASSWD
};
enum {
	SMAR_ALIASES_F_LOCALPART = 1u << 0,
	SMAR_ALIASES_F_LOCAL_DOMAINS = 1u << 1,
	SMAR_ALIASES_F_ALL_DOMAINS = 1u << 2,
	SMAR_ALIASES_F_IMPLICITLY_MATCH_DETAIL = 1u << 3,
	SMAR_ALIASES_F_REPLACE_MACROS = 1u << 4,
	SMAR_ALIASES_F_PRESERVE_DOMAIN = 1u << 5
};
enum { SMAR_LOCAL_USER_F_IMPLICITLY_MATCH_DETAIL = 1u << 0 };
enum { SMAR_DNS_F_USE_TCP = 1u << 0, SMAR_DNS_F_USE_CONNECT = 1u << 1 };

/* One `map NAME { ... }`. */
struct smar_map {
	const char *name;
#define CONF_DEF "resolver/smar_map.def"
#include "core/conf_fields.h"
};

/* One `dnsbl { ... }`; name is NULL. */
struct smar_dnsbl {
	const char *name;
#define CONF_DEF "resolver/smar_dnsbl.def"
#include "core/conf_fields.h"
};

/* map is an array of struct smar_map, dnsbl one of struct smar_dnsbl. */
struct smar_options {
	struct conf_common common;
#define CONF_DEF "resolver/smar_options.def"
#include "core/conf_fields.h"
};

/* For conf_main(): the table and the checks between options. */
extern const struct conf_component smar_options_component;

#endif
