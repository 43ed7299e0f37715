/*
 * queue/mailq.c - shows what is queued: from the running qmgr, or from the databases when it is
 * stopped. See mailq(1).
 */
#include "core/err.h"
#include "core/thread.h"
#include "queue/listing.h"
#include "queue/park.h"
#include "queue/qmgr.h"
#include "queue/qwalk.h"
#include "queue/suspend.h"
#include "queue/tail.h"
#include "queue/tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* STOP_MS: for the end of a qmgr that does not answer any more. */
enum { PAGE_MESSAGES = 1000, TAIL_BUCKETS = 1024, STOP_MS = 5000, TRIES = 3 };

struct show {
	bool json;
	unsigned messages;
	struct buf out;
};

static void usage(FILE *out)
{
	fprintf(out,
		"usage: mailq [-j] [-d DIR] [-f FILE] [-s SOCKET] [SELECTOR...]\n"
		"  -j        one JSON object per message and line\n"
		"  -d DIR    spool (default: $SMX_SPOOL, the current folder, " SMX_SPOOLDIR ")\n"
		"  -f FILE   configuration, when qmgr has other folders than the default ones\n"
		"  -s SOCKET control socket of qmgr (default: qmgrctlsock in the spool)\n"
		"  -h        this text        -V        version; more V tell more\n"
		"A selector shows only some, for example: to=*@example.com older=1h state=deferred,held\n"
		"See mailq(1).\n");
}

static void write_out(struct show *s)
{
	struct span text = buf_span(&s->out);

	if (text.n && fwrite(text.p, 1, text.n, stdout) != text.n)
		fatal(EX_IOERR, "cannot write: %s", strerror(errno));
	s->out.r = s->out.w = 0;
}

static bool each(void *ctx, struct ta *ta, const uint32_t *idx, unsigned count, bool live)
{
	struct show *s = ctx;

	(void)live;
	if (!s->messages++ && !s->json)
		listing_head(&s->out);
	if (s->json)
		listing_json(ta, idx, count, &s->out);
	else
		listing_text(ta, idx, count, &s->out);
	return true;
}

static int keep(void *ctx, struct ta *own)
{
	(void)ctx;
	if (!aq_insert(own))
		aq_ta_free(own);
	return 0;
}

static void show_all(struct show *s, struct store *store, const struct select *select)
{
	struct qwalk *w = qwalk_new(store, select);
	int rc;

	rcu_offline();
	do {
		rc = qwalk_page(w, PAGE_MESSAGES, INT64_MAX / 2, each, s);
		write_out(s);
	} while (rc > 0);
	rcu_online();
	if (rc < 0)
		fatal(EX_IOERR, "database: %s", store_error());
	if (qwalk_damaged(w))
		fprintf(stderr, "mailq: %u messages cannot be read\n", qwalk_damaged(w));
	qwalk_free(w);
}

/* qmgr is not running: the database as it is, and what only the content database has. */
static int from_database(struct tool_spool *t, struct span text, bool json)
{
	static struct qmgr q;
	struct show s = { .json = json };
	struct select_error e;
	struct select *select = select_parse(text, &e);
	char why[600];

	thread_main_register();
	aq_init(4 * TAIL_BUCKETS);
	parks_init();
	q.store = tool_open_store(t, why, sizeof why);
	if (!q.store)
		fatal(EX_UNAVAILABLE, "database in %s: %s", t->opt.defedb_base_directory, why);
	parks_load(q.store);
	suspend_load(&q);
	int rc = tail_walk(q.store, t->global.cdb_base_directory, keep, NULL);
	if (rc && rc != -ENOENT)
		fprintf(stderr,
			"mailq: content database: %s: what came in last may be missing here\n",
			strerror(-rc));
	show_all(&s, q.store, select);
	if (!json && s.messages)
		printf("\tTotal messages: %u\n", s.messages);
	else if (!json)
		puts(select_is_empty(select) ? "Mail queue is empty" : "No message matches");
	select_free(select);
	store_close(q.store);
	return fflush(stdout) ? EX_IOERR : EX_OK;
}

static bool has_database(const struct tool_spool *t)
{
	char path[CDB_PATH_MAX];

	snprintf(path, sizeof path, "%sCURRENT", t->opt.defedb_base_directory);
	return access(path, F_OK) == 0;
}

/* Asks qmgr, also one that starts when the former stops; without any, the database. */
static int ask(struct tool_spool *t, const char *request, struct span text, bool json)
{
	for (unsigned tries = 1;; tries++) {
		int rc = tool_ask(t, request, TOOL_MARKED);

		if (rc != TOOL_NOT_RUNNING && rc != TOOL_GONE)
			return rc;
		pid_t pid = tool_database_user(t);
		/* Its sockets are closed before its locks. */
		if (pid && (tries == TRIES || !tool_wait_end(pid, STOP_MS)))
			fatal(EX_TEMPFAIL, "qmgr (process %d) is starting or stopping, try again",
			      (int)pid);
		if (!pid && has_database(t))
			return from_database(t, text, json);
		if (!pid)
			break;
	}
	if (!json)
		puts("Mail queue is empty");
	return fflush(stdout) ? EX_IOERR : EX_OK;
}

int main(int argc, char **argv)
{
	const char *dir = NULL, *socket = NULL, *conf = NULL;
	struct buf text = { 0 }, request = { 0 };
	struct tool_spool t;
	unsigned version = 0;
	bool json = false;
	int c;

	err_plain();
	while ((c = getopt(argc, argv, "+jd:f:s:hV")) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'd':
			dir = optarg;
			break;
		case 'f':
			conf = optarg;
			break;
		case 's':
			socket = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			version++;
			break;
		default:
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (version) {
		tool_version("mailq", version);
		return 0;
	}
	tool_selector(argv + optind, argc - optind, &text);
	tool_begin(&t, dir, conf, socket);
	buf_printf(&request, "list %s mark %.*s", json ? "json" : "text", (int)buf_len(&text),
		   buf_span(&text).p);
	buf_add(&request, "", 1);
	return ask(&t, request.p, buf_span(&text), json);
}
