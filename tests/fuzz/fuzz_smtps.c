/*
 * tests/fuzz/fuzz_smtps.c - any bytes as an SMTP session against the real session code. The first
 * byte says in parts of how many bytes they come and whether answers are late; a 0xff in the input
 * lets a minute pass.
 */
#include "core/log.h"
#include "tests/proto/smtps_fake.h"

#include <ftw.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RUNS_PER_FOLDER = 2000 }; /* so that accepted messages do not fill the disk */

static struct fake *fake;
static char folder[100];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static void clean_up(void)
{
	if (!fake)
		return;
	fake_free(fake);
	free(fake);
	fake = NULL;
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct fake *surroundings(void)
{
	static const char options[] =
		"flags = { 8bitmime, binarymime, access };\n"
		"max_message_size = 8KB; max_header_size = 4KB; segment_limit = 2KB;\n"
		"max_recipients_per_transaction = 5;\n"
		"xclient_from = { \"192.0.2.0/24\" };\n";
	static unsigned runs;

	if (runs++ % RUNS_PER_FOLDER)
		return fake;
	if (runs == 1) {
		log_set_level(0);
		smtps_stats_define();
		stats_thread();
		atexit(clean_up);
	}
	clean_up();
	const char *tmp = getenv("TMPDIR");
	snprintf(folder, sizeof folder, "%.80s/fuzzXXXXXX", tmp ? tmp : "/tmp");
	fake = xmalloc(sizeof *fake);
	if (!mkdtemp(folder) || !fake_init(fake, folder, options))
		panic("%s: %s", folder, strerror(errno));
	fake->rule[fake->rules++] = (struct fake_rule){ "rcpt", "bad*", "550 5.1.1 No such user",
							MSG_ACT_ERROR, false };
	fake->rule[fake->rules++] =
		(struct fake_rule){ "rcpt", "drop*", "", MSG_ACT_DISCARD, false };
	return fake;
}

/* Replies are lines of printable ASCII that begin with a code. */
static void must_be_replies(struct span out)
{
	while (out.n) {
		size_t end = span_find(out, SPAN("\r\n"));
		struct span line = span_head(out, end);

		if (end == out.n || line.n < 4 || line.p[0] < '2' || line.p[0] > '5' ||
		    (line.p[3] != ' ' && line.p[3] != '-'))
			panic("not a reply: %.*s", (int)line.n, line.p);
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] < 32 || line.p[i] > 126)
				panic("byte %d in a reply", line.p[i]);
		out = span_from(out, end + 2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake *f = surroundings();

	if (!size || size > 20000)
		return 0;
	size_t part = 1 + data[0] % 64;
	bool late = data[0] & 64;

	f->hold = late;
	fake_connect(f, "192.0.2.1", data[0] & 128);
	for (size_t at = 1; at < size && f->s; at += part) {
		size_t n = size - at < part ? size - at : part;

		if (data[at] == 0xff)
			fake_time(f, 60 * (usec_t)USEC_PER_SEC);
		buf_add(&f->to_server, data + at, n);
		fake_pump(f);
		while (late && f->wait_count && (at & 1)) {
			fake_answer(f, f->wait_count - 1, false);
			fake_pump(f);
		}
	}
	must_be_replies(buf_span(&f->to_client));
	/* The disk is there: nothing may be missing at the final dot. */
	struct span out = buf_span(&f->to_client);
	if (span_find(out, SPAN("message could not be stored")) < out.n)
		panic("content was lost on its way");
	fake_disconnect(f);
	if (f->open_count || f->wait_count || f->host.session_count || f->host.rcpt_count ||
	    f->host.sessions.used_count || f->host.slots.used_count || f->host.greets.used_count ||
	    f->host.commits.used_count || f->host.blocks[0].used_count || f->tasks)
		panic("something is left over");
	return 0;
}
