#include "core/conf_main.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include "core/conf_number.h"
#include "core/conf_print.h"
#include "core/hold.h"

enum { MAN_OPTIONS = 256 };

static const struct option long_options[] = {
	{ "man-options", no_argument, NULL, MAN_OPTIONS },
	{ 0 },
};

/* Both passes see the same options. getopt stops at the first word that is none. */
static int next_option(const struct conf_component *c, int argc, char **argv)
{
	char letters[128];

	snprintf(letters, sizeof letters, "+f:N:i:nvhV%s", c->getopt_extra ? c->getopt_extra : "");
	return getopt_long(argc, argv, letters, long_options, NULL);
}

static int bad_word(const struct conf_component *c, int opt, const char *arg, const char *expected)
{
	fprintf(stderr, "%s: option -%c: expected %s, found '%s'\n", c->keyword, opt, expected,
		arg);
	return -EINVAL;
}

static int scan_id(const struct conf_component *c, const char *arg, struct conf_main_words *words)
{
	int64_t n;

	if (conf_number_int(arg, &n) || n < 0 || n > UINT32_MAX)
		return bad_word(c, 'i', arg, "a number");
	words->has_id = true;
	words->id = (uint32_t)n;
	return 0;
}

int conf_main_scan(const struct conf_component *c, int argc, char **argv,
		   struct conf_main_words *words)
{
	int rc = 0;
	int opt;

	*words = (struct conf_main_words){ 0 };
	optind = 0; /* glibc: begin anew */
	while ((opt = next_option(c, argc, argv)) != -1) {
		words->help |= opt == 'h';
		words->check |= opt == 'n';
		words->verbose |= opt == 'v';
		words->man |= opt == MAN_OPTIONS;
		words->version += opt == 'V';
		if (opt == 'N')
			words->name = optarg;
		if (opt == 'i' && scan_id(c, optarg, words))
			rc = -EINVAL;
		if (opt == 'f' && words->path)
			rc = bad_word(c, 'f', optarg, "one file");
		if (opt == 'f')
			words->path = optarg;
		if (opt == '?')
			rc = -EINVAL;
	}
	words->first_arg = optind;
	return rc;
}

int conf_main_load(const struct conf_component *c, int argc, char **argv,
		   const struct conf_main_words *words, struct conf *cf, void *opts,
		   struct conf_global *g)
{
	int rc = 0;
	int opt;

	if (words->path)
		conf_read(cf, words->path);
	conf_apply_defaults_of(cf, c, opts, g);
	optind = 0;
	while ((opt = next_option(c, argc, argv)) != -1) {
		if (opt == 'f')
			conf_apply_file_of(cf, c, words->name, opts, g);
		else if (c->getopt_cb && c->getopt_extra && opt < MAN_OPTIONS &&
			 !strchr("fNinvhV?:", opt) && c->getopt_cb(opt, optarg, opts))
			rc = bad_word(c, opt, optarg ? optarg : "",
				      c->getopt_wants ? c->getopt_wants(opt) : "another value");
	}
	if (conf_apply_checks_of(cf, c, opts, g))
		rc = -EINVAL;
	return rc;
}

/* -h, -V, --man-options. */
static void tell(const struct conf_component *c, const struct conf_main_words *words)
{
	struct conf *cf = conf_new();

	if (words->help)
		conf_print_usage(cf, c, stdout);
	else if (words->version)
		conf_print_version(cf, c, words->version, stdout);
	else
		conf_print_man(cf, c->option_count ? c : NULL, stdout);
	conf_free(cf);
	if (fflush(stdout) || ferror(stdout))
		exit(EX_IOERR);
	exit(EX_OK);
}

static void refuse_root(const struct conf_component *c)
{
	if (c->root_ok || geteuid() != 0)
		return;
	fprintf(stderr,
		"%s: expected an ordinary user, found root; start it through mcp or as another user\n",
		c->keyword);
	exit(EX_USAGE);
}

void conf_main(const struct conf_component *c, int argc, char **argv, void *opts,
	       struct conf_global *g, struct conf_run *run)
{
	struct conf_main_words words;

	if (conf_main_scan(c, argc, argv, &words)) {
		fprintf(stderr,
			"usage: %s [-f FILE] [-N NAME] [-n [-v]] [-i NUM] [-h] [-V]...\n"
			"%s -h tells all options\n",
			c->keyword, c->keyword);
		exit(EX_USAGE);
	}
	if (words.help || words.version || words.man)
		tell(c, &words);
	if (!words.check)
		refuse_root(c);
	struct conf *cf = conf_new();
	int rc = conf_main_load(c, argc, argv, &words, cf, opts, g);
	conf_print_report(cf, stderr);
	if (rc)
		exit(cf->report.error_count ? EX_CONFIG : EX_USAGE);
	if (words.check) {
		if (words.verbose)
			conf_print_effective(cf, c, opts, g, stdout);
		exit(fflush(stdout) ? EX_IOERR : EX_OK);
	}
	/* What was said went to mcp; the log file is to have it too. */
	if (hold_point())
		conf_print_report(cf, stderr);
	if (!g->hostname)
		g->hostname = conf_host_name(&cf->report);
	*run = (struct conf_run){ .conf_path = words.path,
				  .section_name = words.name,
				  .conf = cf,
				  .has_id = words.has_id,
				  .id = words.id,
				  .argc = argc,
				  .argv = argv,
				  .first_arg = words.first_arg };
}
