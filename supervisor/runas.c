/*
 * supervisor/runas.c - run a program as another user, R 4.6.1: runas smxq mailq.
 */
#include "supervisor/account.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* What a shell says about a program that it cannot run. */
enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static int usage(FILE *out, int code)
{
	fputs("Usage: runas [-g GROUP] USER PROGRAM [ARGUMENT ...]\n"
	      "Runs a program as another user, with the groups of that user. Only for root, or for\n"
	      "the user itself.\n"
	      "  -g GROUP  instead of the group of the user\n"
	      "  -h        this text\n"
	      "  -V        version\n",
	      out);
	return code;
}

int main(int argc, char **argv)
{
	const char *group = NULL;
	struct account a;
	char why[200];
	int c;

	/* "+": the options behind the program are its own. */
	while ((c = getopt(argc, argv, "+g:hV")) != -1) {
		switch (c) {
		case 'g':
			group = optarg;
			break;
		case 'h':
			return usage(stdout, EX_OK);
		case 'V':
			printf("runas: smX %s\n", SMX_VERSION);
			return EX_OK;
		default:
			return usage(stderr, EX_USAGE);
		}
	}
	if (argc - optind < 2)
		return usage(stderr, EX_USAGE);
	if (account_find(argv[optind], group, &a, why, sizeof(why))) {
		fprintf(stderr, "runas: %s\n", why);
		return EX_NOUSER;
	}
	/* Who is that user already has nothing to become. */
	int rc = a.uid == geteuid() && a.uid != 0 && !group ? 0 : account_become(&a, 0);
	if (rc) {
		fprintf(stderr, "runas: cannot become %s: %s\n", a.user,
			rc == -EPERM ? "only root can" : strerror(-rc));
		account_free(&a);
		return EX_NOPERM;
	}
	account_free(&a);
	argv += optind + 1;
	execvp(argv[0], argv);
	int error = errno;
	fprintf(stderr, "runas: %s: %s\n", argv[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
