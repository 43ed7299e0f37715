/*
 * queue/mailq.c - shows what is queued: from the running qmgr, or from the database when it is stopped.
 */
#include "core/ctl.h"
#include "core/err.h"
#include "core/thread.h"
#include "queue/keeper.h"
#include "queue/listing.h"
#include "queue/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static void usage(FILE *out)
{
	fprintf(out, "usage: mailq [-j] [-d DIR] [-s SOCKET]\n"
		     "  -j        one JSON object per message and line\n"
		     "  -d DIR    spool (default: $SMX_SPOOL, the current folder, " SMX_SPOOLDIR ")\n"
		     "  -s SOCKET control socket of qmgr (default: qmgrctlsock in the spool)\n"
		     "  -h        this text        -V        version\n");
}

static int write_all(struct buf *b)
{
	struct span s = buf_span(b);

	if (fwrite(s.p, 1, s.n, stdout) != s.n)
		return -EIO;
	b->r = b->w = 0;
	return 0;
}

static unsigned walk(struct store *s, bool json)
{
	struct store_iter *it = store_iter_new(s, STORE_IBDB, SPAN(""));
	struct buf out = { 0 };
	unsigned n = 0;
	uint64_t id;
	uint32_t idx;
	bool is_rcpt;

	for (; store_iter_valid(it); store_iter_next(it)) {
		int error;
		struct ta *ta;

		if (!store_key_parse(store_iter_key(it), &id, &idx, &is_rcpt) || is_rcpt)
			continue;
		ta = keeper_load(s, id, &error);
		if (!ta) {
			fprintf(stderr, "mailq: message %llx cannot be read: %s\n", (unsigned long long)id,
				strerror(-error));
			continue;
		}
		if (json)
			listing_json(ta, &out);
		else
			listing_text(ta, &out);
		aq_ta_free(ta);
		n++;
		if (write_all(&out))
			break;
	}
	if (store_iter_end(it))
		fatal(EX_IOERR, "database: %s", store_error());
	buf_release(&out);
	return n;
}

/* qmgr is not running: the database as it is. */
static int from_database(bool json)
{
	struct store_setup set = {
		.dir = "defedb/", .log_dir = "ibdb/", .cache_bytes = 8 << 20, .page_bytes = 16384, .log_bytes = 64 << 20, .read_only = true
	};
	char why[300];
	int error;
	bool created;

	if (access("defedb/CURRENT", F_OK)) {
		if (!json)
			puts("Mail queue is empty");
		return 0;
	}
	thread_main_register();
	struct store *s = store_open(&set, &error, why, sizeof why, &created);
	if (!s)
		fatal(EX_TEMPFAIL, "database in defedb/: %s", why);
	unsigned n = walk(s, json);
	if (!json) {
		if (n)
			printf("\tTotal messages: %u\n", n);
		else
			puts("Mail queue is empty");
	}
	store_close(s);
	return 0;
}

int main(int argc, char **argv)
{
	const char *dir = NULL, *socket = "qmgrctlsock";
	bool json = false;
	int c;

	while ((c = getopt(argc, argv, "jd:s:hV")) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'd':
			dir = optarg;
			break;
		case 's':
			socket = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			puts("mailq: smX " SMX_VERSION);
			return 0;
		default:
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return EX_USAGE;
	}
	tool_enter_spool(dir);
	tool_become_owner("defedb");
	int rc = ctl_ask(socket, json ? "list json" : "list text", STDOUT_FILENO);
	if (!rc)
		return 0;
	if (rc != -ENOENT && rc != -ECONNREFUSED)
		fatal(EX_UNAVAILABLE, "%s: %s", socket, strerror(-rc));
	return from_database(json);
}
