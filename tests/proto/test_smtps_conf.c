#include "proto/smtps_conf.h"

#include "core/err.h"
#include "tests/tap.h"

#include <stdio.h>
#include <string.h>

static struct smtps_conf *conf_of(const char *section)
{
	struct smtps_options o;
	struct conf_global g;
	struct conf *cf = conf_new();
	char text[1000];
	int n = snprintf(text, sizeof text, "hostname = \"gw.test\"; smtps { %s }", section);

	if (conf_read_text(cf, "test", text, (size_t)n) ||
	    conf_apply(cf, &smtps_options_component, NULL, &o, &g)) {
		conf_print_report(cf, stderr);
		panic("options");
	}
	return smtps_conf_new(&o, &g, cf);
}

struct row {
	const char *flags;
	uint32_t caps;
};

enum { ALWAYS = EHLO_PIPELINING | EHLO_SIZE | EHLO_ENHANCED };

static const struct row rows[] = {
	{ "", ALWAYS | EHLO_CHUNKING | EHLO_DSN | EHLO_LIMITS },
	{ "flags = { 8bitmime };",
	  ALWAYS | EHLO_CHUNKING | EHLO_DSN | EHLO_LIMITS | EHLO_8BITMIME | EHLO_SMTPUTF8 },
	{ "flags = { binarymime };",
	  ALWAYS | EHLO_CHUNKING | EHLO_DSN | EHLO_LIMITS | EHLO_BINARYMIME },
	{ "flags = { no_chunking, no_dsn, no_limits, no_smtputf8 };", ALWAYS },
};

static bool has(const struct smtps_nets *nets, const char *ip)
{
	struct addr a;

	return !addr_parse(span_str(ip), &a) && smtps_conf_in_nets(nets, &a);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct smtps_conf *c = conf_of(rows[i].flags);

		is_int(c->offer.caps, rows[i].caps, rows[i].flags);
		smtps_conf_put(c);
	}
	struct smtps_conf *c = conf_of(
		"max_message_size = 10KB; max_recipients_per_transaction = 7; max_transactions = 8;\n"
		"xclient_from = { \"192.0.2.0/24\", \"2001:db8::/32\" };");
	ok(c->offer.size_max == 10240 && c->offer.rcpt_max == 7 && c->offer.mail_max == 8,
	   "numbers of EHLO");
	ok(span_eq(c->hostname, SPAN("gw.test")), "host name");
	ok(has(&c->xclient_from, "192.0.2.77") && has(&c->xclient_from, "2001:db8:1::1"),
	   "in a net");
	ok(!has(&c->xclient_from, "192.0.3.1") && !has(&c->proxy_from, "192.0.2.77"),
	   "not in a net");
	struct smtps_conf *again = smtps_conf_get(c);
	smtps_conf_put(c);
	ok(span_eq(again->hostname, SPAN("gw.test")), "lives as long as somebody has it");
	smtps_conf_put(again);
	return plan_done();
}
