#include "proto/smtpc_options.h"

static const struct conf_value smtpc_flag_values[] = {
	{ .name = "send_8bit",
	  .value = SMTPC_F_SEND_8BIT,
	  .help = "send 8-bit content to servers without 8BITMIME as it is" },
	{ .name = "use_data",
	  .value = SMTPC_F_USE_DATA,
	  .help = "send BDAT only for BINARYMIME, also to servers with CHUNKING" },
	{ 0 },
};

static const struct conf_value smtpc_cpu_affinity_values[] = {
	{ .name = "auto",
	  .value = SMTPC_CPU_AUTO,
	  .help = "where there are more cores than busy workers" },
	{ .name = "on", .value = SMTPC_CPU_ON },
	{ .name = "off", .value = SMTPC_CPU_OFF },
	{ 0 },
};

#define CONF_ROWS   smtpc_options_rows
#define CONF_STRUCT struct smtpc_options
#define CONF_DEF    "proto/smtpc_options.def"
#include "core/conf_rows.h"

static void pair(struct conf_report *r, const char *a, const char *b, const char *name_a,
		 const char *name_b)
{
	if (a && !b)
		conf_report_error(r, name_b, "expected a file beside %s, found none", name_a);
	if (b && !a)
		conf_report_error(r, name_a, "expected a file beside %s, found none", name_b);
}

static void smtpc_options_check(const void *opts, const struct conf_global *g,
				struct conf_report *r)
{
	const struct smtpc_options *o = opts;

	(void)g;
	if (o->io_timeout && o->io_timeout < 600 * INT64_C(1000000))
		conf_report_warning(r, "io_timeout",
				    "RFC 5321 4.5.3.2.6 wants at least 10m after the final dot");
	if (o->min_wait_threads > o->max_wait_threads)
		conf_report_error(r, "min_wait_threads",
				  "expected at most max_wait_threads (%u), found %u",
				  o->max_wait_threads, o->min_wait_threads);
	pair(r, o->tls_cert_file, o->tls_key_file, "tls.cert_file", "tls.key_file");
	pair(r, o->tls_dsa_cert_file, o->tls_dsa_key_file, "tls.DSA_cert_file", "tls.DSA_key_file");
}

const struct conf_component smtpc_options_component = {
	.keyword = "smtpc",
	.summary = "the SMTP client of smX",
	.options = smtpc_options_rows,
	.option_count = CONF_NELEM(smtpc_options_rows),
	.size = sizeof(struct smtpc_options),
	.check = smtpc_options_check,
};
