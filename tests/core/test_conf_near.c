#include "core/conf_near.h"

#include "tests/tap.h"

static const char *const candidates[] = {
	"cache_size", "page_size",       "base_directory", "log_directory",
	"flags",      "smtps",           "smtpc",          "qmgr",
	"id",         "max_connections", "max_hops",       "io_timeout",
};

static const struct {
	const char *word;
	const char *best;
} rows[] = {
	{ "cache_sise", "cache_size" },
	{ "CACHE_SIZE", "cache_size" },
	{ "iotimeout", "io_timeout" },
	{ "io-timeout", "io_timeout" },
	{ "flgas", "flags" },
	{ "flag", "flags" },
	{ "smpts", "smtps" },
	{ "smtp", "smtps" },
	{ "qmgrr", "qmgr" },
	{ "max_connection", "max_connections" },
	{ "maxconnections", "max_connections" },
	{ "logdirectory", "log_directory" },
	{ "xy", NULL },
	{ "", NULL },
	{ "completely_different", NULL },
	{ "hops", NULL },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  NULL },
};

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct conf_near near = { .word = rows[i].word };

		for (size_t k = 0; k < sizeof candidates / sizeof *candidates; k++)
			conf_near_try(&near, candidates[k]);
		is_str(near.best, rows[i].best, rows[i].word);
	}
	return plan_done();
}
