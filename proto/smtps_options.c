#include "proto/smtps_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct conf_value smtps_flag_values[] = {
	{ .name = "8bitmime", .value = SMTPS_F_8BITMIME, .help = "offer 8BITMIME" },
	{ .name = "delay_checks",
	  .value = SMTPS_F_DELAY_CHECKS,
	  .help = "refuse client and sender only at RCPT" },
	{ .name = "delay_greylisting_error_until_DATA",
	  .value = SMTPS_F_DELAY_GREYLISTING_ERROR_UNTIL_DATA,
	  .help = "refuse by greylisting only at DATA",
	  .later = true },
	{ .name = "greylisting",
	  .value = SMTPS_F_GREYLISTING,
	  .help = "use greylisting",
	  .later = true },
	{ .name = "lmtp_does_not_imply_relaying",
	  .value = SMTPS_F_LMTP_DOES_NOT_IMPLY_RELAYING,
	  .help = "a domain that goes to lmtp: in the mailertable is not local for relaying" },
	{ .name = "soft_bounce",
	  .value = SMTPS_F_SOFT_BOUNCE,
	  .help = "answer 4yz where 5yz is due, for tests" },
	{ .name = "strict_ehlo_checks",
	  .value = SMTPS_F_STRICT_EHLO_CHECKS,
	  .help = "strict syntax of the argument of EHLO and HELO" },
	{ .name = "access",
	  .value = SMTPS_F_ACCESS,
	  .help = "use the access map; also looks up the name of the client" },
	{ .name = "background",
	  .value = SMTPS_F_BACKGROUND,
	  .help = "go into the background after the start; not with mcp" },
	{ .name = "serialize_accept",
	  .value = SMTPS_F_SERIALIZE_ACCEPT,
	  .help = "only one event loop at a time accepts connections" },
	{ .name = "chunking", .value = SMTPS_F_CHUNKING, .help = "offer CHUNKING" },
	{ .name = "dsn", .value = SMTPS_F_DSN, .help = "offer DSN" },
	{ .name = "smtputf8", .value = SMTPS_F_SMTPUTF8, .help = "offer SMTPUTF8" },
	{ .name = "limits", .value = SMTPS_F_LIMITS, .help = "offer LIMITS" },
	{ .name = "binarymime",
	  .value = SMTPS_F_BINARYMIME,
	  .help = "offer BINARYMIME; needs chunking" },
	{ 0 },
};

static const struct conf_value smtps_bare_newline_values[] = {
	{ .name = "reject", .value = SMTPS_BARE_NEWLINE_REJECT, .help = "550 at the final dot" },
	{ .name = "normalize", .value = SMTPS_BARE_NEWLINE_NORMALIZE, .help = "make it CRLF" },
	{ 0 },
};

static const struct conf_value smtps_early_talker_values[] = {
	{ .name = "ignore", .value = SMTPS_EARLY_TALKER_IGNORE, .help = "go on" },
	{ .name = "delay", .value = SMTPS_EARLY_TALKER_DELAY, .help = "greet it late" },
	{ .name = "reject", .value = SMTPS_EARLY_TALKER_REJECT, .help = "refuse it" },
	{ 0 },
};

static const struct conf_value smtps_cpu_affinity_values[] = {
	{ .name = "auto",
	  .value = SMTPS_CPU_AUTO,
	  .help = "where there are more cores than busy workers" },
	{ .name = "on", .value = SMTPS_CPU_ON },
	{ .name = "off", .value = SMTPS_CPU_OFF },
	{ 0 },
};

static const struct conf_value smtps_allow_by_values[] = {
	{ .name = "sender", .value = SMTPS_ALLOW_BY_SENDER, .help = "by the envelope sender" },
	{ .name = "client_ip",
	  .value = SMTPS_ALLOW_BY_CLIENT_IP,
	  .help = "by the address of the client" },
	{ 0 },
};

static const struct conf_value smtps_match_type_values[] = {
	{ .name = "exact", .value = SMTPS_MATCH_EXACT, .help = "exactly the same" },
	{ .name = "generic_lookup",
	  .value = SMTPS_MATCH_GENERIC_LOOKUP,
	  .help = "domains, nets and details as in all maps" },
	{ .name = "implicitly_match_detail",
	  .value = SMTPS_MATCH_IMPLICITLY_MATCH_DETAIL,
	  .help = "in addition user@host stands for user+detail@host" },
	{ 0 },
};

static const struct conf_value smtps_auth_flag_values[] = {
	{ .name = "noplaintext", .value = SMTPS_AUTH_F_NOPLAINTEXT },
	{ .name = "noactive", .value = SMTPS_AUTH_F_NOACTIVE },
	{ .name = "nodictionary", .value = SMTPS_AUTH_F_NODICTIONARY },
	{ .name = "forward_secrecy", .value = SMTPS_AUTH_F_FORWARD_SECRECY },
	{ .name = "noanonymous", .value = SMTPS_AUTH_F_NOANONYMOUS },
	{ .name = "pass_credentials", .value = SMTPS_AUTH_F_PASS_CREDENTIALS },
	{ .name = "mutual_auth", .value = SMTPS_AUTH_F_MUTUAL_AUTH },
	{ 0 },
};

static const struct conf_value smtps_socket_values[] = {
	{ .name = "inet", .value = CONF_SOCKET_INET, .help = "TCP: port, address" },
	{ .name = "unix", .value = CONF_SOCKET_UNIX, .help = "unix socket: path" },
	{ 0 },
};

static const struct conf_value smtps_pmilter_flag_values[] = {
	{ .name = "abort", .value = SMTPS_PMILTER_F_ABORT, .help = "end the session with 421" },
	{ .name = "accept_but_reconnect",
	  .value = SMTPS_PMILTER_F_ACCEPT_BUT_RECONNECT,
	  .help = "go on without it, try it again for the next session" },
	{ 0 },
};

static const struct conf_value smtps_tls_flag_values[] = {
	{ .name = "allow_relaying_if_verified",
	  .value = SMTPS_TLS_F_ALLOW_RELAYING_IF_VERIFIED,
	  .help = "a client with a verified certificate may relay" },
	{ .name = "check_access_map_for_relaying",
	  .value = SMTPS_TLS_F_CHECK_ACCESS_MAP_FOR_RELAYING,
	  .help = "ask the access map with the names in a verified certificate" },
	{ 0 },
};

#define CONF_ROWS   smtps_options_rows
#define CONF_STRUCT struct smtps_options
#define CONF_DEF    "proto/smtps_options.def"
#include "core/conf_rows.h"

/* ---- checks of text */

static bool number_up_to(const char *s, unsigned long max)
{
	return *s && strlen(s) <= 5 && !s[strspn(s, "0123456789")] && strtoul(s, NULL, 10) <= max;
}

static bool is_address(const char *s, int family)
{
	unsigned char buf[sizeof(struct in6_addr)];

	return inet_pton(family, s, buf) == 1;
}

/* ADDRESS or ADDRESS/BITS */
static bool net_ok(const char *text)
{
	char copy[64];
	char *slash;

	if (strlen(text) >= sizeof copy)
		return false;
	strcpy(copy, text);
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = 0;
	if (is_address(copy, AF_INET))
		return !slash || number_up_to(slash, 32);
	return is_address(copy, AF_INET6) && (!slash || number_up_to(slash, 128));
}

static void check_nets(struct conf_report *r, const char *name, const struct conf_list *nets)
{
	for (unsigned i = 0; i < nets->count; i++) {
		if (!net_ok(nets->item[i]))
			conf_report_error(r, name,
					  "expected an address or a net like 192.0.2.0/24, "
					  "found '%s'",
					  nets->item[i]);
	}
}

/* host:port, [IPv6]:port, :port, or without a port */
static bool daemon_address_ok(const char *s)
{
	const char *colon = strrchr(s, ':');
	const char *close = strrchr(s, ']');

	if (*s == '[') {
		if (!close || (close[1] && close[1] != ':'))
			return false;
		colon = close[1] ? close + 1 : NULL;
	}
	return *s && (!colon || (number_up_to(colon + 1, 65535) && strtoul(colon + 1, NULL, 10)));
}

static void check_daemon(const struct smtps_options *o, struct conf_report *r)
{
	if (o->daemon_address.count && o->common.pass_fd_socket)
		conf_report_error(r, "daemon_address",
				  "expected only one of daemon_address and pass_fd_socket, "
				  "found both");
	for (unsigned i = 0; i < o->daemon_address.count; i++) {
		if (!daemon_address_ok(o->daemon_address.item[i]))
			conf_report_error(r, "daemon_address",
					  "expected host:port, [IPv6]:port or :port, found '%s'",
					  o->daemon_address.item[i]);
	}
}

/* ---- checks between options */

static void check_files(const struct smtps_options *o, struct conf_report *r)
{
	if (!o->tls_cert_file != !o->tls_key_file)
		conf_report_error(r, o->tls_cert_file ? "tls.cert_file" : "tls.key_file",
				  "expected cert_file and key_file, found only one of them");
	if (!o->tls_dsa_cert_file != !o->tls_dsa_key_file)
		conf_report_error(r,
				  o->tls_dsa_cert_file ? "tls.DSA_cert_file" : "tls.DSA_key_file",
				  "expected DSA_cert_file and DSA_key_file, "
				  "found only one of them");
}

static void check_rfc(const struct smtps_options *o, struct conf_report *r)
{
	if (o->io_timeout < 300 * INT64_C(1000000))
		conf_report_warning(r, "io_timeout", "RFC 5321 4.5.3.2.7 wants at least 5m");
	if (o->max_recipients_per_transaction < 100)
		conf_report_warning(r, "max_recipients_per_transaction",
				    "RFC 5321 4.5.3.1.8 wants at least 100");
	if (o->max_message_size < 65536)
		conf_report_warning(r, "max_message_size",
				    "RFC 5321 4.5.3.1.7 wants at least 64KB");
	if (o->max_hops < 100)
		conf_report_warning(r, "max_hops", "RFC 5321 6.3 wants at least 100");
}

static void smtps_options_check(const void *opts, const struct conf_global *g,
				struct conf_report *r)
{
	const struct smtps_options *o = opts;

	(void)g;
	if ((o->flags & SMTPS_F_BINARYMIME) && !(o->flags & SMTPS_F_CHUNKING))
		conf_report_error(r, "flags", "expected chunking too, found binarymime alone");
	if (o->max_threads && o->min_threads > o->max_threads)
		conf_report_error(r, "min_threads", "expected at most max_threads (%u), found %u",
				  o->max_threads, o->min_threads);
	if (o->min_wait_threads > o->max_wait_threads)
		conf_report_error(r, "min_wait_threads",
				  "expected at most max_wait_threads (%u), found %u",
				  o->max_wait_threads, o->min_wait_threads);
	check_daemon(o, r);
	check_nets(r, "proxy_protocol_from", &o->proxy_protocol_from);
	check_nets(r, "xclient_from", &o->xclient_from);
	check_files(o, r);
	check_rfc(o, r);
}

/* -a: the flag access, R 3.9.3 */
static int smtps_options_getopt(int opt, const char *arg, void *opts)
{
	struct smtps_options *o = opts;

	(void)arg;
	if (opt != 'a')
		return -EINVAL;
	o->flags |= SMTPS_F_ACCESS;
	return 0;
}

static void smtps_options_usage(FILE *out)
{
	fputs("  -a       use the access map: flags = { access }\n", out);
}

const struct conf_component smtps_options_component = {
	.keyword = "smtps",
	.summary = "the SMTP server of smX",
	.options = smtps_options_rows,
	.option_count = CONF_NELEM(smtps_options_rows),
	.size = sizeof(struct smtps_options),
	.getopt_extra = "a",
	.getopt_cb = smtps_options_getopt,
	.usage_extra = smtps_options_usage,
	.check = smtps_options_check,
};
