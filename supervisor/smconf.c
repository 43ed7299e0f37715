/*
 * supervisor/smconf.c - is a configuration file good?
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include "core/conf.h"
#include "core/conf_print.h"
#include "supervisor/precheck.h"

static int usage(FILE *out, int rc)
{
	fputs("usage: smconf [-r] -f FILE\n"
	      "  -f FILE  check this configuration; silent and exit status 0 when it is good\n"
	      "  -r       as if mcp were run by root: every section needs a user\n"
	      "  -h       this text\n"
	      "  -V       version\n",
	      out);
	return rc;
}

/* The options that belong to mcp, for the man page. */
static int man_options(void)
{
	struct conf *cf = conf_new();

	conf_print_man(cf, NULL, stdout);
	conf_free(cf);
	return fflush(stdout) ? EX_IOERR : EX_OK;
}

int main(int argc, char **argv)
{
	const char *path = NULL;
	bool as_root = false;
	int opt;

	if (argc == 2 && !strcmp(argv[1], "--man-options"))
		return man_options();
	while ((opt = getopt(argc, argv, "f:rhV")) != -1) {
		switch (opt) {
		case 'f':
			path = optarg;
			break;
		case 'r':
			as_root = true;
			break;
		case 'h':
			return usage(stdout, EX_OK);
		case 'V':
			printf("smconf: smX %s\n", SMX_VERSION);
			return EX_OK;
		default:
			return usage(stderr, EX_USAGE);
		}
	}
	if (!path || optind != argc)
		return usage(stderr, EX_USAGE);
	return precheck_file(path, as_root, stderr, NULL) ? EX_CONFIG : EX_OK;
}
