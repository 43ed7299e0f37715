#include "resolver/smar_options.h"

#include <strings.h>
#include "tests/conf_table.h"

static struct smar_options o;
static struct conf_global g;

static const struct conf_table_row files[] = {
	{ "the examples of R 3.9.1",
	  "smar { map localusers { type = hash; file = \"/etc/smx/localusr.db\"; }\n"
	  "map otherusers { type = hash; file = \"/etc/smx/otherusr.db\"; }\n"
	  "map password { type = passwd; }\n"
	  "map seq1 { type = sequence; maps = { localusers, otherusers }; }\n"
	  "map seq2 { type = sequence; maps = { password, otherusers }; }\n"
	  "map net { type = socket; mapname = m; address = ::1; port = 5; }\n"
	  "map unix { type = socket; mapname = m; path = s; }\n"
	  "local_user_map { name = seq1; flags = { implicitly_match_detail } }\n"
	  "mailertable { name = seq2; } Log_Level = 12; DNS_timeout = 6;\n"
	  "nameserver = { \"127.0.0.1@5353\", ::1, 192.0.2.1, \"::1@53\" }; }",
	  "t:6:26: warning: smar.map net.mapname: not available in this version, ignored\n"
	  "t:6:39: warning: smar.map net.address: not available in this version, ignored\n"
	  "t:6:54: warning: smar.map net.port: not available in this version, ignored\n"
	  "t:7:27: warning: smar.map unix.mapname: not available in this version, ignored\n"
	  "t:7:40: warning: smar.map unix.path: not available in this version, ignored\n"
	  "t:9:46: warning: smar.DNS_timeout: not available in this version, ignored\n"
	  "t:10:1: warning: smar.nameserver: not available in this version, ignored\n" },
	{ "the list of name servers as the reference lost it", "smar { nameserver = {,}; }",
	  "t:1:22: smar.nameserver: expected a value, found ','\n" },
	{ "name servers", "smar { nameserver = { a, 1.2.3.4@, 1.2.3.4@70000, 1.2.3.4@5x } }",
	  "t:1:8: warning: smar.nameserver: not available in this version, ignored\n"
	  "t:1:8: smar.nameserver: expected an address or address@port, found 'a'\n"
	  "t:1:8: smar.nameserver: expected an address or address@port, found '1.2.3.4@'\n"
	  "t:1:8: smar.nameserver: expected an address or address@port, found '1.2.3.4@70000'\n"
	  "t:1:8: smar.nameserver: expected an address or address@port, found '1.2.3.4@5x'\n" },
	{ "five name servers", "smar { nameserver = { ::1, ::2, ::3, ::4, ::5 } }",
	  "t:1:8: smar.nameserver: expected a list of 0 to 4 values, found 5\n" },
	{ "map without a name", "smar { map { type = passwd; } }",
	  "t:1:8: smar.map: expected a name, 'map NAME { ... }', found none\n" },
	{ "maps that lack something",
	  "smar {\nmap a { }\nmap b { type = hash; }\nmap c { type = sequence; }\n"
	  "map d { type = socket; }\nmap e { type = socket; mapname = m; path = p; port = 1; }\n"
	  "map f { type = socket; mapname = m; port = 1; }\n"
	  "map g { type = socket; mapname = m; address = ::1; } }",
	  "t:1:1: smar.map a.type: expected hash, sequence, socket or passwd, found none\n"
	  "t:1:1: smar.map b.file: expected a file, found none\n"
	  "t:1:1: smar.map c.maps: expected the maps to try, found none\n"
	  "t:1:1: smar.map d.mapname: expected a name, found none\n"
	  "t:1:1: smar.map d.path: expected path, or address and port, found none\n"
	  "t:1:1: smar.map f.address: expected an address beside port, found none\n"
	  "t:1:1: smar.map g.port: expected a port beside address, found none\n"
	  "t:6:24: warning: smar.map e.mapname: not available in this version, ignored\n"
	  "t:6:37: warning: smar.map e.path: not available in this version, ignored\n"
	  "t:6:37: smar.map e.path: expected path, or address and port, found both\n"
	  "t:6:47: warning: smar.map e.port: not available in this version, ignored\n"
	  "t:7:24: warning: smar.map f.mapname: not available in this version, ignored\n"
	  "t:7:37: warning: smar.map f.port: not available in this version, ignored\n"
	  "t:8:24: warning: smar.map g.mapname: not available in this version, ignored\n"
	  "t:8:37: warning: smar.map g.address: not available in this version, ignored\n" },
	{ "maps that are not declared",
	  "smar { map a { type = sequence; maps = { b, a } } map b { type = passwd; }\n"
	  "local_user_map { name = B; } mailertable { name = x; } }",
	  "t:1:33: smar.map a.maps: expected a map that is declared before, found 'b'\n"
	  "t:1:33: smar.map a.maps: expected a map that is declared before, found 'a'\n"
	  "t:2:18: smar.local_user_map.name: expected a declared map, found 'B'\n"
	  "t:2:44: smar.mailertable.name: expected a declared map, found 'x'\n" },
	{ "two mailertables",
	  "smar { map a { type = passwd; } mailertable { file = mt; name = a; } }",
	  "t:1:58: smar.mailertable.name: expected file or name, found both\n" },
	{ "blocklists", "smar { dnsbl { domain = d; tag = t; } dnsbl { domain = d; } dnsbl { } }",
	  "t:1:8: warning: smar.dnsbl: not available in this version, ignored\n"
	  "t:1:39: warning: smar.dnsbl[2]: not available in this version, ignored\n"
	  "t:1:39: smar.dnsbl[2]: expected domain and tag, found only one of them\n"
	  "t:1:61: warning: smar.dnsbl[3]: not available in this version, ignored\n"
	  "t:1:61: smar.dnsbl[3]: expected domain and tag, found none\n" },
	{ "greylisting", "smar { greylisting { grey_wait = 1d; netmask = 0xFFFFFF00; } }",
	  "t:1:22: warning: smar.greylisting.grey_wait: not available in this version, ignored\n"
	  "t:1:22: smar.greylisting.grey_wait: expected less than greylisting.grey_expire\n"
	  "t:1:38: warning: smar.greylisting.netmask: not available in this version, ignored\n" },
	{ "delimiter", "smar { address_delimiter = +-; }",
	  "t:1:28: smar.address_delimiter: expected one character, found '+-'\n" },
};

static void values(void)
{
	static const char text[] =
		"smar { map a { type = hash; file = a.db; } map b { type = passwd; }\n"
		"aliases { file = /x/aliases.db; flags = { localpart, replace_macros } }\n"
		"mailertable { file = \"mt\"; } DNS_flags = use_tcp; address_delimiter = -; }";
	struct conf *cf = conf_new();
	const struct smar_map *m;

	conf_read_text(cf, "/etc/smx/smx.conf", text, sizeof text - 1);
	is_int(conf_apply(cf, &smar_options_component, NULL, &o, &g), 0, "a good file");
	m = o.map.item;
	ok(o.map.count == 2 && !strcmp(m[0].name, "a") && m[0].type == SMAR_MAP_HASH &&
		   !strcmp(m[0].file, "/etc/smx/a.db") && m[1].type == SMAR_MAP_PASSWD,
	   "maps");
	is_str(o.access_map_file, "/etc/smx/access.db", "default relative to the configuration");
	is_str(o.aliases_file, "/x/aliases.db", "absolute name");
	is_str(o.mailertable_file, "/etc/smx/mt", "relative name");
	ok(o.aliases_flags == (SMAR_ALIASES_F_LOCALPART | SMAR_ALIASES_F_REPLACE_MACROS) &&
		   o.dns_flags == SMAR_DNS_F_USE_TCP && o.address_delimiter == '-' &&
		   o.dns_timeout == 6000000,
	   "others");
	ok(conf_is_set(cf, "aliases.file") && !conf_is_set(cf, "access_map.file"), "what is set");
	conf_free(cf);
}

int main(void)
{
	conf_table_check(&smar_options_component, &o);
	conf_table_files(&smar_options_component, &o, files, CONF_NELEM(files));
	values();
	return plan_done();
}
