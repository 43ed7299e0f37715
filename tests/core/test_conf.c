#include "core/conf.h"

#include <fcntl.h>
#include <syslog.h>
#include <unistd.h>
#include "tests/conf_text.h"
#include "tests/core/conf_toy.h"
#include "tests/tap.h"

static struct conf_toy o;
static struct conf_global g;

/* ---- wrong files and what is said about them */

static const struct {
	const char *name;
	const char *text;
	const char *want;
} wrong[] = {
	{ "unknown option", "toy { cuont = 1; }",
	  "t:1:7: toy.cuont: expected an option of toy, found 'cuont' (did you mean count?)\n" },
	{ "unknown option, nothing is near", "toy { qwertz = 1; }",
	  "t:1:7: toy.qwertz: expected an option of toy, found 'qwertz'\n" },
	{ "unknown option in a section", "toy { Sub { fil = 1; } }",
	  "t:1:13: toy.Sub.fil: expected an option of toy.Sub, found 'fil' (did you mean file?)\n" },
	{ "option of a subsection outside of it", "toy { socket = x; }",
	  "t:1:7: toy.socket: expected an option of toy, found 'socket' "
	  "(did you mean toy.Sub.socket?)\n" },
	{ "option in a subsection that belongs outside", "toy { Sub { count = 2; } }",
	  "t:1:13: toy.Sub.count: expected an option of toy.Sub, found 'count' "
	  "(did you mean toy.count?)\n" },
	{ "common option with a typing error", "toy { log_lvel = 2; }",
	  "t:1:7: toy.log_lvel: expected an option of toy, found 'log_lvel' "
	  "(did you mean log_level?)\n" },
	{ "dotted name", "toy { Sub.file = x; }",
	  "t:1:7: toy.Sub.file: expected an option of toy, found 'Sub.file' "
	  "(did you mean toy.Sub.file?)\n" },
	{ "unknown section", "toy { sbu { file = x; } }",
	  "t:1:7: toy.sbu: expected a section of toy, found 'sbu' (did you mean Sub?)\n" },
	{ "unknown global option", "hostnam = x;",
	  "t:1:1: hostnam: expected an option outside of sections, found 'hostnam' "
	  "(did you mean hostname?)\n" },
	{ "option written as a section", "toy { count { } }",
	  "t:1:7: toy.count: expected an option 'count = ...', found 'count {'\n" },
	{ "section written as an option", "toy { SUB = x; }",
	  "t:1:7: toy.Sub: expected a section 'Sub { ... }', found 'SUB ='\n" },
	{ "array written as an option", "toy { item = x; }",
	  "t:1:7: toy.item: expected a section 'item { ... }', found 'item ='\n" },
	{ "section that has no name", "toy { Sub x { } }",
	  "t:1:11: toy.Sub: expected '{', found 'x'\n" },

	{ "twice", "toy {\n count = 1;\n COUNT = 1;\n}",
	  "t:3:2: toy.count: expected it once, found it again (first at t:2:2)\n" },
	{ "twice in two parts of a section", "toy { Sub { file = a; } sub { file = b; } }",
	  "t:1:31: toy.Sub.file: expected it once, found it again (first at t:1:13)\n" },
	{ "global twice", "hostname = a;\nhostname = b;",
	  "t:2:1: hostname: expected it once, found it again (first at t:1:1)\n" },
	{ "section twice", "toy { }\nother { }\ntoy { }",
	  "t:3:1: toy: expected it once, found it again (first at t:1:1)\n" },
	{ "named section twice", "toy a { }\ntoy { }\nTOY a { }",
	  "t:3:1: TOY a: expected it once, found it again (first at t:1:1)\n" },
	{ "first one wrong", "toy { count = x; count = 1; }",
	  "t:1:15: toy.count: expected a number from 1 to 1000, found 'x'\n"
	  "t:1:18: toy.count: expected it once, found it again (first at t:1:7)\n" },

	{ "COUNT too small", "toy { count = 0; }",
	  "t:1:15: toy.count: expected a number from 1 to 1000, found '0'\n" },
	{ "COUNT too large", "toy { count = 1001; }",
	  "t:1:15: toy.count: expected a number from 1 to 1000, found '1001'\n" },
	{ "COUNT over 32 bits", "toy { large = 4294967296; }",
	  "t:1:15: toy.large: expected a number from 0 to 4294967295, found '4294967296'\n" },
	{ "COUNT over 64 bits", "toy { count = 99999999999999999999; }",
	  "t:1:15: toy.count: expected a number from 1 to 1000, found '99999999999999999999'\n" },
	{ "COUNT negative", "toy { count = -1; }",
	  "t:1:15: toy.count: expected a number from 1 to 1000, found '-1'\n" },
	{ "COUNT no octal number", "toy { count = 09; }",
	  "t:1:15: toy.count: expected a number from 1 to 1000, found '09' "
	  "(a leading 0 makes it octal)\n" },
	{ "COUNT two numbers", "toy { count = 1 2; }",
	  "t:1:15: toy.count: expected a number from 1 to 1000, found '1 2'\n" },
	{ "COUNT with a unit", "toy { count = 5KB; }",
	  "t:1:15: toy.count: expected a number from 1 to 1000, found '5KB'\n" },
	{ "COUNT a list", "toy { count = { 1 }; }",
	  "t:1:7: toy.count: expected a number from 1 to 1000, found a list\n" },
	{ "COUNT an empty list", "toy { count = { } }",
	  "t:1:7: toy.count: expected a number from 1 to 1000, found a list\n" },
	{ "INT", "toy { number = 11; }",
	  "t:1:16: toy.number: expected a number from -10 to 10, found '11'\n" },
	{ "SIZE too small", "toy { bytes = 1023; }",
	  "t:1:15: toy.bytes: expected a size of at least 1KB, found '1023'\n" },
	{ "SIZE unknown unit", "toy { bytes = 1TB; }",
	  "t:1:15: toy.bytes: expected a size of at least 1KB, found '1TB' "
	  "(units are B, KB, MB, GB)\n" },
	{ "SIZE a word", "toy { bytes = big; }",
	  "t:1:15: toy.bytes: expected a size of at least 1KB, found 'big'\n" },
	{ "SIZE_KB too large", "toy { disk = 1025; }",
	  "t:1:14: toy.disk: expected a size from 1KB to 1MB, found '1025'\n" },
	{ "SIZE_KB too small", "toy { disk = 1000B; }",
	  "t:1:14: toy.disk: expected a size from 1KB to 1MB, found '1000B'\n" },
	{ "SECONDS too large", "toy { timeout = 1h 1s; }",
	  "t:1:17: toy.timeout: expected a time from 1s to 1h, found '1h 1s'\n" },
	{ "SECONDS unknown unit", "toy { timeout = 5min; }",
	  "t:1:17: toy.timeout: expected a time from 1s to 1h, found '5min' "
	  "(units are w, d, h, m, s, ms, us)\n" },
	{ "SECONDS plain number behind a unit", "toy { timeout = 5m 3; }",
	  "t:1:17: toy.timeout: expected a time from 1s to 1h, found '5m 3' "
	  "(units are w, d, h, m, s, ms, us)\n" },
	{ "SECONDS zero", "toy { timeout = 0; }",
	  "t:1:17: toy.timeout: expected a time from 1s to 1h, found '0'\n" },
	{ "USEC too large", "toy { delay = 2s; }",
	  "t:1:15: toy.delay: expected a time from 0 to 1s, found '2s'\n" },
	{ "BOOL", "toy { yes = yes; }",
	  "t:1:13: toy.yes: expected true, on, 1, false, off or 0, found 'yes'\n" },
	{ "CHAR too long", "toy { delimiter = \"++\"; }",
	  "t:1:19: toy.delimiter: expected one character, found '++'\n" },
	{ "CHAR empty", "toy { delimiter = \"\"; }",
	  "t:1:19: toy.delimiter: expected one character, found ''\n" },
	{ "STRING too long", "toy { text = \"12345678901\"; }",
	  "t:1:14: toy.text: expected a string of 1 to 10 bytes, found '12345678901'\n" },
	{ "STRING too short", "toy { text = \"\"; }",
	  "t:1:14: toy.text: expected a string of 1 to 10 bytes, found ''\n" },
	{ "STRING without quotes", "toy { any = qmgr -f x; }",
	  "t:1:13: toy.any: expected one string in quotes, found 'qmgr -f x'\n" },
	{ "STRING not printable in the message", "toy { text = \"12345678901\\n\"; }",
	  "t:1:14: toy.text: expected a string of 1 to 10 bytes, found '12345678901\\x0a'\n" },
	{ "long text is cut in the message",
	  "toy { text = "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; }",
	  "t:1:14: toy.text: expected a string of 1 to 10 bytes, found "
	  "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'\n" },
	{ "PATH too long", "toy { Sub { socket = \"\"; } }",
	  "t:1:22: toy.Sub.socket: expected a path of 1 to 107 bytes, found ''\n" },
	{ "USER", "toy { who = \"a b\"; }",
	  "t:1:13: toy.who: expected a user name or number, found 'a b'\n" },
	{ "GROUP", "toy { team = \"a:b\"; }",
	  "t:1:14: toy.team: expected a group name or number, found 'a:b'\n" },
	{ "ADDR", "toy { address = 1.2.3; }",
	  "t:1:17: toy.address: expected an IPv4 or IPv6 address, found '1.2.3'\n" },
	{ "ADDR a name", "toy { address = localhost; }",
	  "t:1:17: toy.address: expected an IPv4 or IPv6 address, found 'localhost'\n" },
	{ "LIST too long", "toy { list = { a, b, c, d }; }",
	  "t:1:7: toy.list: expected a list of 0 to 3 values, found 4\n" },
	{ "LIST without commas", "toy { list = { a b }; }",
	  "t:1:18: toy.list: expected ',' between the values of a list, found 'b'\n" },
	{ "LIST with an empty value", "toy { list = { a, \"\" }; }",
	  "t:1:19: toy.list: expected a value, found ''\n" },
	{ "ENUM", "toy { kind = fncy; }",
	  "t:1:14: toy.kind: expected one of plain, fancy, future, found 'fncy' "
	  "(did you mean fancy?)\n" },
	{ "ENUM a list", "toy { kind = { plain }; }",
	  "t:1:7: toy.kind: expected one of plain, fancy, future, found a list\n" },
	{ "FLAGS", "toy { flags = { frist, no_secnd }; }",
	  "t:1:17: toy.flags: expected flags out of first, second, third, no_age, found 'frist' "
	  "(did you mean first?)\n"
	  "t:1:24: toy.flags: expected flags out of first, second, third, no_age, found 'no_secnd' "
	  "(did you mean no_second?)\n" },
	{ "FLAGS only a prefix", "toy { flags = { - first }; }",
	  "t:1:19: toy.flags: expected ',' between the values of a list, found 'first'\n" },
	{ "FLAGS without commas", "toy { flags = first second; }",
	  "t:1:21: toy.flags: expected ',' between the values of a list, found 'second'\n" },

	{ "item without a name", "toy { item { } }",
	  "t:1:7: toy.item: expected a name, 'item NAME { ... }', found none\n" },
	{ "item with a name that must not have one", "toy { anon x { } }",
	  "t:1:12: toy.anon: expected '{', found 'x'\n" },
	{ "item twice", "toy { item a { } item a { } }",
	  "t:1:18: toy.item a: expected it once, found it again (first at t:1:7)\n" },
	{ "too many items", "toy { item a { } item b { } item c { } }",
	  "t:1:29: toy.item c: expected at most 2 such sections, found one more\n" },
	{ "wrong option in an item", "toy { item a { count = 1; in { deep = 10; } } }",
	  "t:1:16: toy.item a.count: expected an option of toy.item a, found 'count'\n"
	  "t:1:39: toy.item a.in.deep: expected a number from 0 to 9, found '10'\n" },
	{ "wrong option in the second item without a name", "toy { anon { } anon { kind = x; } }",
	  "t:1:7: warning: toy.anon: not available in this version, ignored\n"
	  "t:1:16: warning: toy.anon[2]: not available in this version, ignored\n"
	  "t:1:30: toy.anon[2].kind: expected one of plain, fancy, future, found 'x'\n" },
	{ "option of an item twice", "toy { item a { kind = plain; KIND = plain; } }",
	  "t:1:30: toy.item a.kind: expected it once, found it again (first at t:1:16)\n" },

	{ "CDB_base_directory without a slash", "CDB_base_directory = /a;",
	  "t:1:1: CDB_base_directory: expected a slash at its end, found '/a'\n" },
	{ "check()", "toy { yes = on; count = 666; }",
	  "t:1:17: toy.count: expected another number, found 666\n" },
	{ "which of two sections", "toy a { }\ntoy b { }",
	  "t:2:1: toy: expected -N NAME to choose a section, found a, b\n" },
	{ "syntax errors and others together",
	  "toy { count = 5\n number = 77;\n text = ;\n foo = 1;\n}",
	  "t:2:2: toy.count: expected ';', found 'number'\n"
	  "t:2:11: toy.number: expected a number from -10 to 10, found '77'\n"
	  "t:3:9: toy.text: expected a value, found ';'\n"
	  "t:4:2: toy.foo: expected an option of toy, found 'foo'\n" },
};

static void wrong_files(void)
{
	for (size_t i = 0; i < CONF_NELEM(wrong); i++) {
		struct conf *cf = conf_text_apply(wrong[i].text, &conf_toy_component, NULL, &o, &g);

		is_str(conf_text_report(cf), wrong[i].want, wrong[i].name);
		if (!conf_error_count(cf))
			ok(false, "%s is an error", wrong[i].name);
		conf_free(cf);
	}
}

/* ---- warnings do not refuse a file */

static const struct {
	const char *name;
	const char *text;
	const char *want;
} warned[] = {
	{ "option that is not available", "toy { tls { cert = x; } }",
	  "t:1:13: warning: toy.tls.cert: not available in this version, ignored\n" },
	{ "section that is not available", "toy { anon { size = 1; } }",
	  "t:1:7: warning: toy.anon: not available in this version, ignored\n" },
	{ "flag that is not available", "toy { flags = { first, third }; }",
	  "t:1:24: warning: toy.flags: third: not available in this version, ignored\n" },
	{ "flag that is not available, switched off", "toy { flags = { not_third }; }", "" },
	{ "word that is not available", "toy { kind = future; }",
	  "t:1:14: warning: toy.kind: future: not available in this version, ignored\n" },
	{ "warning of check()", "toy { count = 667; Sub { socket = x; } }",
	  "t:1:26: warning: toy.Sub.socket: is odd\n" },
	{ "warning of check() about a default", "\n toy x { count = 667; }",
	  "t:2:2: warning: toy x.Sub.socket: is odd\n" },
	{ "other sections are somebody else's", "other { foo = 1; bar { x = y; } } toy { }", "" },
};

static void warned_files(void)
{
	for (size_t i = 0; i < CONF_NELEM(warned); i++) {
		struct conf *cf =
			conf_text_apply(warned[i].text, &conf_toy_component, NULL, &o, &g);

		is_str(conf_text_report(cf), warned[i].want, warned[i].name);
		is_int(conf_error_count(cf), 0, "and no error");
		conf_free(cf);
	}
}

/* ---- values */

static void is_default(const char *where)
{
	ok(o.count == 7 && o.number == -3 && o.bytes == 64 << 20 && o.disk == 102400, "%s: numbers",
	   where);
	ok(o.timeout == 300000000 && o.delay == 100 && o.yes && o.delimiter == '+', "%s: others",
	   where);
	ok(!strcmp(o.text, "some text") && !o.any && !o.who && !o.team && !o.address, "%s: strings",
	   where);
	ok(o.list.count == 2 && !strcmp(o.list.item[0], "a") && !strcmp(o.list.item[1], "b"),
	   "%s: list", where);
	ok(o.kind == TOY_PLAIN && o.flags == (TOY_FIRST | TOY_SECOND) && !o.item.count, "%s: words",
	   where);
	ok(o.common.log_level == 9 && o.common.max_processes == 1 && !o.common.user &&
		   !o.common.listen_socket.count && o.common.start_action == CONF_START_UNSET,
	   "%s: common", where);
	is_str(o.path, "run/sock", where);
	is_str(g.smar_socket, "qmsmar/smarsock", where);
}

static void defaults(void)
{
	struct conf *cf = conf_new();

	memset(&o, 0xAA, sizeof o);
	is_int(conf_apply(cf, &conf_toy_component, NULL, &o, &g), 0, "apply without a file");
	is_default("without a file");
	is_str(o.file, "x.db", "FILE without a file");
	ok(g.hostname && *g.hostname, "there is a host name: %s", g.hostname);
	conf_free(cf);
	cf = conf_text_apply("other { }", &conf_toy_component, NULL, &o, &g);
	is_default("without the section");
	conf_free(cf);
	cf = conf_text_apply("toy { }", &conf_toy_component, NULL, &o, &g);
	is_default("with an empty section");
	conf_free(cf);
}

static const char all_text[] =
	"HostName = mx.example.org; smar_SOCKET = /run/smar;\n"
	"CDB_base_directory = \"/var/spool/smx/\";\n"
	"TOY {\n"
	"  Count = 0x1F; large = 4294967295; number = -010; bytes = 1MB 1KB; disk = 500;\n"
	"  timeout = 1m 5s; DELAY = 10ms; yes = OFF; delimiter = \"-\";\n"
	"  text = \"one \" \"two\"; any = a/b.c; who = smxq; team = 261; address = 2001:db8::1;\n"
	"  sub { FILE = maps/y.db; socket = \"../x y\"; more { dir = /q/; } }\n"
	"  list = { \"1.2.3.4@53\", b, };\n"
	"  kind = Fancy; flags = { NOT_first, no_age }\n"
	"  item one { kind = fancy; size = 2KB; in { deep = 3; } };\n"
	"  item two { }\n"
	"  log { facility = Local3; ident = smX-toy; options = { pid, ndelay }; }\n"
	"  log_LEVEL = 12; log_format = json; start_action = pass;\n"
	"  listen_socket { type = inet; port = 25; address = 127.0.0.1; }\n"
	"  listen_socket sub { type = unix; path = s/l; umask = 022; user = u; group = g; }\n"
	"  restart_dependencies = { smtps, smtpc }; path = /usr/libexec/toy;\n"
	"  arguments = \"toy -f x\"; user = smxq; group = 12; pass_id = \"-i\"; max_processes = 4;\n"
	"  min_processes = 2; use_id_in_logfile_name = 1; working_directory = /;\n"
	"  pass_fd_socket = smtps/fd; }\n";

static void all_values(void)
{
	struct conf *cf = conf_new();
	const struct conf_toy_item *item;
	const struct conf_listen *l;

	conf_read_text(cf, "/etc/smx/smx.conf", all_text, sizeof all_text - 1);
	is_int(conf_apply(cf, &conf_toy_component, NULL, &o, &g), 0, "all options");
	is_str(conf_text_report(cf), "", "without a word");
	is_str(g.hostname, "mx.example.org", "hostname");
	is_str(g.smar_socket, "/run/smar", "SMAR_socket");
	is_str(g.cdb_base_directory, "/var/spool/smx/", "CDB_base_directory");
	is_int(o.count, 31, "COUNT in hexadecimal");
	is_int(o.large, UINT32_MAX, "COUNT up to its end");
	is_int(o.number, -8, "INT in octal");
	is_int((int64_t)o.bytes, 1049600, "SIZE");
	is_int((int64_t)o.disk, 512000, "SIZE_KB");
	is_int(o.timeout, 65000000, "SECONDS");
	is_int(o.delay, 10000, "USEC");
	ok(!o.yes && o.delimiter == '-', "BOOL, CHAR");
	is_str(o.text, "one two", "STRING of adjacent strings");
	is_str(o.any, "a/b.c", "STRING without quotes");
	is_str(o.who, "smxq", "USER");
	is_str(o.team, "261", "GROUP");
	is_str(o.address, "2001:db8::1", "ADDR");
	is_str(o.file, "/etc/smx/maps/y.db", "FILE");
	is_str(o.path, "../x y", "PATH");
	is_str(o.dir, "/q/", "DIR");
	ok(o.list.count == 2 && !strcmp(o.list.item[0], "1.2.3.4@53") &&
		   !strcmp(o.list.item[1], "b"),
	   "LIST");
	is_int(o.kind, TOY_FANCY, "ENUM");
	is_int((int64_t)o.flags, TOY_SECOND | TOY_NO_AGE, "FLAGS");
	item = o.item.item;
	is_int(o.item.count, 2, "items");
	ok(!strcmp(item[0].name, "one") && item[0].kind == TOY_FANCY && item[0].size == 2048 &&
		   item[0].deep == 3,
	   "first item");
	ok(!strcmp(item[1].name, "two") && item[1].kind == TOY_PLAIN && item[1].size == 1024 &&
		   item[1].deep == 1,
	   "second item has the defaults");
	ok(o.common.log_facility == LOG_LOCAL3 && o.common.log_options == (LOG_PID | LOG_NDELAY) &&
		   o.common.log_level == 12 && o.common.log_format == CONF_LOG_JSON,
	   "log");
	l = o.common.listen_socket.item;
	is_int(o.common.listen_socket.count, 2, "listen_socket");
	ok(!l[0].name && l[0].type == CONF_SOCKET_INET && l[0].port == 25 &&
		   !strcmp(l[0].address, "127.0.0.1") && l[0].umask == 7,
	   "inet");
	ok(!strcmp(l[1].name, "sub") && l[1].type == CONF_SOCKET_UNIX &&
		   !strcmp(l[1].path, "s/l") && l[1].umask == 022 && !strcmp(l[1].user, "u") &&
		   !strcmp(l[1].group, "g"),
	   "unix");
	ok(o.common.max_processes == 4 && o.common.min_processes == 2 &&
		   o.common.use_id_in_logfile_name && !strcmp(o.common.arguments, "toy -f x"),
	   "mcp's options");
	ok(conf_is_set(cf, "Count") && conf_is_set(cf, "sub.file") && conf_is_set(cf, "item two") &&
		   conf_is_set(cf, "listen_socket[2].type") == false &&
		   !conf_is_set(cf, "tls.cert"),
	   "what the file sets");
	conf_free(cf);
}

static void spellings(void)
{
	static const struct {
		const char *text;
		bool yes;
	} bools[] = {
		{ "0", false },   { "false", false }, { "off", false },   { "FALSE", false },
		{ "Off", false }, { "1", true },      { "true", true },   { "on", true },
		{ "True", true }, { "ON", true },     { "\"on\"", true },
	};
	static const struct {
		const char *text;
		uint64_t flags;
	} flags[] = {
		{ "{ }", TOY_FIRST | TOY_SECOND },
		{ "second", TOY_FIRST | TOY_SECOND },
		{ "~first", TOY_SECOND },
		{ "{ -first, !second }", 0 },
		{ "{ dont_FIRST, No_Second }", 0 },
		{ "{ not_first, first }", TOY_FIRST | TOY_SECOND },
		{ "{ no_age }", TOY_FIRST | TOY_SECOND | TOY_NO_AGE },
		{ "{ no_age, not_no_age }", TOY_FIRST | TOY_SECOND },
		{ "{ no_age, no_no_age }", TOY_FIRST | TOY_SECOND },
		{ "{ \"~first\" }", TOY_SECOND },
	};
	char text[128];

	for (size_t i = 0; i < CONF_NELEM(bools); i++) {
		snprintf(text, sizeof text, "toy { yes = %s; }", bools[i].text);
		struct conf *cf = conf_text_apply(text, &conf_toy_component, NULL, &o, &g);
		ok(!conf_error_count(cf) && o.yes == bools[i].yes, "yes = %s", bools[i].text);
		conf_free(cf);
	}
	for (size_t i = 0; i < CONF_NELEM(flags); i++) {
		snprintf(text, sizeof text, "toy { flags = %s; }", flags[i].text);
		struct conf *cf = conf_text_apply(text, &conf_toy_component, NULL, &o, &g);
		ok(!conf_error_count(cf) && o.flags == flags[i].flags, "flags = %s", flags[i].text);
		conf_free(cf);
	}
}

/* ---- which section */

static void sections(void)
{
	static const char text[] =
		"toy MTA { count = 1; }\ntoy MSA { count = 2; }\ntoy { count = 3; }";
	static const struct {
		const char *name;
		unsigned count;
	} rows[] = { { "MTA", 1 }, { "MSA", 2 }, { NULL, 3 } };

	for (size_t i = 0; i < CONF_NELEM(rows); i++) {
		struct conf *cf = conf_text_apply(text, &conf_toy_component, rows[i].name, &o, &g);
		is_int(o.count, rows[i].count, rows[i].name ? rows[i].name : "without a name");
		conf_free(cf);
	}
	struct conf *cf =
		conf_text_apply("toy X { count = 5; }", &conf_toy_component, NULL, &o, &g);
	is_int(o.count, 5, "the only one, though it has a name");
	conf_free(cf);
	cf = conf_text_apply(text, &conf_toy_component, "MTB", &o, &g);
	is_str(conf_text_report(cf),
	       "t:1:1: toy: expected a section 'toy MTB { ... }' as -N says, found MTA, MSA, "
	       "one without a name (did you mean MTA?)\n",
	       "no such name");
	conf_free(cf);
	cf = conf_new();
	conf_read_text(cf, "t", text, strlen(text));
	is_int(conf_section_count(cf), 3, "number of sections");
	is_str(conf_section_get(cf, 1)->keyword, "toy", "keyword");
	is_str(conf_section_get(cf, 1)->name, "MSA", "name");
	is_int(conf_section_get(cf, 1)->line, 2, "line");
	ok(!conf_section_get(cf, 3), "no section 3");
	conf_free(cf);
}

/* ---- files */

static void files(void)
{
	char path[512];
	struct conf *cf = conf_new();

	snprintf(path, sizeof path, "%s/a.conf", tap_tmpdir());
	is_int(conf_read(cf, path), -EINVAL, "a file that is not there");
	ok(strstr(conf_text_report(cf), ": expected a configuration file, found: No such file"),
	   "and why");
	conf_free(cf);
	cf = conf_new();
	is_int(conf_read(cf, tap_tmpdir()), -EINVAL, "a folder");
	ok(strstr(conf_text_report(cf), "Is a directory"), "and why");
	conf_free(cf);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	static const char text[] = "toy { count = 9; sub { file = z; } }";
	ok(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1, "written");
	cf = conf_new();
	is_int(conf_read(cf, path), 0, "a file");
	is_int(conf_apply(cf, &conf_toy_component, NULL, &o, &g), 0, "its section");
	is_int(o.count, 9, "its value");
	ok(!strncmp(o.file, path, strlen(path) - 6) && !strcmp(o.file + strlen(path) - 6, "z"),
	   "a name relative to it: %s", o.file);
	conf_free(cf);
	for (int i = 0; i < 40000; i++) {
		if (write(fd, "# a line of comment\n# a second\n", 30) != 30)
			break;
	}
	close(fd);
	cf = conf_new();
	is_int(conf_read(cf, path), -EINVAL, "a file that is too large");
	ok(strstr(conf_text_report(cf), ": expected at most 1048576 bytes, found more"), "and why");
	conf_free(cf);
}

int main(void)
{
	wrong_files();
	warned_files();
	defaults();
	all_values();
	spellings();
	sections();
	files();
	return plan_done();
}
