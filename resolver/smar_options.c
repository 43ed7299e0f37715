#include "resolver/smar_options.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "core/span.h"

static const struct conf_value smar_map_type_values[] = {
	{ .name = "hash", .value = SMAR_MAP_HASH, .help = "a file made by createmap" },
	{ .name = "sequence", .value = SMAR_MAP_SEQUENCE, .help = "other maps, tried in order" },
	{ .name = "socket", .value = SMAR_MAP_SOCKET, .help = "a server is asked" },
	{ .name = "passwd", .value = SMAR_MAP_PASSWD, .help = "the users of this host" },
	{ 0 },
};

static const struct conf_value smar_aliases_flag_values[] = {
	{ .name = "localpart",
	  .value = SMAR_ALIASES_F_LOCALPART,
	  .help = "keys are local parts, looked up for local addresses" },
	{ .name = "local_domains",
	  .value = SMAR_ALIASES_F_LOCAL_DOMAINS,
	  .help = "keys are addresses, looked up for local addresses" },
	{ .name = "all_domains",
	  .value = SMAR_ALIASES_F_ALL_DOMAINS,
	  .help = "keys are addresses, looked up for all addresses" },
	{ .name = "implicitly_match_detail",
	  .value = SMAR_ALIASES_F_IMPLICITLY_MATCH_DETAIL,
	  .help = "user@host stands for user+detail@host too" },
	{ .name = "replace_macros",
	  .value = SMAR_ALIASES_F_REPLACE_MACROS,
	  .help = "replace macros in the values" },
	{ .name = "preserve_domain",
	  .value = SMAR_ALIASES_F_PRESERVE_DOMAIN,
	  .help = "a value without a domain gets that of the original address" },
	{ 0 },
};

static const struct conf_value smar_local_user_flag_values[] = {
	{ .name = "implicitly_match_detail",
	  .value = SMAR_LOCAL_USER_F_IMPLICITLY_MATCH_DETAIL,
	  .help = "user@host stands for user+detail@host too" },
	{ 0 },
};

static const struct conf_value smar_dns_flag_values[] = {
	{ .name = "use_TCP", .value = SMAR_DNS_F_USE_TCP, .help = "ask over TCP only" },
	{ .name = "use_connect",
	  .value = SMAR_DNS_F_USE_CONNECT,
	  .help = "connect UDP sockets to the name server" },
	{ 0 },
};

#define CONF_ROWS   smar_map_rows
#define CONF_STRUCT struct smar_map
#define CONF_DEF    "resolver/smar_map.def"
#include "core/conf_rows.h"

#define CONF_ROWS   smar_dnsbl_rows
#define CONF_STRUCT struct smar_dnsbl
#define CONF_DEF    "resolver/smar_dnsbl.def"
#include "core/conf_rows.h"

#define CONF_ROWS   smar_options_rows
#define CONF_STRUCT struct smar_options
#define CONF_DEF    "resolver/smar_options.def"
#include "core/conf_rows.h"

/* "map NAME.option"; static: checks run in one thread. */
static const char *in_map(const struct smar_map *m, const char *option)
{
	static char name[128];

	snprintf(name, sizeof name, "map %s.%s", m->name, option);
	return name;
}

static bool declared(const struct smar_options *o, const char *name, unsigned before)
{
	const struct smar_map *m = o->map.item;

	for (unsigned i = 0; i < o->map.count && i < before; i++) {
		if (!strcmp(m[i].name, name))
			return true;
	}
	return false;
}

static void check_sequence(const struct smar_options *o, unsigned i, struct conf_report *r)
{
	const struct smar_map *m = (const struct smar_map *)o->map.item + i;

	if (!m->maps.count)
		conf_report_error(r, in_map(m, "maps"), "expected the maps to try, found none");
	for (unsigned k = 0; k < m->maps.count; k++) {
		if (!declared(o, m->maps.item[k], i))
			conf_report_error(r, in_map(m, "maps"),
					  "expected a map that is declared before, found '%s'",
					  m->maps.item[k]);
	}
}

static void check_socket(const struct smar_map *m, struct conf_report *r)
{
	bool inet = m->address || m->port;

	if (!m->mapname)
		conf_report_error(r, in_map(m, "mapname"), "expected a name, found none");
	if (!m->path && !inet)
		conf_report_error(r, in_map(m, "path"),
				  "expected path, or address and port, found none");
	if (m->path && inet)
		conf_report_error(r, in_map(m, "path"),
				  "expected path, or address and port, found both");
	if (inet && !m->path && !m->address)
		conf_report_error(r, in_map(m, "address"),
				  "expected an address beside port, found none");
	if (inet && !m->path && !m->port)
		conf_report_error(r, in_map(m, "port"),
				  "expected a port beside address, found none");
}

static void check_map(const struct smar_options *o, unsigned i, struct conf_report *r)
{
	const struct smar_map *m = (const struct smar_map *)o->map.item + i;

	switch ((enum smar_map_type)m->type) {
	case SMAR_MAP_UNSET:
		conf_report_error(r, in_map(m, "type"),
				  "expected hash, sequence, socket or passwd, found none");
		break;
	case SMAR_MAP_HASH:
		if (!m->file)
			conf_report_error(r, in_map(m, "file"), "expected a file, found none");
		break;
	case SMAR_MAP_SEQUENCE:
		check_sequence(o, i, r);
		break;
	case SMAR_MAP_SOCKET:
		check_socket(m, r);
		break;
	case SMAR_MAP_PASSWD:
		break;
	}
}

/* address or address@port */
static bool nameserver_ok(const char *text)
{
	unsigned char buf[sizeof(struct in6_addr)];
	char copy[80];
	char *at;

	if (strlen(text) >= sizeof copy)
		return false;
	strcpy(copy, text);
	at = strchr(copy, '@');
	if (at) {
		unsigned long port = strtoul(at + 1, NULL, 10);

		if (!at[1] || at[1 + strspn(at + 1, "0123456789")] || port < 1 || port > 65535)
			return false;
		*at = 0;
	}
	return inet_pton(AF_INET, copy, buf) == 1 || inet_pton(AF_INET6, copy, buf) == 1;
}

static void check_dnsbl(const struct smar_options *o, struct conf_report *r)
{
	const struct smar_dnsbl *d = o->dnsbl.item;
	char name[32];

	for (unsigned i = 0; i < o->dnsbl.count; i++) {
		snprintf(name, sizeof name, i ? "dnsbl[%u]" : "dnsbl", i + 1);
		if (!d[i].domain || !d[i].tag)
			conf_report_error(r, name, "expected domain and tag, found %s",
					  d[i].domain || d[i].tag ? "only one of them" : "none");
	}
}

static void check_names(const struct smar_options *o, struct conf_report *r)
{
	if (o->local_user_map_name && !declared(o, o->local_user_map_name, o->map.count))
		conf_report_error(r, "local_user_map.name", "expected a declared map, found '%s'",
				  o->local_user_map_name);
	if (o->mailertable_name && !declared(o, o->mailertable_name, o->map.count))
		conf_report_error(r, "mailertable.name", "expected a declared map, found '%s'",
				  o->mailertable_name);
	if (conf_report_is_set(r, "mailertable.name") && conf_report_is_set(r, "mailertable.file"))
		conf_report_error(r, "mailertable.name", "expected file or name, found both");
}

static void smar_options_check(const void *opts, const struct conf_global *g, struct conf_report *r)
{
	const struct smar_options *o = opts;

	(void)g;
	for (unsigned i = 0; i < o->map.count; i++)
		check_map(o, i, r);
	check_names(o, r);
	for (unsigned i = 0; i < o->nameserver.count; i++) {
		if (!nameserver_ok(o->nameserver.item[i]))
			conf_report_error(r, "nameserver",
					  "expected an address or address@port, found '%s'",
					  o->nameserver.item[i]);
	}
	check_dnsbl(o, r);
	if (o->greylisting_grey_wait >= o->greylisting_grey_expire)
		conf_report_error(r, "greylisting.grey_wait",
				  "expected less than greylisting.grey_expire");
	if (o->max_threads && o->min_threads > o->max_threads)
		conf_report_error(r, "min_threads", "expected at most max_threads (%u), found %u",
				  o->max_threads, o->min_threads);
}

const struct conf_component smar_options_component = {
	.keyword = "smar",
	.summary = "the address resolver of smX",
	.options = smar_options_rows,
	.option_count = CONF_NELEM(smar_options_rows),
	.size = sizeof(struct smar_options),
	.check = smar_options_check,
};
