/*
 * queue/qmgrctl.c - asks the running qmgr on its control socket and gives it orders. See
 * qmgrctl(8).
 */
#include "core/err.h"
#include "queue/route_text.h"
#include "queue/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* What stands behind the command. */
struct words {
	struct buf request;
	char **word;
	int count, at;
	bool json;
	enum tool_whole whole;
	const char *flag_e, *flag_n, *flag_b;
	bool flag_c, flag_d, flag_m, flag_a;
};

struct command {
	const char *name;
	const char *flags; /* of getopt */
	bool needs_selector;
	void (*build)(const struct command *c, struct words *w);
	const char *help;
};

/* ---- requests */

static void put(struct words *w, const char *s)
{
	if (buf_printf(&w->request, "%s%s", buf_len(&w->request) ? " " : "", s))
		fatal(EX_OSERR, "no memory");
}

/* The words that are left, as a selector. */
static void put_selector(const struct command *c, struct words *w)
{
	struct buf text = { 0 };

	if (c->needs_selector && w->at == w->count)
		fatal(EX_USAGE,
		      "%s needs a selector, such as the id of a message; \"all\" means all. See qmgrctl(8)",
		      c->name);
	tool_selector(w->word + w->at, w->count - w->at, &text);
	if (buf_len(&text) && (buf_add(&text, "", 1) || (put(w, text.p), false)))
		fatal(EX_OSERR, "no memory");
	buf_release(&text);
}

static void put_words(struct words *w)
{
	for (; w->at < w->count; w->at++) {
		if (strchr(w->word[w->at], '\n'))
			fatal(EX_USAGE, "a line break in the command");
		put(w, w->word[w->at]);
	}
}

static void no_more_words(const struct words *w, int count)
{
	if (w->at + count < w->count)
		fatal(EX_USAGE, "unexpected '%s'", w->word[w->at + count]);
}

static void build_plain(const struct command *c, struct words *w)
{
	no_more_words(w, strcmp(c->name, "log_level") ? 0 : 1);
	if (!strcmp(c->name, "suspensions"))
		w->whole = TOOL_MAY_BE_EMPTY;
	put(w, c->name);
	if (w->json)
		put(w, "json");
	put_words(w);
}

static void build_stats(const struct command *c, struct words *w)
{
	(void)c;
	no_more_words(w, 0);
	put(w, w->json ? "stats json" : w->flag_m ? "stats metrics" : "stats text");
}

static void build_select(const struct command *c, struct words *w)
{
	put(w, c->name);
	if (w->flag_d)
		put(w, "dsn");
	if (w->json)
		put(w, "json");
	put_selector(c, w);
}

static void build_list(const struct command *c, struct words *w)
{
	put(w, w->json ? "list json mark" : "list text mark");
	w->whole = TOOL_MARKED;
	put_selector(c, w);
}

static void build_show(const struct command *c, struct words *w)
{
	if (w->json && w->flag_c)
		fatal(EX_USAGE, "-c and -j do not go together");
	put(w, "show");
	put(w, w->json ? "json mark" : w->flag_c ? "content mark" : "text mark");
	w->whole = TOOL_MARKED;
	put_selector(c, w);
}

static void build_reroute(const struct command *c, struct words *w)
{
	struct route r;
	char why[200];

	if (w->at == w->count)
		fatal(EX_USAGE,
		      "reroute needs a route such as [192.0.2.1]:25, lmtp:, discard: or auto, then a selector");
	if (strcmp(w->word[w->at], "auto") &&
	    route_text_parse(span_str(w->word[w->at]), &r, why, sizeof why))
		fatal(EX_USAGE, "reroute: %s", why);
	put(w, "reroute");
	put(w, w->word[w->at++]);
	if (w->json)
		put(w, "json");
	put_selector(c, w);
}

/* A time from now, "2h30m", or a date, "2026-11-23 08:00" or "08:00" (the next one). */
static time_t end_time(const char *s)
{
	static const char *const forms[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M",
					     "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M",
					     "%Y-%m-%d",          "%H:%M" };
	time_t now = time(NULL);
	usec_t usec;

	if (!select_duration(span_str(s), &usec))
		return now + (time_t)(usec / USEC_PER_SEC);
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		struct tm tm = { 0 };

		if (i == 5)
			localtime_r(&now, &tm);
		tm.tm_sec = 0;
		const char *end = strptime(s, forms[i], &tm);
		if (end && !*end) {
			tm.tm_isdst = -1;
			time_t when = mktime(&tm);
			/* A time of the day is the next one. */
			if (i == 5 && when <= now) {
				tm.tm_mday++;
				tm.tm_isdst = -1;
				when = mktime(&tm);
			}
			return when;
		}
	}
	fatal(EX_USAGE, "'%s' is no time: say 2h, 1d12h, 08:00 or \"2026-11-23 08:00\"", s);
}

static void build_suspend(const struct command *c, struct words *w)
{
	char until[40];

	put(w, "suspend");
	if (w->flag_e) {
		time_t end = end_time(w->flag_e);

		if (end <= time(NULL))
			fatal(EX_USAGE, "'%s' is over already", w->flag_e);
		snprintf(until, sizeof until, "until=%" PRId64, (int64_t)end);
		put(w, until);
	}
	put_selector(c, w);
}

static void build_resume(const struct command *c, struct words *w)
{
	uint64_t n;

	put(w, "resume");
	if (w->at + 1 == w->count && !span_u64(span_str(w->word[w->at]), UINT64_MAX, &n))
		put_words(w);
	else
		put_selector(c, w);
}

static void build_top(const struct command *c, struct words *w)
{
	static const char *const by[] = { "host", "domain", "from", "client", "reply" };
	uint64_t n;
	size_t i = 0;

	w->whole = TOOL_MAY_BE_EMPTY;
	put(w, c->name);
	if (w->flag_n && span_u64(span_str(w->flag_n), 100000, &n))
		fatal(EX_USAGE, "-n wants a number up to 100000, not '%s'", w->flag_n);
	if (w->flag_n)
		put(w, w->flag_n);
	if (w->flag_a)
		put(w, "attempts");
	while (w->flag_b && i < 5 && strcmp(w->flag_b, by[i]))
		i++;
	if (i == 5)
		fatal(EX_USAGE, "-b wants host, domain, from, client or reply, not '%s'",
		      w->flag_b);
	if (w->flag_b)
		put(w, w->flag_b);
	if (w->json)
		put(w, "json");
	if (!strcmp(c->name, "top"))
		put_selector(c, w);
	else
		no_more_words(w, 0);
}

static const struct command commands[] = {
	{ "status", "j", false, build_plain,
	  "status [-j]                how full the queues are (default)" },
	{ "stats", "jm", false, build_stats,
	  "stats [-j | -m]            counters as text, JSON or OpenMetrics" },
	{ "list", "j", false, build_list,
	  "list [-j] [SELECTOR]       queued messages, see mailq(1)" },
	{ "show", "jc", true, build_show,
	  "show [-j | -c] SELECTOR    all that is known; -c: the content too" },
	{ "top", "jan:b:", false, build_top,
	  "top [-a] [-n N] [-b WHAT] [SELECTOR]\n"
	  "                             largest groups; -b: by host (default), domain, from, client, reply;\n"
	  "                             -a: most attempts first" },
	{ "destinations", "jan:", false, build_top,
	  "destinations [-a] [-n N]   what is being tried or waits for its turn" },
	{ "retry", "j", true, build_select, "retry SELECTOR             try what is deferred now" },
	{ "hold", "j", true, build_select,
	  "hold SELECTOR              do not try it until it is released" },
	{ "release", "j", true, build_select,
	  "release SELECTOR           what is held is tried again" },
	{ "delete", "jd", true, build_select,
	  "delete [-d] SELECTOR       forget it; -d: and send a notice to the sender" },
	{ "reroute", "j", true, build_reroute,
	  "reroute ROUTE SELECTOR     send it to another host, such as [192.0.2.1]:25" },
	{ "suspend", "e:", true, build_suspend,
	  "suspend [-e END] SELECTOR  try nothing that matches; END: 2h, \"2026-11-23 08:00\"" },
	{ "resume", "", true, build_resume, "resume NUMBER | SELECTOR | all" },
	{ "suspensions", "j", false, build_plain, "suspensions [-j]           what is suspended" },
	{ "reload", "", false, build_plain,
	  "reload                     read configuration and maps again, as -r" },
	{ "log_level", "", false, build_plain,
	  "log_level [N]              amount of logging until the next start" },
	{ "help", "", false, build_plain,
	  "help                       what the socket understands" },
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void usage(FILE *out)
{
	fprintf(out,
		"usage: qmgrctl [-j] [-d DIR] [-f FILE] [-s SOCKET] [-r | COMMAND [ARGUMENTS]]\n"
		"  -d DIR    spool (default: $SMX_SPOOL, the current folder, " SMX_SPOOLDIR ")\n"
		"  -f FILE   configuration, when qmgr has other folders than the default ones\n"
		"  -s SOCKET control socket (default: qmgrctlsock in the spool)\n"
		"  -r        reload\n"
		"  -h        this text        -V        version; more V tell more\n"
		"commands (with -j the answer is JSON):\n");
	for (int i = 0; i < COMMANDS; i++)
		fprintf(out, "  %s\n", commands[i].help);
	fprintf(out,
		"SELECTOR: ids, or terms that must all hold: from=, to=, domain=, host=, client=, older=2h, newer=2h,\n"
		"  reply=4xx, state=active,deferred,held, attempts>3, size>1MB; or, not, ( ); all. See mailq(1).\n");
}

static void parse_flags(const struct command *c, struct words *w, int argc, char **argv)
{
	char flags[40];
	int o;

	/* Flags may stand in front of the selector only: it may begin with a minus sign nowhere. */
	snprintf(flags, sizeof flags, "+%s", c->flags);
	optind = 1;
	while ((o = getopt(argc, argv, flags)) != -1) {
		w->json |= o == 'j';
		w->flag_m |= o == 'm';
		w->flag_c |= o == 'c';
		w->flag_d |= o == 'd';
		w->flag_a |= o == 'a';
		if (o == 'e')
			w->flag_e = optarg;
		if (o == 'n')
			w->flag_n = optarg;
		if (o == 'b')
			w->flag_b = optarg;
		if (o == '?') {
			fprintf(stderr, "usage: qmgrctl %s\n", c->help);
			exit(EX_USAGE);
		}
	}
	w->word = argv;
	w->count = argc;
	w->at = optind;
}

static const struct command *find(const char *name)
{
	for (int i = 0; i < COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	fprintf(stderr, "qmgrctl: unknown command '%s'; qmgrctl -h lists them\n", name);
	exit(EX_USAGE);
}

int main(int argc, char **argv)
{
	const char *dir = NULL, *socket = NULL, *conf = NULL;
	struct words w = { .whole = TOOL_SAYS_SOMETHING };
	struct tool_spool t;
	unsigned version = 0;
	bool reload = false;
	int o;

	err_plain();
	while ((o = getopt(argc, argv, "+d:f:s:jrhV")) != -1) {
		switch (o) {
		case 'd':
			dir = optarg;
			break;
		case 'f':
			conf = optarg;
			break;
		case 's':
			socket = optarg;
			break;
		case 'j':
			w.json = true;
			break;
		case 'r':
			reload = true;
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
		tool_version("qmgrctl", version);
		return 0;
	}
	int rest = optind;
	const struct command *c = find(reload ? "reload" : rest < argc ? argv[rest] : "status");
	if (!reload && rest < argc)
		parse_flags(c, &w, argc - rest, argv + rest);
	c->build(c, &w);
	buf_add(&w.request, "", 1);
	tool_begin(&t, dir, conf, socket);
	int rc = tool_ask(&t, w.request.p, w.whole);
	if (rc == TOOL_NOT_RUNNING)
		fatal(EX_UNAVAILABLE, "%s: nobody listens there; is qmgr running?", t.socket);
	if (rc == TOOL_GONE)
		fatal(EX_PROTOCOL, "qmgr stopped before it answered%s",
		      c->needs_selector || reload ? ", it may have done it; ask again when it runs"
						  : "");
	return rc;
}
