/*
 * tests/proto/test_smtps_replay.c - the dialogues of tests/replay/smtps_*.smtp against the real
 * session code.
 *
 * Each runs whole, in parts of 1, 2, 3 and 7 bytes, with a client that reads byte by byte, and with
 * answers of smar and qmgr that come only when all else has been done, oldest or newest first.
 *
 * Lines of a dialogue ("#" begins a comment; '*' in what is expected stands for anything):
 *   option TEXT          in smtps { }; before anything else
 *   client IP [local]    who connects; default 192.0.2.1
 *   smar WHAT PATTERN ACTION [quick] [TEXT]
 *                        WHAT client, mail, rcpt; ACTION cont, ok, relay, error, discard
 *   name NAME            smar's name of the client
 *   open CODE TEXT       qmgr's answer to the connection
 *   commit CODE TEXT     and to messages (0: durable)
 *   late                 requests that wait get no answer
 *   no_folders, folders  files for content cannot be made; can be made again
 *   silent, answers      nobody answers any more; again
 *   no_ids, ids          qmgr gives none, gives some
 *   credit LEVEL SESSIONS RECIPIENTS
 *   connect              begins the session, or a further one after the end of the one before
 *   forget               the rules for smar and the answers of qmgr
 *   C: LINE              the client sends LINE and CRLF
 *   C+ TEXT              without, with \r \n \t \0 \\ \xHH and \N{TEXT} for N times TEXT
 *   S: LINE              the server's next line
 *   S.                   nothing more for now
 *   R: CODE              a whole reply, of one or more lines
 *   eof, reset           the client closes its side, or vanishes
 *   time SECONDS
 *   press                few sessions are left: idle ones have less time
 *   stop, stop_now       the program ends
 *   closed               the server has said all, shut its side and reads on
 *   gone                 the server has closed, though the client has not
 *   envelope TEXT        of the last committed message: "<from> <to> <to> key=value"
 *   content TEXT         as stored, without our Received, escapes as above
 *   received PATTERN     our Received
 *   head KEY=N ...       of its record
 *   commits N            messages committed so far
 */
#include "tests/proto/smtps_fake.h"

#include "core/envelope.h"
#include "core/log.h"
#include "proto/smtps_reply.h"
#include "tests/tap.h"

#include <dirent.h>

struct mode {
	const char *name;
	size_t part; /* bytes that come at once, 0: all */
	size_t write_max;
	bool hold, newest_first;
};

static const struct mode modes[] = {
	{ "whole", 0, 0, false, false },
	{ "byte by byte", 1, 0, false, false },
	{ "by two", 2, 0, false, false },
	{ "by three", 3, 0, false, false },
	{ "by seven", 7, 0, false, false },
	{ "slow reader", 0, 1, false, false },
	{ "late answers", 0, 0, true, false },
	{ "late answers, newest first", 0, 0, true, true },
	{ "late answers, by five", 5, 0, true, true },
};

struct run {
	struct fake f;
	const struct mode *mode;
	const char *file;
	unsigned line;
	struct buf pending; /* what the client will send */
	bool connected;
	unsigned sessions; /* "connect" that were seen */
	char section[2048];
	char client[64];
	bool local;
	bool failed;
};

static void fail(struct run *r, const char *what, struct span got)
{
	diag("%s:%u (%s): %s, got \"%.*s\"", r->file, r->line, r->mode->name, what,
	     (int)(got.n < 300 ? got.n : 300), got.p);
	r->failed = true;
}

/* ---- text */

static struct span unescape(struct span in, struct buf *out)
{
	while (in.n) {
		char c = in.p[0];
		uint64_t times;
		size_t skip = 1;

		if (c == '\\' && in.n > 1 && (in.p[1] < '1' || in.p[1] > '9')) {
			static const char from[] = "rnt0\\}", to[] = "\r\n\t\0\\}";
			const char *p = memchr(from, in.p[1], sizeof from - 1);

			skip = 2;
			if (p) {
				c = to[p - from];
			} else if (in.p[1] == 'x' && in.n >= 4) {
				char hex[3] = { in.p[2], in.p[3], 0 };

				c = (char)strtoul(hex, NULL, 16);
				skip = 4;
			}
		} else if (c == '\\') {
			size_t open = span_chr(in, '{');
			size_t close = span_chr(in, '}');
			struct buf inner = { 0 };

			if (close == in.n || open > close ||
			    span_u64(span_of(in.p + 1, open - 1), 100000000, &times))
				panic("bad repetition");
			unescape(span_of(in.p + open + 1, close - open - 1), &inner);
			while (times--)
				buf_add_span(out, buf_span(&inner));
			buf_release(&inner);
			in = span_from(in, close + 1);
			continue;
		}
		buf_add(out, &c, 1);
		in = span_from(in, skip);
	}
	return buf_span(out);
}

/* ---- driving */

static void release(struct run *r)
{
	while (r->f.wait_count && !r->f.silent) {
		fake_answer(&r->f, r->mode->newest_first ? r->f.wait_count - 1 : 0, false);
		fake_pump(&r->f);
	}
}

static void send_pending(struct run *r)
{
	struct fake *f = &r->f;

	while (buf_len(&r->pending)) {
		struct span s = buf_span(&r->pending);
		size_t n = r->mode->part && s.n > r->mode->part ? r->mode->part : s.n;

		buf_add(&f->to_server, s.p, n);
		buf_eat(&r->pending, n);
		fake_pump(f);
	}
	release(r);
}

static void begin(struct run *r)
{
	struct fake *f = &r->f;

	r->connected = true;
	f->hold = r->mode->hold;
	f->write_max = r->mode->write_max;
	/* What came before it is early talk. */
	buf_add_span(&f->to_server, buf_span(&r->pending));
	buf_release(&r->pending);
	fake_connect(f, r->client, r->local);
	release(r);
}

/* Replies of the server's table that were expected in some dialogue, and came. */
static bool seen[SMTPS_R_COUNT];

static void note_reply(struct span line)
{
	for (unsigned i = 0; i < SMTPS_R_COUNT; i++) {
		struct span text = smtps_reply_text_of(i), rest = span_from(text, 10);

		text = span_head(text, span_chr(text, '\r'));
		/* After the content the id stands behind the enhanced code. */
		if (span_eq(line, text) ||
		    (span_eq(span_head(line, 10), span_head(text, 10)) &&
		     span_startswith(span_from(line, 10), SPAN("S0")) && span_endswith(line, rest)))
			seen[i] = true;
	}
}

static void expect_line(struct run *r, const char *pattern)
{
	struct span out = buf_span(&r->f.to_client);
	size_t end = span_find(out, SPAN("\r\n"));

	if (end == out.n)
		fail(r, "a line was expected", out);
	else if (!fake_match(pattern, span_head(out, end)))
		fail(r, pattern, span_head(out, end));
	else
		note_reply(span_head(out, end));
	buf_eat(&r->f.to_client, end == out.n ? out.n : end + 2);
}

/* A whole reply: lines with "-" behind the code and a last one without. */
static void expect_reply(struct run *r, const char *code)
{
	char more[16], last[16];

	snprintf(more, sizeof more, "%.3s-*", code);
	snprintf(last, sizeof last, "%.3s *", code);
	while (fake_match(more, buf_span(&r->f.to_client)))
		expect_line(r, more);
	expect_line(r, last);
}

/* ---- what was stored */

static void check_envelope(struct run *r, const char *want)
{
	struct arena *a = arena_new();
	struct buf b = { 0 };
	struct envelope e;

	if (envelope_decode(buf_span(&r->f.envelope), a, &e)) {
		fail(r, "envelope cannot be read", SPAN(""));
		arena_free(a);
		return;
	}
	buf_printf(&b, "<%.*s>", (int)e.sender.n, e.sender.p);
	for (uint32_t i = 0; i < e.rcpt_count; i++) {
		buf_printf(&b, " <%.*s>", (int)e.rcpt[i].addr.n, e.rcpt[i].addr.p);
		if (e.rcpt[i].notify)
			buf_printf(&b, "notify=%u", e.rcpt[i].notify);
		if (e.rcpt[i].orcpt.n)
			buf_printf(&b, "orcpt=%.*s", (int)e.rcpt[i].orcpt.n, e.rcpt[i].orcpt.p);
		if (e.rcpt[i].route == ENV_NO_ROUTE)
			buf_printf(&b, "noroute");
		if (e.rcpt[i].kind)
			buf_printf(&b, "kind=%u", e.rcpt[i].kind);
		if (e.rcpt[i].owner)
			buf_printf(&b, "[%.*s]", (int)envelope_sender(&e, i).n,
				   envelope_sender(&e, i).p);
	}
	if (e.body)
		buf_printf(&b, " body=%u", e.body);
	if (e.ret)
		buf_printf(&b, " ret=%u", e.ret);
	if (e.envid.n)
		buf_printf(&b, " envid=%.*s", (int)e.envid.n, e.envid.p);
	if (e.flags & ENV_SMTPUTF8)
		buf_printf(&b, " smtputf8");
	if (e.route_count > 1)
		buf_printf(&b, " routes=%u", e.route_count);
	if (!fake_match(want, buf_span(&b)))
		fail(r, want, buf_span(&b));
	buf_release(&b);
	arena_free(a);
}

static void check_content(struct run *r, const char *want, const char *received)
{
	struct buf w = { 0 };
	struct cdb_head h = { 0 };
	char *ours = NULL, *all = fake_content(&r->f, &h, &ours);

	if (!all) {
		fail(r, "content is not there", SPAN(""));
		return;
	}
	struct span got = span_of(all, h.content_bytes - h.received_bytes);
	if (want && !span_eq(unescape(span_str(want), &w), got))
		fail(r, want, got);
	for (char *p = ours; *p; p++)
		if (*p == '\r' || *p == '\n' || *p == '\t')
			*p = '_';
	if (received && !fake_match(received, span_str(ours)))
		fail(r, received, span_str(ours));
	buf_release(&w);
	free(all);
	free(ours);
}

static void check_head(struct run *r, const char *want)
{
	struct cdb_head h = { 0 };
	char *ours = NULL, *all = fake_content(&r->f, &h, &ours), got[300];

	snprintf(got, sizeof got, "size=%llu dots=%llu header=%u hops=%u flags=%u file=%d",
		 (unsigned long long)h.size_bytes, (unsigned long long)h.dots,
		 h.header_bytes - h.received_bytes, h.hops, h.flags, r->f.ref.seg == 0);
	if (!all || !fake_match(want, span_str(got)))
		fail(r, want, span_str(got));
	if (h.content_bytes != h.received_bytes + h.size_bytes + h.dots)
		fail(r, "less is stored than came", span_str(got));
	free(all);
	free(ours);
}

/* ---- the lines of a dialogue */

static void add_rule(struct run *r, struct span args)
{
	static const char *const actions[] = { "cont", "ok", "relay", "error", "discard" };
	struct fake_rule *u = &r->f.rule[r->f.rules++];
	struct span rest = args;

	if (r->f.rules > FAKE_RULES_MAX)
		panic("too many rules");
	span_cstr(span_word(&rest, " "), u->what, sizeof u->what);
	span_cstr(span_word(&rest, " "), u->pattern, sizeof u->pattern);
	if (!strcmp(u->what, "alias")) {
		span_cstr(span_trim(rest), u->text, sizeof u->text);
		return;
	}
	struct span action = span_word(&rest, " ");
	for (unsigned i = 0; i < 5; i++)
		if (span_eq(action, span_str(actions[i])))
			u->action = i;
	if (span_startswith(span_trim(rest), SPAN("quick"))) {
		u->quick = true;
		span_word(&rest, " ");
	}
	span_cstr(span_trim(rest), u->text, sizeof u->text);
}

static void answer_of(struct span args, unsigned *code, char *text, size_t cap)
{
	uint64_t v;

	if (span_u64(span_word(&args, " "), 999, &v))
		panic("code expected");
	*code = (unsigned)v;
	span_cstr(span_trim(args), text, cap);
}

static void late(struct run *r)
{
	while (r->f.wait_count) {
		fake_answer(&r->f, 0, true);
		fake_pump(&r->f);
	}
}

static void ids(struct run *r)
{
	r->f.no_ids = false;
	if (r->f.s)
		smtps_greet_ids(r->f.s);
	fake_pump(&r->f);
}

static void credit(struct run *r, const char *args)
{
	unsigned level, sessions, recipients;

	if (sscanf(args, "%u %u %u", &level, &sessions, &recipients) != 3)
		panic("credit LEVEL SESSIONS RECIPIENTS");
	r->f.host.credit = (struct smtps_credit){ sessions, recipients, (uint8_t)level, false };
}

static void move_folders(struct run *r, const char *from, const char *to)
{
	for (unsigned i = 0; i < 16; i++) {
		char a[300], b[300];

		snprintf(a, sizeof a, "%s%s%X", r->f.dir, from, i);
		snprintf(b, sizeof b, "%s%s%X", r->f.dir, to, i);
		if (rename(a, b))
			panic("rename %s: %s", a, strerror(errno));
	}
}

/* Before the session begins. True: it was one of these. */
static bool set_up(struct run *r, struct span word, struct span args)
{
	char text[512];

	span_cstr(args, text, sizeof text);
	if (span_eq(word, SPAN("option"))) {
		size_t n = strlen(r->section);

		snprintf(r->section + n, sizeof r->section - n, "%s\n", text);
	} else if (span_eq(word, SPAN("client"))) {
		span_cstr(span_word(&args, " "), r->client, sizeof r->client);
		r->local = span_eq(span_trim(args), SPAN("local"));
	} else if (span_eq(word, SPAN("smar"))) {
		add_rule(r, args);
	} else if (span_eq(word, SPAN("name"))) {
		span_cstr(args, r->f.client_name, sizeof r->f.client_name);
	} else if (span_eq(word, SPAN("open"))) {
		answer_of(args, &r->f.open_code, r->f.open_text, sizeof r->f.open_text);
	} else if (span_eq(word, SPAN("commit"))) {
		answer_of(args, &r->f.commit_code, r->f.commit_text, sizeof r->f.commit_text);
	} else if (span_eq(word, SPAN("no_ids"))) {
		r->f.no_ids = true;
	} else if (span_eq(word, SPAN("credit"))) {
		credit(r, text);
	} else if (span_eq(word, SPAN("no_folders"))) {
		move_folders(r, "", "gone");
	} else if (span_eq(word, SPAN("folders"))) {
		move_folders(r, "gone", "");
	} else if (span_eq(word, SPAN("silent"))) {
		r->f.silent = true;
	} else if (span_eq(word, SPAN("answers"))) {
		r->f.silent = false;
	} else if (span_eq(word, SPAN("forget"))) {
		r->f.rules = r->f.open_code = r->f.commit_code = 0;
	} else {
		return false;
	}
	return true;
}

static void stop(struct run *r, bool now)
{
	r->f.host.stopping = true;
	if (r->f.s)
		(now ? smtps_session_stop_now : smtps_session_stop)(r->f.s);
	fake_pump(&r->f);
}

static void closed(struct run *r)
{
	struct span rest = buf_span(&r->f.to_client);

	if (rest.n || !(r->f.server_shut || r->f.closed))
		fail(r, "the server should have closed", rest);
	/* While the client may send, closing would make a reset that eats the last reply. */
	if (r->f.closed && !r->f.client_eof && !r->f.client_reset)
		fail(r, "the server should read on", rest);
	/* The client answers with its own end. */
	r->f.client_eof = true;
	fake_pump(&r->f);
	if (!r->f.closed)
		fail(r, "the session should be over", rest);
	if (r->f.open_count)
		fail(r, "qmgr thinks it is open", rest);
}

static bool act(struct run *r, struct span word, struct span args)
{
	if (span_eq(word, SPAN("connect"))) {
		/* the first has begun already */
		if (r->sessions++) {
			fake_disconnect(&r->f);
			begin(r);
		}
	} else if (span_eq(word, SPAN("eof"))) {
		r->f.client_eof = true;
	} else if (span_eq(word, SPAN("reset"))) {
		r->f.client_reset = true;
	} else if (span_eq(word, SPAN("late"))) {
		late(r);
	} else if (span_eq(word, SPAN("ids"))) {
		ids(r);
	} else if (span_eq(word, SPAN("time"))) {
		fake_time(&r->f, (usec_t)(atof(args.p) * USEC_PER_SEC));
	} else if (span_eq(word, SPAN("press"))) {
		if (r->f.s)
			smtps_session_press(r->f.s);
	} else if (span_eq(word, SPAN("stop"))) {
		stop(r, false);
	} else if (span_eq(word, SPAN("stop_now"))) {
		stop(r, true);
	} else {
		return false;
	}
	fake_pump(&r->f);
	release(r);
	return true;
}

static void check(struct run *r, struct span word, struct span args)
{
	char text[8192];
	uint64_t n;

	span_cstr(args, text, sizeof text);
	if (span_eq(word, SPAN("S:"))) {
		expect_line(r, text);
	} else if (span_eq(word, SPAN("R:"))) {
		expect_reply(r, text);
	} else if (span_eq(word, SPAN("S."))) {
		if (buf_len(&r->f.to_client))
			fail(r, "nothing was expected", buf_span(&r->f.to_client));
	} else if (span_eq(word, SPAN("closed"))) {
		closed(r);
	} else if (span_eq(word, SPAN("gone"))) {
		if (!r->f.closed)
			fail(r, "the session should be over", buf_span(&r->f.to_client));
	} else if (span_eq(word, SPAN("envelope"))) {
		check_envelope(r, text);
	} else if (span_eq(word, SPAN("content"))) {
		check_content(r, text, NULL);
	} else if (span_eq(word, SPAN("received"))) {
		check_content(r, NULL, text);
	} else if (span_eq(word, SPAN("head"))) {
		check_head(r, text);
	} else if (span_eq(word, SPAN("commits")) && !span_u64(args, 1000, &n)) {
		if (n != r->f.commits)
			fail(r, "other number of commits", args);
	} else {
		fail(r, "not a line of a dialogue", word);
	}
}

static void one_line(struct run *r, struct span line)
{
	struct span args = line, word = span_word(&args, " ");

	args = span_from(args, 1);
	if (!word.n || word.p[0] == '#')
		return;
	if (span_eq(word, SPAN("C:"))) {
		buf_add_span(&r->pending, args);
		buf_add_span(&r->pending, SPAN("\r\n"));
		return;
	}
	if (span_eq(word, SPAN("C+"))) {
		unescape(args, &r->pending);
		return;
	}
	if (span_eq(word, SPAN("option")) || (!r->connected && set_up(r, word, args)))
		return;
	if (!r->connected)
		begin(r);
	if (!set_up(r, word, args)) {
		/* What the client says before a new session is early talk there. */
		if (!r->sessions || !span_eq(word, SPAN("connect")))
			send_pending(r);
		if (!act(r, word, args))
			check(r, word, args);
	}
}

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = xcalloc(1, 1 << 18);

	if (!f)
		panic("%s: %s", path, strerror(errno));
	size_t n = fread(text, 1, (1 << 18) - 1, f);
	text[n] = 0;
	fclose(f);
	return text;
}

/* Options stand in the file, but are needed before all else. */
static void read_options(struct run *r, struct span text)
{
	while (text.n) {
		size_t end = span_chr(text, '\n');
		struct span args = span_head(text, end), word = span_word(&args, " ");

		if (span_eq(word, SPAN("option")))
			set_up(r, word, span_from(args, 1));
		text = span_from(text, end + 1);
	}
}

static bool play(const char *file, const char *text, const struct mode *m)
{
	static unsigned number;
	struct run *r = xcalloc(1, sizeof *r);
	char dir[180], section[2048];
	struct span rest = span_str(text);

	r->mode = m;
	r->file = file;
	snprintf(r->client, sizeof r->client, "192.0.2.1");
	snprintf(dir, sizeof dir, "%s/%u", tap_tmpdir(), number++);
	if (mkdir(dir, 0755))
		panic("mkdir %s: %s", dir, strerror(errno));
	read_options(r, rest);
	memcpy(section, r->section, sizeof section);
	if (!fake_init(&r->f, dir, section))
		panic("%s: bad options", file);
	while (rest.n && !r->failed) {
		size_t end = span_chr(rest, '\n');

		r->line++;
		one_line(r, span_head(rest, end));
		rest = span_from(rest, end + 1);
	}
	bool good = !r->failed;
	fake_free(&r->f);
	buf_release(&r->pending);
	free(r);
	return good;
}

static int is_dialogue(const struct dirent *e)
{
	struct span n = span_str(e->d_name);

	return span_startswith(n, SPAN("smtps_")) && span_endswith(n, SPAN(".smtp"));
}

static void play_file(const char *path)
{
	char *text = read_all(path);

	for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++)
		ok(play(path, text, &modes[m]), "%s: %s", path, modes[m].name);
	free(text);
}

int main(int argc, char **argv)
{
	struct dirent **list;
	char path[512];

	log_set_level(0);
	smtps_stats_define();
	stats_thread();
	for (int i = 1; i < argc; i++)
		play_file(argv[i]);
	if (argc > 1)
		return plan_done();
	int n = scandir("tests/replay", &list, is_dialogue, alphasort);
	ok(n > 0, "there are dialogues");
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "tests/replay/%s", list[i]->d_name);
		play_file(path);
		free(list[i]);
	}
	free(list);
	for (unsigned i = 0; i < SMTPS_R_COUNT; i++) {
		struct span text = smtps_reply_text_of(i);

		/* A full disk: tests/system/faults.py. */
		if (i != SMTPS_R_DOT_SPACE)
			ok(seen[i], "a dialogue has the reply %.*s", (int)span_chr(text, '\r'),
			   text.p);
	}
	return plan_done();
}
