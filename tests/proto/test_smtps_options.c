#include "proto/smtps_options.h"

#include <strings.h>
#include "tests/conf_table.h"

static struct smtps_options o;
static struct conf_global g;

static const struct conf_table_row files[] = {
	{ "the example of R 3.3",
	  "smtps { flags = {8bitmime}; CDB_gid = 261; IO_timeout = 5m3s;\n"
	  "  listen_socket { type = inet; port = 25; }\n"
	  "  start_action = pass; pass_fd_socket = smtps/smtpsfd;\n"
	  "  user = smxs; path = /usr/libexec/smtps;\n"
	  "  arguments = \"smtps -f /etc/smx/smx.conf\"; }\n",
	  "" },
	{ "a flag that is not there", "smtps { flags = { 8bitmine }; }",
	  "t:1:19: smtps.flags: expected flags out of 8bitmime, delay_checks, "
	  "delay_greylisting_error_until_DATA, greylisting, lmtp_does_not_imply_relaying, "
	  "soft_bounce, strict_ehlo_checks, access, background, serialize_accept, chunking, dsn, "
	  "smtputf8, limits, binarymime, found '8bitmine' (did you mean 8bitmime?)\n" },
	{ "binarymime alone", "smtps { flags = { binarymime, no_chunking }; }",
	  "t:1:9: smtps.flags: expected chunking too, found binarymime alone\n" },
	{ "daemon_address beside pass_fd_socket",
	  "smtps { daemon_address = { :25 }; pass_fd_socket = x; }",
	  "t:1:9: smtps.daemon_address: expected only one of daemon_address and pass_fd_socket, "
	  "found both\n" },
	{ "daemon addresses",
	  "smtps { daemon_address = { :25, host, host:8000, 127.0.0.1:1, \"[::1]:25\", \"[::1]\" }; }",
	  "" },
	{ "wrong daemon addresses",
	  "smtps { daemon_address = { host:x, :0, \"[::1:25\", :70000 }; }",
	  "t:1:9: smtps.daemon_address: expected host:port, [IPv6]:port or :port, found 'host:x'\n"
	  "t:1:9: smtps.daemon_address: expected host:port, [IPv6]:port or :port, found ':0'\n"
	  "t:1:9: smtps.daemon_address: expected host:port, [IPv6]:port or :port, found '[::1:25'\n"
	  "t:1:9: smtps.daemon_address: expected host:port, [IPv6]:port or :port, found ':70000'\n" },
	{ "nets",
	  "smtps { proxy_protocol_from = { 10.0.0.0/8, ::1, \"2001:db8::/32\", 127.0.0.1 };\n"
	  "xclient_from = { 10.0.0.0/33, 10/8, a } }",
	  "t:2:1: smtps.xclient_from: expected an address or a net like 192.0.2.0/24, "
	  "found '10.0.0.0/33'\n"
	  "t:2:1: smtps.xclient_from: expected an address or a net like 192.0.2.0/24, found '10/8'\n"
	  "t:2:1: smtps.xclient_from: expected an address or a net like 192.0.2.0/24, found 'a'\n" },
	{ "below the RFC",
	  "smtps { io_timeout = 4m; max_recipients_per_transaction = 50; max_message_size = 63;\n"
	  "max_hops = 99; }",
	  "t:1:9: warning: smtps.io_timeout: RFC 5321 4.5.3.2.7 wants at least 5m\n"
	  "t:1:26: warning: smtps.max_recipients_per_transaction: RFC 5321 4.5.3.1.8 wants at least "
	  "100\n"
	  "t:1:63: warning: smtps.max_message_size: RFC 5321 4.5.3.1.7 wants at least 64KB\n"
	  "t:2:1: warning: smtps.max_hops: RFC 5321 6.3 wants at least 100\n" },
	{ "what is not available",
	  "smtps { tls { cert_file = a; key_file = b; } auth { trusted_mechs = { PLAIN } }\n"
	  "policy_milter { socket { type = unix; } }\n"
	  "protected_recipients { allow_by = { sender, client_ip }; match_type = generic_lookup; }\n"
	  "flags = { greylisting }; }",
	  "t:1:15: warning: smtps.tls.cert_file: not available in this version, ignored\n"
	  "t:1:30: warning: smtps.tls.key_file: not available in this version, ignored\n"
	  "t:1:53: warning: smtps.auth.trusted_mechs: not available in this version, ignored\n"
	  "t:2:26: warning: smtps.policy_milter.socket.type: not available in this version, ignored\n"
	  "t:3:24: warning: smtps.protected_recipients.allow_by: not available in this version, "
	  "ignored\n"
	  "t:3:58: warning: smtps.protected_recipients.match_type: not available in this version, "
	  "ignored\n"
	  "t:4:11: warning: smtps.flags: greylisting: not available in this version, ignored\n" },
};

static void values(void)
{
	struct conf *cf = conf_text_apply(
		"smtps { flags = { 8BitMime, access, ~limits }; max_message_size = 20KB 512B; id = 3;\n"
		"CDB_gid = smxc; banner_delay = 0.5s; bare_newline = Normalize; }",
		&smtps_options_component, NULL, &o, &g);

	ok(o.flags == (SMTPS_F_8BITMIME | SMTPS_F_ACCESS | SMTPS_F_CHUNKING | SMTPS_F_DSN |
		       SMTPS_F_SMTPUTF8),
	   "flags");
	is_int((int64_t)o.max_message_size, 20992, "max_message_size");
	ok(o.id == 3 && !strcmp(o.cdb_gid, "smxc") && o.banner_delay == 500000 &&
		   o.bare_newline == SMTPS_BARE_NEWLINE_NORMALIZE,
	   "others");
	conf_free(cf);
	cf = conf_text_apply("", &smtps_options_component, NULL, &o, &g);
	ok(o.flags == (SMTPS_F_CHUNKING | SMTPS_F_DSN | SMTPS_F_SMTPUTF8 | SMTPS_F_LIMITS) &&
		   o.max_message_size == 51200 * 1024 && o.io_timeout == 300000000 &&
		   o.max_recipients_per_transaction == 1000,
	   "defaults");
	is_int(smtps_options_component.getopt_cb('a', NULL, &o), 0, "-a");
	ok(o.flags & SMTPS_F_ACCESS, "sets the flag access");
	conf_free(cf);
}

int main(void)
{
	conf_table_check(&smtps_options_component, &o);
	conf_table_files(&smtps_options_component, &o, files, CONF_NELEM(files));
	values();
	return plan_done();
}
